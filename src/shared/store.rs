//! The connection to Redis that results go over.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion};

use super::link::{LinkError, Place, query, within};
use crate::config::RedisMode;

/// A connection for results.
#[derive(Clone)]
pub(super) enum Store {
    Cluster(ClusterConnection),
    Single(MultiplexedConnection),
}

impl Store {
    /// A value, and how many milliseconds are left of its time; `None` for no end.
    pub(super) async fn read(
        &mut self,
        key: &[u8],
        limit: Duration,
    ) -> Result<Option<(Vec<u8>, Option<u64>)>, LinkError> {
        let mut both = redis::pipe();
        // In this order: a value that is replaced in between seems to end too soon, not too late.
        both.cmd("PTTL").arg(key).cmd("GET").arg(key);
        let (left, value): (i64, Option<Vec<u8>>) = match self {
            Self::Cluster(connection) => within(limit, query(&both, connection)).await?,
            Self::Single(connection) => within(limit, query(&both, connection)).await?,
        };
        Ok(match (value, u64::try_from(left)) {
            (Some(value), Ok(left)) => Some((value, Some(left))),
            // -1: it has no end.
            (Some(value), Err(_)) if left == -1 => Some((value, None)),
            _ => None,
        })
    }

    /// Stores a value for so many milliseconds.
    pub(super) async fn write(
        &mut self,
        key: &[u8],
        value: &[u8],
        millis: Option<u64>,
        limit: Duration,
    ) -> Result<(), LinkError> {
        let mut set = redis::cmd("SET");
        set.arg(key).arg(value);
        if let Some(millis) = millis {
            set.arg("PX").arg(millis);
        }
        match self {
            Self::Cluster(connection) => {
                within(limit, async { Ok(set.query_async(connection).await?) }).await
            }
            Self::Single(connection) => {
                within(limit, async { Ok(set.query_async(connection).await?) }).await
            }
        }
    }
}

impl Place {
    /// Connects for the results.
    pub(super) async fn store(&self, limit: Duration) -> Result<Store, LinkError> {
        let connecting = async {
            if self.mode == RedisMode::Cluster {
                let client = ClusterClient::builder(self.infos.clone())
                    .use_protocol(ProtocolVersion::RESP3)
                    .retries(1)
                    .build()?;
                return Ok(Store::Cluster(client.get_async_connection().await?));
            }
            let client = self.client().await?;
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            let connected = client.get_multiplexed_async_connection_with_config(&config);
            Ok(Store::Single(connected.await?))
        };
        within(limit, connecting).await
    }
}
