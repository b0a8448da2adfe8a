//! Scenarios: what an application does, as files that read like it.
//!
//! A file names values (the ids that exist, how often each is asked for) and actions (a page, a job: one or more
//! statements in a row). Reading a file checks it to the end: what is read can be run.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

/// Where the scenarios of the standard set are.
#[must_use]
pub fn standard_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// One file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The name of the file without its number and extension.
    #[serde(skip)]
    pub name: String,
    /// A few words.
    pub title: String,
    /// What the application does, and what the scenario is to show.
    pub about: String,
    /// How statements travel.
    #[serde(default)]
    pub protocol: Protocol,
    /// Connections that work at the same time.
    #[serde(default = "default_clients")]
    pub clients: usize,
    /// Does every action stand between BEGIN and COMMIT, as object mappers put it?
    #[serde(default)]
    pub transactions: bool,
    /// Does every action come with a connection of its own?
    #[serde(default)]
    pub reconnect: bool,
    /// Milliseconds a user looks at a page before the next action.
    #[serde(default)]
    pub think_ms: u64,
    /// When actions begin.
    #[serde(default)]
    pub pace: Pace,
    /// What parameters are drawn from.
    #[serde(default)]
    pub values: BTreeMap<String, Values>,
    /// What is done.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// Recorded traffic to replay instead of actions: a file beside this one.
    #[serde(default)]
    pub trace: Option<Trace>,
    /// Statements that undo what the scenario wrote.
    #[serde(default)]
    pub cleanup: Vec<String>,
}

/// How statements travel (PostgreSQL, 55.2 "Message Flow").
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Parsed, described, bound and executed each time.
    Extended,
    /// Prepared once for each connection.
    #[default]
    Prepared,
    /// Text with the values written into it.
    Simple,
}

impl Protocol {
    /// The word for it in files and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Extended => "extended",
            Self::Prepared => "prepared",
            Self::Simple => "simple",
        }
    }
}

/// When actions begin.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// Each connection begins its next action when the last one has ended.
    #[default]
    Closed,
    /// All connections at once, after the action named `spoil` has run alone. The next time when all have ended.
    Herd,
    /// So many a second, whether or not the server keeps up; latency counts from when an action was due.
    Open(f64),
}

/// What a parameter is drawn from.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Values {
    /// Texts that a query returns, the most popular first.
    Sql {
        /// Its first column is `text`.
        sql: String,
        /// How uneven the choice is.
        #[serde(default)]
        draw: Draw,
    },
    /// One of a few texts, each as often as the others.
    OneOf {
        /// The texts.
        one_of: Vec<String>,
    },
    /// A whole number, both ends included.
    Between {
        /// The ends.
        between: [i64; 2],
    },
    /// A text that no other draw gives: `{}` stands for what makes it so.
    Unique {
        /// The pattern.
        unique: String,
    },
}

/// How uneven a choice is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Draw {
    /// Each as often as the others.
    Uniform,
    /// In proportion to 1 / rank: a few get most, most get a little.
    #[default]
    Zipf,
}

/// A page or a job.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// What it is.
    pub name: String,
    /// How often it is done, relative to the others.
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// How often it is done in a second, by all connections together, instead of by weight.
    #[serde(default)]
    pub per_second: Option<u32>,
    /// Does it change data?
    #[serde(default)]
    pub writes: bool,
    /// Statements, in order.
    pub steps: Vec<Step>,
}

/// A statement.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// By which later steps refer to its rows.
    #[serde(default)]
    pub name: String,
    /// The statement, with `$1` and so on.
    pub sql: String,
    /// The parameters: the name of a value, or `step.column` for a column (of type text) of an earlier step. Then the
    /// statement runs once for each of that step's rows, as a loop in the application would.
    #[serde(default)]
    pub params: Vec<String>,
}

/// Recorded traffic.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// The name of the file.
    pub file: PathBuf,
    /// How many times faster than it was recorded.
    pub speed: f64,
}

const fn default_clients() -> usize {
    8
}

