//! Private servers on free ports, in directories of their own: PostgreSQL, Redis, pgkeel, and what it is compared with.
//!
//! A server never outlives the process that started it, not even one ended by SIGKILL, and leaves
//! nothing behind on the disk. Nothing here touches a server it did not start. Linux only: it reads
//! `/proc` and uses `setpriv`.

mod floor;
mod installation;
mod pooler;
mod port;
mod postgres;
mod process;
mod proxy;
mod redis;
mod template;

pub use floor::Floor;
pub use pooler::Pooler;
pub use postgres::{Postgres, PostgresBuilder};
pub use proxy::{Proxy, ProxyOptions};
pub use redis::Redis;
pub use template::Auth;

use tokio_postgres::{Client, NoTls};

/// Connects to any PostgreSQL (or pgkeel); the connection ends when the client is dropped.
///
/// # Errors
/// When the connection string is wrong or the server does not let us in.
pub async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // What goes wrong with the connection is told to the client's next call.
    tokio::spawn(async move { connection.await.ok() });
    Ok(client)
}
