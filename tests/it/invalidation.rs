//! Every route by which a write reaches a read: what was cached before it is not served after it.
//!
//! A [`Route`] is a read and a statement that changes what it returns. [`walk`] takes it in every way a client
//! can: with the read in the cache, the statement is run on another connection, and the next read has to be,
//! byte for byte, what PostgreSQL itself says now.

mod breakage;
mod code;
mod definitions;
mod disguises;
mod pipelines;
mod rows;
mod transactions;

use crate::raw::{Format, Raw, Reply, Script};
use crate::scene::{Answered, Scene};

/// How a read comes to depend on a write.
struct Route {
    name: &'static str,
    /// Makes the objects.
    scene: &'static str,
    read: &'static str,
    /// Makes sure that the write has something to change.
    mend: &'static str,
    /// Changes what the read returns, however often it is run.
    write: &'static str,
}

/// How a statement is sent.
#[derive(Clone, Copy, Debug)]
enum Form {
    Simple,
    Unnamed,
    Named,
}

/// Who commits a write.
#[derive(Clone, Copy, Debug)]
enum Commit {
    /// The statement itself.
    Auto,
    /// A COMMIT behind it. Until then the old result holds.
    Explicit,
}

const FORMS: [Form; 3] = [Form::Simple, Form::Unnamed, Form::Named];
const COMMITS: [Commit; 2] = [Commit::Auto, Commit::Explicit];

/// Makes room for the next scene.
const CLEAR: &str = "DROP SCHEMA public CASCADE; CREATE SCHEMA public; \
    GRANT ALL ON SCHEMA public TO PUBLIC; \
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC";

impl Form {
    async fn run(self, client: &mut Raw, sql: &str) -> Reply {
        let script = match self {
            Self::Simple => Script::new().query(sql),
            Self::Unnamed => Script::new().statement(sql, &[]).sync(),
            Self::Named => {
                client.run("DEALLOCATE ALL").await;
                client.ask(&Script::new().parse("w", sql).sync()).await;
                Script::new().bind("w", &[], Format::Text).execute().sync()
            }
        };
        let reply = client.ask(&script).await;
        assert_eq!(reply.error(), None, "{sql} as {self:?}");
        reply
    }
}

/// Those who have read before the write, each in its own way.
struct Readers<'a> {
    scene: &'a Scene,
    readers: Vec<(Raw, Script)>,
    /// Asks PostgreSQL itself what the first reader asks.
    direct: Raw,
    before: Vec<String>,
}

impl<'a> Readers<'a> {
    /// Two of the writer's name, by either protocol, and one of another.
    async fn new(scene: &'a Scene, read: &str) -> Self {
        let simple = Script::new().query(read);
        let extended = Script::new().statement(read, &[]).sync();
        Self {
            scene,
            readers: vec![
                (scene.client().await, simple.clone()),
                (scene.client().await, extended),
                (scene.client_with(&[("user", "reader")]).await, simple),
            ],
            direct: scene.direct().await,
            before: Vec::new(),
        }
    }

    /// Puts the read into the cache for each.
    async fn warm(&mut self) {
        for (reader, script) in &mut self.readers {
            self.before = self.scene.warm(reader, script).await.rows();
        }
    }

    /// The write is not visible yet: all get the old result. Perhaps not from the cache, since code that is not
    /// understood might have committed something already.
    async fn assert_not_visible(&mut self, context: &str) {
        for (reader, script) in &mut self.readers {
            assert_eq!(reader.ask(script).await.rows(), self.before, "{context}");
        }
    }

    /// The write is not visible yet, or never will be: all get the old result, from the cache.
    async fn assert_unchanged(&mut self, context: &str) {
        for (reader, script) in &mut self.readers {
            let (reply, answered) = self.scene.ask(reader, script).await;
            assert_eq!(reply.rows(), self.before, "{context}");
            assert_eq!(answered, Answered::Hit, "{context}");
        }
    }

    /// The write is visible: all get the new result.
    async fn assert_changed(&mut self, context: &str) {
        for (reader, script) in &mut self.readers {
            let reply = reader.ask(script).await;
            let now = self.direct.ask(script).await;
            assert_eq!(reply.bytes(), now.bytes(), "{context}: {:?}", reply.rows());
            assert_ne!(now.rows(), self.before, "{context}: it changes the result");
        }
    }
}

/// A scene for many routes.
async fn stage() -> Scene {
    stage_with("").await
}

/// The same, behind a proxy with this configuration.
async fn stage_with(config: &str) -> Scene {
    let builder = crate::support::Stage::builder().setting("max_prepared_transactions", "5");
    Scene::of(
        builder.config(config),
        "CREATE ROLE reader LOGIN; CREATE ROLE writer LOGIN SUPERUSER",
    )
    .await
}

/// Takes every route in every form, committed in every way.
async fn walk(routes: &[Route], commits: &[Commit]) {
    walk_on(&stage().await, routes, commits).await;
}

async fn walk_on(scene: &Scene, routes: &[Route], commits: &[Commit]) {
    for route in routes {
        let mut writer = scene.client_with(&[("user", "writer")]).await;
        writer.run(CLEAR).await;
        writer.run(route.scene).await;
        let mut readers = Readers::new(scene, route.read).await;
        for form in FORMS {
            for commit in commits {
                let context = format!("{}, {form:?}, {commit:?}", route.name);
                println!("{context}");
                if !route.mend.is_empty() {
                    writer.run(route.mend).await;
                }
                readers.warm().await;
                match commit {
                    Commit::Auto => drop(form.run(&mut writer, route.write).await),
                    Commit::Explicit => {
                        form.run(&mut writer, "BEGIN").await;
                        form.run(&mut writer, route.write).await;
                        readers.assert_not_visible(&context).await;
                        form.run(&mut writer, "COMMIT").await;
                    }
                }
                readers.assert_changed(&context).await;
            }
        }
    }
}
