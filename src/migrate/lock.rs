//! The lock that keeps two migrations of one database apart: the advisory lock of sqlx.
//!
//! Invariant: who waits for it holds no snapshot. CREATE INDEX CONCURRENTLY waits for every older snapshot, so
//! a session that waited inside the server for the migration that builds the index would be waited for in
//! turn, until PostgreSQL ended one of the two as a deadlock.
//! <https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY>

use std::io::Write;
use std::time::Duration;

use sqlx::postgres::PgConnection;

use super::Error;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes the lock. It is the session's: it goes when the session ends, if not before.
///
/// # Errors
/// When the server fails, or `out` does.
pub(super) async fn take(connection: &mut PgConnection, out: &mut impl Write) -> Result<(), Error> {
    let database: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(&mut *connection)
        .await?;
    let mut waiting = false;
    loop {
        let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(key(&database))
            .fetch_one(&mut *connection)
            .await?;
        if taken {
            return Ok(());
        }
        if !waiting {
            writeln!(out, "waiting for another migration of this database to end")?;
            out.flush()?;
            waiting = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The number that sqlx locks for a database, so that its tool and pgkeel keep out of each other's way.
fn key(database: &str) -> i64 {
    0x3d32_ad9e * i64::from(crc32(database.as_bytes()))
}

/// The CRC-32 of zlib and Ethernet (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    !bytes.iter().fold(!0, |remainder, byte| {
        (0..8).fold(remainder ^ u32::from(*byte), |remainder, _| {
            (remainder >> 1) ^ (POLYNOMIAL * (remainder & 1))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_usual_one() {
        // The check value of the catalogue of CRCs.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
