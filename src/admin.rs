//! The admin port: `/health`, `/stats`, `/metrics` and `/explain` over plain HTTP, without a password.
//!
//! It only reads. What it shows comes from [`Metrics`] and from a [`Source`], which knows the running proxy; nothing
//! here does.

mod explain;
mod health;
mod prometheus;
mod stats;

use std::{io, sync::Arc};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

pub use explain::Unexplained;
pub use health::{Caching, CatalogState, Database, Health, Server, Status};
pub use stats::{CacheSize, CatalogNumbers, Clients, Freshness, Pool, Stats};

use crate::database::explain::Explanation;
use crate::observe::Metrics;

/// What the running proxy knows about itself. It is asked once a request; `health` and `stats` must not block.
pub trait Source: Send + Sync + 'static {
    /// Is it able to serve?
    fn health(&self) -> Health;
    /// How large are its parts?
    fn stats(&self) -> Stats;
    /// What does it make of a statement in this database, by the name that clients use? `None`: that of the upstream's
    /// URL.
    ///
    /// # Errors
    /// The database is not known.
    fn explain(&self, database: Option<&str>, sql: &str) -> Result<Explanation, Unexplained>;
}

const PATHS: &str = "pgkeel\n\n\
    /health   200 while statements can be served, else 503 (JSON)\n\
    /stats    clients, pools, cache, freshness, latency (JSON)\n\
    /metrics  the same for Prometheus\n\
    /explain  what is made of a statement: ?sql=...&database=...&format=text|json, or POST it\n";

#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    source: Arc<dyn Source>,
    statement_max_bytes: usize,
}

/// Serves the admin port, which explains statements of at most `statement_max_bytes`, until `shutdown` ends and the requests under way are answered. A client that never finishes
/// its request holds that up: the caller bounds the wait.
///
/// # Errors
///
/// The listener failed for good.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    source: Arc<dyn Source>,
    statement_max_bytes: usize,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::new()
        .route("/", get(async || PATHS))
        .route("/health", get(health))
        .route("/stats", get(stats))
        .route("/metrics", get(metrics_page))
        .route("/explain", get(explain::get).post(explain::post))
        .layer(DefaultBodyLimit::max(statement_max_bytes))
        .layer(middleware::from_fn(no_store))
        .with_state(Shared {
            metrics,
            source,
            statement_max_bytes,
        });
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown)
        .await
}

async fn health(State(shared): State<Shared>) -> Response {
    let health = shared.source.health();
    let code = match health.status {
        Status::Ok => StatusCode::OK,
        Status::Draining | Status::UpstreamUnreachable => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, Json(health)).into_response()
}

async fn stats(State(shared): State<Shared>) -> Response {
    Json(stats::page(&shared.source.stats(), &shared.metrics)).into_response()
}

async fn metrics_page(State(shared): State<Shared>) -> Response {
    let text = prometheus::page(&shared.source.stats(), &shared.metrics);
    ([(header::CONTENT_TYPE, prometheus::CONTENT_TYPE)], text).into_response()
}

