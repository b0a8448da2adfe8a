//! The servers behind the proxy, and which of them a client is taken to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::{self, Config, DatabaseRule, OTHER_DATABASES};
use crate::freshness::server::Server as Identity;
use crate::protocol::startup::Startup;

/// A server, by the address that the configuration gives.
#[derive(Debug)]
pub struct Server {
    /// Its number: another one for each address.
    pub number: u32,
    /// Its address, and the role of the proxy's own connections that concern no database in particular.
    pub upstream: Arc<config::Upstream>,
    /// Who it is, as far as freshness is concerned.
    pub identity: Arc<Identity>,
    reachable: AtomicBool,
}

impl Server {
    /// Its address, for people.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.upstream.host, self.upstream.port)
    }

    /// Was it there when it was last asked?
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Relaxed)
    }

    /// Notes whether it was there. Says so once when that changes.
    pub fn note_reachable(&self, reachable: bool) {
        if self.reachable.swap(reachable, Ordering::Relaxed) == reachable {
            return;
        }
        let upstream = self.upstream.masked();
        if reachable {
            tracing::info!(upstream, "PostgreSQL is reachable again");
        } else {
            tracing::error!(
                upstream,
                "PostgreSQL cannot be reached; clients get an error until it is back"
            );
        }
    }
}

/// Where clients are taken that ask for a database.
#[derive(Debug)]
pub struct Route {
    /// The server.
    pub server: Arc<Server>,
    /// The same address, with the role and the database of the proxy's own connections.
    pub upstream: Arc<config::Upstream>,
    /// The limits of its pools.
    pub limits: config::Pool,
    /// What is tried again on the way there.
    pub retry: config::Retry,
    /// The database's name on the server. `None`: the name that clients use.
    database: Option<String>,
}

impl Route {
    /// The start-up message of a client, with the name that the server knows the database by.
    #[must_use]
    pub fn rename(&self, startup: Startup) -> Startup {
        match &self.database {
            Some(database) => startup.with_database(database),
            None => startup,
        }
    }
}

/// Every server, and every name that is taken to one.
#[derive(Debug)]
pub struct Servers {
    all: Vec<Arc<Server>>,
    routes: HashMap<String, Arc<Route>>,
    others: Arc<Route>,
}

impl Servers {
    /// The servers of a configuration. The first is that of `upstream`.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut all = Vec::new();
        let plain = DatabaseRule::default();
        let route = |all: &mut _, name: &str, rule: &DatabaseRule| {
            let upstream = rule.upstream.as_ref().unwrap_or(&config.upstream);
            let is_alias = rule.upstream.is_some() && name != OTHER_DATABASES;
            Arc::new(Route {
                server: server(all, upstream),
                upstream: Arc::new(upstream.clone()),
                limits: limits(&config.pool, rule),
                retry: config.retry.clone(),
                database: is_alias.then(|| upstream.database.clone()),
            })
        };
        let default = route(&mut all, OTHER_DATABASES, &plain);
        let mut routes: HashMap<_, _> = config
            .databases
            .iter()
            .map(|(name, rule)| (name.clone(), route(&mut all, name, rule)))
            .collect();
        let others = routes.remove(OTHER_DATABASES).unwrap_or(default);
        Self {
            all,
            routes,
            others,
        }
    }

    /// Where a client is taken.
    #[must_use]
    pub fn route(&self, startup: &Startup) -> &Arc<Route> {
        startup
            .database()
            .and_then(|name| self.routes.get(&*name))
            .unwrap_or(&self.others)
    }

    /// The server of every name that is not listed.
    #[must_use]
    pub fn main(&self) -> &Arc<Server> {
        &self.others.server
    }

    /// All of them, the one of `upstream` first.
    #[must_use]
    pub fn all(&self) -> &[Arc<Server>] {
        &self.all
    }
}

/// The server at an address: one for all that name the same host and port.
fn server(all: &mut Vec<Arc<Server>>, upstream: &config::Upstream) -> Arc<Server> {
    let is_same = |server: &&Arc<Server>| {
        server.upstream.host == upstream.host && server.upstream.port == upstream.port
    };
    if let Some(known) = all.iter().find(is_same) {
        return Arc::clone(known);
    }
    let number = u32::try_from(all.len()).expect("every server is a part of a file");
    let server = Arc::new(Server {
        number,
        upstream: Arc::new(upstream.clone()),
        identity: Identity::new(number),
        reachable: AtomicBool::new(true),
    });
    all.push(Arc::clone(&server));
    server
}

fn limits(pool: &config::Pool, rule: &DatabaseRule) -> config::Pool {
    let max = rule.pool_max.unwrap_or(pool.max);
    config::Pool {
        max,
        min: rule.pool_min.unwrap_or(pool.min).min(max),
        ..pool.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn startup(database: &str) -> Startup {
        let pair = |name: &str, value: &str| (name.as_bytes().into(), value.as_bytes().into());
        Startup {
            version: crate::protocol::startup::VERSION_3_0,
            parameters: vec![pair("user", "ann"), pair("database", database)],
        }
    }

    #[test]
    fn names_lead_to_servers() {
        let rule = |url: &str| DatabaseRule {
            upstream: Some(url.parse().unwrap()),
            ..DatabaseRule::default()
        };
        let config = Config {
            upstream: "postgres://u@one/app".parse().unwrap(),
            databases: [
                ("alias".to_owned(), rule("postgres://v@one:5432/app")),
                ("reports".to_owned(), rule("postgres://u@two/warehouse")),
                (
                    "narrow".to_owned(),
                    DatabaseRule {
                        pool_max: Some(1),
                        ..DatabaseRule::default()
                    },
                ),
            ]
            .into(),
            ..Config::default()
        };
        let servers = Servers::new(&config);
        let taken = |name: &str| {
            let route = servers.route(&startup(name));
            let renamed = route.rename(startup(name));
            (
                route.server.number,
                renamed.database().unwrap().into_owned(),
            )
        };
        assert_eq!(taken("app"), (0, "app".to_owned()));
        assert_eq!(taken("alias"), (0, "app".to_owned()));
        assert_eq!(taken("reports"), (1, "warehouse".to_owned()));
        assert_eq!(taken("other"), (0, "other".to_owned()));
        assert_eq!(taken("narrow"), (0, "narrow".to_owned()));
        let narrow = &servers.route(&startup("narrow")).limits;
        assert_eq!((narrow.max, narrow.min), (1, 1));
        assert_eq!(servers.all().len(), 2);
    }

    #[test]
    fn all_other_names_may_lead_elsewhere() {
        let mut config = Config::default();
        let elsewhere = DatabaseRule {
            upstream: Some("postgres://u@two/postgres".parse().unwrap()),
            ..DatabaseRule::default()
        };
        config.databases.insert("*".to_owned(), elsewhere);
        let servers = Servers::new(&config);
        let route = servers.route(&startup("app"));
        assert_eq!(route.server.number, 1);
        let renamed = route.rename(startup("app"));
        assert_eq!(renamed.database().as_deref(), Some("app"));
    }
}
