//! Where clients connect: a TCP port, and a Unix socket beside it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use crate::transport::Plain;

/// Where clients connect.
pub struct Listener {
    tcp: TcpListener,
    unix: Option<(UnixListener, SocketFile)>,
}

/// The file of a Unix socket, removed when dropped.
struct SocketFile {
    path: PathBuf,
    /// Device and inode: another's file of the same name is not ours to remove.
    identity: (u64, u64),
}

impl Listener {
    /// Listens on a TCP port alone.
    #[must_use]
    pub const fn new(tcp: TcpListener) -> Self {
        Self { tcp, unix: None }
    }

    /// Listens also on the Unix socket of the same port in `directory`, as PostgreSQL would.
    ///
    /// # Errors
    /// One line that says why not: the directory is missing, or another process listens there.
    pub fn with_unix(mut self, directory: &Path, mode: u32) -> io::Result<Self> {
        let name = format!(".s.PGSQL.{}", self.tcp.local_addr()?.port());
        let path = directory.join(name);
        let opened = open(&path, mode).map_err(|error| {
            let text = format!(
                "cannot listen on {} for clients: {error}; choose another listen_unix",
                path.display()
            );
            io::Error::other(text)
        })?;
        self.unix = Some(opened);
        Ok(self)
    }

    /// The next client, and where it comes from.
    pub(super) async fn accept(&self) -> io::Result<(Plain, String)> {
        let unix = async {
            match &self.unix {
                Some((listener, _)) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = self.tcp.accept() => {
                let (stream, peer) = accepted?;
                Ok((Plain::accepted(stream), peer.to_string()))
            }
            accepted = unix => {
                let (stream, _) = accepted?;
                Ok((Plain::Unix(stream), "[local]".to_owned()))
            }
        }
    }
}

/// The socket gets its mode before it gets its name, so that it is never open to more than it should be.
fn open(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    refuse_if_in_use(path)?;
    let unfinished = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&unfinished);
    let listener = UnixListener::bind(&unfinished)?;
    let finish = || -> io::Result<(u64, u64)> {
        fs::set_permissions(&unfinished, Permissions::from_mode(mode))?;
        let metadata = fs::symlink_metadata(&unfinished)?;
        fs::rename(&unfinished, path)?;
        Ok((metadata.dev(), metadata.ino()))
    };
    let identity = finish().inspect_err(|_| {
        let _ = fs::remove_file(&unfinished);
    })?;
    let path = path.to_owned();
    Ok((listener, SocketFile { path, identity }))
}

/// A socket that a dead process has left behind may be replaced, and nothing else.
fn refuse_if_in_use(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::other("there is a file that is no socket"));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Ok(_) => Err(io::Error::other(
            "address already in use, by a process that listens there",
        )),
        Err(error) => Err(error),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(
                "the socket {} cannot be removed: {error}",
                self.path.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn listener(directory: &Path, port: u16) -> io::Result<Listener> {
        let tcp = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        Listener::new(tcp).with_unix(directory, 0o700)
    }

    #[tokio::test]
    async fn a_socket_has_its_mode_and_goes_with_its_listener() {
        let directory = tempfile::tempdir().unwrap();
        let first = listener(directory.path(), 0).await.unwrap();
        let port = first.tcp.local_addr().unwrap().port();
        let path = directory.path().join(format!(".s.PGSQL.{port}"));
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o700);
        assert!(UnixStream::connect(&path).is_ok());
        drop(first);
        assert!(fs::read_dir(directory.path()).unwrap().next().is_none());
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".s.PGSQL.7");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (living, file) = open(&path, 0o777).unwrap();
        let error = open(&path, 0o777).err().unwrap().to_string();
        assert!(error.contains("already in use"), "{error}");
        drop((living, file));
        fs::write(&path, "mine").unwrap();
        let error = open(&path, 0o777).err().unwrap().to_string();
        assert!(error.contains("no socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[tokio::test]
    async fn the_socket_of_a_successor_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".s.PGSQL.7");
        let (_first, file) = open(&path, 0o777).unwrap();
        fs::remove_file(&path).unwrap();
        let _second = open(&path, 0o777).unwrap();
        drop(file);
        assert!(UnixStream::connect(&path).is_ok());
    }
}
