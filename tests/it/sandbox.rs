//! The sandbox itself: servers that start, stop, survive a kill and never outlive their owner.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use pgkeel_bench::sandbox::{Auth, Postgres, Proxy, ProxyOptions, Redis};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::support::{client, eventually};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_server_has_its_user_its_database_and_its_settings() {
    let postgres = Postgres::builder()
        .setting("work_mem", "7MB")
        .start()
        .await
        .unwrap();
    let client = postgres.connect().await.unwrap();
    let row = client
        .query_one(
            "SELECT current_user::text, current_database()::text, current_setting('work_mem')",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "keel");
    assert_eq!(row.get::<_, String>(1), "app");
    assert_eq!(row.get::<_, String>(2), "7MB");
}

#[tokio::test]
async fn data_survives_stop_restart_and_kill() {
    let mut postgres = Postgres::start().await.unwrap();
    let port = postgres.port();
    let sql = "CREATE TABLE t (n int); INSERT INTO t VALUES (1)";
    postgres
        .connect()
        .await
        .unwrap()
        .batch_execute(sql)
        .await
        .unwrap();

    postgres.stop().await.unwrap();
    assert!(postgres.connect().await.is_err());
    postgres.start_again().await.unwrap();
    postgres.restart().await.unwrap();
    let witness = postgres.connect().await.unwrap();
    witness
        .batch_execute("INSERT INTO t VALUES (2)")
        .await
        .unwrap();
    postgres.kill().unwrap();
    assert!(witness.query("SELECT 1", &[]).await.is_err());
    assert!(postgres.connect().await.is_err());
    postgres.start_again().await.unwrap();

    assert_eq!(postgres.port(), port);
    let client = postgres.connect().await.unwrap();
    let row = client.query_one("SELECT sum(n) FROM t", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 3);
}

#[tokio::test]
async fn two_servers_know_nothing_of_each_other() {
    let (one, two) = tokio::join!(Postgres::start(), Postgres::start());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.port(), two.port());
    one.connect()
        .await
        .unwrap()
        .batch_execute("CREATE TABLE t ()")
        .await
        .unwrap();
    two.connect()
        .await
        .unwrap()
        .batch_execute("CREATE TABLE t ()")
        .await
        .unwrap();
}

#[tokio::test]
async fn each_way_to_authenticate_is_really_used() {
    for auth in [Auth::Md5, Auth::Password, Auth::ScramSha256, Auth::Trust] {
        let postgres = Postgres::builder().auth(auth).start().await.unwrap();
        let client = postgres.connect().await.unwrap();
        let sql = "SELECT DISTINCT auth_method FROM pg_hba_file_rules";
        let methods = client.query(sql, &[]).await.unwrap();
        assert_eq!(methods.len(), 1);
        assert_eq!(methods[0].get::<_, String>(0), auth.as_str());

        let wrong = postgres.url_for("keel", "wrong", "app");
        let refused = tokio_postgres::connect(&wrong, tokio_postgres::NoTls)
            .await
            .is_err();
        assert_eq!(refused, auth != Auth::Trust, "{}", auth.as_str());
    }
}

#[tokio::test]
async fn the_socket_and_the_client_programs_work() {
    let postgres = Postgres::start().await.unwrap();
    let output = Command::new(postgres.program("psql"))
        .args(["-XAtc", "SELECT 1 + 1", "-U", "keel", "-d", "app"])
        .args(["-p", &postgres.port().to_string(), "-h"])
        .arg(postgres.socket_dir())
        .env("PGPASSWORD", "keel")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2\n", "{output:?}");
}

#[tokio::test]
async fn a_dropped_server_leaves_nothing() {
    let postgres = Postgres::start().await.unwrap();
    let (id, directory) = (postgres.id().unwrap(), postgres.socket_dir().to_owned());
    assert!(is_running(id) && directory.exists());
    drop(postgres);
    assert!(!is_running(id) && !directory.exists());
}

