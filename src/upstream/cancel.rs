//! Cancel requests: to the right query, and only to it.
//!
//! A client's key leads to its session, and from there to the server connection it holds at that moment. A
//! connection is not given to anybody else while a cancel request for it is on its way, so that a late one
//! cannot hit the next client's query.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::socket::Socket;
use crate::config::Upstream;
use crate::protocol::startup::{CancelKey, encode_cancel};

/// A server connection, as a cancel request sees it.
#[derive(Debug)]
pub struct CancelTarget {
    /// The key the server gave.
    pub key: CancelKey,
    /// The server that gave it.
    upstream: Arc<Upstream>,
    under_way: AtomicU32,
    done: Notify,
}

impl CancelTarget {
    /// A target with the server's own key.
    #[must_use]
    pub fn new(key: CancelKey, upstream: Arc<Upstream>) -> Arc<Self> {
        Arc::new(Self {
            key,
            upstream,
            under_way: AtomicU32::new(0),
            done: Notify::new(),
        })
    }

    /// Is a cancel request for it on its way?
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::SeqCst) > 0
    }

    /// Waits until no cancel request is on its way.
    pub async fn settled(&self) {
        loop {
            let done = self.done.notified();
            if !self.is_under_way() {
                return;
            }
            done.await;
        }
    }
}

/// A cancel request that keeps its target from being given away.
pub struct Cancelling(Arc<CancelTarget>);

impl Cancelling {
    /// Sends the request and waits until the server has dealt with it: it closes the connection only after
    /// it has sent the signal.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn send(self, limit: Duration) -> io::Result<()> {
        send(&self.0.upstream, &self.0.key, limit).await
    }
}

impl Drop for Cancelling {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
        self.0.done.notify_waiters();
    }
}

/// Sends a CancelRequest with any key.
///
/// # Errors
/// What the operating system says.
pub async fn send(upstream: &Upstream, key: &CancelKey, limit: Duration) -> io::Result<()> {
    let sending = async {
        let mut socket = Socket::connect(upstream, limit).await?;
        socket.write_all(&encode_cancel(key)).await?;
        let mut end = [0; 16];
        while socket.read(&mut end).await? > 0 {}
        Ok(())
    };
    tokio::time::timeout(limit, sending)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// A session, as a cancel request sees it.
#[derive(Debug, Default)]
pub struct CancelSlot {
    /// How many requests there were.
    requests: AtomicU64,
    attached: Mutex<Option<Arc<CancelTarget>>>,
    waiting: Notify,
}

impl CancelSlot {
    /// The session holds a server connection from here on, or holds none.
    pub fn attach(&self, target: Option<Arc<CancelTarget>>) {
        *self.attached.lock() = target;
    }

    /// Resolves when the session is to stop waiting for a connection or for another session's query.
    pub async fn cancelled(&self) {
        self.waiting.notified().await;
    }

    /// How many requests to cancel there were so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    /// Resolves when there were more requests than these.
    pub async fn cancelled_since(&self, requests: u64) {
        loop {
            let mut notified = std::pin::pin!(self.waiting.notified());
            notified.as_mut().enable();
            if self.requests() != requests {
                return;
            }
            notified.await;
        }
    }

    /// Begins to cancel: the server connection to send the request for, or `None` when the session holds
    /// none (if it waits for one, it stops).
    #[must_use]
    pub fn begin(&self) -> Option<Cancelling> {
        let attached = self.attached.lock();
        self.requests.fetch_add(1, Ordering::SeqCst);
        if let Some(target) = attached.as_ref() {
            target.under_way.fetch_add(1, Ordering::SeqCst);
            return Some(Cancelling(Arc::clone(target)));
        }
        self.waiting.notify_waiters();
        None
    }
}
