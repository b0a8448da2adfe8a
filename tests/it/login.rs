//! Logging in through the proxy: every method, every refusal, in PostgreSQL's own words.

use std::time::Duration;

use pgkeel_bench::sandbox::{Auth, Proxy, ProxyOptions};
use tokio_postgres::NoTls;

use crate::support::{BINARY, Stage, client, eventually};
use crate::wire::*;

const SOON: Duration = Duration::from_secs(20);

/// A connection string of another user, password or database, at any server.
fn url(port: u16, user: &str, password: &str, database: &str) -> String {
    format!("postgres://{user}:{password}@127.0.0.1:{port}/{database}")
}

/// SQLSTATE and text of a login's refusal.
async fn refusal(url: &str) -> (String, String) {
    let error = tokio_postgres::connect(url, NoTls).await.err().unwrap();
    let error = error.as_db_error().expect("an error of the server");
    (error.code().code().to_owned(), error.message().to_owned())
}

#[tokio::test]
async fn every_method_lets_in_who_knows_the_password() {
    for auth in [Auth::ScramSha256, Auth::Md5, Auth::Password, Auth::Trust] {
        let stage = Stage::builder().auth(auth).start().await;
        // Another user than the upstream's: the proxy knows no password of this one.
        stage
            .arrange("CREATE ROLE ann LOGIN PASSWORD 'secret'")
            .await;
        for (user, password) in [("keel", "keel"), ("ann", "secret")] {
            let client = client(&url(stage.proxy.port(), user, password, "app")).await;
            let row = client.query_one("SELECT current_user::text", &[]).await;
            assert_eq!(row.unwrap().get::<_, &str>(0), user);
        }
        let wrong = |port| url(port, "ann", "wrong", "app");
        if !matches!(auth, Auth::Trust) {
            let direct = refusal(&wrong(stage.postgres.port())).await;
            assert_eq!(direct.0, "28P01");
            assert_eq!(refusal(&wrong(stage.proxy.port())).await, direct);
        }
    }
}

#[tokio::test]
async fn refusals_are_in_postgresqls_own_words() {
    let stage = Stage::new().await;
    stage
        .arrange("CREATE ROLE barred NOLOGIN PASSWORD 'x'; CREATE ROLE full LOGIN PASSWORD 'x' CONNECTION LIMIT 0")
        .await;
    for (user, password, database, sqlstate) in [
        ("keel", "keel", "nowhere", "3D000"),
        ("nobody", "x", "app", "28P01"),
        ("barred", "x", "app", "28000"),
        ("full", "x", "app", "53300"),
    ] {
        let direct = refusal(&url(stage.postgres.port(), user, password, database)).await;
        assert_eq!(direct.0, sqlstate, "{direct:?}");
        let proxied = refusal(&url(stage.proxy.port(), user, password, database)).await;
        assert_eq!(proxied, direct);
    }
    assert_eq!(stage.stat("clients.connected").await, 0);
}

#[tokio::test]
async fn a_login_is_told_the_same_settings() {
    let stage = Stage::builder().auth(Auth::Trust).start().await;
    stage
        .arrange("ALTER ROLE keel SET TimeZone = 'Asia/Tokyo'")
        .await;
    let told = async |port: u16| {
        let wire = Wire::login_with(
            port,
            &[
                ("user", "keel"),
                ("database", "app"),
                ("application_name", "tester"),
            ],
        )
        .await;
        let settings = wire.greeting.iter().filter(|message| message.tag == b'S');
        let mut settings: Vec<_> = settings.map(|message| message.body.clone()).collect();
        settings.sort();
        settings
    };
    let direct = told(stage.postgres.port()).await;
    assert!(direct.contains(&b"TimeZone\0Asia/Tokyo\0".to_vec()));
    assert!(direct.contains(&b"application_name\0tester\0".to_vec()));
    assert_eq!(told(stage.proxy.port()).await, direct);
}

