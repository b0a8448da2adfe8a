//! Private servers on free ports, in directories of their own: PostgreSQL, Redis and pgkeel.
//!
//! A server never outlives the process that started it, not even one ended by SIGKILL, and leaves
//! nothing behind on the disk. Nothing here touches a server it did not start. Linux only: it reads
//! `/proc` and uses `setpriv`.

mod installation;
mod port;
mod postgres;
mod process;
mod proxy;
mod redis;
mod template;

pub use postgres::{Postgres, PostgresBuilder};
pub use proxy::{Proxy, ProxyOptions};
pub use redis::Redis;
pub use template::Auth;
