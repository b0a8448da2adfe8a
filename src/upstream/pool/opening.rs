//! What the sessions of a pool start with, for clients whose login needs no connection of its own.

use std::sync::Arc;

use super::Pool;
use crate::upstream::Error;
use crate::upstream::connection::Baseline;

/// How a connection of the pool began.
#[derive(Debug)]
pub struct Opening {
    /// What it depends on, as far as the server tells ([`crate::services::users`]).
    fingerprint: Box<str>,
    /// The settings it started with.
    pub baseline: Arc<Baseline>,
    /// What else the server said: notices.
    pub aside: Vec<u8>,
}

impl Pool {
    /// What a session that starts now is told. The first client of the pool, and the first after a change, opens a
    /// connection to learn it, and the others wait for it.
    ///
    /// # Errors
    /// [`Error`], with the server's own words where it refuses.
    pub async fn opening(self: &Arc<Self>, fingerprint: &str) -> Result<Arc<Opening>, Error> {
        let mut known = self.opening.lock().await;
        if let Some(known) = known
            .as_ref()
            .filter(|known| *known.fingerprint == *fingerprint)
        {
            return Ok(Arc::clone(known));
        }
        let place = self.admit().await?;
        let mut aside = Vec::new();
        let connection = self
            .connect(place, |notice| aside.extend_from_slice(notice))
            .await?;
        let opening = Arc::new(Opening {
            fingerprint: fingerprint.into(),
            baseline: Arc::clone(&connection.baseline),
            aside,
        });
        *known = Some(Arc::clone(&opening));
        drop(known);
        self.release(Box::new(connection));
        Ok(opening)
    }
}
