//! Logins that the proxy decides on: clients prove themselves to it, and few server connections serve many of them.

use std::time::Duration;

use pgkeel::auth::scram::Verifier;
use pgkeel_bench::sandbox::Auth;
use tokio_postgres::NoTls;

use crate::support::{Stage, StageBuilder, client, eventually};
use crate::wire::*;

const SOON: Duration = Duration::from_secs(20);

fn builder(config: &str) -> StageBuilder {
    Stage::builder().config(&format!("[auth]\nmode = \"scram\"\n{config}"))
}

fn url(port: u16, user: &str, password: &str, database: &str) -> String {
    format!("postgres://{user}:{password}@127.0.0.1:{port}/{database}")
}

/// SQLSTATE and text of a login's refusal.
async fn refusal(url: &str) -> (String, String) {
    let error = tokio_postgres::connect(url, NoTls).await.err().unwrap();
    let error = error
        .as_db_error()
        .unwrap_or_else(|| panic!("an error of the server: {error}"));
    (error.code().code().to_owned(), error.message().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_short_clients_need_few_server_connections() {
    let stage = builder("[pool]\nmax = 4\n")
        .setting("log_connections", "on")
        .start()
        .await;
    stage
        .arrange(
            "CREATE ROLE ann LOGIN; CREATE TABLE items AS SELECT 7 AS v; \
             GRANT SELECT, UPDATE ON items TO ann",
        )
        .await;
    // Hashed once only: two thousand clients would take their time over 4096 rounds each.
    let known = Verifier::of_password("secret", b"0123456789abcdef", 1);
    let (stored, server) = (known.stored_key.base64(), known.server_key.base64());
    let text = format!("SCRAM-SHA-256$1:{}${stored}:{server}", known.salt);
    stage
        .arrange(&format!("ALTER ROLE ann PASSWORD '{text}'"))
        .await;
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'ann'";
    let direct = stage.direct().await;
    let url = url(stage.proxy.port(), "ann", "secret", "app");
    let mut most = 0;
    for _ in 0..40 {
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..50 {
            let url = url.clone();
            clients.spawn(async move {
                let client = client(&url).await;
                let rows = if number % 10 == 0 {
                    client
                        .query("UPDATE items SET v = v RETURNING v", &[])
                        .await
                } else {
                    client.query("SELECT v FROM items", &[]).await
                };
                assert_eq!(rows.unwrap()[0].get::<_, i32>(0), 7);
            });
        }
        clients.join_all().await;
        most = most.max(direct.query_one(sql, &[]).await.unwrap().get::<_, i64>(0));
    }
    assert!((1..=4).contains(&most), "{most} connections at once");
    // All connections ever authorised for the role, by the server's own log.
    let log = std::fs::read_to_string(stage.postgres.socket_dir().join("log")).unwrap();
    let authorised = log
        .lines()
        .filter(|line| line.contains("connection authorized: user=ann"))
        .count();
    assert!((1..=8).contains(&authorised), "{authorised} logins");
}

#[tokio::test]
async fn refusals_are_in_postgresqls_own_words() {
    let stage = builder("").start().await;
    stage
        .arrange(
            "CREATE ROLE ann LOGIN PASSWORD 'secret'; CREATE ROLE mute LOGIN; \
             CREATE ROLE barred NOLOGIN PASSWORD 'x'; \
             CREATE ROLE late LOGIN PASSWORD 'x' VALID UNTIL '2001-01-01'; \
             CREATE ROLE \"wéird \"\"name\" LOGIN PASSWORD 'x'; \
             CREATE ROLE full LOGIN PASSWORD 'x' CONNECTION LIMIT 0",
        )
        .await;
    for (user, password, database, sqlstate) in [
        ("ann", "wrong", "app", "28P01"),
        ("ann", "secret", "nowhere", "3D000"),
        ("nobody", "x", "app", "28P01"),
        ("mute", "x", "app", "28P01"),
        ("late", "x", "app", "28P01"),
        ("barred", "x", "app", "28000"),
        ("barred", "y", "app", "28P01"),
        ("full", "x", "app", "53300"),
        ("w%C3%A9ird%20%22name", "y", "app", "28P01"),
    ] {
        let direct = refusal(&url(stage.postgres.port(), user, password, database)).await;
        assert_eq!(direct.0, sqlstate, "{direct:?}");
        let proxied = refusal(&url(stage.proxy.port(), user, password, database)).await;
        assert_eq!(proxied, direct);
    }
    client(&url(stage.proxy.port(), "w%C3%A9ird%20%22name", "x", "app")).await;
    stage
        .arrange("ALTER ROLE late VALID UNTIL 'infinity'; ALTER ROLE barred LOGIN")
        .await;
    client(&url(stage.proxy.port(), "late", "x", "app")).await;
    client(&url(stage.proxy.port(), "barred", "x", "app")).await;
    let log = stage.proxy.log().unwrap();
    assert!(
        log.contains("\"mute\" refused: it has no password"),
        "{log}"
    );
    assert!(!log.contains("SCRAM-SHA-256$"), "{log}");
    eventually(SOON, async || stage.stat("clients.connected").await == 0).await;
}

#[tokio::test]
async fn a_new_password_counts_at_once_and_sessions_go_on() {
    let stage = builder("[pool]\nmax = 2\nmin = 0\nidle_timeout = \"1ms\"\n")
        .start()
        .await;
    stage
        .arrange("CREATE ROLE ann LOGIN PASSWORD 'first'")
        .await;
    let with = |password: &str| url(stage.proxy.port(), "ann", password, "app");
    let early = client(&with("first")).await;
    early.execute("SELECT 1", &[]).await.unwrap();
    // Around the proxy: it is asked at each login.
    stage.arrange("ALTER ROLE ann PASSWORD 'second'").await;
    assert_eq!(refusal(&with("first")).await.0, "28P01");
    // The proxy opens no connection with the old proof, and one with the new.
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'ann'";
    let direct = stage.direct().await;
    eventually(SOON, async || {
        direct.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0
    })
    .await;
    let late = client(&with("second")).await;
    late.execute("SELECT 1", &[]).await.unwrap();
    early.execute("SELECT 1", &[]).await.unwrap();
    // A role that is gone cannot come in, and neither can one of the same name with its old connections.
    let who =
        "SELECT oid::int8 FROM pg_roles WHERE rolname = session_user AND pg_backend_pid() > 0";
    let before: i64 = late.query_one(who, &[]).await.unwrap().get(0);
    stage.arrange("DROP ROLE ann").await;
    assert_eq!(refusal(&with("second")).await.0, "28P01");
    stage
        .arrange("CREATE ROLE ann LOGIN PASSWORD 'second'")
        .await;
    let new = client(&with("second")).await;
    let after: i64 = new.query_one(who, &[]).await.unwrap().get(0);
    assert_ne!(before, after);
}

#[tokio::test]
async fn what_sessions_start_with_is_never_outdated() {
    let stage = builder("").start().await;
    stage
        .arrange("CREATE ROLE ann LOGIN PASSWORD 'x'; CREATE ROLE guest LOGIN PASSWORD 'x'")
        .await;
    let show = async |user: &str, setting: &str| {
        let client = client(&url(stage.proxy.port(), user, "x", "app")).await;
        let row = client.query_one(&format!("SHOW {setting}"), &[]).await;
        row.unwrap().get::<_, String>(0)
    };
    assert_eq!(show("ann", "work_mem").await, "4MB");
    for (sql, setting, value) in [
        ("ALTER ROLE ann SET work_mem = '5MB'", "work_mem", "5MB"),
        ("ALTER ROLE ann RESET work_mem", "work_mem", "4MB"),
        ("ALTER DATABASE app SET work_mem = '6MB'", "work_mem", "6MB"),
        (
            "ALTER ROLE ann IN DATABASE app SET work_mem = '7MB'",
            "work_mem",
            "7MB",
        ),
        ("ALTER ROLE ann SUPERUSER", "is_superuser", "on"),
        (
            "ALTER ROLE ALL SET DateStyle = 'German'",
            "DateStyle",
            "German, DMY",
        ),
    ] {
        stage.arrange(sql).await;
        assert_eq!(show("ann", setting).await, value, "{sql}");
    }
    assert_eq!(show("guest", "work_mem").await, "6MB");
    stage
        .arrange("REVOKE CONNECT ON DATABASE app FROM PUBLIC")
        .await;
    let direct = refusal(&url(stage.postgres.port(), "guest", "x", "app")).await;
    assert_eq!(direct.0, "42501");
    let proxied = refusal(&url(stage.proxy.port(), "guest", "x", "app")).await;
    assert_eq!(proxied, direct);
}

#[tokio::test]
async fn a_login_is_told_what_the_server_tells() {
    let stage = builder("").start().await;
    let told = async |url: &str| {
        // libpq asks with the parameters of a start-up packet, and prints what it was told.
        let output = std::process::Command::new(stage.postgres.program("psql"))
            .args(["-XAt", "-d", url])
            .env("PGOPTIONS", "-c work_mem=9MB")
            .args([
                "-c",
                "SHOW work_mem",
                "-c",
                "\\encoding",
                "-c",
                "\\conninfo",
            ])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for _ in 0..2 {
        let direct = told(&stage.postgres.url()).await;
        assert!(direct.starts_with("9MB\nUTF8\n"), "{direct}");
        let proxied = told(&stage.proxy.url()).await;
        let port = |port: u16| format!("\"{port}\"");
        assert_eq!(
            proxied.replace(&port(stage.proxy.port()), &port(stage.postgres.port())),
            direct
        );
    }
}

#[tokio::test]
async fn md5_passwords_are_proven_and_answered() {
    let stage = builder("").auth(Auth::Md5).start().await;
    stage
        .arrange("SET password_encryption = 'md5'; CREATE ROLE ann LOGIN PASSWORD 'secret'")
        .await;
    let port = stage.proxy.port();
    for _ in 0..2 {
        let ann = client(&url(port, "ann", "secret", "app")).await;
        let row = ann.query_one("SELECT current_user::text", &[]).await;
        assert_eq!(row.unwrap().get::<_, &str>(0), "ann");
    }
    let wrong = refusal(&url(port, "ann", "wrong", "app")).await;
    assert_eq!(
        wrong,
        refusal(&url(stage.postgres.port(), "ann", "wrong", "app")).await
    );
}

#[tokio::test]
async fn a_server_that_asks_for_more_than_a_proof_says_what_to_do() {
    let stage = builder("").auth(Auth::Password).start().await;
    stage
        .arrange("CREATE ROLE ann LOGIN PASSWORD 'secret'")
        .await;
    let refused = refusal(&url(stage.proxy.port(), "ann", "secret", "app")).await;
    assert_eq!(refused.0, "08P01");
    assert!(refused.1.contains("scram-sha-256") && refused.1.contains("relay"));
    // The URL's own role has its password.
    stage.proxied().await;
}

#[tokio::test]
async fn users_may_be_listed_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("userlist.txt");
    std::fs::write(&file, "\"keel\" \"keel\"\n").unwrap();
    let stage = builder(&format!("user_file = \"{}\"\n", file.display()))
        .start()
        .await;
    stage
        .arrange("CREATE ROLE ann LOGIN PASSWORD 'secret'; CREATE ROLE bob LOGIN PASSWORD 'secret'")
        .await;
    let with = |user: &str, password: &str| url(stage.proxy.port(), user, password, "app");
    client(&with("keel", "keel")).await;
    assert_eq!(refusal(&with("ann", "secret")).await.0, "28P01");
    let verifier = |user: &'static str| {
        let stage = &stage;
        async move {
            let sql = "SELECT rolpassword FROM pg_authid WHERE rolname = $1";
            let row = stage.direct().await.query_one(sql, &[&user]).await;
            row.unwrap().get::<_, String>(0)
        }
    };
    let listed = format!(
        "\"keel\" \"keel\"\n\"ann\" \"{}\"\n; bob has ann's\n\"bob\" \"{}\"\n",
        verifier("ann").await,
        verifier("ann").await,
    );
    std::fs::write(&file, listed).unwrap();
    let ann = client(&with("ann", "secret")).await;
    ann.execute("SELECT 1", &[]).await.unwrap();
    assert_eq!(refusal(&with("ann", "wrong")).await.0, "28P01");
    // What the file says of bob is not what the server says: he comes as far as the server.
    assert_eq!(refusal(&with("bob", "secret")).await.0, "28P01");
    let log = stage.proxy.log().unwrap();
    assert!(log.contains("does not accept what proves \"bob\""), "{log}");
}

#[tokio::test]
async fn the_proxy_may_read_verifiers_through_a_function() {
    let stage = builder("auth_query = \"SELECT * FROM keeper.verifier_of($1)\"\n");
    let stage = stage.start().await;
    let unprepared = refusal(&stage.proxy.url()).await;
    assert_eq!(unprepared.0, "58000");
    assert!(stage.proxy.log().unwrap().contains("auth_query"));
    stage
        .arrange(
            "CREATE SCHEMA keeper; CREATE FUNCTION keeper.verifier_of(name) \
             RETURNS TABLE (usename name, passwd text) LANGUAGE sql SECURITY DEFINER AS \
             'SELECT usename, passwd FROM pg_shadow WHERE usename = $1'",
        )
        .await;
    stage.proxied().await;
}

#[tokio::test]
async fn replication_and_cancel_requests_work_as_well() {
    let stage = builder("").setting("wal_level", "logical").start().await;
    let replication = format!("{}?replication=database", stage.proxy.url());
    let psql = |url: &str, sql: &str| {
        let output = std::process::Command::new(stage.postgres.program("psql"))
            .args(["-XAt", "-d", url, "-c", sql])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(
        psql(&replication, "IDENTIFY_SYSTEM")
            .trim()
            .split('|')
            .count(),
        4
    );
    let sleeper = stage.proxied().await;
    let token = sleeper.cancel_token();
    let asleep = tokio::spawn(async move { sleeper.execute("SELECT pg_sleep(60)", &[]).await });
    let direct = stage.direct().await;
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(60)'";
    eventually(SOON, async || {
        direct.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 1
    })
    .await;
    token.cancel_query(NoTls).await.unwrap();
    let error = asleep.await.unwrap().unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57014");
}

#[tokio::test]
async fn hostile_logins_end_as_they_do_at_postgresql() {
    let stage = builder("").start().await;
    let parameters = [("user", "keel"), ("database", "app")];
    for messages in [
        message(b'p', &[b"SCRAM-SHA-256-PLUS\0\0\0\0\x04n,,x"]),
        message(b'p', &[b"SCRAM-SHA-256\0\0\0\0\x0en,,n=,r=\x01bcdef"]),
        message(b'p', &[b"SCRAM-SHA-256\0\0\0\0\x02n,"]),
        message(b'p', &[b"SCRAM-SHA-256\0\0\0\0\x0cn,a=x,n=,r=a"]),
        message(b'p', &[b"keel\0"]),
        message(b'p', &[b""]),
        query("SELECT 1"),
        [
            message(b'p', &[b"SCRAM-SHA-256\0\0\0\0\x09n,,n=,r=a"]),
            message(b'p', &[b"c=biws,r=a,p=AAAA"]),
        ]
        .concat(),
    ] {
        let mut answers = Vec::new();
        for port in [stage.postgres.port(), stage.proxy.port()] {
            let mut wire = Wire::open(port).await;
            wire.send(&startup(&parameters)).await;
            assert_eq!(wire.next().await.unwrap().tag, b'R');
            wire.send(&messages).await;
            let end = wire.until_end().await;
            let error = end.last().unwrap();
            answers.push((
                error.tag,
                error.field(b'S'),
                error.field(b'C'),
                error.field(b'M'),
            ));
        }
        assert_eq!(answers[0], answers[1]);
    }
}

#[tokio::test]
async fn newer_protocols_are_negotiated_as_the_server_does() {
    let stage = builder("").start().await;
    let extended = [("_pq_.nonsense", "on"), ("user", "keel")];
    for (version, parameters) in [
        (0x0003_0002, &extended[1..]),
        (0x0003_ffff, &extended[1..]),
        (0x0003_0000, &extended[..]),
    ] {
        let mut answers = Vec::new();
        for port in [stage.postgres.port(), stage.proxy.port()] {
            let mut wire = Wire::open(port).await;
            wire.send(&startup_of_version(version, parameters)).await;
            answers.push([wire.next().await.unwrap(), wire.next().await.unwrap()]);
        }
        assert_eq!(answers[0], answers[1]);
    }
}
