//! TLS between clients and the proxy, by psql and by libraries that know nothing of it.

mod certificates;

use std::process::{Command, Output};
use std::time::Duration;

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use postgres_openssl::MakeTlsConnector;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_postgres::config::{SslMode, SslNegotiation};

use crate::certificates::{Authority, Files};
use crate::support::{Stage, StageBuilder, client, eventually};

const SOON: Duration = Duration::from_secs(20);

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A proxy with a certificate.
struct Secured {
    stage: Stage,
    authority: Authority,
    files: Files,
}

impl Secured {
    async fn new(builder: StageBuilder, tls: &str, rest: &str) -> Self {
        let (authority, files) = (Authority::new("authority"), Files::new());
        let identity = authority.issue("localhost");
        let cert = files.put("proxy.crt", &identity.cert);
        let key = files.put("proxy.key", &identity.key);
        files.put("root.crt", &authority.pem());
        let config = format!(
            "[tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\n{}\n{rest}",
            cert.display(),
            key.display(),
            tls.replace("ROOT", &files.path("root.crt").to_string_lossy())
        );
        let stage = builder.config(&config).start().await;
        Self {
            stage,
            authority,
            files,
        }
    }

    /// psql against the proxy, with parameters of the connection string.
    fn psql(&self, parameters: &str, sql: &str) -> Output {
        self.psql_as("keel", parameters, sql)
    }

    fn psql_as(&self, user: &str, parameters: &str, sql: &str) -> Output {
        let port = self.stage.proxy.port();
        let root = self.files.path("root.crt");
        let target = format!(
            "host=localhost hostaddr=127.0.0.1 port={port} user={user} password=keel dbname=app sslrootcert={} {parameters}",
            root.display()
        );
        Command::new(self.stage.postgres.program("psql"))
            .args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"])
            .args([&target, "-c", sql])
            .env("HOME", self.files.root())
            .output()
            .unwrap()
    }

    fn connector(&self) -> MakeTlsConnector {
        let mut builder = SslConnector::builder(SslMethod::tls()).unwrap();
        builder.set_ca_file(self.files.path("root.crt")).unwrap();
        builder.set_verify(SslVerifyMode::PEER);
        builder.set_alpn_protos(b"\x0apostgresql").unwrap();
        MakeTlsConnector::new(builder.build())
    }

    /// A client over TLS.
    async fn client(
        &self,
        set: impl FnOnce(&mut tokio_postgres::Config),
    ) -> tokio_postgres::Client {
        let mut config = tokio_postgres::Config::new();
        config
            .host("localhost")
            .port(self.stage.proxy.port())
            .user("keel")
            .password("keel")
            .dbname("app")
            .ssl_mode(SslMode::Require);
        set(&mut config);
        let (client, connection) = config.connect(self.connector()).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(&[out.as_slice(), err].concat())
        .trim()
        .to_owned()
}

#[tokio::test]
async fn a_client_is_served_from_the_cache_over_each_version_of_tls() {
    let secured = Secured::new(Stage::builder(), "", "").await;
    secured
        .stage
        .arrange("CREATE TABLE t AS SELECT 7 AS v")
        .await;
    for version in ["TLSv1.2", "TLSv1.3"] {
        let parameters = format!(
            "sslmode=verify-full channel_binding=disable ssl_min_protocol_version={version} \
             ssl_max_protocol_version={version}"
        );
        let hits = secured.stage.hits().await;
        eventually(SOON, async || {
            assert_eq!(said(&secured.psql(&parameters, "SELECT v FROM t")), "7");
            secured.stage.hits().await > hits
        })
        .await;
        let conninfo = said(&secured.psql(&parameters, "\\conninfo"));
        assert!(conninfo.contains(version), "{conninfo}");
    }
    assert_eq!(
        said(&secured.psql("sslmode=disable", "SELECT v FROM t")),
        "7"
    );
    let old = "sslmode=require ssl_min_protocol_version=TLSv1.1 ssl_max_protocol_version=TLSv1.1";
    let refusal = secured.psql(old, "SELECT 1");
    assert!(!refusal.status.success(), "{refusal:?}");
}

#[tokio::test]
async fn the_oldest_version_can_be_set() {
    let secured = Secured::new(Stage::builder(), "min_version = \"1.3\"", "").await;
    let refusal = secured.psql(
        "sslmode=require ssl_max_protocol_version=TLSv1.2",
        "SELECT 1",
    );
    assert!(said(&refusal).contains("protocol version"), "{refusal:?}");
    assert_eq!(said(&secured.psql("sslmode=require", "SELECT 1")), "1");
}

#[tokio::test]
async fn without_tls_nobody_comes_in_where_it_is_required_but_over_the_socket() {
    let directory = Files::new();
    let unix = format!("listen_unix = \"{}\"\n", directory.root().display());
    let (authority, files) = (Authority::new("authority"), Files::new());
    let identity = authority.issue("localhost");
    let cert = files.put("proxy.crt", &identity.cert);
    let key = files.put("proxy.key", &identity.key);
    let config = format!(
        "{unix}[tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\nrequired = true\n",
        cert.display(),
        key.display()
    );
    let stage = Stage::builder().config(&config).start().await;
    let error = tokio_postgres::connect(&stage.proxy.url(), tokio_postgres::NoTls).await;
    let error = error.err().unwrap();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "28000");
    assert!(error.message().contains("sslmode=require"), "{error}");
    let path = directory.root().display().to_string().replace('/', "%2F");
    let local = client(&format!(
        "postgres://keel:keel@{path}:{}/app",
        stage.proxy.port()
    ))
    .await;
    assert_eq!(
        local
            .query_one("SELECT 1", &[])
            .await
            .unwrap()
            .get::<_, i32>(0),
        1
    );
}

