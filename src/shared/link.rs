//! The connection to Redis that the fleet is kept over.
//!
//! With [`super::script`] and [`super::store`] this is all that knows the client library. A link is to one server process for as long as
//! it lives, and never reconnects by itself: whoever has lost it has to find out what it has missed.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    ProtocolVersion, PushInfo, PushKind, RedisError, Script, TlsMode, Value,
};
use tokio::sync::mpsc;

use super::script;
use crate::config::{Redis, RedisMode};

/// Why Redis did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// It said so, or the way to it is broken.
    #[error("{0}")]
    Redis(#[from] RedisError),
    /// It does not answer.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// It answered with something else than what was asked for.
    #[error("{0}")]
    Unfit(String),
}

impl LinkError {
    /// Is it full? Then it still answers reads.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Redis(error) if error.code() == Some("OOM"))
    }

    /// Did it answer, if only with an error?
    pub(super) fn is_answer(&self) -> bool {
        match self {
            Self::Redis(error) => error.code().is_some(),
            Self::Silent(_) => false,
            Self::Unfit(_) => true,
        }
    }
}

/// Something that the server says unasked.
pub(super) type Push = PushInfo;

/// Where Redis is, and how it is spoken to.
pub(super) struct Place {
    pub(super) infos: Vec<ConnectionInfo>,
    pub(super) mode: RedisMode,
    master: String,
}

/// What a fleet keeps in Redis, and where it speaks.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) keys: [String; 3],
    pub(super) channel: String,
    pub(super) entries: String,
}

impl Names {
    /// Those that begin with a prefix. The braces put what belongs together into one slot of a cluster.
    pub(super) fn new(prefix: &str) -> Self {
        let key = |name: &str| format!("{prefix}{{fleet}}:{name}");
        Self {
            keys: [key("state"), key("members"), key("words")],
            channel: key("bus"),
            entries: format!("{prefix}e:"),
        }
    }

    /// Where one instance is spoken to.
    pub(super) fn channel_of(&self, id: &str) -> String {
        format!("{}:{id}", self.channel)
    }
}

impl Place {
    /// Reads the configuration.
    ///
    /// # Errors
    /// What is wrong with it, without secrets.
    pub(super) fn new(redis: &Redis) -> Result<Self, String> {
        let urls = redis.url.as_ref().map_or("", |url| url.expose());
        let infos: Result<Vec<_>, _> = urls
            .split(',')
            .map(|url| {
                let info = url.into_connection_info()?;
                let settings = info.redis_settings().clone();
                Ok::<_, RedisError>(
                    info.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3)),
                )
            })
            .collect();
        let infos = infos.map_err(|error| {
            let what = error.category();
            format!("redis.url cannot be understood ({what}); expected redis://user:password@host:6379/0")
        })?;
        Ok(Self {
            infos,
            mode: redis.mode,
            master: redis.sentinel_master.clone(),
        })
    }

    /// A client of the server that holds the fleet's state; of a cluster, of the first node that answers.
    pub(super) async fn client(&self) -> Result<Client, LinkError> {
        match self.mode {
            RedisMode::Single | RedisMode::Cluster => {
                let mut last = None;
                for info in &self.infos {
                    let client = Client::open(info.clone())?;
                    if self.infos.len() == 1 {
                        return Ok(client);
                    }
                    match client.get_multiplexed_async_connection().await {
                        Ok(_) => return Ok(client),
                        Err(error) => last = Some(error),
                    }
                }
                Err(last.map_or_else(|| LinkError::Unfit("no URL".into()), Into::into))
            }
            RedisMode::Sentinel => Ok(self.sentinel()?.async_get_client().await?),
        }
    }

    /// The user, password and database of the first URL are those of the servers; sentinels are asked without.
    fn sentinel(&self) -> Result<SentinelClient, LinkError> {
        let addresses: Vec<_> = self.infos.iter().map(|info| info.addr().clone()).collect();
        let mut builder =
            SentinelClientBuilder::new(addresses, self.master.clone(), SentinelServerType::Master)?
                .set_client_to_redis_protocol(ProtocolVersion::RESP3);
        if let Some(first) = self.infos.first() {
            let settings = first.redis_settings();
            builder = builder.set_client_to_redis_db(settings.db());
            if let Some(user) = settings.username() {
                builder = builder.set_client_to_redis_username(user);
            }
            if let Some(password) = settings.password() {
                builder = builder.set_client_to_redis_password(password);
            }
            if matches!(first.addr(), ConnectionAddr::TcpTls { .. }) {
                builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
            }
        }
        Ok(builder.build()?)
    }

    /// A client of the node that a cluster has said the state is on.
    fn client_of(&self, address: &str) -> Result<Client, LinkError> {
        let unfit = || LinkError::Unfit(format!("the cluster points to {address:?}"));
        let (host, port) = address.rsplit_once(':').ok_or_else(unfit)?;
        let port = port.parse().map_err(|_| unfit())?;
        let first = self.infos.first();
        let first = first.ok_or_else(|| LinkError::Unfit("no URL".into()))?;
        let addr = match first.addr() {
            ConnectionAddr::TcpTls {
                insecure,
                tls_params,
                ..
            } => ConnectionAddr::TcpTls {
                host: host.to_owned(),
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_) | _ => {
                ConnectionAddr::Tcp(host.to_owned(), port)
            }
        };
        Ok(Client::open(first.clone().set_addr(addr))?)
    }
}

