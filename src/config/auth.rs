//! `[auth]`: who decides that a client is who it says.

use std::path::PathBuf;

use super::value::{BadValue, Raw, text};

/// Reads the verifier of a role as PostgreSQL stores it. Only superusers may read `pg_authid`: give the upstream's
/// role a function with `SECURITY DEFINER` instead, and call that.
const QUERY: &str = "SELECT rolname, rolpassword, rolvaliduntil, rolcanlogin \
                     FROM pg_catalog.pg_authid WHERE rolname = $1";

/// `[auth]`: who decides that a client is who it says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Auth {
    /// Who asks for the password.
    pub mode: AuthMode,
    /// What reads a role's verifier from the server, with `$1` for the role.
    pub query: String,
    /// Where verifiers are read instead.
    pub user_file: Option<PathBuf>,
}

/// Who asks a client for its password.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuthMode {
    /// The server, through the proxy: each login opens a server connection.
    Relay,
    /// The proxy, against the verifier that the server keeps.
    Scram,
}

impl AuthMode {
    pub(super) const NAMES: &[(&str, Self)] = &[("relay", Self::Relay), ("scram", Self::Scram)];
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            mode: AuthMode::Relay,
            query: QUERY.to_owned(),
            user_file: None,
        }
    }
}

/// A query that takes the role as its only parameter.
pub(super) fn query(raw: &Raw) -> Result<String, BadValue> {
    let expected = "a query that takes the role as $1";
    let query = text(raw, expected)?;
    if query.contains("$1") {
        Ok(query.to_owned())
    } else {
        Err(BadValue::is(raw, expected))
    }
}