#[tokio::test]
async fn settings_of_roles_databases_and_start_up_packets_count() {
    let stage = Stage::builder().auth(Auth::Trust).start().await;
    stage
        .arrange(
            "CREATE ROLE ann LOGIN; ALTER ROLE ann SET work_mem = '3MB'; \
             ALTER DATABASE app SET statement_timeout = '77s'",
        )
        .await;
    for (parameters, setting, value) in [
        (&[("user", "ann")][..], "work_mem", "3MB"),
        (&[("user", "ann")], "statement_timeout", "77s"),
        (&[("user", "keel")], "work_mem", "4MB"),
        (
            &[("user", "keel"), ("options", "-c work_mem=5MB")],
            "work_mem",
            "5MB",
        ),
        (&[("user", "keel"), ("work_mem", "6MB")], "work_mem", "6MB"),
        (
            &[("user", "keel"), ("search_path", "pg_catalog")],
            "search_path",
            "pg_catalog",
        ),
    ] {
        let parameters = [parameters, &[("database", "app")]].concat();
        for _ in 0..2 {
            let mut wire = Wire::login_with(stage.proxy.port(), &parameters).await;
            let answer = wire.ask(&query(&format!("SHOW {setting}"))).await;
            assert_eq!(values(&answer), [value], "{parameters:?}");
        }
    }
    let mut wire = Wire::open(stage.proxy.port()).await;
    wire.send(&startup(&[
        ("user", "keel"),
        ("database", "app"),
        ("nonsense", "1"),
    ]))
    .await;
    assert_eq!(errors(&wire.until_end().await), ["42704"]);
}

/// A session may start as another role than the one that logs in, and with hardly any time for its statements.
#[tokio::test]
async fn sessions_that_start_with_a_role_or_a_short_timeout_come_in() {
    let stage = Stage::builder().auth(Auth::Trust).start().await;
    stage
        .arrange(
            "CREATE ROLE crew; CREATE ROLE ann LOGIN IN ROLE crew; CREATE ROLE bob LOGIN IN ROLE crew; \
             ALTER ROLE ann SET role = 'crew'",
        )
        .await;
    for parameters in [
        &[("user", "ann"), ("database", "app")][..],
        &[("user", "bob"), ("database", "app"), ("role", "crew")],
        &[
            ("user", "bob"),
            ("database", "app"),
            ("options", "-c role=crew -c statement_timeout=200"),
        ],
    ] {
        for port in [stage.postgres.port(), stage.proxy.port()] {
            let mut wire = Wire::login_with(port, parameters).await;
            let answer = wire.ask(&query("SELECT current_user, session_user")).await;
            assert_eq!(values(&answer)[..1], ["crew"], "{parameters:?}");
            let answer = wire.ask(&query("RESET ROLE; SELECT current_user")).await;
            assert_eq!(values(&answer), ["crew"], "{parameters:?}");
        }
    }
}

#[tokio::test]
async fn start_up_packets_without_a_user_are_refused() {
    let stage = Stage::builder().auth(Auth::Trust).start().await;
    for parameters in [
        &[("database", "app")][..],
        &[("user", ""), ("database", "app")],
    ] {
        for port in [stage.postgres.port(), stage.proxy.port()] {
            let mut wire = Wire::open(port).await;
            wire.send(&startup(parameters)).await;
            let answer = wire.until_end().await;
            assert_eq!(errors(&answer), ["28000"]);
            let text = answer[0].field(b'M').unwrap();
            assert_eq!(text, "no PostgreSQL user name specified in startup packet");
        }
    }
}

#[tokio::test]
async fn encryption_is_declined_and_the_login_goes_on() {
    let stage = Stage::builder().auth(Auth::Trust).start().await;
    const SSL: u32 = 80_877_103;
    const GSS: u32 = 80_877_104;
    let mut wire = Wire::open(stage.proxy.port()).await;
    for code in [SSL, GSS] {
        wire.send(&packet(code, &[])).await;
        assert_eq!(wire.byte().await, b'N');
    }
    wire.send(&startup(&[("user", "keel"), ("database", "app")]))
        .await;
    wire.until_ready().await;
    assert_eq!(values(&wire.ask(&query("SELECT 1")).await), ["1"]);
    // psql asks for encryption first, by default.
    let output = stage.psql(["-c", "SELECT 2"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2\n", "{output:?}");
}

#[tokio::test]
async fn newer_protocols_are_negotiated_as_the_server_does() {
    let stage = Stage::builder().auth(Auth::Trust).start().await;
    let parameters = [("user", "keel"), ("database", "app")];
    let extended = [
        ("_pq_.nonsense", "on"),
        ("user", "keel"),
        ("database", "app"),
    ];
    for (version, parameters) in [
        (0x0003_0002, &parameters[..]),
        (0x0003_ffff, &parameters),
        (0x0003_0000, &extended),
    ] {
        let mut answers = Vec::new();
        for port in [stage.postgres.port(), stage.proxy.port()] {
            let mut wire = Wire::open(port).await;
            wire.send(&startup_of_version(version, parameters)).await;
            let greeting = wire.until_ready().await;
            let negotiated = greeting.into_iter().find(|message| message.tag == b'v');
            assert!(negotiated.is_some() || version == 0x0003_0002);
            answers.push(negotiated);
            assert_eq!(values(&wire.ask(&query("SELECT 1")).await), ["1"]);
        }
        assert_eq!(answers[0], answers[1]);
    }
    let mut wire = Wire::open(stage.proxy.port()).await;
    wire.send(&startup_of_version(0x0004_0000, &parameters))
        .await;
    assert_eq!(tags(&wire.until_end().await), "E");
}

#[tokio::test]
async fn what_is_no_start_up_packet_is_turned_away() {
    let stage = Stage::builder().auth(Auth::Trust).start().await;
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0; 8],
        vec![0xff; 8],
        packet(0x0003_0000, b"user\0keel"),
        packet(0x0003_0000, b"user\0keel\0\0more"),
    ] {
        let mut wire = Wire::open(stage.proxy.port()).await;
        wire.send(&bytes).await;
        let answer = wire.until_end().await;
        assert!(
            answer.iter().all(|message| message.tag == b'E'),
            "{answer:?}"
        );
    }
    // Half a packet, and nothing more: nobody else has to wait.
    let mut half = Wire::open(stage.proxy.port()).await;
    half.send(&startup(&[("user", "keel")])[..9]).await;
    Wire::login(stage.proxy.port(), "app").await;
}

