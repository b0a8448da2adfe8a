//! A private floor (see [`crate::floor`]): a process of its own where there is a program for it, else a task.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::port;
use super::process::{Process, Signal, cpu_micros, last_lines};

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// A running floor before a private PostgreSQL; stopped when dropped.
#[derive(Debug)]
pub struct Floor {
    port: u16,
    running: Running,
}

#[derive(Debug)]
enum Running {
    Process {
        process: Process,
        /// Goes with it.
        _directory: TempDir,
    },
    Task(JoinHandle<()>),
}

impl Floor {
    /// Starts it: `program` is `pgkeel-bench`. Without one it runs in this process, and has no CPU time of its own.
    ///
    /// # Errors
    /// When it does not start; the message holds the end of its log.
    pub async fn start(program: Option<&Path>, postgres_port: u16) -> anyhow::Result<Self> {
        let upstream = format!("127.0.0.1:{postgres_port}");
        let Some(program) = program else {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let port = listener.local_addr()?.port();
            let task = tokio::spawn(async move {
                crate::floor::serve(listener, upstream).await.ok();
            });
            return Ok(Self {
                port,
                running: Running::Task(task),
            });
        };
        let directory = tempfile::Builder::new().prefix("pgkeel-floor-").tempdir()?;
        let port = port::free()?;
        let mut command = Process::command(Signal::Kill, directory.path());
        command
            .arg(program)
            .args(["floor", "--listen", &format!("127.0.0.1:{port}")])
            .args(["--upstream", &upstream]);
        let log = directory.path().join("log");
        let mut process = Process::spawn(command, Signal::Kill, &log)?;
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if process.exit_status().is_some() || Instant::now() > deadline {
                bail!("the floor did not start:\n{}", last_lines(&log));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(Self {
            port,
            running: Running::Process {
                process,
                _directory: directory,
            },
        })
    }

    /// The TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// CPU time so far in microseconds, if it has a process of its own.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu_micros(&self) -> anyhow::Result<Option<u64>> {
        match &self.running {
            Running::Process { process, .. } => {
                let micros = cpu_micros(process.id()).context("the floor has ended")?;
                Ok(Some(micros))
            }
            Running::Task(_) => Ok(None),
        }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        if let Running::Task(task) = &self.running {
            task.abort();
        }
    }
}
