//! A private PostgreSQL server.

use std::fmt::Write as _;
use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_postgres::Client;

use super::installation::Installation;
use super::process::{Process, Signal, last_lines, show_log_of_failed_test, tree_cpu_micros};
use super::{Auth, connect, port, template};

/// SIGQUIT is PostgreSQL's immediate shutdown (PostgreSQL, 19.5 "Shutting Down the Server").
const ENDING: Signal = Signal::Quit;

/// How long a server may take to start or to stop. Generous: test machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often we ask a starting server whether it is ready.
const POLL: Duration = Duration::from_millis(10);

/// Attempts to start on a fresh port, should somebody else take ours first.
const ATTEMPTS: usize = 3;

/// A private PostgreSQL server on 127.0.0.1 and on a Unix socket, with a superuser `keel` (password
/// `keel`) and a database `app`.
///
/// It is stopped and its directory removed when dropped. `fsync` is off: the data survives
/// [`Postgres::kill`], but not a crash of the machine.
#[derive(Debug)]
pub struct Postgres {
    /// Dropped (and so stopped) before the directory it works in.
    process: Option<Process>,
    installation: Installation,
    port: u16,
    directory: TempDir,
}

/// What a [`Postgres`] shall be like. The default: the newest version, SCRAM, default settings.
#[derive(Clone, Debug)]
pub struct PostgresBuilder {
    auth: Auth,
    settings: Vec<(String, String)>,
    files: Vec<(String, Vec<u8>)>,
    version_dir: Option<PathBuf>,
}

impl Postgres {
    /// Starts a server with the defaults.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start; the message holds the end of its log.
    pub async fn start() -> anyhow::Result<Self> {
        Self::builder().start().await
    }

    /// Starts to describe a server.
    #[must_use]
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder {
            auth: Auth::ScramSha256,
            settings: Vec::new(),
            files: Vec::new(),
            version_dir: None,
        }
    }

    /// The connection string of the superuser `keel` to the database `app`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_for("keel", "keel", "app")
    }

    /// A connection string; its parts must need no percent-encoding.
    #[must_use]
    pub fn url_for(&self, user: &str, password: &str, database: &str) -> String {
        format!(
            "postgres://{user}:{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// The TCP port on 127.0.0.1. It stays the same when the server is started again.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the server's Unix socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        self.directory.path()
    }

    /// The path of a client program of the same version, such as `psql` or `pgbench`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.installation.program(name)
    }

    /// The process id of the postmaster, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// CPU time of the server with all its processes so far, in microseconds (in steps of 10 ms).
    ///
    /// # Errors
    /// When the server does not run.
    pub fn cpu_micros(&self) -> anyhow::Result<u64> {
        self.id()
            .and_then(tree_cpu_micros)
            .context("PostgreSQL does not run")
    }

    /// As the server's program says it, such as `15.18`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.installation.version
    }

    /// A connection of the superuser to the database `app`. It ends when the client is dropped.
    ///
    /// # Errors
    /// When the server does not run or refuses the connection.
    pub async fn connect(&self) -> anyhow::Result<Client> {
        Ok(connect(&self.url()).await?)
    }

    /// Stops the server in PostgreSQL's fast mode: clients are disconnected, transactions undone.
    ///
    /// # Errors
    /// When it has not stopped within a minute.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(process) = &mut self.process {
            process.signal(Signal::Interrupt)?;
            process.wait(PATIENCE).await?;
        }
        self.process = None;
        Ok(())
    }

    /// Kills the postmaster and every backend: to clients, a machine that went away.
    ///
    /// # Errors
    /// When the signals cannot be sent.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(process) = &mut self.process {
            process.crash()?;
        }
        self.process = None;
        Ok(())
    }

    /// Starts the server again after [`Postgres::stop`] or [`Postgres::kill`]: same port, same data.
    ///
    /// # Errors
    /// When it does not start; the message holds the end of its log.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        if self.process.is_none() {
            self.launch()?;
            self.ready().await?;
        }
        Ok(())
    }

    /// Stops the server and starts it again.
    ///
    /// # Errors
    /// As [`Postgres::stop`] and [`Postgres::start_again`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await?;
        self.start_again().await
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn launch(&mut self) -> anyhow::Result<()> {
        let mut command = Process::command(ENDING, self.directory.path());
        command
            .args(self.installation.server_command("postgres"))
            .arg("-D")
            .arg(self.directory.path().join("data"))
            .arg("-p")
            .arg(self.port.to_string())
            .current_dir(self.directory.path());
        self.process = Some(Process::spawn(command, ENDING, &self.log())?);
        Ok(())
    }

    /// Waits until the server answers a query.
    async fn ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = connect(&self.url()).await {
            let ended = self
                .process
                .as_mut()
                .is_none_or(|process| process.exit_status().is_some());
            if ended || Instant::now() > deadline {
                let log = last_lines(&self.log());
                self.process = None;
                bail!("PostgreSQL did not start: {error}\n{log}");
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        show_log_of_failed_test("PostgreSQL", &self.log());
    }
}

impl PostgresBuilder {
    /// How clients are asked who they are, on TCP and on the socket.
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// A line of `postgresql.conf`; the last one for a name counts.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A file in the data directory that nobody else can read, such as `pg_hba.conf` or a key.
    #[must_use]
    pub fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), content.into()));
        self
    }

    /// A particular version: the directory that holds its `bin`, such as `/usr/lib/postgresql/15`.
    #[must_use]
    pub fn version_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.version_dir = Some(directory.into());
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start; the message holds the end of its log.
    pub async fn start(self) -> anyhow::Result<Postgres> {
        let mut postgres = tokio::task::spawn_blocking(move || self.prepare())
            .await
            .context("preparing a cluster panicked")??;
        for _ in 1..ATTEMPTS {
            postgres.launch()?;
            match postgres.ready().await {
                Err(error) if error.to_string().contains("could not bind") => {
                    postgres.port = port::free()?;
                }
                started => return started.map(|()| postgres),
            }
        }
        postgres.launch()?;
        postgres.ready().await.map(|()| postgres)
    }

    fn prepare(self) -> anyhow::Result<Postgres> {
        let installation = Installation::find(self.version_dir.as_deref())?;
        let directory = template::workshop(&installation)?;
        let data = template::unpack(&installation, self.auth, directory.path())?;
        let settings = self.render(&installation, directory.path())?;
        let mut file = File::options()
            .append(true)
            .open(data.join("postgresql.conf"))?;
        std::io::Write::write_all(&mut file, settings.as_bytes())?;
        let owner = std::fs::metadata(&data)?;
        for (name, content) in &self.files {
            let path = data.join(name);
            std::fs::write(&path, content)?;
            std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            chown(&path, Some(owner.uid()), Some(owner.gid()))?;
        }
        Ok(Postgres {
            process: None,
            installation,
            port: port::free()?,
            directory,
        })
    }

    fn render(&self, installation: &Installation, directory: &Path) -> anyhow::Result<String> {
        let socket_directory = directory
            .to_str()
            .context("the temporary directory is not UTF-8")?;
        let mut defaults = vec![
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", socket_directory),
            ("max_connections", "200"),
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
        ];
        if installation.has_library("pg_stat_statements") {
            defaults.push(("shared_preload_libraries", "pg_stat_statements"));
        }
        let chosen = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let mut text = String::from("\n");
        for (name, value) in defaults.into_iter().chain(chosen) {
            writeln!(text, "{name} = '{}'", value.replace('\'', "''"))?;
        }
        Ok(text)
    }
}
