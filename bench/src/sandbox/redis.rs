//! A private Redis server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::port;
use super::process::{Process, Signal, last_lines, show_log_of_failed_test};

const ENDING: Signal = Signal::Kill;
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);
const ATTEMPTS: usize = 3;

/// A private Redis server on 127.0.0.1 that keeps nothing on the disk: started again, it is empty.
/// It is stopped when dropped.
#[derive(Debug)]
pub struct Redis {
    process: Option<Process>,
    port: u16,
    /// More arguments.
    arguments: Vec<String>,
    directory: TempDir,
}

impl Redis {
    /// Starts a server.
    ///
    /// # Errors
    /// When `redis-server` is not installed or does not start; the message holds its log.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts a server with more arguments, such as `--requirepass secret`.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub async fn start_with(arguments: &[&str]) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("pgkeel-redis-").tempdir()?;
        let mut redis = Self {
            process: None,
            port: port::free()?,
            arguments: arguments.iter().map(ToString::to_string).collect(),
            directory,
        };
        for _ in 1..ATTEMPTS {
            match redis.start_again().await {
                Err(error) if error.to_string().contains("bind") => redis.port = port::free()?,
                started => return started.map(|()| redis),
            }
        }
        redis.start_again().await.map(|()| redis)
    }

    /// The server's address for clients, such as `redis://127.0.0.1:20379`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The TCP port on 127.0.0.1. It stays the same when the server is started again.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id, while the server runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// The directory the server works in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Stops the server as its operator would.
    ///
    /// # Errors
    /// When it has not stopped in time.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(process) = &mut self.process {
            process.signal(Signal::Terminate)?;
            process.wait(PATIENCE).await?;
        }
        self.process = None;
        Ok(())
    }

    /// Kills the server.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Stops the server where it is (SIGSTOP): connections stay, and nothing is answered.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn pause(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::Stop)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::Continue)
    }

    fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        match &mut self.process {
            Some(process) => process.signal(signal),
            None => Ok(()),
        }
    }

    /// What `redis-cli` prints for a command.
    ///
    /// # Errors
    /// When it is not installed, or fails.
    pub fn ask(&self, command: &[&str]) -> anyhow::Result<String> {
        let output = std::process::Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(command)
            .output()?;
        if !output.status.success() {
            bail!("redis-cli: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts the server again after [`Redis::stop`] or [`Redis::kill`]: same port, no data.
    ///
    /// # Errors
    /// When it does not start; the message holds its log.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        if self.process.is_some() {
            return Ok(());
        }
        let mut command = Process::command(ENDING, self.directory.path());
        command
            .args(["redis-server", "--bind", "127.0.0.1", "--port"])
            .arg(self.port.to_string())
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(self.directory.path())
            .args(&self.arguments)
            .current_dir(self.directory.path());
        let mut process = Process::spawn(command, ENDING, &self.log())?;
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            if process.exit_status().is_some() || Instant::now() > deadline {
                bail!("Redis did not start:\n{}", last_lines(&self.log()));
            }
            tokio::time::sleep(POLL).await;
        }
        self.process = Some(process);
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        show_log_of_failed_test("Redis", &self.log());
    }
}
