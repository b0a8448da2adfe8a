//! `pgkeel explain`: what the proxy would make of a statement, by the catalog of the server as it is now.

use std::io::Write;
use std::sync::Arc;

use crate::config::Config;
use crate::database::explain::Explanation;
use crate::database::{Database, Origin};
use crate::observe::Metrics;
use crate::protocol::startup::{Startup, VERSION_3_0};
use crate::services::Services;
use crate::upstream::connection::DatabaseId;
use crate::upstream::control;
use crate::upstream::server::Route;

/// Who asks, what about, and how the answer is to look.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The statement, or several.
    pub sql: String,
    /// The database, by the name that clients use; that of the upstream's URL if none is given.
    pub database: Option<String>,
    /// JSON instead of text.
    pub json: bool,
}

/// Connects, loads the catalog, and writes the explanation to `out`. A closed output is no error.
///
/// # Errors
/// In one line: the database cannot be reached, the text cannot be parsed, or a relation does not exist.
pub async fn explain(
    config: Config,
    question: &Question,
    out: &mut impl Write,
) -> Result<(), String> {
    let services = Services::new(config, Metrics::new(1)).map_err(|error| error.to_string())?;
    let (route, name) = destination(&services, question.database.as_deref());
    let explanation = ask(&services, &route, &name, &question.sql)
        .await
        .map_err(|error| format!("database {name:?} at {}: {error}", route.server.address()))?;
    if let Some(error) = &explanation.error {
        return Err(error.clone());
    }
    if question.json {
        let json = serde_json::to_string_pretty(&explanation).map_err(|error| error.to_string())?;
        let _ = writeln!(out, "{json}");
    } else {
        let _ = write!(out, "{explanation}");
    }
    Ok(())
}

/// Where the clients of a database are taken, and its name there.
pub(super) fn destination(services: &Services, database: Option<&str>) -> (Arc<Route>, String) {
    let name = database.unwrap_or(&services.config.upstream.database);
    let startup = Startup {
        version: VERSION_3_0,
        parameters: vec![(b"database".as_slice().into(), name.as_bytes().into())],
    };
    let route = Arc::clone(services.servers.route(&startup));
    let renamed = route.rename(startup);
    let name = renamed.database().unwrap_or_default().into_owned();
    (route, name)
}

async fn ask(
    services: &Services,
    route: &Route,
    name: &str,
    sql: &str,
) -> Result<Explanation, String> {
    let (client, _driver) = control::connect(&route.upstream, name)
        .await
        .map_err(|error| error.to_string())?;
    let identity = client
        .query_one(
            "SELECT d.oid, pg_catalog.timestamptz_send(pg_catalog.pg_postmaster_start_time()) \
             FROM pg_catalog.pg_database AS d \
             WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()",
            &[],
        )
        .await
        .map_err(|error| error.to_string())?;
    let start: &[u8] = identity.get(1);
    let start = start.try_into().map(i64::from_be_bytes).unwrap_or_default();
    services
        .freshness
        .note_postmaster(&route.server.identity, start);
    let id = DatabaseId {
        server: route.server.number,
        oid: identity.get(0),
        name: name.to_owned(),
    };
    let database: Arc<Database> = services.database(&id, route);
    database.load_and_wait().await?;
    Ok(database.explain(sql))
}

/// The database of the running proxy that clients get by this name, if there was one in it.
pub(super) fn find(services: &Services, database: Option<&str>) -> Result<Arc<Database>, String> {
    let (route, name) = destination(services, database);
    let is_meant = |origin: &Origin| {
        origin.name == name && Arc::ptr_eq(&origin.server, &route.server.identity)
    };
    let mut known: Vec<_> = services.databases();
    known.retain(|database| is_meant(database.origin()));
    // One that was dropped and created anew is there twice; the later one counts.
    known
        .into_iter()
        .max_by_key(|database| database.number())
        .ok_or(name)
}