const fn default_weight() -> u32 {
    1
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or is not a scenario; the message says what is wrong.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let mut scenario = Self::parse(&text).with_context(|| format!("in {}", path.display()))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        scenario.name = stem
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == '_')
            .to_owned();
        if let Some(trace) = &mut scenario.trace {
            trace.file = path.with_file_name(&trace.file);
        }
        Ok(scenario)
    }

    /// Reads all files of a directory, in the order of their names.
    ///
    /// # Errors
    /// As [`Scenario::read`], and when there are none.
    pub fn read_all(directory: &Path) -> anyhow::Result<Vec<Self>> {
        let entries = std::fs::read_dir(directory)
            .with_context(|| format!("cannot read {}", directory.display()))?;
        let mut paths: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "toml")
            })
            .collect();
        paths.sort();
        ensure!(!paths.is_empty(), "no scenarios in {}", directory.display());
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Does any action change data?
    #[must_use]
    pub fn writes(&self) -> bool {
        self.trace.is_some() || self.actions.iter().any(|action| action.writes)
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(self.clients > 0, "clients is at least 1");
        ensure!(
            self.trace.is_some() == self.actions.is_empty(),
            "a scenario has either actions or a trace"
        );
        if let Pace::Open(rate) = self.pace {
            ensure!(rate > 0.0, "the rate of an open loop is above 0");
        }
        if self.pace == Pace::Herd {
            ensure!(
                self.actions.iter().any(|action| action.name == "spoil"),
                "a herd needs an action named \"spoil\""
            );
        }
        let weighted = |action: &Action| action.per_second.is_none() && action.name != "spoil";
        ensure!(
            self.trace.is_some() || self.actions.iter().any(weighted),
            "at least one action has a weight"
        );
        for action in &self.actions {
            self.check_action(action)
                .with_context(|| format!("action {:?}", action.name))?;
        }
        Ok(())
    }

    fn check_action(&self, action: &Action) -> anyhow::Result<()> {
        ensure!(action.weight > 0, "weight is at least 1");
        ensure!(action.per_second != Some(0), "per_second is at least 1");
        ensure!(!action.steps.is_empty(), "an action has steps");
        let mut earlier: HashSet<&str> = HashSet::new();
        for step in &action.steps {
            let mut loops_over = None;
            for param in &step.params {
                match param.split_once('.') {
                    None if self.values.contains_key(param) => {}
                    None => bail!("there is no value {param:?}"),
                    Some((name, _)) => {
                        ensure!(
                            earlier.contains(name),
                            "{param:?}: no earlier step {name:?}"
                        );
                        ensure!(
                            loops_over.replace(name).is_none_or(|other| other == name),
                            "a step can loop over the rows of one other step only"
                        );
                    }
                }
            }
            let expected = step.params.len();
            ensure!(
                crate::workload::placeholders(&step.sql) == expected,
                "{:?} does not take {expected} parameters",
                step.sql
            );
            if !step.name.is_empty() {
                earlier.insert(&step.name);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_scenarios_are_sound_and_many() {
        let scenarios = Scenario::read_all(&standard_directory()).unwrap();
        assert!(scenarios.len() >= 15, "{}", scenarios.len());
        let names: HashSet<&str> = scenarios.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names.len(), scenarios.len());
        assert!(scenarios.iter().all(|scenario| !scenario.about.is_empty()));
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_the_reason() {
        let with =
            |steps: &str| format!("title = 't'\nabout = 'a'\n[[actions]]\nname = 'x'\n{steps}");
        let cases = [
            (with("steps = []"), "an action has steps"),
            (
                with("steps = [{ sql = 'SELECT $1', params = ['a'] }]"),
                "no value \"a\"",
            ),
            (
                with("steps = [{ sql = 'SELECT $1' }]"),
                "does not take 0 parameters",
            ),
            (
                with("steps = [{ sql = 'SELECT $1', params = ['a.id'] }]"),
                "no earlier step \"a\"",
            ),
            (
                "title = 't'\nabout = 'a'".into(),
                "either actions or a trace",
            ),
            (
                with("weight = 0\nsteps = [{ sql = 'SELECT 1' }]"),
                "weight is at least 1",
            ),
            (
                "title = 't'\nabout = 'a'\nspeed = 1".into(),
                "unknown field",
            ),
        ];
        for (text, expected) in cases {
            let error = format!("{:#}", Scenario::parse(&text).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}
