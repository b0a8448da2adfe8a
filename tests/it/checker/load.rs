//! Those who read and write, each on a connection of its own, and the court they report to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::judge::{Register, Violation};
use super::shapes::{KEYS, Place, SHAPES, SLOW};
use crate::raw::{Format, Raw, Reply, Script};

/// Enough to understand what is wrong.
const VIOLATIONS_MAX: usize = 10;

/// The registers, and what was found wrong with them.
pub(super) struct Court {
    registers: Vec<Register>,
    /// Held while a register is written, so that its versions are in order.
    pens: Vec<tokio::sync::Mutex<()>>,
    violations: std::sync::Mutex<Vec<String>>,
    is_closed: AtomicBool,
    reads: AtomicU64,
    writes: AtomicU64,
}

impl Court {
    pub(super) fn new() -> Self {
        let places = SHAPES.len() * KEYS;
        Self {
            registers: (0..places).map(|_| Register::default()).collect(),
            pens: (0..places).map(|_| tokio::sync::Mutex::default()).collect(),
            violations: std::sync::Mutex::default(),
            is_closed: AtomicBool::new(false),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        }
    }

    pub(super) fn register(&self, place: Place) -> &Register {
        &self.registers[place.shape * KEYS + place.key]
    }

    /// Everybody may go home.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    /// What was found wrong, in words.
    pub(super) fn violations(&self) -> Vec<String> {
        self.violations
            .lock()
            .expect("nobody panics with it")
            .clone()
    }

    /// Reads and writes so far.
    pub(super) fn numbers(&self) -> (u64, u64) {
        (
            self.reads.load(Ordering::SeqCst),
            self.writes.load(Ordering::SeqCst),
        )
    }

    pub(super) fn is_open(&self) -> bool {
        !self.is_closed.load(Ordering::SeqCst)
    }

    fn note(&self, place: Place, form: ReadForm, violation: Violation) {
        let mut violations = self.violations.lock().expect("nobody panics with it");
        if violations.len() < VIOLATIONS_MAX {
            let shape = place.shape().name;
            violations.push(format!("{shape} {}, {form:?}: {violation:?}", place.key));
        }
    }
}

/// How a register is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum ReadForm {
    Simple,
    Unnamed,
    Named,
    /// In a READ COMMITTED transaction that stays open for a few reads.
    Transaction,
    /// In front of and behind another one in a pipeline.
    Pipeline,
    /// With a setting of the session changed, which the next reads keep.
    Setting,
}

/// Every form of reading.
pub(super) const READ_FORMS: &[ReadForm] = &[
    ReadForm::Simple,
    ReadForm::Unnamed,
    ReadForm::Named,
    ReadForm::Transaction,
    ReadForm::Pipeline,
    ReadForm::Setting,
];

/// Those that take one round trip.
pub(super) const BRIEF_READ_FORMS: &[ReadForm] =
    &[ReadForm::Simple, ReadForm::Unnamed, ReadForm::Named];

/// Reads as fast as it can.
pub(super) struct Reader {
    client: Raw,
    court: Arc<Court>,
    random: StdRng,
    forms: &'static [ReadForm],
    prepared: [bool; SHAPES.len()],
}

impl Reader {
    pub(super) fn new(
        client: Raw,
        court: &Arc<Court>,
        seed: u64,
        forms: &'static [ReadForm],
    ) -> Self {
        Self {
            client,
            court: Arc::clone(court),
            random: StdRng::seed_from_u64(seed),
            forms,
            prepared: [false; SHAPES.len()],
        }
    }

    /// Reads until the court is closed.
    pub(super) async fn run(mut self) {
        while self.court.is_open() {
            let place = any_place(&mut self.random);
            self.read(place).await;
        }
    }

