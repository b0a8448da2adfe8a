//! Readers and writers whose connections are another's: of instances that share a Redis.

use std::sync::Arc;

use super::court::Court;
use super::reader::{BRIEF_READ_FORMS, Interest, READ_FORMS, Reader};
use super::shapes::{Cached, Reach, which};
use super::writer::{BRIEF_WRITE_FORMS, Duty, WRITE_FORMS, Writer};
use crate::raw::Raw;

/// What a run has come to.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) violations: Vec<String>,
}

/// Makes the registers.
pub(crate) fn registers() -> String {
    super::registers()
}

/// A number from the environment, for a soak.
pub(crate) fn from_environment(name: &str, default: u64) -> u64 {
    super::setting(name, default)
}

/// Readers and writers of every form, until `over`. Each writer has a second client, which ends what it prepares.
pub(crate) async fn play(
    readers: Vec<Raw>,
    writers: Vec<[Raw; 2]>,
    over: impl Future<Output = ()>,
) -> Verdict {
    let seed = super::seed();
    let court = Arc::new(Court::new(seed));
    let shapes = which(|shape| shape.reach == Reach::Tables);
    let mut tasks = tokio::task::JoinSet::new();
    for (number, client) in (0..).zip(readers) {
        let interest = Interest {
            shapes: shapes.clone(),
            forms: READ_FORMS,
        };
        tasks.spawn(Reader::new(client, &court, seed ^ number, interest).run());
    }
    for (number, mut clients) in (1000..).zip(writers) {
        let duty = Duty {
            shapes: shapes.clone(),
            forms: WRITE_FORMS,
            has_merge: has_merge(&mut clients[0]).await,
            // Slowly: there has to be something in the caches that a write makes void.
            pause_micros: 0..500_000,
        };
        tasks.spawn(Writer::new(clients, &court, seed ^ number, duty).run());
    }
    over.await;
    court.close();
    while let Some(ended) = tasks.join_next().await {
        ended.expect("nobody panics");
    }
    verdict(&court, &shapes)
}

/// Writes of one client, each of them seen by the next read of another, while others refill what it voids.
pub(crate) async fn chase(
    writers: [Raw; 2],
    reader: Raw,
    refillers: Vec<Raw>,
    writes: u64,
) -> Verdict {
    let seed = super::seed();
    let court = Arc::new(Court::new(seed));
    let shapes = which(|shape| {
        shape.reach == Reach::Tables
            && shape.views.is_empty()
            && matches!(shape.cached, Cached::Yes)
    });
    let interest = |forms| Interest {
        shapes: shapes.clone(),
        forms,
    };
    let mut tasks = tokio::task::JoinSet::new();
    for (number, client) in (2..).zip(refillers) {
        tasks.spawn(Reader::new(client, &court, seed ^ number, interest(READ_FORMS)).run());
    }
    let mut clients = writers;
    let duty = Duty {
        shapes: shapes.clone(),
        forms: BRIEF_WRITE_FORMS,
        has_merge: has_merge(&mut clients[0]).await,
        pause_micros: 0..1,
    };
    let mut writer = Writer::new(clients, &court, seed, duty);
    let mut reader = Reader::new(reader, &court, seed ^ 1, interest(BRIEF_READ_FORMS));
    let mut seen = 0;
    while seen < writes && court.violations().is_empty() {
        let place = writer.write().await;
        let value = reader.read(place).await;
        let acknowledged = court.register(place).acknowledged();
        assert_eq!(value, Some(acknowledged), "{place:?}, after {seen} writes");
        seen += 1;
    }
    court.close();
    while let Some(ended) = tasks.join_next().await {
        ended.expect("nobody panics");
    }
    verdict(&court, &shapes)
}

/// Does the server understand MERGE?
async fn has_merge(client: &mut Raw) -> bool {
    let version = "SELECT current_setting('server_version_num')";
    let version = client.run(version).await.rows().pop();
    let version: Option<u32> = version.and_then(|version| version.parse().ok());
    version.expect("a number") >= 150_000
}

fn verdict(court: &Court, shapes: &[usize]) -> Verdict {
    let (reads, writes) = court.numbers(shapes);
    println!("{}", court.report(shapes, &|_| None));
    Verdict {
        reads,
        writes,
        violations: court.violations(),
    }
}
