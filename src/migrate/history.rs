//! What the database says is in place: the rows of `_sqlx_migrations`.

use sqlx::postgres::PgConnection;

use super::Error;

/// A step that was applied, or begun.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) version: i64,
    pub(super) description: String,
    /// The checksum of the script that was applied.
    pub(super) checksum: Vec<u8>,
    /// False: applying or undoing it was begun and not finished.
    pub(super) success: bool,
    /// When, for people.
    pub(super) installed: String,
}

/// The rows, oldest version first. Creates nothing: without the table there are none.
pub(super) async fn load(connection: &mut PgConnection) -> Result<Vec<Entry>, Error> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(Vec::new());
    }
    let rows: Vec<(i64, String, Vec<u8>, bool, String)> = sqlx::query_as(
        "SELECT version, description, checksum, success, \
                to_char(installed_on AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS \"UTC\"') \
         FROM _sqlx_migrations ORDER BY version",
    )
    .fetch_all(connection)
    .await?;
    let entry = |(version, description, checksum, success, installed)| Entry {
        version,
        description,
        checksum,
        success,
        installed,
    };
    Ok(rows.into_iter().map(entry).collect())
}