#[tokio::test]
async fn a_panic_leaves_nothing_either() {
    let (send, receive) = std::sync::mpsc::channel();
    let doomed = tokio::spawn(async move {
        let postgres = Postgres::start().await.unwrap();
        send.send((postgres.id().unwrap(), postgres.socket_dir().to_owned()))
            .unwrap();
        panic!("as planned");
    });
    assert!(doomed.await.is_err());
    let (id, directory) = receive.recv().unwrap();
    assert!(!is_running(id) && !directory.exists());
}

/// Starts this same test again as another process, which starts servers; then kills that process.
#[tokio::test]
async fn servers_die_with_a_process_that_was_killed() {
    const ROLE: &str = "PGKEEL_TEST_OWNER";
    if std::env::var_os(ROLE).is_some() {
        let (postgres, redis) = tokio::join!(Postgres::start(), Redis::start());
        let (postgres, redis) = (postgres.unwrap(), redis.unwrap());
        println!(
            "\nowner {} {}",
            postgres.id().unwrap(),
            postgres.socket_dir().display()
        );
        println!(
            "owner {} {}",
            redis.id().unwrap(),
            redis.directory().display()
        );
        std::future::pending::<()>().await;
    }
    let mut owner = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "sandbox::servers_die_with_a_process_that_was_killed",
        ])
        .env(ROLE, "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let mut servers: Vec<(u32, PathBuf)> = Vec::new();
    while servers.len() < 2 {
        let line = lines
            .next_line()
            .await
            .unwrap()
            .expect("the owner names its servers");
        if let ["owner", id, directory] = *line.split(' ').collect::<Vec<_>>() {
            servers.push((id.parse().unwrap(), directory.into()));
        }
    }
    assert!(servers.iter().all(|(id, _)| is_running(*id)));

    owner.kill().await.unwrap();

    eventually(SOON, async || {
        servers
            .iter()
            .all(|(id, directory)| !is_running(*id) && !directory.exists())
    })
    .await;
}

#[tokio::test]
async fn redis_comes_back_empty() {
    let mut redis = Redis::start().await.unwrap();
    assert_eq!(redis_says(&redis, "SET k v").await, "+OK\r\n");
    assert_eq!(redis_says(&redis, "GET k").await, "$1\r\nv\r\n");
    redis.stop().await.unwrap();
    assert!(
        TcpStream::connect(("127.0.0.1", redis.port()))
            .await
            .is_err()
    );
    redis.start_again().await.unwrap();
    assert_eq!(redis_says(&redis, "GET k").await, "$-1\r\n");
    redis.kill();
    assert!(
        TcpStream::connect(("127.0.0.1", redis.port()))
            .await
            .is_err()
    );
    redis.start_again().await.unwrap();
}

#[tokio::test]
async fn a_proxy_that_ends_at_once_is_quoted() {
    let options = ProxyOptions {
        binary: script(r#"echo "no such thing: $1 $2" >&2; exit 2"#),
        upstream_url: "postgres://u@h/d".to_owned(),
        ..ProxyOptions::default()
    };
    let error = Proxy::start(&options).await.unwrap_err().to_string();
    assert!(
        error.contains("no such thing: --upstream postgres://u@h/d"),
        "{error}"
    );
    assert!(error.contains("exit status: 2"), "{error}");
}

#[tokio::test]
async fn a_client_reaches_the_server_by_its_url() {
    let postgres = Postgres::start().await.unwrap();
    let client = client(&postgres.url()).await;
    assert_eq!(
        client
            .query_one("SELECT 42", &[])
            .await
            .unwrap()
            .get::<_, i32>(0),
        42
    );
}

fn is_running(id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

async fn redis_says(redis: &Redis, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port()))
        .await
        .unwrap();
    stream
        .write_all(format!("{command}\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

/// An executable script; it stays below the test's own temporary directory.
fn script(body: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stand-in.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}
