//! Those who write, in every form whose outcome is known, each on a connection of its own.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::court::{Court, Event};
use super::judge::Register;
use super::reader::any_place;
use super::shapes::{Place, Write};
use crate::raw::{Format, Raw, Reply, Script};

/// How a version is written, or is not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
    /// Behind its Sync another unit fails.
    BeforeError,
    /// Between the write and its COMMIT the register is read, and the new version is seen.
    ReadsItsOwn,
    /// Something else is written first, and rolled back to a savepoint.
    Savepoint,
    /// Prepared in this session, and committed by another.
    TwoPhase,
    /// A transaction that is rolled back: what it writes is never to be seen.
    RolledBack,
    /// Prepared in this session, and rolled back by another.
    TwoPhaseRolledBack,
    /// A lone statement that fails.
    Failed,
    /// Behind it, to the same Sync, another statement fails.
    ErrorInPipeline,
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

/// Those that commit.
pub(super) const COMMITTING_WRITE_FORMS: &[WriteForm] =
    WRITE_FORMS.first_chunk::<12>().expect("so many");

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
    WriteForm::BeforeError,
    WriteForm::ReadsItsOwn,
    WriteForm::Savepoint,
    WriteForm::TwoPhase,
    WriteForm::RolledBack,
    WriteForm::TwoPhaseRolledBack,
    WriteForm::Failed,
    WriteForm::ErrorInPipeline,
    WriteForm::FailedTransaction,
];

/// What a writer does.
#[derive(Clone, Debug)]
pub(super) struct Duty {
    pub(super) shapes: Vec<usize>,
    pub(super) forms: &'static [WriteForm],
    /// MERGE came with PostgreSQL 15.
    pub(super) has_merge: bool,
    /// How long it rests between two writes, in microseconds.
    pub(super) pause_micros: Range<u64>,
}

/// Writes one version after the other.
pub(super) struct Writer {
    client: Raw,
    /// Another session, which ends what this one has prepared.
    other: Raw,
    court: Arc<Court>,
    random: StdRng,
    duty: Duty,
    prepared: std::collections::HashSet<&'static str>,
}

impl Writer {
    pub(super) fn new(clients: [Raw; 2], court: &Arc<Court>, seed: u64, duty: Duty) -> Self {
        let [client, other] = clients;
        Self {
            client,
            other,
            court: Arc::clone(court),
            random: StdRng::seed_from_u64(seed),
            duty,
            prepared: std::collections::HashSet::new(),
        }
    }

    /// Does the server understand MERGE?
    pub(super) fn has_merge(&self) -> bool {
        self.duty.has_merge
    }

    /// Writes until the court is closed, with pauses in which something can be read from the cache.
    pub(super) async fn run(mut self) {
        while self.court.is_open() {
            self.write().await;
            let pause = self.random.random_range(self.duty.pause_micros.clone());
            tokio::time::sleep(Duration::from_micros(pause)).await;
        }
    }

    /// Writes to one register, in one way or another.
    pub(super) async fn write(&mut self) -> Place {
        let place = any_place(&mut self.random, &self.duty.shapes);
        let writes = place.shape().writes_of(self.duty.has_merge);
        let write = writes[self.random.random_range(0..writes.len())];
        self.write_as(place, write).await;
        place
    }

    /// Writes to this register with this text, in some form.
    pub(super) async fn write_as(&mut self, place: Place, write: Write) {
        let form = self.duty.forms[self.random.random_range(0..self.duty.forms.len())];
        // Scripts make a prepared transaction's writes unknown, and its commit then makes everything void.
        let is_two_phase = matches!(form, WriteForm::TwoPhase | WriteForm::TwoPhaseRolledBack);
        let is_rare = is_two_phase && self.duty.forms.len() > BRIEF_WRITE_FORMS.len();
        let form = match is_rare && !self.random.random_ratio(1, 20) {
            true => WriteForm::Simple,
            false => form,
        };
        let form = fitting(write, form);
        let court = Arc::clone(&self.court);
        let _pen = court.pen(place).lock().await;
        let register = court.register(place);
        match form {
            WriteForm::RolledBack
            | WriteForm::TwoPhaseRolledBack
            | WriteForm::Failed
            | WriteForm::ErrorInPipeline
            | WriteForm::FailedTransaction => {
                let garbage = -1 - register.acknowledged();
                self.write_in_vain(place, write, form, garbage).await;
                court.count(place, Event::InVain);
            }
            WriteForm::Simple
            | WriteForm::Unnamed
            | WriteForm::Named
            | WriteForm::Transaction
            | WriteForm::Script
            | WriteForm::Pipeline
            | WriteForm::Flushed
            | WriteForm::Dawdling
            | WriteForm::BeforeError
            | WriteForm::ReadsItsOwn
            | WriteForm::Savepoint
            | WriteForm::TwoPhase => {
                let version = register.begin();
                self.write_version(place, write, form, version).await;
                register.acknowledge(version);
                court.count(place, Event::Write);
            }
        }
    }

