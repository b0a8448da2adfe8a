//! What a pool does once a second.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Pool;

impl Pool {
    /// Closes what is dead, idle or old beyond the limits, and opens what `min` asks for. Called every second.
    pub fn maintain(self: &Arc<Self>) {
        let limits = &self.route.limits;
        let clients = self.clients.load(Ordering::SeqCst);
        let mut state = self.state.lock();
        // Without credentials only a login can open a connection, so the clients keep what they brought.
        let keep = match state.credentials {
            Some(_) => limits.min.min(clients),
            None => clients.min(limits.max),
        };
        let mut closing = Vec::new();
        let mut at = 0;
        while at < state.idle.len() {
            let surplus = state.places_taken - u32::try_from(closing.len()).unwrap_or(0) > keep;
            let connection = &mut state.idle[at];
            let idle_too_long = surplus && connection.idle_since.elapsed() > limits.idle_timeout;
            let too_old =
                connection.opened.elapsed() > limits.lifetime && (surplus || clients == 0);
            if idle_too_long || too_old || !self.is_usable(connection) {
                closing.push(state.idle.remove(at));
            } else {
                at += 1;
            }
        }
        let missing = match state.credentials {
            Some(_)
                if clients > 0 && state.waiting.is_empty() && state.places_taken < limits.min =>
            {
                self.take_place(&mut state)
            }
            _ => None,
        };
        drop(state);
        closing
            .into_iter()
            .for_each(|connection| drop(connection.close()));
        if let Some(place) = missing {
            let pool = Arc::clone(self);
            tokio::spawn(async move {
                if let Ok(opened) = pool.connect_once(|_| ()).await {
                    let connection = pool.hold(opened, place).await;
                    pool.release(Box::new(connection));
                }
            });
        }
    }
}
