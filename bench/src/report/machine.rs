//! The machine that a run ran on: figures without it mean nothing.

use std::fmt;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// What a reader needs to know of it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Machine {
    /// Processors that may be used.
    pub cores: usize,
    /// The processor's model.
    pub cpu: String,
    /// The kernel's name and release.
    pub kernel: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// PostgreSQL's version.
    pub postgres: String,
    /// The load average (1 minute) before the run began: above 0, others were at work too.
    pub load_before: f64,
    /// The commit that was measured, if known.
    pub commit: String,
}

impl Machine {
    /// Looks at this machine.
    #[must_use]
    pub fn here(postgres: &str) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| -> Option<String> {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let memory = memory
            .split_whitespace()
            .next()
            .and_then(|kib| kib.parse::<u64>().ok());
        let load = read("/proc/loadavg");
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
            kernel: said("uname", &["-sr"]),
            memory_mib: memory.unwrap_or(0) / 1024,
            postgres: postgres.to_owned(),
            load_before: load
                .split_whitespace()
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(0.0),
            commit: said(
                "git",
                &[
                    "-C",
                    env!("CARGO_MANIFEST_DIR"),
                    "rev-parse",
                    "--short",
                    "HEAD",
                ],
            ),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cores of {}, {:.0} GiB of memory, {}, PostgreSQL {}",
            self.cores,
            self.cpu,
            self.memory_mib as f64 / 1024.0,
            self.kernel,
            self.postgres
        )
    }
}

/// The time, in UTC.
pub(crate) fn now() -> String {
    said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
