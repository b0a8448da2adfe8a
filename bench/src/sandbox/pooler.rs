//! Private poolers of other makers, from their Debian packages, to compare with: PgBouncer and Pgpool-II.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::installation::Installation;
use super::process::{Process, Signal, last_lines, tree_cpu_micros};
use super::{port, template};

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// Pgpool-II ends its children with it; PgBouncer has none.
const ENDING: Signal = Signal::Interrupt;

/// Clients at one time, and connections to the server.
const CONNECTIONS: u32 = 64;

/// Where Debian puts programs that root's `PATH` has and others' has not.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];

/// A running pooler before a private PostgreSQL; stopped when dropped.
#[derive(Debug)]
pub struct Pooler {
    process: Process,
    port: u16,
    about: String,
    directory: TempDir,
}

impl Pooler {
    /// Starts PgBouncer; nothing if it is not installed.
    ///
    /// # Errors
    /// When it does not start; the message holds the end of its log.
    pub async fn pgbouncer(postgres_port: u16) -> anyhow::Result<Option<Self>> {
        let Some(program) = find("pgbouncer") else {
            return Ok(None);
        };
        let version = version(&program);
        // Before 1.21, prepared statements of the protocol work in session mode only.
        let mode = if is_at_least(&version, (1, 21)) {
            "transaction"
        } else {
            "session"
        };
        let about = format!("PgBouncer {version}, {mode} pooling");
        let pooler = Self::start(about, |directory, port| {
            let file = |name: &str| directory.join(name);
            let users = "\"keel\" \"keel\"\n";
            let mut text = format!(
                "[databases]\n* = host=127.0.0.1 port={postgres_port}\n[pgbouncer]\n\
                 listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
                 auth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\n\
                 max_client_conn = 1000\ndefault_pool_size = {CONNECTIONS}\n",
                file("users.txt").display()
            );
            if mode == "transaction" {
                text.push_str("max_prepared_statements = 200\n");
            }
            let config = file("pgbouncer.ini");
            std::fs::write(&config, text)?;
            std::fs::write(file("users.txt"), users)?;
            Ok(vec![program.clone(), config])
        });
        pooler.await.map(Some)
    }

    /// Starts Pgpool-II with its query cache; nothing if it is not installed.
    ///
    /// # Errors
    /// When it does not start; the message holds the end of its log.
    pub async fn pgpool(postgres_port: u16) -> anyhow::Result<Option<Self>> {
        let Some(program) = find("pgpool") else {
            return Ok(None);
        };
        let about = format!("Pgpool-II {}, query cache on", version(&program));
        let pooler = Self::start(about, |directory, port| {
            let file = |name: &str| directory.join(name);
            std::fs::write(
                file("pgpool.conf"),
                pgpool_conf(directory, port, postgres_port)?,
            )?;
            std::fs::write(
                file("pool_hba.conf"),
                "host all all 127.0.0.1/32 scram-sha-256\n",
            )?;
            std::fs::write(file("pool_passwd"), "keel:TEXTkeel\n")?;
            std::fs::write(file("pcp.conf"), "")?;
            let mut words = vec![program.clone(), "-n".into()];
            for (flag, name) in [
                ("-f", "pgpool.conf"),
                ("-a", "pool_hba.conf"),
                ("-F", "pcp.conf"),
            ] {
                words.extend([flag.into(), file(name)]);
            }
            Ok(words)
        });
        pooler.await.map(Some)
    }

    /// The TCP port on 127.0.0.1; user, password and databases are those of the server.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its name, version and mode.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.about
    }

    /// CPU time of all its processes so far, in microseconds (in steps of 10 ms).
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu_micros(&self) -> anyhow::Result<u64> {
        tree_cpu_micros(self.process.id()).context("the pooler has ended")
    }

    /// `configure` writes the files and returns the command line.
    async fn start(
        about: String,
        configure: impl Fn(&Path, u16) -> anyhow::Result<Vec<PathBuf>>,
    ) -> anyhow::Result<Self> {
        let installation = Installation::find(None)?;
        let directory = template::workshop(&installation)?;
        let port = port::free()?;
        let mut words = configure(directory.path(), port)?.into_iter();
        for entry in std::fs::read_dir(directory.path())? {
            installation.give(&entry?.path())?;
        }
        let program = words.next().context("a command has a program")?;
        let mut command = Process::command(ENDING, directory.path());
        command
            .args(installation.under_account(program))
            .args(words)
            .current_dir(directory.path());
        let log = directory.path().join("log");
        let process = Process::spawn(command, ENDING, &log)?;
        let mut pooler = Self {
            process,
            port,
            about,
            directory,
        };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if pooler.process.exit_status().is_some() || Instant::now() > deadline {
                let log = last_lines(&pooler.directory.path().join("log"));
                bail!("{} did not start:\n{log}", pooler.about);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(pooler)
    }
}

fn pgpool_conf(directory: &Path, port: u16, postgres_port: u16) -> anyhow::Result<String> {
    let place = directory.to_string_lossy().into_owned();
    let settings = [
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("port", port.to_string()),
        ("socket_dir", place.clone()),
        ("pcp_socket_dir", place.clone()),
        ("pcp_port", port::free()?.to_string()),
        ("pid_file_name", format!("{place}/pgpool.pid")),
        ("logdir", place.clone()),
        ("backend_clustering_mode", "raw".to_owned()),
        ("backend_hostname0", "127.0.0.1".to_owned()),
        ("backend_port0", postgres_port.to_string()),
        ("backend_flag0", "DISALLOW_TO_FAILOVER".to_owned()),
        ("num_init_children", CONNECTIONS.to_string()),
        ("max_pool", "1".to_owned()),
        ("enable_pool_hba", "on".to_owned()),
        ("pool_passwd", "pool_passwd".to_owned()),
        ("memory_cache_enabled", "on".to_owned()),
        ("memqcache_method", "shmem".to_owned()),
        ("memqcache_total_size", (64 * 1024 * 1024).to_string()),
        ("memqcache_oiddir", place),
    ];
    let mut text = String::new();
    for (name, value) in settings {
        writeln!(text, "{name} = '{value}'")?;
    }
    Ok(text)
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(DIRECTORIES.map(PathBuf::from));
    directories
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// The first number with a dot in what `--version` says.
fn version(program: &Path) -> String {
    let mut command = Command::new(program);
    // Pgpool-II says it to stderr.
    let text = command.arg("--version").output().map_or_else(
        |_| String::new(),
        |output| {
            [output.stdout, output.stderr]
                .concat()
                .escape_ascii()
                .to_string()
        },
    );
    let mut words = text.split(|c: char| c != '.' && !c.is_ascii_digit());
    let number =
        words.find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()));
    number.unwrap_or("of unknown version").to_owned()
}

fn is_at_least(version: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(is_at_least("1.21.0", (1, 21)));
        assert!(is_at_least("2.0", (1, 21)));
        assert!(!is_at_least("1.18.0", (1, 21)));
        assert!(!is_at_least("of unknown version", (1, 21)));
    }
}
