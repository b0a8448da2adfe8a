//! The migrations inside the program: the files of `migrations/`, read when pgkeel is built.
//!
//! Invariant: version, description, checksum and the meaning of `-- no-transaction` are what sqlx makes of
//! the same files; a test compares the list with the folder.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType};

use super::Action;

/// A file that opens with this runs outside a transaction, as CREATE INDEX CONCURRENTLY needs.
///
/// It may hold several statements, which are sent one by one, and must bear to be run again: see `unbound`.
const NO_TRANSACTION: &str = "-- no-transaction";

/// One reversible step of the schema.
#[derive(Clone, Debug)]
pub struct Step {
    up: Migration,
    down: Migration,
}

impl Step {
    /// A step from its two scripts. `version` is positive and unlike any other of the list.
    pub fn new(
        version: i64,
        description: impl Into<Cow<'static, str>>,
        up: impl Into<Cow<'static, str>>,
        down: impl Into<Cow<'static, str>>,
    ) -> Self {
        let description = description.into();
        let migration = |kind, sql: Cow<'static, str>| {
            let no_transaction = sql.starts_with(NO_TRANSACTION);
            Migration::new(version, description.clone(), kind, sql, no_transaction)
        };
        Self {
            up: migration(MigrationType::ReversibleUp, up.into()),
            down: migration(MigrationType::ReversibleDown, down.into()),
        }
    }

    /// Its number.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.up.version
    }

    /// Its number and name, for people.
    #[must_use]
    pub fn label(&self) -> String {
        label(&self.up)
    }

    /// Whether `action` may carry on where an earlier attempt to apply or to undo this was interrupted. Only what
    /// runs outside a transaction can be left half done by pgkeel.
    pub(super) fn can_resume(&self, action: Action) -> bool {
        match action {
            Action::Status => true,
            Action::Up { .. } => self.up.no_tx,
            Action::Down { .. } => self.up.no_tx || self.down.no_tx,
        }
    }

    pub(super) fn up(&self) -> &Migration {
        &self.up
    }

    pub(super) fn down(&self) -> &Migration {
        &self.down
    }
}

pub(super) fn label(migration: &Migration) -> String {
    format!("{:04} {}", migration.version, migration.description)
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$((
            $name,
            include_str!(concat!("../../migrations/", $name, ".up.sql")),
            include_str!(concat!("../../migrations/", $name, ".down.sql")),
        )),*]
    };
}

/// The steps of this program, oldest first.
#[must_use]
pub fn embedded() -> Vec<Step> {
    files![
        "0001_users",
        "0002_campaigns",
        "0003_leads",
        "0004_communications",
        "0005_conversations",
        "0006_agent_decisions",
        "0007_feature_flags",
        "0008_indexes",
    ]
    .into_iter()
    .map(|(name, up, down)| {
        let (version, description) = name
            .split_once('_')
            .expect("the names above hold an underscore");
        let version = version.parse().expect("the names above open with a number");
        Step::new(version, description.replace('_', " "), up, down)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_list_is_what_sqlx_reads_from_the_folder() {
        let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"));
        let facts = |migration: &Migration| {
            let Migration {
                version,
                description,
                migration_type,
                checksum,
                no_tx,
                ..
            } = migration.clone();
            (
                version,
                migration_type.is_down_migration(),
                description,
                checksum,
                no_tx,
            )
        };
        let on_disk = sqlx::migrate::Migrator::new(folder).await.unwrap();
        let mut expected: Vec<_> = on_disk.iter().map(facts).collect();
        let mut embedded: Vec<_> = embedded()
            .iter()
            .flat_map(|step| [facts(step.up()), facts(step.down())])
            .collect();
        expected.sort();
        embedded.sort();
        assert_eq!(embedded, expected);
    }

    #[test]
    fn every_file_says_why_it_exists() {
        for step in embedded() {
            for migration in [step.up(), step.down()] {
                assert!(migration.sql.starts_with("-- "), "{}", step.label());
            }
        }
    }

    #[test]
    fn no_transaction_is_read_from_the_first_line() {
        let step = Step::new(
            1,
            "index",
            "-- no-transaction\nCREATE INDEX ...",
            "DROP INDEX ...",
        );
        assert!(step.up().no_tx);
        assert!(!step.down().no_tx);
    }
}