    async fn write_version(&mut self, place: Place, write: Write, form: WriteForm, version: i64) {
        match write {
            Write::Steps(steps) => {
                for step in steps {
                    self.client.run(&place.literally(step, version)).await;
                }
            }
            Write::Copy(sql, row) => {
                let row = place.literally(row, version);
                let script = Script::new().query(&place.literally(sql, version));
                self.copy(form, script, row.as_bytes()).await;
            }
            Write::Call(function) => {
                let call = self.call(function, place, version).await;
                self.succeed(place, form, &call).await;
            }
            Write::One(_) | Write::Literal(_) | Write::Script(_) | Write::Alone(_) => {
                self.write_text(place, write, form, version).await;
            }
        }
    }

    async fn write_text(&mut self, place: Place, write: Write, form: WriteForm, version: i64) {
        let text = place.literally(write.text(), version);
        let (sql, values) = match write {
            Write::One(sql) => {
                let (sql, values) = place.with_parameters(sql, version);
                (sql, values.to_vec())
            }
            _ => (text.clone(), Vec::new()),
        };
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let script = match form {
            WriteForm::Named => self.named(write, &sql, &values).sync(),
            WriteForm::Flushed => {
                let script = Script::new().statement(&sql, &values).flush();
                self.client.send(script.bytes()).await;
                self.client.until(b'C').await;
                tokio::time::sleep(Duration::from_millis(2)).await;
                Script::new().sync()
            }
            WriteForm::Savepoint => {
                self.client.run("BEGIN; SAVEPOINT s").await;
                self.client
                    .run(&place.literally(write.text(), -version))
                    .await;
                self.client.run("ROLLBACK TO s").await;
                self.client.run(&text).await;
                Script::new().query("COMMIT")
            }
            WriteForm::ReadsItsOwn => {
                self.client.run("BEGIN").await;
                self.client.run(&text).await;
                self.read_own(place, version).await;
                Script::new().query("COMMIT")
            }
            WriteForm::TwoPhase => {
                let gid = self.prepare(&text).await;
                self.other.run(&format!("COMMIT PREPARED '{gid}'")).await;
                return;
            }
            WriteForm::BeforeError => {
                let written = Script::new().statement(&sql, &values).sync();
                let both = written.statement("SELECT 1 / 0", &[]).sync();
                let first = self.client.ask(&both).await;
                assert_eq!(first.error(), None, "the first unit succeeds");
                let second = self.client.until_ready().await;
                assert!(second.error().is_some());
                return;
            }
            _ => script(form, &text, &sql, &values),
        };
        if form == WriteForm::Transaction {
            self.client.run("BEGIN").await;
            self.client.run(&text).await;
        }
        self.succeed(place, form, &script).await;
    }

    fn named(&mut self, write: Write, sql: &str, values: &[&str]) -> Script {
        let name = write.text();
        // A name as long as PostgreSQL takes, and the same for the same text.
        let name = format!(
            "w{:x}",
            name.bytes().fold(7_u64, |hash, byte| {
                hash.wrapping_mul(31).wrapping_add(byte.into())
            })
        );
        let script = match self.prepared.insert(write.text()) {
            true => Script::new().parse(&name, sql),
            false => Script::new(),
        };
        script.bind(&name, values, Format::Text).execute()
    }

    async fn succeed(&mut self, place: Place, form: WriteForm, script: &Script) {
        let reply: Reply = self.client.ask(script).await;
        assert_eq!(reply.error(), None, "{} {form:?}", place.shape().name);
    }

    /// What the transaction has written, it sees, and nobody else does.
    async fn read_own(&mut self, place: Place, version: i64) {
        if !place.shape().views.is_empty() || place.read().contains("FOR SHARE") {
            return;
        }
        let reply = self.client.run(&place.read()).await;
        let value = reply.rows().pop().and_then(|value| value.parse().ok());
        // A deferred trigger comes later.
        if let Some(value) = value.filter(|_| place.shape().name != "deferred trigger") {
            let judgement = Register::sees_its_own(version, value);
            self.court.note(place, "ReadsItsOwn", judgement);
        }
    }

