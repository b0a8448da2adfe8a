//! Freshly made database clusters, kept as archives: `initdb` takes a second, unpacking a moment.
//!
//! An archive appears under its name only when it is complete (it is renamed into place), so any
//! number of processes may race to make it. Being one file, it cannot be half swept away by
//! whatever cleans `/tmp`.

use std::fs::{DirBuilder, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use super::installation::{Installation, command, output, own_user};

/// To be raised when the way a cluster is made changes.
const REVISION: u32 = 1;

/// How the server asks its clients who they are (PostgreSQL, 21.3 "Authentication Methods").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Auth {
    /// A salted MD5 digest of the password.
    Md5,
    /// The password itself.
    Password,
    /// SCRAM-SHA-256, PostgreSQL's default.
    ScramSha256,
    /// Everybody is believed.
    Trust,
}

impl Auth {
    /// The name in `pg_hba.conf`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Password => "password",
            Self::ScramSha256 => "scram-sha-256",
            Self::Trust => "trust",
        }
    }
}

/// Puts a new cluster into `directory/data`: superuser `keel`, password `keel`, database `app`.
pub(super) fn unpack(
    installation: &Installation,
    auth: Auth,
    directory: &Path,
) -> anyhow::Result<PathBuf> {
    let archives = archives(installation)?;
    let archive = archives.join(format!(
        "{}-{}-{REVISION}.tar",
        installation.version,
        auth.as_str()
    ));
    if !archive.exists() {
        make(installation, auth, &archive)?;
    }
    let mut unpack = Command::new("tar");
    output(unpack.arg("-xpf").arg(&archive).arg("-C").arg(directory))?;
    Ok(directory.join("data"))
}

/// The directory of archives. It lies in a place open to everybody, so it must be ours alone.
fn archives(installation: &Installation) -> anyhow::Result<PathBuf> {
    let user = own_user()?;
    let directory = installation
        .base_directory()
        .join(format!("pgkeel-clusters-{user}"));
    match DirBuilder::new().mode(0o700).create(&directory) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => bail!("cannot create {}: {error}", directory.display()),
    }
    let metadata = std::fs::symlink_metadata(&directory)?;
    ensure!(
        metadata.is_dir() && metadata.uid() == user && metadata.mode() & 0o077 == 0,
        "{} is not a directory of ours alone; remove it",
        directory.display(),
    );
    Ok(directory)
}

fn make(installation: &Installation, auth: Auth, archive: &Path) -> anyhow::Result<()> {
    let workshop = workshop(installation)?;
    let data = workshop.path().join("data");
    let password = workshop.path().join("password");
    std::fs::write(&password, "keel\n")?;
    std::fs::set_permissions(&password, Permissions::from_mode(0o644))?;

    let mut initdb = command(&installation.server_command("initdb"));
    initdb
        .args([
            "--username=keel",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ])
        .arg(format!("--auth={}", auth.as_str()))
        .arg(format!("--pwfile={}", password.display()))
        .arg("-D")
        .arg(&data)
        .current_dir(workshop.path());
    output(&mut initdb)?;
    create_database(installation, &data)?;

    let unfinished = tempfile::NamedTempFile::new_in(archive.parent().unwrap_or(workshop.path()))?;
    let mut pack = Command::new("tar");
    output(
        pack.arg("-cf")
            .arg(unfinished.path())
            .arg("-C")
            .arg(workshop.path())
            .arg("data"),
    )?;
    unfinished
        .persist(archive)
        .context("cannot put the archive of a new cluster in place")?;
    Ok(())
}

/// A temporary directory that the server's account owns and everybody may pass through.
pub(super) fn workshop(installation: &Installation) -> anyhow::Result<tempfile::TempDir> {
    let directory = tempfile::Builder::new()
        .prefix("pgkeel-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in(installation.base_directory())?;
    installation.give(directory.path())?;
    Ok(directory)
}

/// In single-user mode, since nobody has started a server yet.
fn create_database(installation: &Installation, data: &Path) -> anyhow::Result<()> {
    let mut server = command(&installation.server_command("postgres"))
        .args(["--single", "-c", "fsync=off", "-D"])
        .arg(data)
        .arg("postgres")
        .current_dir(data.parent().unwrap_or(data))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = server
        .stdin
        .take()
        .context("the server has no standard input")?;
    input.write_all(b"CREATE DATABASE app\n")?;
    drop(input);
    let output = server.wait_with_output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && !complaint.contains("ERROR"),
        "cannot create the database: {complaint}"
    );
    Ok(())
}
