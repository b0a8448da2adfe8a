//! `/health`: can statements be served, and what holds the cache back?

use std::borrow::Cow;

use serde::{Serialize, Serializer};

/// What `/health` shows.
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// The answer in one word; it decides the HTTP status.
    pub status: Status,
    /// The server of all databases without a server of their own took a connection when last tried.
    pub upstream_reachable: bool,
    /// Every server.
    pub servers: Vec<Server>,
    /// Is the cache in use?
    pub cache: Caching,
    /// Which writes the cache is sure to see, in words.
    pub freshness: Cow<'static, str>,
    /// The databases seen so far.
    pub databases: Vec<Database>,
}

/// Whether statements can be served.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum Status {
    /// Stopping: no new connections.
    #[serde(rename = "draining")]
    Draining,
    /// Yes.
    #[serde(rename = "ok")]
    Ok,
    /// The server takes no connections.
    #[serde(rename = "upstream unreachable")]
    UpstreamUnreachable,
}

/// Whether the cache is in use. JSON: `"on"`, `"off"`, or why not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Caching {
    /// Switched off in the configuration.
    Off,
    /// In use.
    On,
    /// Not in use now, and why.
    Suspended(Cow<'static, str>),
}

/// One server behind the proxy.
#[derive(Clone, Debug, Serialize)]
pub struct Server {
    /// Its address.
    pub address: String,
    /// It took a connection when last tried.
    pub reachable: bool,
}

/// One database behind the proxy.
#[derive(Clone, Debug, Serialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// The address of its server.
    pub server: String,
    /// Its catalog snapshot. Without a current one nothing of the database is cached.
    pub catalog: CatalogState,
}

/// The state of a catalog snapshot. JSON: `"current"`, `"loading"`, or the error.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CatalogState {
    /// In use.
    Current,
    /// It could not be loaded, and why.
    Failed(String),
    /// Being loaded or reloaded.
    Loading,
}

impl Serialize for Caching {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Suspended(why) => why,
        })
    }
}

impl Serialize for CatalogState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Current => "current",
            Self::Failed(error) => error,
            Self::Loading => "loading",
        })
    }
}