#[tokio::test]
async fn the_limit_on_clients_is_told_as_postgresql_tells_it() {
    let stage = Stage::builder()
        .auth(Auth::Trust)
        .config("[limits]\nclient_connections_max = 2\n")
        .start()
        .await;
    let first = Wire::login(stage.proxy.port(), "app").await;
    let _second = Wire::login(stage.proxy.port(), "app").await;
    let mut third = Wire::open(stage.proxy.port()).await;
    third
        .send(&startup(&[("user", "keel"), ("database", "app")]))
        .await;
    let answer = third.until_end().await;
    assert_eq!(errors(&answer), ["53300"]);
    let text = answer[0].field(b'M').unwrap();
    assert_eq!(text, "sorry, too many clients already");
    drop(first);
    eventually(SOON, async || stage.stat("clients.connected").await < 2).await;
    Wire::login(stage.proxy.port(), "app").await;
}

#[tokio::test]
async fn a_login_that_stops_half_way_gives_its_place_back() {
    let stage = Stage::builder()
        .setting("authentication_timeout", "1s")
        .config("[pool]\nmax = 1\n")
        .start()
        .await;
    let mut wire = Wire::open(stage.proxy.port()).await;
    wire.send(&startup(&[("user", "keel"), ("database", "app")]))
        .await;
    assert_eq!(wire.next().await.unwrap().tag, b'R');
    // It does not answer the challenge. PostgreSQL gives up after a second, and so does the proxy.
    wire.until_end().await;
    stage.proxied().await;
}

#[tokio::test]
async fn databases_and_users_are_kept_apart() {
    let stage = Stage::builder().auth(Auth::Trust).start().await;
    for sql in [
        "CREATE ROLE ann LOGIN",
        "CREATE DATABASE ann",
        "CREATE DATABASE other",
    ] {
        stage.arrange(sql).await;
    }
    for _ in 0..2 {
        for (user, database) in [
            ("keel", "app"),
            ("keel", "other"),
            ("ann", "app"),
            ("ann", "ann"),
        ] {
            let parameters = [("user", user), ("database", database)];
            let mut wire = Wire::login_with(stage.proxy.port(), &parameters).await;
            let answer = wire
                .ask(&query("SELECT current_user || '@' || current_database()"))
                .await;
            assert_eq!(values(&answer), [format!("{user}@{database}")]);
        }
    }
    // Without a database, it is the one of the user's name.
    let mut wire = Wire::login_with(stage.proxy.port(), &[("user", "ann")]).await;
    assert_eq!(
        values(&wire.ask(&query("SELECT current_database()")).await),
        ["ann"]
    );
}

#[tokio::test]
async fn the_server_may_be_behind_a_unix_socket() {
    let stage = Stage::new().await;
    let directory = stage.postgres.socket_dir().display().to_string();
    let upstream = format!(
        "postgres://keel:keel@:{}/app?host={}",
        stage.postgres.port(),
        directory.replace('/', "%2F"),
    );
    let options = ProxyOptions {
        binary: BINARY.into(),
        upstream_url: upstream,
        ..ProxyOptions::default()
    };
    let proxy = Proxy::start(&options).await.unwrap();
    let client = client(&url(proxy.port(), "keel", "keel", "app")).await;
    let sql = "SELECT client_addr IS NULL FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    assert!(client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0));
}
