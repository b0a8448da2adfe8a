//! Where PostgreSQL's programs are, and which account may run them.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// PostgreSQL's programs of one version.
#[derive(Clone, Debug)]
pub(super) struct Installation {
    bin: PathBuf,
    /// As `postgres --version` says it, such as `15.18`.
    pub(super) version: String,
    account: Account,
}

/// The account a server runs under.
#[derive(Clone, Copy, Debug)]
enum Account {
    /// Our own.
    Own,
    /// `postgres`, because we are root and PostgreSQL refuses to run as root.
    Postgres { user: u32, group: u32 },
}

impl Installation {
    /// The programs in `version_dir/bin`, else in `$PGKEEL_PG_BIN`, else the newest below
    /// `/usr/lib/postgresql`, else on the `PATH`.
    pub(super) fn find(version_dir: Option<&Path>) -> anyhow::Result<Self> {
        let candidates = match (version_dir, std::env::var_os("PGKEEL_PG_BIN")) {
            (Some(directory), _) => vec![directory.join("bin")],
            (None, Some(bin)) => vec![PathBuf::from(bin)],
            (None, None) => newest_first("/usr/lib/postgresql".as_ref())
                .into_iter()
                .chain(std::env::split_paths(
                    &std::env::var_os("PATH").unwrap_or_default(),
                ))
                .collect(),
        };
        let has_server =
            |bin: &&PathBuf| bin.join("initdb").exists() && bin.join("postgres").exists();
        let Some(bin) = candidates.iter().find(has_server) else {
            bail!(
                "no PostgreSQL server found in {candidates:?}; run scripts/setup or set PGKEEL_PG_BIN"
            );
        };
        let version = output(Command::new(bin.join("postgres")).arg("--version"))?;
        let version = version
            .split_whitespace()
            .nth(2)
            .context("postgres --version says nothing")?;
        Ok(Self {
            bin: bin.clone(),
            version: version.to_owned(),
            account: Account::find()?,
        })
    }

    /// The path of a program such as `psql`.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// The words of a command line that runs `name` under the server's account.
    pub(super) fn server_command(&self, name: &str) -> Vec<PathBuf> {
        self.under_account(self.program(name))
    }

    /// The words of a command line that runs any program under the server's account.
    pub(super) fn under_account(&self, program: PathBuf) -> Vec<PathBuf> {
        let mut words = match self.account {
            Account::Own => Vec::new(),
            Account::Postgres { user, group } => vec![
                "setpriv".into(),
                format!("--reuid={user}").into(),
                format!("--regid={group}").into(),
                "--clear-groups".into(),
                "--".into(),
            ],
        };
        words.push(program);
        words
    }

    /// Gives a file or directory to the server's account.
    pub(super) fn give(&self, path: &Path) -> anyhow::Result<()> {
        match self.account {
            Account::Own => Ok(()),
            Account::Postgres { user, group } => chown(path, Some(user), Some(group))
                .with_context(|| format!("cannot give {} to postgres", path.display())),
        }
    }

    /// A directory below which the server's account can reach its files. Root's own `TMPDIR` is
    /// often closed to others; and a socket's path must stay below 108 bytes.
    pub(super) fn base_directory(&self) -> PathBuf {
        match self.account {
            Account::Own => std::env::temp_dir(),
            Account::Postgres { .. } => PathBuf::from("/tmp"),
        }
    }

    /// Does the server have this loadable library?
    pub(super) fn has_library(&self, name: &str) -> bool {
        output(Command::new(self.program("pg_config")).arg("--pkglibdir")).is_ok_and(|directory| {
            Path::new(directory.trim())
                .join(name)
                .with_extension("so")
                .exists()
        })
    }
}

impl Account {
    fn find() -> anyhow::Result<Self> {
        if own_user()? != 0 {
            return Ok(Self::Own);
        }
        let id = |flag: &str| -> anyhow::Result<u32> {
            Ok(output(Command::new("id").args([flag, "postgres"]))?
                .trim()
                .parse()?)
        };
        Ok(Self::Postgres {
            user: id("-u")?,
            group: id("-g")?,
        })
    }
}

/// The user id of this process.
pub(super) fn own_user() -> anyhow::Result<u32> {
    Ok(std::fs::metadata("/proc/self")
        .context("/proc is not mounted")?
        .uid())
}

/// Runs a command to its end and returns what it wrote; what it complained is the error.
pub(super) fn output(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{} failed ({}): {}",
            program.display(),
            output.status,
            complaint.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A command from the words of [`Installation::server_command`].
pub(super) fn command(words: &[PathBuf]) -> Command {
    let (program, arguments) = words.split_first().expect("a command has a program");
    let mut command = Command::new(program);
    command.args(arguments.iter().map(|word| -> &OsStr { word.as_os_str() }));
    command
}

/// The `bin` directories of all versions below `root`, newest first.
fn newest_first(root: &Path) -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, bin)| bin).collect()
}
