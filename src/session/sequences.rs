//! `currval` and `lastval`: what a session has drawn from sequences, PostgreSQL remembers for its connection.
//!
//! A session that asks must get what it has drawn itself, and never what another session has. So a connection knows
//! which session drew on it last, and a session that has drawn goes back to its connection while it can. Once a
//! session of a database has asked, those that draw keep their connections: they are likely to ask, too.

use super::relay::Broken;
use super::transaction::Effects;
use super::{End, Session};
use crate::analysis::{SessionEffect, SessionEffects};
use crate::protocol::backend::TransactionStatus;
use crate::upstream::lease::Lease;

impl Session {
    /// The connection on which this session drew last, if nobody has drawn on it since and it is free.
    pub(super) fn take_back(&self) -> Option<Lease> {
        let has_drawn = self.has_drawn;
        has_drawn
            .then(|| self.pool.take_drawn(&self.kind, self.number))
            .flatten()
    }

    /// Before a request is sent: what another session has drawn on the connection must not be seen by this one.
    pub(super) async fn mind_sequences(&mut self, part: &Effects) -> Result<(), End> {
        let asks = part.session.contains(SessionEffect::Sequence);
        let draws = part.session.intersects(MAY_DRAW) || !part.unjudged.is_empty();
        if asks {
            self.database.watch_sequences();
        }
        let is_watched = draws && self.database.watches_sequences();
        if !asks && !draws {
            return Ok(());
        }
        let number = self.number;
        let is_between =
            !self.pipeline_open && self.transaction.status != TransactionStatus::Failed;
        let server = self.server.as_mut().expect("the caller has attached");
        let is_anothers = server.drawn_by.is_some_and(|session| session != number);
        if is_anothers && (asks || is_watched) && is_between {
            server.discard_sequences().await.map_err(Broken::Server)?;
            server.drawn_by = None;
        }
        if draws {
            server.drawn_by = Some(number);
            self.has_drawn = true;
        }
        self.stay_if_watched(part.session);
        Ok(())
    }

    /// Keeps the connection for a session that may have drawn, if some sessions of its database ask what they have.
    /// What was sent without a catalog keeps it anyway, until it is judged.
    pub(super) fn stay_if_watched(&mut self, effects: SessionEffects) {
        if effects.intersects(MAY_DRAW) && self.database.watches_sequences() {
            self.pin(SessionEffects::of(&[SessionEffect::Sequence]));
        }
    }
}

/// What may draw from a sequence, or set one.
const MAY_DRAW: SessionEffects =
    SessionEffects::of(&[SessionEffect::SequenceDraw, SessionEffect::UnknownCode]);
