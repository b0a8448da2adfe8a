//! A server process that ends when we end.
//!
//! Each server is started by a small shell script that first leaves a watcher behind. The watcher
//! reads from a pipe whose other end only we hold; when we are gone, however we went, it sees the
//! end of the file, stops the server and removes its directory. (`PR_SET_PDEATHSIG` would follow
//! the *thread* that started the server, which is not what a multi-threaded test means.)

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::Instant;

/// The watcher is forked twice, so that it is no child of the server: the postmaster takes the
/// death of an unknown child for a crash. A line on the pipe tells it that all is well.
const LAUNCH: &str = r#"
signal=$1 directory=$2
shift 2
exec 3<&0
( {
    trap '' HUP INT TERM
    read -r _ && exit
    kill -s "$signal" $$
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        kill -0 $$ || break
        sleep 0.1
    done
    kill -s KILL $$
    rm -rf -- "$directory"
} <&3 3<&- >/dev/null 2>&1 & )
exec "$@" </dev/null 3<&-
"#;

/// How often we look whether a process has ended.
const POLL: Duration = Duration::from_millis(5);

/// How long [`Process::end`] waits before it resorts to SIGKILL.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// The signals we send.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signal {
    Interrupt,
    Kill,
    Quit,
    Terminate,
}

impl Signal {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Kill => "KILL",
            Self::Quit => "QUIT",
            Self::Terminate => "TERM",
        }
    }
}

/// A running (or ended, not yet forgotten) server.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// Our end of the watcher's pipe.
    lifeline: Option<ChildStdin>,
    ending: Signal,
}

impl Process {
    /// A command to which the caller adds the program, its arguments and its environment.
    ///
    /// `ending` is the signal that stops the server at once and cleanly; `directory` is what the
    /// watcher removes when we die.
    pub(super) fn command(ending: Signal, directory: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", LAUNCH, "sandbox", ending.as_str()])
            .arg(directory);
        command
    }

    /// Starts what [`Process::command`] began; its output is appended to the file `log`.
    ///
    /// The server gets a process group of its own, so that Ctrl-C in a terminal reaches only us
    /// and the servers stop in the order we choose.
    pub(super) fn spawn(mut command: Command, ending: Signal, log: &Path) -> anyhow::Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .context("cannot start a shell")?;
        let lifeline = child.stdin.take();
        Ok(Self {
            child,
            lifeline,
            ending,
        })
    }

    /// The process id of the server itself (the shell became it).
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if the process has ended.
    pub(super) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child
            .try_wait()
            .expect("a child of ours can always be asked for its state")
    }

    /// Sends a signal; does nothing when the process has ended.
    pub(super) fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        if self.exit_status().is_none() {
            send(signal, &[self.id()])?;
        }
        Ok(())
    }

    /// Ends the process and its direct children by SIGKILL in one go: a crash, with no last words.
    pub(super) fn crash(&mut self) -> anyhow::Result<()> {
        if self.exit_status().is_some() {
            return Ok(());
        }
        let mut ids = vec![self.id()];
        ids.extend(children(self.id())?);
        send(Signal::Kill, &ids)?;
        self.end();
        let deadline = Instant::now() + END_TIMEOUT;
        while ids.iter().any(|id| is_running(*id)) && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Waits until the process has ended.
    ///
    /// # Errors
    /// When it has not ended after `limit`.
    pub(super) async fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.exit_status() {
                self.end();
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("process {} has not ended after {limit:?}", self.id());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Stops the process at once, waits for it and dismisses the watcher. Blocks; can be repeated.
    pub(super) fn end(&mut self) {
        // A signal that cannot be sent is followed by SIGKILL below.
        self.signal(self.ending).ok();
        let deadline = Instant::now() + END_TIMEOUT;
        while self.exit_status().is_none() {
            if Instant::now() > deadline {
                self.child.kill().ok();
            }
            std::thread::sleep(POLL);
        }
        if let Some(mut lifeline) = self.lifeline.take() {
            lifeline.write_all(b"ended\n").ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn send(signal: Signal, ids: &[u32]) -> anyhow::Result<()> {
    // One that has gone in the meantime is no failure.
    Command::new("/bin/sh")
        .args([
            "-c",
            r#"kill -s "$@" 2>/dev/null; exit 0"#,
            "kill",
            signal.as_str(),
        ])
        .args(ids.iter().map(u32::to_string))
        .status()
        .context("cannot start a shell to send a signal")?;
    Ok(())
}

fn children(parent: u32) -> anyhow::Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(id) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if stat_fields(id).and_then(|fields| fields.get(1)?.parse().ok()) == Some(parent) {
            children.push(id);
        }
    }
    Ok(children)
}

fn is_running(id: u32) -> bool {
    stat_fields(id).is_some_and(|fields| fields.first().is_some_and(|state| state != "Z"))
}

/// The fields of `/proc/ID/stat` from the state on (field 3 in proc(5)), or nothing when the
/// process is gone.
pub(super) fn stat_fields(id: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The command's name stands in parentheses and may itself contain spaces and parentheses.
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// What Linux counts CPU time in: `USER_HZ` is 100 everywhere.
const MICROS_PER_TICK: u64 = 10_000;

/// User and system CPU time of a process alone so far, in microseconds (in steps of 10 ms).
pub(super) fn cpu_micros(id: u32) -> Option<u64> {
    // proc(5): utime and stime are fields 14 and 15, and the state is field 3.
    Some(ticks(&stat_fields(id)?, &[11, 12]) * MICROS_PER_TICK)
}

/// CPU time of a process and all its descendants so far, those that have ended (and were waited for) too.
pub(super) fn tree_cpu_micros(id: u32) -> Option<u64> {
    // The two behind utime and stime count the children that have ended.
    const ALL: [usize; 4] = [11, 12, 13, 14];
    let mut total = ticks(&stat_fields(id)?, &ALL);
    let mut parents = vec![id];
    while let Some(parent) = parents.pop() {
        for child in children(parent).unwrap_or_default() {
            total += stat_fields(child).map_or(0, |fields| ticks(&fields, &ALL));
            parents.push(child);
        }
    }
    Some(total * MICROS_PER_TICK)
}

fn ticks(fields: &[String], places: &[usize]) -> u64 {
    let field = |place: &usize| fields.get(*place)?.parse::<u64>().ok();
    places.iter().filter_map(field).sum()
}

/// Shows the end of a server's log when a test has failed; called while dropping.
pub(super) fn show_log_of_failed_test(server: &str, log: &Path) {
    if std::thread::panicking() {
        eprintln!("--- end of the log of {server} ---\n{}", last_lines(log));
    }
}

/// The last lines of a log, for messages about a server that did not do as it was told.
pub(super) fn last_lines(log: &Path) -> String {
    const LINES: usize = 60;
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
