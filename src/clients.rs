//! The clients that are connected: how to cancel what they run, and how to ask them to leave.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::RngCore;
use tokio::sync::{Notify, oneshot};

use crate::protocol::startup::CancelKey;
use crate::upstream::cancel::{CancelSlot, CancelTarget};

/// Every client that has logged in. Touched when one comes or leaves, never for a query.
pub struct Clients {
    most: u32,
    state: Mutex<State>,
    all_gone: Notify,
}

#[derive(Default)]
struct State {
    connected: u32,
    draining: bool,
    sessions: HashMap<CancelKey, Handle>,
}

struct Handle {
    cancel: Arc<CancelSlot>,
    leave: Option<oneshot::Sender<()>>,
}

/// A connection that counts as a client, until it is dropped.
pub struct Admission(Arc<Clients>);

/// A session's place among the clients, until it is dropped.
pub struct Membership {
    clients: Arc<Clients>,
    /// What the client was given to cancel with.
    pub key: CancelKey,
    /// What a cancel request finds.
    pub cancel: Arc<CancelSlot>,
    /// Resolves when the session is to end as soon as it has no transaction open.
    pub leave: oneshot::Receiver<()>,
}

/// Why a connection is turned away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The limit on client connections is reached.
    TooMany,
    /// The proxy is shutting down.
    Draining,
}

impl Clients {
    /// Nobody is here; at most `most` may come.
    #[must_use]
    pub fn new(most: u32) -> Arc<Self> {
        Arc::new(Self {
            most,
            state: Mutex::default(),
            all_gone: Notify::new(),
        })
    }

    /// How many are connected.
    #[must_use]
    pub fn connected(&self) -> u32 {
        self.state.lock().connected
    }

    /// Is the proxy shutting down?
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.state.lock().draining
    }

    /// Lets a connection in.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn admit(self: &Arc<Self>) -> Result<Admission, Refusal> {
        let mut state = self.state.lock();
        if state.draining {
            return Err(Refusal::Draining);
        }
        if state.connected >= self.most {
            return Err(Refusal::TooMany);
        }
        state.connected += 1;
        Ok(Admission(Arc::clone(self)))
    }

    /// What a cancel request with this key finds.
    #[must_use]
    pub fn find(&self, key: &CancelKey) -> Option<Arc<CancelSlot>> {
        self.state
            .lock()
            .sessions
            .get(key)
            .map(|handle| Arc::clone(&handle.cancel))
    }

    /// Asks every session to leave and turns new ones away.
    pub fn begin_to_drain(&self) {
        let mut state = self.state.lock();
        state.draining = true;
        for handle in state.sessions.values_mut() {
            handle.leave.take();
        }
    }

    /// Resolves when all are gone.
    pub async fn all_gone(&self) {
        loop {
            let gone = self.all_gone.notified();
            if self.connected() == 0 {
                return;
            }
            gone.await;
        }
    }
}

impl Admission {
    /// Makes the connection a session with a cancel key of its own: the process id of the backend that
    /// served its login, and a secret as long as the server's own would be.
    #[must_use]
    pub fn enter(&self, pid: u32, secret_length: usize) -> Membership {
        let key = loop {
            let mut secret = vec![0; secret_length];
            rand::rng().fill_bytes(&mut secret);
            let key = CancelKey {
                pid,
                secret: secret.into(),
            };
            if self.0.find(&key).is_none() {
                break key;
            }
        };
        self.enter_as(key, CancelSlot::default())
    }

    /// Makes the connection one that is passed through, whose key is the server's own.
    #[must_use]
    pub fn pass_through(&self, target: Arc<CancelTarget>) -> Membership {
        let key = target.key.clone();
        let cancel = CancelSlot::default();
        cancel.attach(Some(target));
        self.enter_as(key, cancel)
    }

    fn enter_as(&self, key: CancelKey, cancel: CancelSlot) -> Membership {
        let cancel = Arc::new(cancel);
        let (sender, leave) = oneshot::channel();
        let mut state = self.0.state.lock();
        let sender = (!state.draining).then_some(sender);
        state.sessions.insert(
            key.clone(),
            Handle {
                cancel: Arc::clone(&cancel),
                leave: sender,
            },
        );
        Membership {
            clients: Arc::clone(&self.0),
            key,
            cancel,
            leave,
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.connected -= 1;
        if state.connected == 0 {
            self.0.all_gone.notify_waiters();
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.clients.state.lock().sessions.remove(&self.key);
    }
}
