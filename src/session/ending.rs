//! How a session ends: the client is told why, and the server connection is seen through.
//!
//! What a client has sent may still take effect after it is gone, so the connection is read up to
//! ReadyForQuery and its window closed by what the server says. Then its transaction is rolled back, what
//! the session left on it is discarded, and it goes back to its pool.

use std::time::Duration;

use super::relay::Broken;
use super::{BEYOND_DISCARD, End, Session};
use crate::analysis::SessionEffects;
use crate::freshness::window::Outcome;
use crate::protocol::backend::{self, Severity, TransactionStatus};
use crate::protocol::expect::Expectations;
use crate::upstream::lease::Lease;
use crate::upstream::settings::discarded;

/// How long a server may take to roll back and forget.
const RESET_LIMIT: Duration = Duration::from_secs(30);

impl Session {
    /// Tells the client why, if it can still be told, and cleans up behind it.
    pub(super) async fn finish(mut self, end: End) {
        let last_words = match &end {
            End::Terminated | End::Cancelled | End::Fatal(_) | End::Broken(Broken::Client(_)) => {
                None
            }
            End::ShuttingDown => Some((
                "57P01",
                "terminating connection due to administrator command".to_owned(),
            )),
            End::Broken(Broken::Server(_)) => Some((
                "57P01",
                "terminating connection because the server connection was lost".to_owned(),
            )),
            End::Broken(Broken::Unexpected(error)) => Some(("08P01", error.to_string())),
            End::Broken(Broken::Malformed(error)) => Some(("08P01", error.to_string())),
            End::Broken(Broken::Length(error)) => Some(("08P01", error.to_string())),
            End::Refused(error) => Some((error.sqlstate(), error.to_string())),
            End::Malformed(malformed) => Some(("08P01", malformed.to_string())),
        };
        if let Some((sqlstate, message)) = last_words {
            backend::write_error(&mut self.client.outbox, Severity::Fatal, sqlstate, &message);
        }
        if let End::Refused(crate::upstream::Error::Refused(message)) = &end {
            self.client.outbox.clear();
            self.client.outbox.extend_from_slice(message);
        }
        let _ = tokio::time::timeout(RESET_LIMIT, self.client.flush()).await;
        let lost = match &end {
            End::Broken(Broken::Server(_)) => true,
            End::Fatal(farewell) => farewell.may_lose_history(),
            _ => false,
        };
        if lost {
            // A server that is gone may have lost what it had already shown (asynchronous commits).
            self.services.freshness.bump_everything();
        }
        self.judge_late();
        let remains = match self.pins {
            // The catalog was not known while these ran, nor is it now.
            _ if !self.unjudged.is_empty() => Remains::Lasting,
            pins if pins.is_empty() && self.touched.is_empty() => Remains::Nothing,
            pins if pins.intersects(BEYOND_DISCARD) => Remains::Lasting,
            _ => Remains::Discardable,
        };
        self.unpin(SessionEffects::NONE);
        self.cancel.attach(None);
        self.pool.client_left();
        let usable = !matches!(
            &end,
            End::Fatal(_)
                | End::Broken(Broken::Server(_) | Broken::Unexpected(_) | Broken::Length(_))
        );
        if let Some(server) = self.server.take().filter(|_| usable) {
            tokio::spawn(see_through(server, remains));
        }
        tracing::debug!(reason = %end, "session ended");
    }
}

/// What a session may leave behind on its connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Remains {
    /// Nothing.
    Nothing,
    /// What DISCARD ALL does away with.
    Discardable,
    /// More than that.
    Lasting,
}

/// Brings an abandoned connection back to the state in which it can be shared, or closes it.
async fn see_through(mut server: Lease, remains: Remains) {
    if server.copying || server.sync_owed {
        // Half a pipeline, or half a COPY, ends as it would directly: by the end of the connection. What it
        // may have changed is known when the backend is gone.
        return;
    }
    let was_answering = !server.owed.is_empty();
    if was_answering {
        // For as long as it takes: what the client has sent runs to its end, as it would directly.
        if server.until_ready(|_, _| ()).await.is_err() {
            return;
        }
        server.owed = Expectations::default();
    }
    if let Some(window) = server.window.take() {
        window.close(Outcome::Committed);
    }
    let reset = async {
        if server.status != TransactionStatus::Idle {
            server.run(b"ROLLBACK").await?;
        }
        match remains {
            Remains::Nothing if was_answering => {
                // Which of the statements were prepared was in the answers that nobody has looked at.
                server.run(b"DEALLOCATE ALL").await?;
                server.prepared.clear();
            }
            Remains::Nothing => {}
            Remains::Discardable => {
                server.run(b"DISCARD ALL").await?;
                server.prepared.clear();
                server.changes = discarded(&server.changes);
            }
            Remains::Lasting => return Err(std::io::ErrorKind::Other.into()),
        }
        Ok::<_, std::io::Error>(())
    };
    if let Ok(Ok(())) = tokio::time::timeout(RESET_LIMIT, reset).await {
        server.release();
    }
}
