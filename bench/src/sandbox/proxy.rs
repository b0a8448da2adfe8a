//! A private pgkeel, run as its users run it: the program, its flags, its ports.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::port;
use super::process::{Process, Signal, cpu_micros, last_lines, show_log_of_failed_test};

const ENDING: Signal = Signal::Kill;
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);
const ATTEMPTS: usize = 3;

/// What passes from our environment to the proxy's. Not `DATABASE_URL` and its like: the
/// developer's own must not steer a test.
const ENVIRONMENT: [&str; 5] = [
    "PATH",
    "HOME",
    "LLVM_PROFILE_FILE",
    "RUST_BACKTRACE",
    "RUST_LOG",
];

/// How to run the proxy.
#[derive(Clone, Debug, Default)]
pub struct ProxyOptions {
    /// The connection string of the PostgreSQL behind it.
    pub upstream_url: String,
    /// What stands behind it for the proxy alone, such as `?sslmode=require`.
    pub upstream_parameters: String,
    /// The program; tests pass `env!("CARGO_BIN_EXE_pgkeel")`.
    pub binary: PathBuf,
    /// The text of a configuration file.
    pub config_toml: Option<String>,
    /// More arguments.
    pub args: Vec<String>,
    /// More of the environment.
    pub env: Vec<(String, String)>,
}

/// A running pgkeel. It is killed when dropped; its log is shown when a test fails.
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    upstream_url: String,
    port: u16,
    admin_port: u16,
    directory: TempDir,
}

impl Proxy {
    /// Starts the proxy on free ports and waits until both accept connections.
    ///
    /// # Errors
    /// When it ends or stays silent; the message holds what it wrote to stderr.
    pub async fn start(options: &ProxyOptions) -> anyhow::Result<Self> {
        for _ in 1..ATTEMPTS {
            match Self::launch(options)?.ready().await {
                Err(error) if error.to_string().contains("in use") => {}
                started => return started,
            }
        }
        Self::launch(options)?.ready().await
    }

    /// The connection string through the proxy: user, password and database of the upstream's.
    #[must_use]
    pub fn url(&self) -> String {
        through(&self.upstream_url, self.port)
    }

    /// The port for clients, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of the admin port, such as `http://127.0.0.1:20001`.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port)
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The admin port's `/stats`.
    ///
    /// # Errors
    /// When the admin port does not answer with 200 and JSON.
    pub async fn stats(&self) -> anyhow::Result<serde_json::Value> {
        let (status, body) = self.get("/stats").await?;
        if status != 200 {
            bail!("/stats answered {status}: {body}");
        }
        serde_json::from_str(&body).with_context(|| format!("/stats is not JSON: {body}"))
    }

    /// Status and body of a path of the admin port.
    ///
    /// # Errors
    /// When the admin port does not answer in HTTP.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        // HTTP 1.0: the answer ends with the connection, and is never chunked.
        let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin_port)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        parse_answer(&answer).with_context(|| format!("not an HTTP answer: {answer:?}"))
    }

    /// What the proxy has written to stderr so far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn log(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.log_path())?)
    }

    /// User and system CPU time of the process so far, in microseconds (in steps of 10 ms).
    ///
    /// # Errors
    /// When the process has ended.
    pub fn cpu_micros(&self) -> anyhow::Result<u64> {
        cpu_micros(self.id()).context("the proxy has ended")
    }

    /// Asks the proxy to end (SIGTERM): it should drain its clients first.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn terminate(&mut self) -> anyhow::Result<()> {
        self.process.signal(Signal::Terminate)
    }

    /// Waits for the proxy's end.
    ///
    /// # Errors
    /// When it has not ended within a minute.
    pub async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        self.process.wait(PATIENCE).await
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn launch(options: &ProxyOptions) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("pgkeel-proxy-").tempdir()?;
        let (port, admin_port) = (port::free()?, port::free()?);
        let mut command = Process::command(ENDING, directory.path());
        command.arg(&options.binary).env_clear();
        for name in ENVIRONMENT {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        if let Some(text) = &options.config_toml {
            let file = directory.path().join("proxy.toml");
            std::fs::write(&file, text)?;
            command.arg("--config").arg(file);
        }
        command
            .arg("--upstream")
            .arg(options.upstream_url.clone() + &options.upstream_parameters)
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--admin", &format!("127.0.0.1:{admin_port}")])
            .args(&options.args)
            .envs(options.env.iter().map(|(name, value)| (name, value)));
        let process = Process::spawn(command, ENDING, &directory.path().join("log"))?;
        let upstream_url = options.upstream_url.clone();
        Ok(Self {
            process,
            upstream_url,
            port,
            admin_port,
            directory,
        })
    }

    async fn ready(mut self) -> anyhow::Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        for port in [self.port, self.admin_port] {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                if let Some(status) = self.process.exit_status() {
                    bail!("pgkeel ended ({status}):\n{}", last_lines(&self.log_path()));
                }
                if Instant::now() > deadline {
                    bail!("pgkeel does not listen:\n{}", last_lines(&self.log_path()));
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(self)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        show_log_of_failed_test("pgkeel", &self.log_path());
    }
}

/// The same connection string, but to 127.0.0.1 and `port`.
fn through(url: &str, port: u16) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let user = authority
        .rsplit_once('@')
        .map_or(String::new(), |(user, _)| format!("{user}@"));
    format!("{scheme}://{user}127.0.0.1:{port}/{path}")
}

fn parse_answer(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_through_the_proxy_keeps_all_but_the_address() {
        let cases = [
            (
                "postgres://keel:keel@127.0.0.1:5432/app",
                "postgres://keel:keel@127.0.0.1:7/app",
            ),
            (
                "postgresql://a:p%40b@db.example:1/x?y=z",
                "postgresql://a:p%40b@127.0.0.1:7/x?y=z",
            ),
            ("postgres://db.example", "postgres://127.0.0.1:7/"),
        ];
        for (upstream, expected) in cases {
            assert_eq!(through(upstream, 7), expected);
        }
    }

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let answer = "HTTP/1.0 503 Service Unavailable\r\na: b\r\n\r\nno\r\n\r\nway";
        assert_eq!(
            parse_answer(answer),
            Some((503, "no\r\n\r\nway".to_owned()))
        );
        assert_eq!(parse_answer("nonsense"), None);
    }
}
