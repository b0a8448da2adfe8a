//! The URL of Redis.

use super::Secret;
use super::value::{BadValue, Raw, text};

/// A Redis URL. The error never repeats it, for it may hold a password.
pub(super) fn url(raw: &Raw) -> Result<Secret, BadValue> {
    let expected = "redis://:password@host:6379 (or rediss://, unix://)";
    let url = text(raw, expected)?;
    if ["redis://", "rediss://", "unix://"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
    {
        Ok(Secret::new(url))
    } else {
        Err(BadValue::new("is not a Redis URL", expected))
    }
}

/// A URL with its credentials and its parameters, where a password may stand too, replaced.
pub(super) fn mask_credentials(url: &str) -> String {
    let (url, query) = url.split_once('?').unwrap_or((url, ""));
    let query = if query.is_empty() { "" } else { "?***" };
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    match rest.rsplit_once('@') {
        Some((_, place)) => format!("{scheme}://***@{place}{query}"),
        None => format!("{scheme}://{rest}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_url_shows_its_place_and_no_credentials() {
        assert_eq!(
            mask_credentials("redis://user:a@b@cache:6379/0"),
            "redis://***@cache:6379/0"
        );
        assert_eq!(mask_credentials("redis://cache:6379"), "redis://cache:6379");
        assert_eq!(
            mask_credentials("unix:///run/redis.sock?pass=s3cret"),
            "unix:///run/redis.sock?***"
        );
    }
}