    async fn prepare(&mut self, text: &str) -> String {
        let gid = format!("gid {}", self.random.random::<u64>());
        self.client.run("BEGIN").await;
        self.client.run(text).await;
        self.client
            .run(&format!("PREPARE TRANSACTION '{gid}'"))
            .await;
        gid
    }

    async fn copy(&mut self, form: WriteForm, copy: Script, row: &[u8]) {
        if form == WriteForm::Transaction {
            self.client.run("BEGIN").await;
        }
        self.client.send(copy.bytes()).await;
        self.client.until(b'G').await;
        let data = Script::new().copy_data(row).copy_done();
        let reply = self.client.ask(&data).await;
        assert_eq!(reply.error(), None, "COPY");
        if form == WriteForm::Transaction {
            self.client.run("COMMIT").await;
        }
    }

    async fn call(&mut self, function: &str, place: Place, version: i64) -> Script {
        let oid = format!("SELECT '{function}'::regproc::oid");
        let oid = self.client.run(&oid).await.rows().pop();
        let oid = oid.and_then(|oid| oid.parse().ok()).expect("it is there");
        let (key, version) = (place.key.to_string(), version.to_string());
        Script::new().function_call(oid, &[&key, &version])
    }

    async fn write_in_vain(&mut self, place: Place, write: Write, form: WriteForm, garbage: i64) {
        let text = place.literally(write.text(), garbage);
        match form {
            WriteForm::Failed => {
                let fails = text.replace(
                    &format!("{garbage}"),
                    "(SELECT 1 / count(*)::int FROM plain WHERE k < 0)",
                );
                assert!(self.client.query(&fails).await.error().is_some(), "{fails}");
            }
            WriteForm::ErrorInPipeline => {
                let (sql, values) = place.with_parameters(write.text(), garbage);
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                let script = Script::new().statement(&sql, &values);
                let script = script.statement("SELECT 1 / 0", &[]);
                let script = script.statement(&sql, &values).sync();
                assert!(self.client.ask(&script).await.error().is_some());
            }
            WriteForm::TwoPhaseRolledBack => {
                let gid = self.prepare(&text).await;
                self.other.run(&format!("ROLLBACK PREPARED '{gid}'")).await;
            }
            WriteForm::FailedTransaction => {
                self.client.run("BEGIN").await;
                self.client.run(&text).await;
                assert!(self.client.query("SELECT 1 / 0").await.error().is_some());
                self.client.run("COMMIT").await;
            }
            _ => {
                self.client.run("BEGIN").await;
                self.client.run(&text).await;
                self.client.run("ROLLBACK").await;
            }
        }
    }
}

/// What is sent last, of the forms that need no more than that.
fn script(form: WriteForm, text: &str, sql: &str, values: &[&str]) -> Script {
    match form {
        WriteForm::Unnamed => Script::new().statement(sql, values).sync(),
        WriteForm::Script => Script::new().query(&format!("BEGIN; {text}; COMMIT")),
        WriteForm::Pipeline => {
            let script = Script::new().statement("BEGIN", &[]).statement(sql, values);
            script.statement("COMMIT", &[]).sync()
        }
        WriteForm::Dawdling => Script::new()
            .statement(sql, values)
            .statement("SELECT repeat('x', 20000)", &[])
            .statement("SELECT pg_sleep(0.002)", &[])
            .sync(),
        WriteForm::Transaction => Script::new().query("COMMIT"),
        _ => Script::new().query(text),
    }
}

/// The form, or the nearest one that such a write can have.
fn fitting(write: Write, form: WriteForm) -> WriteForm {
    use WriteForm::*;
    match (write, form) {
        (Write::One(_), form) => form,
        (Write::Literal(_), Named | TwoPhase | Flushed | Dawdling | BeforeError) => Unnamed,
        (Write::Literal(_), Failed | ErrorInPipeline | TwoPhaseRolledBack) => RolledBack,
        (Write::Literal(_), form) => form,
        (Write::Script(_), Transaction | Script | ReadsItsOwn | RolledBack) => form,
        (Write::Script(_) | Write::Copy(..), FailedTransaction | TwoPhase) => Transaction,
        (Write::Copy(..), Transaction | Pipeline | Script) => Transaction,
        (
            Write::Script(_) | Write::Alone(_) | Write::Steps(_) | Write::Copy(..) | Write::Call(_),
            _,
        ) => Simple,
    }
}
