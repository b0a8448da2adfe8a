//! What a hit from Redis costs, beside a round trip to PostgreSQL, a hit in memory and a bare GET, in one run.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::sandbox::{Auth, Postgres, Proxy, ProxyOptions, Redis, connect};

/// How long one kind of read took.
#[derive(Debug)]
pub struct Line {
    what: &'static str,
    sorted: Vec<Duration>,
}

/// The lines of one run.
#[derive(Debug)]
pub struct Measured(Vec<Line>);

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<28}{:>10}{:>10}{:>10}  microseconds",
            "", "p50", "p90", "p99"
        )?;
        for line in &self.0 {
            let at = |part: usize| line.sorted[(line.sorted.len() - 1) * part / 100].as_micros();
            writeln!(
                f,
                "{:<28}{:>10}{:>10}{:>10}",
                line.what,
                at(50),
                at(90),
                at(99)
            )?;
        }
        Ok(())
    }
}

/// Reads `count` different rows in each way, one after the other on one connection.
///
/// # Errors
/// When a server does not start, or a read was not answered from where it should have been.
pub async fn measure(binary: PathBuf, count: usize) -> anyhow::Result<Measured> {
    let redis = Redis::start().await?;
    let postgres = Postgres::builder().auth(Auth::Trust).start().await?;
    let options = ProxyOptions {
        upstream_url: postgres.url(),
        binary,
        config_toml: Some("[redis]\nread_timeout = \"2s\"\nlease = \"5s\"\n".into()),
        env: vec![("REDIS_URL".into(), redis.url())],
        ..ProxyOptions::default()
    };
    let first = Proxy::start(&options).await?;
    let client = connect(&first.url()).await?;
    client
        .batch_execute(
            "CREATE TABLE item (id int PRIMARY KEY, name text); \
             INSERT INTO item SELECT k, 'item ' || k FROM generate_series(1, 10000) AS k",
        )
        .await?;
    serving(&first).await?;
    while number(&first, "shared", "fills").await? == 0 {
        client
            .simple_query("SELECT 1 FROM item WHERE id = 0")
            .await?;
    }
    let before = number(&first, "shared", "fills").await?;
    read(&client, count, "").await?;
    while number(&first, "shared", "fills").await? < before + count as u64 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let second = Proxy::start(&options).await?;
    serving(&second).await?;
    let client = connect(&second.url()).await?;
    // The catalog has to be known.
    client
        .simple_query("SELECT 1 FROM item WHERE id = -1")
        .await?;
    let shared = read(&client, count, "hit in Redis").await?;
    let hits = number(&second, "cache", "shared_hits").await?;
    ensure!(
        hits as usize >= count,
        "only {hits} of {count} were from Redis"
    );
    let memory = read(&client, count, "hit in memory").await?;
    let direct = connect(&postgres.url()).await?;
    let direct = read(&direct, count, "PostgreSQL, directly").await?;
    let bare = gets(&redis, count).await?;
    Ok(Measured(vec![direct, shared, memory, bare]))
}

async fn serving(proxy: &Proxy) -> anyhow::Result<()> {
    while proxy.stats().await?["shared"]["serving"] != true {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn number(proxy: &Proxy, part: &str, name: &str) -> anyhow::Result<u64> {
    proxy.stats().await?[part][name]
        .as_u64()
        .context("a number")
}

async fn read(client: &Client, count: usize, what: &'static str) -> anyhow::Result<Line> {
    let mut sorted = Vec::with_capacity(count);
    for id in 1..=count {
        let sql = format!("SELECT name FROM item WHERE id = {id}");
        let began = Instant::now();
        let answer = client.simple_query(&sql).await?;
        sorted.push(began.elapsed());
        let has_row = answer
            .iter()
            .any(|part| matches!(part, SimpleQueryMessage::Row(_)));
        ensure!(has_row, "no row for {id}");
    }
    sorted.sort_unstable();
    Ok(Line { what, sorted })
}

/// GETs of the values that were just read.
async fn gets(redis: &Redis, count: usize) -> anyhow::Result<Line> {
    let listed = redis.ask(&["--scan", "--pattern", "pgkeel:e:*"])?;
    let keys: Vec<&str> = listed.lines().take(count).collect();
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).await?;
    stream.set_nodelay(true)?;
    let (mut sorted, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    for key in keys {
        let command = format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
        let began = Instant::now();
        stream.write_all(command.as_bytes()).await?;
        let received = stream.read(&mut buffer).await?;
        sorted.push(began.elapsed());
        ensure!(received > 5, "no value for {key}");
    }
    sorted.sort_unstable();
    Ok(Line {
        what: "bare GET",
        sorted,
    })
}
