//! `pgkeel migrate status`: the steps of this program and of the database, side by side.
//!
//! Invariant: it takes no lock and changes nothing.

use std::io::Write;

use sqlx::postgres::PgConnection;

use super::history::{self, Entry};
use super::{Error, Step};

/// Writes one line a step to `out`, and a last one that counts them.
///
/// # Errors
/// When the server fails, or `out` does.
pub(super) async fn show(
    connection: &mut PgConnection,
    steps: &[Step],
    out: &mut impl Write,
) -> Result<(), Error> {
    let history = history::load(connection).await?;
    let mut pending = 0_usize;
    for step in steps {
        let label = step.label();
        match history.iter().find(|entry| entry.version == step.version()) {
            None => {
                pending += 1;
                writeln!(out, "pending  {label}")?;
            }
            Some(entry) if *entry.checksum != *step.up().checksum => {
                let (state, when) = (state(entry, "changed"), &entry.installed);
                writeln!(
                    out,
                    "{state}  {label}  (applied {when}, not what this program holds)"
                )?;
            }
            Some(entry) if !entry.success => writeln!(
                out,
                "dirty    {label}  {}  (half done: `up` carries on, `down` undoes it)",
                entry.installed
            )?,
            Some(entry) => writeln!(out, "applied  {label}  {}", entry.installed)?,
        }
    }
    for entry in history
        .iter()
        .filter(|entry| !steps.iter().any(|step| step.version() == entry.version))
    {
        writeln!(
            out,
            "{}  {:04} {}  {}",
            state(entry, "unknown"),
            entry.version,
            entry.description,
            entry.installed
        )?;
    }
    let dirty = history.iter().filter(|entry| !entry.success).count();
    write!(out, "{} applied, {pending} pending", history.len() - dirty)?;
    match dirty {
        0 => writeln!(out)?,
        dirty => writeln!(out, ", {dirty} dirty")?,
    }
    Ok(())
}

/// A step that this program cannot carry on with is named for that, unless it is half done as well.
fn state(entry: &Entry, otherwise: &'static str) -> &'static str {
    if entry.success { otherwise } else { "dirty  " }
}