    /// Reads a register in one way or another, and has the answer judged.
    pub(super) async fn read(&mut self, place: Place) -> i64 {
        let form = self.forms[self.random.random_range(0..self.forms.len())];
        match form {
            ReadForm::Simple => {
                let script = Script::new().query(&place.read());
                self.ask(place, form, &script).await
            }
            ReadForm::Unnamed => {
                let (sql, key) = place.read_with_parameter();
                let script = Script::new().statement(&sql, &[&key]).sync();
                self.ask(place, form, &script).await
            }
            ReadForm::Named => {
                let script = self.named(place).sync();
                self.ask(place, form, &script).await
            }
            ReadForm::Transaction => {
                self.client.run("BEGIN").await;
                let script = Script::new().query(&place.read());
                for _ in 0..self.random.random_range(0..3) {
                    self.ask(place, form, &script).await;
                }
                let value = self.ask(place, form, &script).await;
                self.client.run("COMMIT").await;
                value
            }
            ReadForm::Setting => {
                let changes = [
                    "SET work_mem = '5MB'",
                    "SET search_path = public, pg_catalog",
                    "BEGIN; SET work_mem = '6MB'; ROLLBACK",
                    "RESET ALL",
                ];
                let change = changes[self.random.random_range(0..changes.len())];
                self.client.run(change).await;
                let script = Script::new().query(&place.read());
                self.ask(place, form, &script).await
            }
            ReadForm::Pipeline => {
                let (sql, key) = place.read_with_parameter();
                let script = self.named(place).statement(&sql, &[&key]).sync();
                self.ask(place, form, &script).await
            }
        }
    }

    /// The prepared statement of a shape, prepared when it is first used.
    fn named(&mut self, place: Place) -> Script {
        let name = format!("r{}", place.shape);
        let (sql, key) = place.read_with_parameter();
        let known = std::mem::replace(&mut self.prepared[place.shape], true);
        let script = if known {
            Script::new()
        } else {
            Script::new().parse(&name, &sql)
        };
        script
            .bind(&name, &[&key], Format::Text)
            .describe()
            .execute()
    }

    /// Asks, and has every row of the answer judged. Returns the last.
    async fn ask(&mut self, place: Place, form: ReadForm, script: &Script) -> i64 {
        let register = self.court.register(place);
        let floor = register.floor();
        let reply = self.client.ask(script).await;
        assert_eq!(reply.error(), None, "{place:?} {form:?}");
        let mut last = None;
        for row in reply.rows() {
            let value = row.parse().expect("a version is a number");
            if let Err(violation) = register.judge(floor, value) {
                self.court.note(place, form, violation);
            }
            self.court.reads.fetch_add(1, Ordering::SeqCst);
            last = Some(value);
        }
        last.expect("the register is there")
    }
}

/// How a version is written, or is not.
#[derive(Clone, Copy, Debug)]
pub(super) enum WriteForm {
    Simple,
    Unnamed,
    Named,
    Transaction,
    /// BEGIN, the write and COMMIT in one string.
    Script,
    /// BEGIN, the write and COMMIT to one Sync.
    Pipeline,
    /// CommandComplete comes with a Flush, long before the Sync that commits.
    Flushed,
    /// So much is returned behind the write that its CommandComplete is sent ahead; the commit comes later.
    Dawdling,
    /// A transaction that is rolled back: what it writes is never to be seen.
    RolledBack,
    /// A lone statement that fails.
    Failed,
    /// COMMIT of a transaction that has failed.
    FailedTransaction,
}

/// Those that commit, in one round trip.
pub(super) const BRIEF_WRITE_FORMS: &[WriteForm] = &[
    WriteForm::Simple,
    WriteForm::Unnamed,
    WriteForm::Named,
    WriteForm::Script,
    WriteForm::Pipeline,
    WriteForm::Dawdling,
];

/// Every form of writing.
pub(super) const WRITE_FORMS: &[WriteForm] = &[
    WriteForm::Simple,
    WriteForm::Unnamed,
    WriteForm::Named,
    WriteForm::Transaction,
    WriteForm::Script,
    WriteForm::Pipeline,
    WriteForm::Flushed,
    WriteForm::Dawdling,
    WriteForm::RolledBack,
    WriteForm::Failed,
    WriteForm::FailedTransaction,
];

/// Writes one version after the other.
pub(super) struct Writer {
    client: Raw,
    court: Arc<Court>,
    random: StdRng,
    forms: &'static [WriteForm],
    prepared: [bool; SHAPES.len()],
}

impl Writer {
    pub(super) fn new(
        client: Raw,
        court: &Arc<Court>,
        seed: u64,
        forms: &'static [WriteForm],
    ) -> Self {
        Self {
            client,
            court: Arc::clone(court),
            random: StdRng::seed_from_u64(seed),
            forms,
            prepared: [false; SHAPES.len()],
        }
    }

