//! Private Redis servers that belong together: a Cluster, and a primary with its replica and a Sentinel.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::bail;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Redis;
use super::port;
use super::process::{Process, Signal, last_lines};

const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// A Redis Cluster of three nodes without replicas.
#[derive(Debug)]
pub struct RedisCluster {
    /// The nodes.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts the nodes and makes a cluster of them.
    ///
    /// # Errors
    /// When Redis is not installed, or the nodes do not agree in time.
    pub async fn start() -> anyhow::Result<Self> {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            // The usual port of the bus, 10000 above, may not exist.
            let bus = port::free()?.to_string();
            let arguments = [
                "--cluster-enabled",
                "yes",
                "--cluster-config-file",
                "nodes.conf",
                "--cluster-node-timeout",
                "2000",
                "--cluster-port",
                &bus,
            ];
            nodes.push(Redis::start_with(&arguments).await?);
        }
        let addresses = nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port()));
        let made = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", "0", "--cluster-yes"])
            .output()?;
        if !made.status.success() {
            bail!("redis-cli: {}", String::from_utf8_lossy(&made.stdout));
        }
        let cluster = Self { nodes };
        let deadline = Instant::now() + PATIENCE;
        while !cluster.is_whole()? {
            if Instant::now() > deadline {
                bail!("the nodes of the cluster do not agree");
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(cluster)
    }

    fn is_whole(&self) -> anyhow::Result<bool> {
        for node in &self.nodes {
            if !node.ask(&["CLUSTER", "INFO"])?.contains("cluster_state:ok") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The addresses of all nodes, separated by commas.
    #[must_use]
    pub fn url(&self) -> String {
        let urls: Vec<String> = self.nodes.iter().map(Redis::url).collect();
        urls.join(",")
    }
}

/// A primary, its replica, and a Sentinel that promotes the replica when the primary is gone.
#[derive(Debug)]
pub struct RedisSentinel {
    /// What was the primary at first.
    pub primary: Redis,
    /// Its replica.
    pub replica: Redis,
    port: u16,
    _sentinel: Process,
    _directory: TempDir,
}

impl RedisSentinel {
    /// The name by which the Sentinel knows the primary.
    pub const MASTER: &'static str = "mymaster";

    /// Starts the three of them, and waits until the Sentinel knows the replica.
    ///
    /// # Errors
    /// When Redis is not installed or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let primary = Redis::start().await?;
        let of = primary.port().to_string();
        let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &of]).await?;
        let directory = tempfile::Builder::new()
            .prefix("pgkeel-sentinel-")
            .tempdir()?;
        let (port, name) = (port::free()?, Self::MASTER);
        let file: PathBuf = directory.path().join("sentinel.conf");
        let text = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\nsentinel monitor {name} 127.0.0.1 {of} 1\n\
             sentinel down-after-milliseconds {name} 1000\nsentinel failover-timeout {name} 5000\n",
            directory.path().display()
        );
        std::fs::write(&file, text)?;
        let mut command = Process::command(Signal::Kill, directory.path());
        command.arg("redis-server").arg(&file).arg("--sentinel");
        let log = directory.path().join("log");
        let sentinel = Process::spawn(command, Signal::Kill, &log)?;
        let group = Self {
            primary,
            replica,
            port,
            _sentinel: sentinel,
            _directory: directory,
        };
        let deadline = Instant::now() + PATIENCE;
        while !group.knows_replica().await {
            if Instant::now() > deadline {
                bail!(
                    "the Sentinel does not find the replica:\n{}",
                    last_lines(&log)
                );
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(group)
    }

    async fn knows_replica(&self) -> bool {
        if TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            return false;
        }
        let asked = Command::new("redis-cli")
            .args([
                "-p",
                &self.port.to_string(),
                "SENTINEL",
                "REPLICAS",
                Self::MASTER,
            ])
            .output();
        let is_there = |text: &str| {
            text.contains(&self.replica.port().to_string())
                && text.contains("master-link-status\nok")
        };
        asked.is_ok_and(|asked| is_there(&String::from_utf8_lossy(&asked.stdout)))
    }

    /// The address of the Sentinel.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}
