//! A stage with tables, and an eye on who answers: the cache or PostgreSQL.
//!
//! The tables are made through the proxy, so that it knows them before the first read.

use std::time::Duration;

use pgkeel_bench::sandbox::Auth;

use crate::raw::{Raw, Reply, Script};
use crate::support::{Stage, StageBuilder, eventually};

/// A stage with tables.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) stage: Stage,
}

/// Who answered a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answered {
    /// The cache.
    Hit,
    /// PostgreSQL, and the result was offered to the cache.
    Miss,
    /// PostgreSQL: the request was not one for the cache.
    Forwarded,
}

/// How long something may take that happens by itself.
pub(crate) const SOON: Duration = Duration::from_secs(20);

impl Scene {
    /// The default stage.
    pub(crate) async fn new(sql: &str) -> Self {
        Self::of(Stage::builder(), sql).await
    }

    /// Another stage. Its clients need no password.
    pub(crate) async fn of(builder: StageBuilder, sql: &str) -> Self {
        let scene = Self {
            stage: builder.auth(Auth::Trust).start().await,
        };
        scene.client().await.run(sql).await;
        scene
    }

    /// A client of the proxy: the superuser, in the database of the scene.
    pub(crate) async fn client(&self) -> Raw {
        self.client_with(&[]).await
    }

    /// A client of the proxy with more start-up parameters; a later `user` or `database` counts.
    pub(crate) async fn client_with(&self, startup: &[(&str, &str)]) -> Raw {
        Raw::connect(self.stage.proxy.port(), &with_defaults(startup)).await
    }

    /// A client of PostgreSQL itself.
    pub(crate) async fn direct(&self) -> Raw {
        self.direct_with(&[]).await
    }

    /// A client of PostgreSQL itself with more start-up parameters.
    pub(crate) async fn direct_with(&self, startup: &[(&str, &str)]) -> Raw {
        Raw::connect(self.stage.postgres.port(), &with_defaults(startup)).await
    }

    /// Asks, and says who answered. Nobody else may be asking.
    pub(crate) async fn ask(&self, client: &mut Raw, script: &Script) -> (Reply, Answered) {
        let (hits, misses) = self.hits_and_misses().await;
        let reply = client.ask(script).await;
        let answered = match self.hits_and_misses().await {
            (now, _) if now > hits => Answered::Hit,
            (_, now) if now > misses => Answered::Miss,
            _ => Answered::Forwarded,
        };
        (reply, answered)
    }

    /// Asks until the cache answers.
    ///
    /// # Panics
    /// When it never does.
    pub(crate) async fn warm(&self, client: &mut Raw, script: &Script) -> Reply {
        let mut last = None;
        eventually(SOON, async || {
            let (reply, answered) = self.ask(client, script).await;
            assert_eq!(reply.error(), None, "a read that fails is never cached");
            last = Some(reply);
            answered == Answered::Hit
        })
        .await;
        last.expect("it was asked")
    }

    async fn hits_and_misses(&self) -> (u64, u64) {
        let stats = self
            .stage
            .proxy
            .stats()
            .await
            .expect("the admin port answers");
        let number = |name: &str| stats["cache"][name].as_u64().expect("a number");
        (number("hits"), number("misses"))
    }
}

fn with_defaults<'a>(startup: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let given = |name| startup.iter().any(|&(given, _)| given == name);
    [("user", "keel"), ("database", "app")]
        .into_iter()
        .filter(|&(name, _)| !given(name))
        .chain(startup.iter().copied())
        .collect()
}
