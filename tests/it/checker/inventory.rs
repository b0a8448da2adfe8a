//! What is cached at all, and how often PostgreSQL itself was asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Client;

use super::court::Court;
use super::reader::{Interest, READ_FORMS, ReadForm, Reader};
use super::shapes::{Cached, Place, Shape, shapes};
use crate::scene::{SOON, Scene};
use crate::support::eventually;

/// How long the catalog may take to be known again, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The forms in which whatever is cached has to be served from the cache.
const SERVED: [ReadForm; 4] = [
    ReadForm::Simple,
    ReadForm::Unnamed,
    ReadForm::Named,
    ReadForm::Transaction,
];

/// Asks for every shape in every form, twice, while nobody writes, and says in which of them the cache answers.
///
/// # Panics
/// When a shape that is said to be cached is not.
pub(super) async fn take(scene: &Scene, of: &[usize]) {
    let court = Arc::new(Court::new(0));
    let mut missing = Vec::new();
    // The catalog may still have to be loaded; the first shape is one that is cached.
    let mut first = Reader::new(scene.client().await, &court, 0, interest(of[0]));
    eventually(SOON, async || {
        is_hit(scene, &mut first, place(of[0]), ReadForm::Simple).await
    })
    .await;
    let mut by_form: BTreeMap<String, usize> = BTreeMap::new();
    let mut surprises = Vec::new();
    for &number in of {
        let shape = shapes()[number];
        let mut reader = Reader::new(scene.client().await, &court, 0, interest(number));
        let place = place(number);
        for &form in READ_FORMS {
            let is_due = matches!(shape.cached, Cached::Yes) && SERVED.contains(&form);
            let is_cached = is_ever_hit(scene, &mut reader, place, form, is_due).await;
            if is_cached {
                *by_form.entry(format!("{form:?}")).or_default() += 1;
            }
            match shape.cached {
                Cached::Yes if is_due && !is_cached => {
                    missing.push(format!("{}, {form:?}", shape.name));
                }
                Cached::No { because } if is_cached => {
                    surprises.push(format!("{}, though {because}", shape.name));
                }
                Cached::Yes | Cached::No { .. } => {}
            }
        }
    }
    surprises.dedup();
    println!("of {} shapes the cache serves: {by_form:?}", of.len());
    if !surprises.is_empty() {
        println!("cached, and not expected to be: {surprises:?}");
    }
    assert!(court.violations().is_empty(), "{:#?}", court.violations());
    assert!(missing.is_empty(), "not served by the cache: {missing:#?}");
}

fn interest(shape: usize) -> Interest {
    Interest {
        shapes: vec![shape],
        forms: READ_FORMS,
    }
}

const fn place(shape: usize) -> Place {
    Place { shape, key: 0 }
}

/// Is one of a few answers a hit? A reader chooses among the views of a shape, and each has to be filled. Where a hit is
/// due it is waited for: definitions that were made elsewhere void everything when they are noticed.
async fn is_ever_hit(
    scene: &Scene,
    reader: &mut Reader,
    place: Place,
    form: ReadForm,
    is_due: bool,
) -> bool {
    let tries = 2 + 2 * place.shape().views.len();
    let start = std::time::Instant::now();
    let mut tried = 0;
    while tried < tries || is_due && start.elapsed() < SOON {
        if is_hit(scene, reader, place, form).await {
            return true;
        }
        tried += 1;
    }
    false
}

pub(super) async fn is_hit(
    scene: &Scene,
    reader: &mut Reader,
    place: Place,
    form: ReadForm,
) -> bool {
    let before = scene.stage.hits().await;
    reader.read_as(place, form).await;
    scene.stage.hits().await > before
}

/// Asks until the cache answers, in the simple and in the extended protocol.
///
/// # Panics
/// When it never does.
pub(super) async fn warm(scene: &Scene, reader: &mut Reader, place: Place) {
    let is_warm = async |reader: &mut Reader| {
        is_hit(scene, reader, place, ReadForm::Simple).await
            && is_hit(scene, reader, place, ReadForm::Unnamed).await
    };
    let start = std::time::Instant::now();
    while !is_warm(reader).await {
        let waited = start.elapsed();
        assert!(waited < PATIENCE, "{}: no hit", place.shape().name);
    }
}

/// PostgreSQL's own count of what it was asked.
pub(super) struct Census {
    direct: Client,
    has_statistics: bool,
    has_merge: bool,
}

/// How often each text was run.
pub(super) struct Asked(Option<Vec<(String, i64)>>);

impl Census {
    pub(super) async fn new(scene: &Scene) -> Self {
        let direct = scene.stage.direct().await;
        let extension = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements";
        let has_statistics = direct.batch_execute(extension).await.is_ok();
        let version = "SELECT current_setting('server_version_num')::int";
        let version: i32 = direct.query_one(version, &[]).await.expect("a row").get(0);
        Self {
            direct,
            has_statistics,
            has_merge: version >= 150_000,
        }
    }

    pub(super) fn has_merge(&self) -> bool {
        self.has_merge
    }

    /// Starts to count. To be called when nobody reads.
    pub(super) async fn begin(&self) {
        if self.has_statistics {
            let reset = self
                .direct
                .batch_execute("SELECT pg_stat_statements_reset()");
            reset.await.expect("a superuser may");
        }
    }

    pub(super) async fn end(&self) -> Asked {
        if !self.has_statistics {
            return Asked(None);
        }
        let rows = "SELECT query, calls FROM pg_stat_statements WHERE query LIKE '%/* % */'";
        let rows = self.direct.query(rows, &[]).await.expect("a superuser may");
        Asked(Some(
            rows.iter().map(|row| (row.get(0), row.get(1))).collect(),
        ))
    }
}

impl Asked {
    /// How often the server was asked for the reads of a shape; `None` if it does not count.
    pub(super) fn of(&self, shape: &Shape) -> Option<u64> {
        let mark = shape.mark();
        let texts = self.0.as_ref()?.iter();
        let calls = texts.filter(|(text, _)| text.ends_with(&mark));
        Some(calls.map(|(_, calls)| calls.unsigned_abs()).sum())
    }
}
