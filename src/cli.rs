//! The command line: what `pgkeel` can be asked to do.

use std::{env, io::Write, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Inputs, Problem};
use crate::migrate::MigrateArgs;
use crate::seed::SeedArgs;

/// The command line of `pgkeel`.
#[derive(Debug, Parser)]
#[command(
    name = "pgkeel",
    version,
    about = "A transparent caching proxy for PostgreSQL that never serves a stale read"
)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do. Nothing: run the proxy.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub sources: Sources,
}

/// What else `pgkeel` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the configuration and print it, each value with where it came from
    Check(Sources),
    /// Print what the proxy makes of a statement: what it reads and writes, and why it is (not) cached
    Explain(ExplainArgs),
    /// Bring a database to the sample application's schema, or back
    Migrate(MigrateArgs),
    /// Fill the sample application's schema with data
    Seed(SeedArgs),
}

/// The command line of `pgkeel explain`.
#[derive(Args, Debug, Default)]
pub struct ExplainArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub sources: Sources,
    /// The database, by the name that clients use [default: that of the upstream]
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The statement
    #[arg(value_name = "SQL")]
    pub sql: String,
}

/// The flags of the configuration. Their values are read by [`Config::load`], so that every error looks the same.
#[derive(Args, Debug, Default)]
pub struct Sources {
    /// The configuration file; proxy.toml documents every key
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The PostgreSQL server, as postgres://user:password@host:5432/database [env: DATABASE_URL]
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where clients connect [default: 127.0.0.1:6432]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where the admin port listens, or "off" [default: 127.0.0.1:6433]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
}

impl Sources {
    /// The flags together with the environment of this process.
    #[must_use]
    pub fn inputs(self) -> Inputs {
        let flags = [
            ("--upstream", self.upstream),
            ("--listen", self.listen),
            ("--admin", self.admin),
        ];
        Inputs {
            file: self.config,
            environment: env::vars_os().collect(),
            flags: flags
                .into_iter()
                .filter_map(|(flag, value)| Some((flag, value?)))
                .collect(),
        }
    }
}

/// `pgkeel check`: the effective configuration as TOML to `out`, warnings to `notes`. A closed output is no error.
///
/// # Errors
///
/// What is wrong with the configuration.
pub fn check(inputs: &Inputs, out: &mut impl Write, notes: &mut impl Write) -> Result<(), Problem> {
    let loaded = Config::load(inputs)?;
    for warning in loaded.config.warnings() {
        let _ = writeln!(notes, "warning: {warning}");
    }
    let _ = out.write_all(loaded.to_toml().as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(arguments: &[&str]) -> Cli {
        Cli::try_parse_from([&["pgkeel"], arguments].concat()).unwrap()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_runs_the_proxy() {
        let cli = parse(&[
            "--upstream",
            "postgres://h",
            "--listen",
            "127.0.0.1:1",
            "--admin",
            "off",
        ]);
        assert!(cli.command.is_none());
        let flags = cli.sources.inputs().flags;
        assert_eq!(
            flags.iter().map(|(flag, _)| *flag).collect::<Vec<_>>(),
            ["--upstream", "--listen", "--admin"]
        );
    }

    #[test]
    fn check_takes_the_same_flags() {
        let cli = parse(&["check", "--config", "proxy.toml", "--listen", "127.0.0.1:1"]);
        let Some(Command::Check(sources)) = cli.command else {
            panic!("{cli:?}")
        };
        let inputs = sources.inputs();
        assert_eq!(inputs.file, Some("proxy.toml".into()));
        assert_eq!(inputs.flags, [("--listen", "127.0.0.1:1".to_owned())]);
    }

    #[test]
    fn explain_takes_one_statement() {
        let cli = parse(&["explain", "--database", "crm", "--json", "SELECT 1"]);
        let Some(Command::Explain(arguments)) = cli.command else {
            panic!("{cli:?}")
        };
        assert_eq!(arguments.sql, "SELECT 1");
        assert_eq!(arguments.database.as_deref(), Some("crm"));
        assert!(arguments.json);
        assert!(Cli::try_parse_from(["pgkeel", "explain"]).is_err());
    }

    #[test]
    fn flags_before_a_command_are_refused() {
        assert!(Cli::try_parse_from(["pgkeel", "--listen", "x", "check"]).is_err());
    }

    #[test]
    fn check_prints_the_configuration_or_the_problem() {
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let mut inputs = Inputs {
            flags: vec![
                ("--upstream", "postgres://u:s3cret@h/d".to_owned()),
                ("--admin", "0.0.0.0:6433".to_owned()),
            ],
            ..Inputs::default()
        };
        check(&inputs, &mut out, &mut notes).unwrap();
        let (out, notes) = (
            String::from_utf8(out).unwrap(),
            String::from_utf8(notes).unwrap(),
        );
        assert!(
            out.contains("upstream = \"postgres://u:***@h:5432/d\""),
            "{out}"
        );
        assert!(notes.starts_with("warning: the admin port"), "{notes}");

        inputs.flags.clear();
        assert!(matches!(
            check(&inputs, &mut Vec::new(), &mut Vec::new()),
            Err(Problem::NoUpstream)
        ));
    }
}