    /// Writes until the court is closed, with pauses in which something can be read from the cache.
    pub(super) async fn run(mut self) {
        while self.court.is_open() {
            self.write().await;
            let pause = Duration::from_micros(self.random.random_range(0..40_000));
            tokio::time::sleep(pause).await;
        }
    }

    /// Writes to one register, in one way or another.
    pub(super) async fn write(&mut self) -> Place {
        let place = any_place(&mut self.random);
        let form = self.forms[self.random.random_range(0..self.forms.len())];
        let court = Arc::clone(&self.court);
        let _pen = court.pens[place.shape * KEYS + place.key].lock().await;
        let register = court.register(place);
        match form {
            WriteForm::RolledBack | WriteForm::Failed | WriteForm::FailedTransaction => {
                self.write_in_vain(place, form, -1 - register.acknowledged())
                    .await;
            }
            WriteForm::Simple
            | WriteForm::Unnamed
            | WriteForm::Named
            | WriteForm::Transaction
            | WriteForm::Script
            | WriteForm::Pipeline
            | WriteForm::Flushed
            | WriteForm::Dawdling => {
                let version = register.begin();
                self.write_version(place, form, version).await;
                register.acknowledge(version);
            }
        }
        court.writes.fetch_add(1, Ordering::SeqCst);
        place
    }

    async fn write_version(&mut self, place: Place, form: WriteForm, version: i64) {
        let write = place.write(version);
        let (sql, [key, value]) = place.write_with_parameters(version);
        let parameters = [key.as_str(), value.as_str()];
        let script = match form {
            WriteForm::Simple => Script::new().query(&write),
            WriteForm::Unnamed => Script::new().statement(&sql, &parameters).sync(),
            WriteForm::Named => {
                let name = format!("w{}", place.shape);
                let known = std::mem::replace(&mut self.prepared[place.shape], true);
                let script = if known {
                    Script::new()
                } else {
                    Script::new().parse(&name, &sql)
                };
                script
                    .bind(&name, &parameters, Format::Text)
                    .execute()
                    .sync()
            }
            WriteForm::Script => Script::new().query(&format!("BEGIN; {write}; COMMIT")),
            WriteForm::Pipeline => {
                let script = Script::new()
                    .statement("BEGIN", &[])
                    .statement(&sql, &parameters);
                script.statement("COMMIT", &[]).sync()
            }
            WriteForm::Flushed => {
                let script = Script::new().statement(&sql, &parameters).flush();
                self.client.send(script.bytes()).await;
                self.client.until(b'C').await;
                tokio::time::sleep(Duration::from_millis(2)).await;
                Script::new().sync()
            }
            WriteForm::Dawdling => Script::new()
                .statement(&sql, &parameters)
                .statement("SELECT repeat('x', 20000)", &[])
                .statement("SELECT pg_sleep(0.002)", &[])
                .sync(),
            WriteForm::Transaction
            | WriteForm::RolledBack
            | WriteForm::Failed
            | WriteForm::FailedTransaction => {
                self.client.run("BEGIN").await;
                self.client.run(&write).await;
                Script::new().query("COMMIT")
            }
        };
        let reply: Reply = self.client.ask(&script).await;
        assert_eq!(reply.error(), None, "{place:?} {form:?}");
    }

    async fn write_in_vain(&mut self, place: Place, form: WriteForm, garbage: i64) {
        let write = place.write(garbage);
        if matches!(form, WriteForm::Failed) {
            let fails = place.write(garbage).replace(
                &format!("{garbage}"),
                "(SELECT 1 / count(*)::int FROM plain WHERE k < 0)",
            );
            assert!(self.client.query(&fails).await.error().is_some(), "{fails}");
            return;
        }
        self.client.run("BEGIN").await;
        self.client.run(&write).await;
        if matches!(form, WriteForm::FailedTransaction) {
            assert!(self.client.query("SELECT 1 / 0").await.error().is_some());
            self.client.run("COMMIT").await;
        } else {
            self.client.run("ROLLBACK").await;
        }
    }
}

fn any_place(random: &mut StdRng) -> Place {
    // Every third time the slow one: its race is the rarest.
    let slow = random.random_ratio(1, 3);
    Place {
        shape: if slow {
            SLOW
        } else {
            random.random_range(0..SHAPES.len())
        },
        key: random.random_range(0..KEYS),
    }
}
