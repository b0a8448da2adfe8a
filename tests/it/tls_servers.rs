//! TLS between the proxy and servers: `sslmode` and its kin, as libpq understands them.

use std::process::Command;
use std::time::Duration;

use pgkeel_bench::sandbox::{Auth, Proxy, ProxyOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::certificates::{Authority, Files, Identity};
use crate::support::{BINARY, Stage, StageBuilder, client, eventually};

const SOON: Duration = Duration::from_secs(20);

const IS_ENCRYPTED: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

const EVERYBODY: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";

fn server(identity: &Identity, hba: &str) -> StageBuilder {
    Stage::builder()
        .setting("ssl", "on")
        .file("server.crt", identity.cert.clone())
        .file("server.key", identity.key.clone())
        .file("pg_hba.conf", hba)
}

async fn is_encrypted(stage: &Stage) -> bool {
    let row = stage.proxied().await.query_one(IS_ENCRYPTED, &[]).await;
    row.unwrap().get(0)
}

/// Another proxy before the same server, which knows it by other parameters.
async fn proxy(stage: &Stage, host: &str, parameters: &str) -> Proxy {
    let port = stage.postgres.port();
    let options = ProxyOptions {
        binary: BINARY.into(),
        upstream_url: format!("postgres://keel:keel@{host}:{port}/app?{parameters}"),
        ..ProxyOptions::default()
    };
    Proxy::start(&options).await.unwrap()
}

/// What a client of that proxy gets: whether its connection to the server is encrypted, or why it has none.
async fn outcome(stage: &Stage, host: &str, parameters: &str) -> Result<bool, String> {
    let proxy = proxy(stage, host, parameters).await;
    let url = format!("postgres://keel:keel@127.0.0.1:{}/app", proxy.port());
    match tokio_postgres::connect(&url, tokio_postgres::NoTls).await {
        Ok((client, connection)) => {
            tokio::spawn(connection);
            Ok(client.query_one(IS_ENCRYPTED, &[]).await.unwrap().get(0))
        }
        Err(error) => Err(error.as_db_error().unwrap().message().to_owned()),
    }
}

#[tokio::test]
async fn each_sslmode_means_what_it_means_to_libpq() {
    let (authority, stranger) = (Authority::new("authority"), Authority::new("stranger"));
    let files = Files::new();
    let root = files.put("root.crt", &authority.pem());
    let other = files.put("other.crt", &stranger.pem());
    let (root, other) = (root.display(), other.display());
    // Version 1 with a common name alone, as the commands in PostgreSQL's documentation make it.
    let stage = server(&authority.issue_old("localhost"), EVERYBODY)
        .start()
        .await;
    assert!(is_encrypted(&stage).await, "libpq prefers TLS");
    for (host, parameters, expected) in [
        ("localhost", "sslmode=disable".to_owned(), Ok(false)),
        ("localhost", "sslmode=allow".to_owned(), Ok(false)),
        ("localhost", "sslmode=prefer".to_owned(), Ok(true)),
        ("localhost", "sslmode=require".to_owned(), Ok(true)),
        (
            "127.0.0.1",
            format!("sslmode=verify-ca&sslrootcert={root}"),
            Ok(true),
        ),
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={root}"),
            Ok(true),
        ),
        (
            "127.0.0.1",
            format!("sslmode=verify-full&sslrootcert={root}"),
            Err("mismatch"),
        ),
        (
            "localhost",
            format!("sslmode=require&sslrootcert={other}"),
            Err("is not accepted"),
        ),
        (
            "localhost",
            format!("sslmode=verify-ca&sslrootcert={other}"),
            Err("is not accepted"),
        ),
        (
            "localhost",
            "sslrootcert=system".to_owned(),
            Err("is not accepted"),
        ),
    ] {
        let found = outcome(&stage, host, &parameters).await;
        match (&found, expected) {
            (Ok(found), Ok(expected)) if *found == expected => {}
            (Err(found), Err(expected)) if found.contains(expected) => {}
            _ => panic!("{host} {parameters}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn a_server_that_takes_only_one_kind_is_tried_the_other_way() {
    let identity = Authority::new("authority").issue("localhost");
    let stage = server(&identity, EVERYBODY)
        .upstream_parameters("sslmode=allow")
        .start()
        .await;
    takes_only(&stage, "hostssl all all 127.0.0.1/32 trust").await;
    assert!(is_encrypted(&stage).await);
    let refusal = outcome(&stage, "127.0.0.1", "sslmode=disable").await;
    assert!(refusal.unwrap_err().contains("no pg_hba.conf entry"));
    let plain = "local all all trust\nhostnossl all all 127.0.0.1/32 trust\n";
    let stage = server(&identity, plain).start().await;
    assert!(!is_encrypted(&stage).await);
    let refusal = outcome(&stage, "127.0.0.1", "sslmode=require").await;
    assert!(refusal.unwrap_err().contains("no pg_hba.conf entry"));
}

#[tokio::test]
async fn a_server_without_tls_is_no_server_where_it_is_demanded() {
    let stage = Stage::builder().auth(Auth::Trust).start().await;
    assert!(!is_encrypted(&stage).await);
    let refusal = outcome(&stage, "127.0.0.1", "sslmode=require")
        .await
        .unwrap_err();
    assert!(refusal.contains("does not speak TLS"), "{refusal}");
}

#[tokio::test]
async fn everything_the_proxy_does_itself_goes_over_tls_too() {
    let (authority, files) = (Authority::new("authority"), Files::new());
    let root = files.put("root.crt", &authority.pem());
    let identity = authority.issue("keel");
    let cert = files.put("client.crt", &identity.cert);
    let key = files.put("client.key", &identity.key);
    let parameters = format!(
        "sslmode=verify-ca&sslrootcert={}&sslcert={}&sslkey={}",
        root.display(),
        cert.display(),
        key.display()
    );
    let stage = server(&authority.issue("db.example"), EVERYBODY)
        .setting("ssl_ca_file", "root.crt")
        .file("root.crt", authority.pem())
        .upstream_parameters(&parameters)
        .start()
        .await;
    // Nobody comes in without TLS and a certificate of their own.
    takes_only(&stage, "hostssl all all 127.0.0.1/32 cert").await;
    let arrange = client_over_socket(&stage).await;
    arrange
        .batch_execute("CREATE TABLE t AS SELECT 7 AS v")
        .await
        .unwrap();
    let proxied = stage.proxied().await;
    eventually(SOON, async || {
        let row = proxied.query_one("SELECT v FROM t", &[]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), 7);
        stage.hits().await > 0
    })
    .await;
    // A cancel request finds its way, too.
    let token = proxied.cancel_token();
    let (slept, ()) = tokio::join!(proxied.batch_execute("SELECT pg_sleep(60)"), async {
        let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        eventually(SOON, async || {
            arrange
                .query_one(sleeping, &[])
                .await
                .unwrap()
                .get::<_, i64>(0)
                == 1
        })
        .await;
        token.cancel_query(tokio_postgres::NoTls).await.unwrap();
    });
    assert_eq!(slept.unwrap_err().code().unwrap().code(), "57014");
    let url = format!(
        "postgres://keel@localhost:{}/app?{parameters}",
        stage.postgres.port()
    );
    for action in ["up", "status"] {
        let migrated = Command::new(BINARY)
            .args(["migrate", action])
            .env("DATABASE_URL", &url)
            .output()
            .unwrap();
        assert!(migrated.status.success(), "{action}: {migrated:?}");
    }
}

/// From here on the server takes over TCP only what a line of `pg_hba.conf` says, and nothing without TLS.
async fn takes_only(stage: &Stage, line: &str) {
    let arrange = client_over_socket(stage).await;
    let row = arrange.query_one("SHOW hba_file", &[]).await.unwrap();
    let file: &str = row.get(0);
    let copy = format!("COPY (VALUES ('local all all trust'), ('{line}')) TO '{file}'");
    arrange.batch_execute(&copy).await.unwrap();
    arrange
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
    eventually(SOON, async || {
        let url = stage.postgres.url();
        tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .is_err()
    })
    .await;
}

async fn client_over_socket(stage: &Stage) -> tokio_postgres::Client {
    let directory = stage
        .postgres
        .socket_dir()
        .display()
        .to_string()
        .replace('/', "%2F");
    client(&format!(
        "postgres://keel@{directory}:{}/app",
        stage.postgres.port()
    ))
    .await
}

#[tokio::test]
async fn the_server_is_told_which_host_is_meant() {
    for (parameters, named) in [
        ("sslmode=require", true),
        ("sslmode=require&sslsni=0", false),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let options = ProxyOptions {
            binary: BINARY.into(),
            upstream_url: format!("postgres://keel@localhost:{port}/app?{parameters}"),
            ..ProxyOptions::default()
        };
        let heard = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 8];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(b"S").await.unwrap();
            let mut hello = vec![0; 4096];
            let count = stream.read(&mut hello).await.unwrap();
            hello.truncate(count);
            hello
        });
        let proxy = Proxy::start(&options).await.unwrap();
        let url = format!("postgres://keel@127.0.0.1:{}/app", proxy.port());
        let refused = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
        assert!(refused.is_err());
        let hello = heard.await.unwrap();
        let found = hello.windows(9).any(|window| window == b"localhost");
        assert_eq!(found, named, "{parameters}");
    }
}

#[tokio::test]
async fn a_proxy_can_stand_behind_a_proxy_with_tls_from_the_first_byte() {
    let (authority, files) = (Authority::new("authority"), Files::new());
    let root = files.put("root.crt", &authority.pem());
    let identity = authority.issue("localhost");
    let cert = files.put("proxy.crt", &identity.cert);
    let key = files.put("proxy.key", &identity.key);
    let config = format!(
        "[tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\nrequired = true\n",
        cert.display(),
        key.display()
    );
    let inner = Stage::builder()
        .auth(Auth::Trust)
        .config(&config)
        .start()
        .await;
    let options = ProxyOptions {
        binary: BINARY.into(),
        upstream_url: format!(
            "postgres://keel@localhost:{}/app?sslmode=verify-full&sslnegotiation=direct&sslrootcert={}",
            inner.proxy.port(),
            root.display()
        ),
        ..ProxyOptions::default()
    };
    let outer = Proxy::start(&options).await.unwrap();
    let client = client(&format!("postgres://keel@127.0.0.1:{}/app", outer.port())).await;
    assert_eq!(
        client
            .query_one("SELECT 9", &[])
            .await
            .unwrap()
            .get::<_, i32>(0),
        9
    );
}
