//! Finding the connection again on which a session has drawn from a sequence.

use std::sync::Arc;

use super::{Kind, Pool};
use crate::upstream::lease::Lease;

impl Pool {
    /// The idle connection on which a session was the last to draw from a sequence.
    #[must_use]
    pub fn take_drawn(self: &Arc<Self>, kind: &Kind, session: u64) -> Option<Lease> {
        let mut state = self.state.lock();
        let at = state
            .idle
            .iter()
            .position(|idle| idle.drawn_by == Some(session) && kind.has_baseline_of(idle))?;
        let mut connection = state.idle.remove(at);
        let is_usable = self.is_usable(&mut connection);
        drop(state);
        if is_usable {
            return Some(Lease::new(connection));
        }
        drop(connection.close());
        None
    }
}