pub(super) async fn query<T: redis::FromRedisValue>(
    pipeline: &redis::Pipeline,
    connection: &mut impl redis::aio::ConnectionLike,
) -> Result<T, LinkError> {
    Ok(pipeline.query_async(connection).await?)
}

pub(super) async fn within<T>(
    limit: Duration,
    doing: impl Future<Output = Result<T, LinkError>>,
) -> Result<T, LinkError> {
    tokio::time::timeout(limit, doing)
        .await
        .unwrap_or(Err(LinkError::Silent(limit)))
}

/// Who joins, and with what.
pub(super) struct Joining<'a> {
    pub(super) id: &'a str,
    pub(super) sign: u64,
    pub(super) words: usize,
    pub(super) format: &'a str,
    /// A random one each.
    pub(super) epoch: &'a str,
    pub(super) secret: &'a str,
    pub(super) message: &'a str,
    /// Everything may have changed without anybody being told.
    pub(super) bumps: bool,
    /// Name, record and words of what is open.
    pub(super) windows: Vec<(String, String, Vec<u32>)>,
}

/// What a fleet was when an instance joined it: pairs of names and values, one after the other.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) seq: u64,
    pub(super) state: Vec<String>,
    pub(super) members: Vec<String>,
    pub(super) words: Vec<String>,
}

/// What came of a step.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Stepped {
    /// The fleet was founded anew.
    EpochEnded,
    /// The others have taken us for dead.
    Expelled,
    /// So far the messages have come, and these are the members.
    Done { seq: u64, members: Vec<String> },
}

/// A connection to the server that holds the fleet's state.
pub(super) struct Link {
    connection: MultiplexedConnection,
    pub(super) pushes: mpsc::UnboundedReceiver<PushInfo>,
    run_id: String,
    names: Names,
    programs: Arc<Programs>,
}

struct Programs {
    join: Script,
    step: Script,
    expel: Script,
}

impl Link {
    /// Connects, and subscribes to what is said to all and to `id`.
    pub(super) async fn open(
        place: &Place,
        names: &Names,
        id: &str,
        limit: Duration,
    ) -> Result<Self, LinkError> {
        let connecting = async {
            let client = place.client().await?;
            match Self::connect(client, names, id).await {
                Err(LinkError::Redis(error)) if error.redirect_node().is_some() => {
                    let (address, _slot) = error.redirect_node().unwrap_or_default();
                    Self::connect(place.client_of(address)?, names, id).await
                }
                connected => connected,
            }
        };
        within(limit, connecting).await
    }

    async fn connect(client: Client, names: &Names, id: &str) -> Result<Self, LinkError> {
        let (sender, pushes) = mpsc::unbounded_channel();
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_push_sender(sender);
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        // In a cluster, the wrong node says here where the right one is.
        let asked = redis::cmd("HGET").arg(&names.keys[0]).arg("e").to_owned();
        let _: Option<String> = asked.query_async(&mut connection).await?;
        let info: String = redis::cmd("INFO")
            .arg("server")
            .query_async(&mut connection)
            .await?;
        let run_id = info
            .lines()
            .find_map(|line| line.strip_prefix("run_id:"))
            .ok_or_else(|| LinkError::Unfit("the server has no run_id".into()))?;
        connection.subscribe(&names.channel).await?;
        connection.subscribe(names.channel_of(id)).await?;
        Ok(Self {
            connection,
            pushes,
            run_id: run_id.trim().to_owned(),
            names: names.clone(),
            programs: Arc::new(Programs {
                join: Script::new(script::JOIN),
                step: Script::new(script::STEP),
                expel: Script::new(script::EXPEL),
            }),
        })
    }