/// Every answer is of its moment, also a 404: no browser or proxy may keep it.
async fn no_store(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use parking_lot::Mutex;
    use serde_json::{Value, json};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::oneshot,
        task::JoinHandle,
    };

    use super::*;
    use crate::{observe::Route, reason::Reason};

    struct Fixed {
        status: Mutex<Status>,
    }

    impl Source for Fixed {
        fn health(&self) -> Health {
            let status = *self.status.lock();
            Health {
                status,
                upstream_reachable: status != Status::UpstreamUnreachable,
                servers: vec![Server {
                    address: "db:5432".into(),
                    reachable: true,
                }],
                cache: Caching::On,
                freshness: "writes through pgkeel only".into(),
                databases: vec![
                    Database {
                        name: "app".into(),
                        server: "db:5432".into(),
                        catalog: CatalogState::Current,
                    },
                    Database {
                        name: "crm".into(),
                        server: "db:5432".into(),
                        catalog: CatalogState::Failed("permission denied".into()),
                    },
                ],
            }
        }

        fn stats(&self) -> Stats {
            stats::sample()
        }

        fn explain(&self, database: Option<&str>, _: &str) -> Result<Explanation, Unexplained> {
            Err(Unexplained::NotSeen(database.unwrap_or("app").to_owned()))
        }
    }

    struct Stage {
        address: SocketAddr,
        metrics: Arc<Metrics>,
        source: Arc<Fixed>,
        stop: oneshot::Sender<()>,
        server: JoinHandle<io::Result<()>>,
    }

    impl Stage {
        async fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let metrics = Metrics::new(2);
            let source = Arc::new(Fixed {
                status: Mutex::new(Status::Ok),
            });
            let (stop, stopped) = oneshot::channel();
            let shutdown = async { stopped.await.unwrap_or_default() };
            let server = tokio::spawn(serve(
                listener,
                metrics.clone(),
                source.clone(),
                1 << 10,
                shutdown,
            ));
            Self {
                address,
                metrics,
                source,
                stop,
                server,
            }
        }

        /// The head, in lower case, and the body of an answer.
        async fn get(&self, path: &str) -> (String, String) {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let request =
                format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            (head.to_lowercase(), body.to_owned())
        }

        async fn json(&self, path: &str) -> (String, Value) {
            let (head, body) = self.get(path).await;
            assert!(head.contains("content-type: application/json"), "{head}");
            (head, serde_json::from_str(&body).unwrap())
        }
    }

    #[tokio::test]
    async fn health_is_200_while_statements_can_be_served() {
        let stage = Stage::start().await;
        let (head, health) = stage.json("/health").await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert_eq!(
            health,
            json!({
                "status": "ok",
                "upstream_reachable": true,
                "servers": [{"address": "db:5432", "reachable": true}],
                "cache": "on",
                "freshness": "writes through pgkeel only",
                "databases": [
                    {"name": "app", "server": "db:5432", "catalog": "current"},
                    {"name": "crm", "server": "db:5432", "catalog": "permission denied"},
                ],
            })
        );
        for (status, text) in [
            (Status::UpstreamUnreachable, "upstream unreachable"),
            (Status::Draining, "draining"),
        ] {
            *stage.source.status.lock() = status;
            let (head, health) = stage.json("/health").await;
            assert!(head.starts_with("http/1.1 503"), "{head}");
            assert_eq!(health["status"], text);
        }
    }

    #[tokio::test]
    async fn stats_join_the_source_and_the_metrics() {
        let stage = Stage::start().await;
        for (route, times) in [
            (Route::Hit, 6),
            (Route::Coalesced, 3),
            (Route::Miss, 1),
            (Route::Write, 2),
        ] {
            for _ in 0..times {
                stage.metrics.record(route, Duration::from_micros(50));
            }
        }
        stage.metrics.bypass(Reason::NotARead);
        let (_, stats) = stage.json("/stats").await;
        assert_eq!(stats["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(stats["cache"]["hits"], 6);
        assert_eq!(stats["cache"]["hit_rate"], 0.9);
        assert_eq!(stats["cache"]["hit_rate_all"], 0.75);
        assert_eq!(stats["bypass"][Reason::NotARead.as_str()], 1);
        assert_eq!(stats["latency"]["hit"]["p99_us"], 50);
        assert_eq!(stats["pools"][0]["pins"]["temporary_table"], 1);
        assert_eq!(stats["freshness"]["coverage"], "writes through pgkeel only");
    }

    #[tokio::test]
    async fn metrics_are_served_as_prometheus_reads_them() {
        let stage = Stage::start().await;
        stage.metrics.record(Route::Hit, Duration::from_micros(50));
        let (head, body) = stage.get("/metrics").await;
        assert!(
            head.contains("content-type: text/plain; version=0.0.4"),
            "{head}"
        );
        assert!(
            body.contains("pgkeel_query_duration_seconds_count{route=\"hit\"} 1\n"),
            "{body}"
        );
    }

    #[tokio::test]
    async fn paths_are_listed_unknown_ones_are_not_found_and_nothing_is_kept() {
        let stage = Stage::start().await;
        let (_, index) = stage.get("/").await;
        for path in ["/", "/health", "/stats", "/metrics", "/nothing"] {
            let (head, _) = stage.get(path).await;
            let code = if path == "/nothing" { "404" } else { "200" };
            assert!(
                head.starts_with(&format!("http/1.1 {code}")),
                "{path}: {head}"
            );
            assert!(head.contains("cache-control: no-store"), "{path}: {head}");
            assert!(path == "/nothing" || index.contains(path));
        }
    }

    #[tokio::test]
    async fn explain_refuses_in_one_line() {
        let stage = Stage::start().await;
        let long = "x".repeat(1025);
        for (path, code) in [
            ("/explain", "400"),
            ("/explain?sql=", "400"),
            ("/explain?sql=SELECT+1&format=xml", "400"),
            ("/explain?sql=%ff%fe", "404"),
            ("/explain?sql=SELECT+1&database=nowhere", "404"),
            (&format!("/explain?sql={long}"), "413"),
        ] {
            let (head, body) = stage.get(path).await;
            assert!(
                head.starts_with(&format!("http/1.1 {code}")),
                "{path}: {head}"
            );
            assert_eq!(body.trim_end().lines().count(), 1, "{path}: {body}");
        }
        let (_, error) = stage.json("/explain?sql=SELECT+1&format=json").await;
        assert!(
            error["error"].as_str().unwrap().contains("\"app\""),
            "{error}"
        );
    }

    #[tokio::test]
    async fn it_stops_when_asked() {
        let stage = Stage::start().await;
        stage.get("/").await;
        stage.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(10), stage.server)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}
