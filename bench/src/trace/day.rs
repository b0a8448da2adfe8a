//! Makes the trace that the standard set replays: a day of the sample application, an hour a second.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::format::{Recorded, Writer};
use super::record::record;
use crate::demo;
use crate::harness::{HourOfWork, Scenario, standard_directory};
use crate::sandbox::{Auth, Postgres};

/// Pages a second in each hour of the day: nothing much at night, two peaks, a dent at noon.
const PAGES: [f64; 24] = [
    6.0, 4.0, 3.0, 3.0, 5.0, 12.0, 30.0, 70.0, 130.0, 170.0, 190.0, 175.0, 130.0, 160.0, 185.0,
    175.0, 150.0, 120.0, 70.0, 45.0, 30.0, 22.0, 14.0, 9.0,
];

/// How long an hour takes.
const HOUR: Duration = Duration::from_secs(1);

/// The scenario whose pages are asked for.
const SCENARIO: &str = "20_read_mostly.toml";

/// Records a day into `file`, on a private PostgreSQL with the sample application's data at `scale`.
///
/// # Errors
/// When a server does not start, or the file cannot be written.
pub async fn record_day(
    file: &Path,
    scale: f64,
    pgkeel: Option<PathBuf>,
) -> anyhow::Result<Recorded> {
    let pgkeel = pgkeel.map_or_else(demo::binary_beside_us, Ok)?;
    // A login is part of no trace, so it may cost nothing here.
    let postgres = Postgres::builder().auth(Auth::Trust).start().await?;
    demo::pgkeel(&pgkeel, &postgres, &["migrate"], &["up"]).await?;
    demo::seed(&pgkeel, &postgres, &scale.to_string()).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("postgres://keel:keel@{}/app", listener.local_addr()?);
    let upstream = format!("127.0.0.1:{}", postgres.port());
    let (stop, stopped) = oneshot::channel::<()>();
    let recording = tokio::spawn(record(listener, upstream, Writer::create(file)?, async {
        // A sender that is gone means the same.
        stopped.await.ok();
    }));
    let scenario = Scenario::read(&standard_directory().join(SCENARIO))?;
    let day = HourOfWork::new(scenario, &postgres.connect().await?).await?;
    for (hour, pages) in PAGES.into_iter().enumerate() {
        // People come in the morning and go in the evening.
        let clients = (pages / 12.0).ceil() as usize;
        day.work(&url, clients, pages, HOUR, hour as u64).await?;
    }
    stop.send(()).ok();
    recording.await.context("the recorder panicked")??;
    Recorded::read(file)
}