#[tokio::test]
async fn tls_from_the_first_byte_on_needs_the_protocols_name() {
    let secured = Secured::new(Stage::builder(), "", "").await;
    let client = secured
        .client(|config| {
            config.ssl_negotiation(SslNegotiation::Direct);
        })
        .await;
    assert_eq!(
        client
            .query_one("SELECT 3", &[])
            .await
            .unwrap()
            .get::<_, i32>(0),
        3
    );
    let mut nameless = SslConnector::builder(SslMethod::tls()).unwrap();
    nameless.set_verify(SslVerifyMode::NONE);
    let mut config = tokio_postgres::Config::new();
    config
        .host("localhost")
        .port(secured.stage.proxy.port())
        .user("keel")
        .ssl_mode(SslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct);
    let refused = config
        .connect(MakeTlsConnector::new(nameless.build()))
        .await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn requests_for_encryption_are_answered_as_postgresql_does() {
    let secured = Secured::new(Stage::builder(), "", "").await;
    let port = secured.stage.proxy.port();
    // What somebody in between has put behind the request must not be taken for the client's.
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    stream
        .write_all(&[SSL_REQUEST.as_slice(), b"x"].concat())
        .await
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(
        text.starts_with('E') && text.contains("unencrypted data"),
        "{text}"
    );
    // Asked for twice, a request is an unknown version of the protocol.
    let plain = Stage::new().await;
    for port in [plain.proxy.port(), plain.postgres.port()] {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .unwrap();
        stream.write_all(&SSL_REQUEST).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'N');
        stream.write_all(&SSL_REQUEST).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert!(text.contains("1234.5679"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_copies_and_cancels_cross_an_encrypted_connection() {
    let secured = Secured::new(Stage::builder(), "", "").await;
    let client = secured.client(|_| {}).await;
    let row = client
        .query_one("SELECT repeat('x', 20000000)", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0).len(), 20_000_000);
    let echoed = "y".repeat(5_000_000);
    let row = client
        .query_one("SELECT $1::text", &[&echoed])
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), echoed);
    let rows = client.query(
        "SELECT g, repeat('z', 50) FROM generate_series(1, 100000) AS g",
        &[],
    );
    assert_eq!(rows.await.unwrap().len(), 100_000);
    client
        .batch_execute("CREATE TABLE c (v text)")
        .await
        .unwrap();
    let sink = client.copy_in("COPY c FROM STDIN").await.unwrap();
    let mut sink = Box::pin(sink);
    let line = bytes::Bytes::from(format!("{}\n", "w".repeat(999)));
    for _ in 0..10_000 {
        futures_util::SinkExt::feed(&mut sink, line.clone())
            .await
            .unwrap();
    }
    assert_eq!(sink.as_mut().finish().await.unwrap(), 10_000);
    let out = said(&secured.psql("sslmode=require", "COPY c TO STDOUT"));
    assert_eq!(out.len(), 10_000 * 1000 - 1);
    let token = client.cancel_token();
    let connector = secured.connector();
    let (slept, ()) = tokio::join!(client.batch_execute("SELECT pg_sleep(60)"), async {
        let direct = secured.stage.direct().await;
        let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        eventually(SOON, async || {
            direct
                .query_one(sleeping, &[])
                .await
                .unwrap()
                .get::<_, i64>(0)
                == 1
        })
        .await;
        token.cancel_query(connector).await.unwrap();
    });
    assert_eq!(slept.unwrap_err().code().unwrap().code(), "57014");
}

#[tokio::test]
async fn pgbench_runs_over_tls() {
    let secured = Secured::new(Stage::builder(), "", "").await;
    let run = |arguments: &[&str]| {
        let output = Command::new(secured.stage.postgres.program("pgbench"))
            .args(arguments)
            .args(["-h", "localhost", "-U", "keel"])
            .args(["-p", &secured.stage.proxy.port().to_string(), "app"])
            .env("PGPASSWORD", "keel")
            .env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", secured.files.path("root.crt"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    run(&["-i", "-q"]);
    for mode in ["simple", "extended", "prepared"] {
        run(&["-n", "-c", "4", "-t", "50", "-M", mode]);
        run(&["-n", "-S", "-c", "4", "-t", "200", "-M", mode]);
    }
}