    /// Joins the fleet.
    pub(super) async fn join(
        &self,
        joining: Joining<'_>,
        limit: Duration,
    ) -> Result<Joined, LinkError> {
        let mut arguments = Arguments::default()
            .with(&self.run_id)
            .with(joining.epoch)
            .with(joining.id)
            .with(joining.sign.to_string())
            .with(joining.words.to_string())
            .with(joining.format)
            .with(joining.secret)
            .with(&self.names.channel)
            .with(joining.message)
            .with(if joining.bumps { "1" } else { "0" });
        for (name, record, slots) in &joining.windows {
            arguments = arguments.with(name).with(record).with_slots(slots);
        }
        let (ok, seq, state, members, words) = self
            .run::<JoinReply>(|programs| &programs.join, arguments, limit)
            .await?;
        match (ok, seq.parse()) {
            (1, Ok(seq)) => Ok(Joined {
                seq,
                state,
                members,
                words,
            }),
            (0, _) if seq == "words" => Err(LinkError::Unfit(
                "cache.version_slots is not what the other instances have; it must be the same for all".into(),
            )),
            (0, _) => Err(LinkError::Unfit(
                "another release has put a state there that this one does not know; give this one another \
                 cache.key_prefix"
                    .into(),
            )),
            _ => Err(LinkError::Unfit("the answer cannot be read".into())),
        }
    }

    /// Gives a sign of life, and does what there is to do. The future does not borrow the link.
    pub(super) fn step(
        &self,
        (epoch, id, sign): (&str, &str, &str),
        message: &str,
        acts: Arguments,
        limit: Duration,
    ) -> impl Future<Output = Result<Stepped, LinkError>> + Send + use<> {
        let arguments = Arguments::default()
            .with(epoch)
            .with(id)
            .with(sign)
            .with(&self.names.channel)
            .with(message)
            .and(acts);
        let stepped = self.run::<StepReply>(|programs| &programs.step, arguments, limit);
        async {
            Ok(match stepped.await? {
                (0, ..) => Stepped::EpochEnded,
                (1, ..) => Stepped::Expelled,
                (_, seq, members) => Stepped::Done { seq, members },
            })
        }
    }

    /// Removes a member that has given no sign of life since this one.
    pub(super) fn expel(
        &self,
        epoch: &str,
        (who, sign): (&str, &str),
        message: &str,
        limit: Duration,
    ) -> impl Future<Output = Result<bool, LinkError>> + Send + use<> {
        let arguments = Arguments::default()
            .with(epoch)
            .with(who)
            .with(sign)
            .with(&self.names.channel)
            .with(message);
        let expelled = self.run::<u8>(|programs| &programs.expel, arguments, limit);
        async { Ok(expelled.await? == 1) }
    }

    fn run<T: redis::FromRedisValue + Send>(
        &self,
        program: fn(&Programs) -> &Script,
        arguments: Arguments,
        limit: Duration,
    ) -> impl Future<Output = Result<T, LinkError>> + Send + use<T> {
        let mut connection = self.connection.clone();
        let (programs, names) = (Arc::clone(&self.programs), self.names.clone());
        within(limit, async move {
            let mut call = program(&programs).prepare_invoke();
            for key in &names.keys {
                call.key(key);
            }
            for argument in &arguments.0 {
                call.arg(argument);
            }
            Ok(call.invoke_async(&mut connection).await?)
        })
    }

    /// Says something to single instances.
    pub(super) fn tell(
        &self,
        words: Vec<(String, String)>,
        limit: Duration,
    ) -> impl Future<Output = Result<(), LinkError>> + Send + use<> {
        let mut all = redis::pipe();
        for (id, word) in words {
            all.cmd("PUBLISH")
                .arg(self.names.channel_of(&id))
                .arg(word)
                .ignore();
        }
        let mut connection = self.connection.clone();
        async move { within(limit, query(&all, &mut connection)).await }
    }
}

type JoinReply = (u8, String, Vec<String>, Vec<String>, Vec<String>);
type StepReply = (u8, u64, Vec<String>);

/// What a program is told, in order.
#[derive(Debug, Default)]
pub(super) struct Arguments(Vec<Vec<u8>>);

impl Arguments {
    pub(super) fn with(mut self, argument: impl AsRef<[u8]>) -> Self {
        self.0.push(argument.as_ref().to_vec());
        self
    }

    pub(super) fn with_slots(mut self, slots: &[u32]) -> Self {
        self = self.with(slots.len().to_string());
        self.0
            .extend(slots.iter().map(|slot| slot.to_string().into_bytes()));
        self
    }

    fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }
}

/// What was said, and on which channel.
pub(super) fn said(push: &PushInfo) -> Option<(&[u8], &[u8])> {
    match (&push.kind, push.data.as_slice()) {
        (PushKind::Message, [Value::BulkString(channel), Value::BulkString(text)]) => {
            Some((channel, text))
        }
        _ => None,
    }
}

/// Is the connection over?
pub(super) fn is_end(push: &PushInfo) -> bool {
    push.kind == PushKind::Disconnection
}
