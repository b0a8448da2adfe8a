//! Those who read as fast as they can, in every form, each on a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::court::{Court, Event};
use super::judge::{Floor, Register, Violation};
use super::shapes::{Answers, Place, shapes};
use crate::raw::{Format, Raw, Reply, Script};

/// How a register is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ReadForm {
    Simple,
    Unnamed,
    Named,
    /// A prepared statement, and no description of its result.
    Undescribed,
    /// The statement is prepared and described in one round trip, and run in the next.
    DescribedFirst,
    /// A prepared statement, and its result in binary.
    Binary,
    /// Execute with a limit on rows.
    Limited,
    /// In front of and behind another one in a pipeline.
    Pipeline,
    /// In a READ COMMITTED transaction that stays open for a few reads.
    Transaction,
    /// In a READ COMMITTED transaction that has written something else.
    AfterWrite,
    /// In a snapshot that is older than the read.
    RepeatableRead,
    /// With a setting of the session changed, which the next reads keep.
    Setting,
}

/// Every form of reading.
pub(super) const READ_FORMS: &[ReadForm] = &[
    ReadForm::Simple,
    ReadForm::Unnamed,
    ReadForm::Named,
    ReadForm::Undescribed,
    ReadForm::DescribedFirst,
    ReadForm::Binary,
    ReadForm::Limited,
    ReadForm::Pipeline,
    ReadForm::Transaction,
    ReadForm::AfterWrite,
    ReadForm::RepeatableRead,
    ReadForm::Setting,
];

/// Those that take one round trip.
pub(super) const BRIEF_READ_FORMS: &[ReadForm] =
    &[ReadForm::Simple, ReadForm::Unnamed, ReadForm::Named];

/// What PostgreSQL itself may say of something that is being replaced: it is not there, it has another shape, its file
/// is gone.
const REPLACED: [&str; 6] = ["42P01", "3F000", "0A000", "XX000", "42883", "42P07"];

/// What a reader asks for.
#[derive(Clone, Debug)]
pub(super) struct Interest {
    pub(super) shapes: Vec<usize>,
    pub(super) forms: &'static [ReadForm],
}

/// Reads as fast as it can.
pub(super) struct Reader {
    client: Raw,
    court: Arc<Court>,
    random: StdRng,
    interest: Interest,
    prepared: std::collections::HashSet<String>,
    /// The shape whose view it has entered, and which.
    entered: Option<(usize, usize)>,
    /// It may make temporary tables: its session is never again like others.
    is_odd: bool,
}

/// One question: where, in what form, and by whom.
#[derive(Clone, Copy)]
struct Question {
    place: Place,
    form: ReadForm,
    answers: Answers,
    floor: Floor,
}

impl Reader {
    pub(super) fn new(client: Raw, court: &Arc<Court>, seed: u64, interest: Interest) -> Self {
        Self {
            client,
            court: Arc::clone(court),
            random: StdRng::seed_from_u64(seed),
            interest,
            prepared: std::collections::HashSet::new(),
            entered: None,
            is_odd: false,
        }
    }

    /// A reader that also sees what only a session of its own can see.
    pub(super) fn odd(mut self) -> Self {
        self.is_odd = true;
        self
    }

    /// Reads until the court is closed.
    pub(super) async fn run(mut self) {
        while self.court.is_open() {
            let place = any_place(&mut self.random, &self.interest.shapes);
            self.read(place).await;
        }
    }

    /// Reads a register in one way or another, and has the answer judged.
    pub(super) async fn read(&mut self, place: Place) -> Option<i64> {
        let form = self.interest.forms[self.random.random_range(0..self.interest.forms.len())];
        self.read_as(place, form).await
    }

    /// Reads a register in this form. `None` if PostgreSQL refuses it.
    pub(super) async fn read_as(&mut self, place: Place, form: ReadForm) -> Option<i64> {
        let (place, answers) = self.enter(place).await;
        let has_views = !place.shape().views.is_empty();
        let form = match form {
            // They would undo what makes the view, or not be written as it says.
            ReadForm::Setting | ReadForm::Binary if has_views => ReadForm::Simple,
            // A table that was filled when it was made is empty for older snapshots (PostgreSQL, 13.6 "Caveats").
            ReadForm::RepeatableRead if place.shape().redefines => ReadForm::Transaction,
            form => form,
        };
        // A statement that is prepared goes on to read the table it was prepared for.
        let is_hiding = place
            .shape()
            .views
            .iter()
            .any(|view| matches!(view.answers, Answers::Only(_)));
        let form = match is_hiding {
            true => ReadForm::Simple,
            false => form,
        };
        let floor = self.court.register(place).floor();
        let question = Question {
            place,
            form,
            answers,
            floor,
        };
        match form {
            ReadForm::Transaction | ReadForm::AfterWrite => {
                self.read_in_transaction(question).await
            }
            ReadForm::RepeatableRead => self.read_again(question).await,
            ReadForm::Setting => {
                let changes = [
                    "SET work_mem = '5MB'",
                    "SET search_path = public, pg_catalog",
                    "BEGIN; SET work_mem = '6MB'; ROLLBACK",
                    "SET ROLE role_0",
                    "RESET ALL",
                    "RESET ROLE",
                ];
                let change = changes[self.random.random_range(0..changes.len())];
                if change != "SET ROLE role_0" || !place.shape().redefines {
                    self.client.run(change).await;
                }
                self.ask(question, &Script::new().query(&place.read()))
                    .await
            }
            ReadForm::DescribedFirst => {
                let (sql, key) = place.read_with_parameter();
                let key: Vec<&str> = key.iter().map(String::as_str).collect();
                let first = Script::new().parse("", &sql).describe_statement("").sync();
                let described = self.client.ask(&first).await;
                if described.error().is_some() {
                    return self.refused(question, &described);
                }
                let script = Script::new().bind("", &key, Format::Text).execute().sync();
                self.ask(question, &script).await
            }
            ReadForm::Simple
            | ReadForm::Unnamed
            | ReadForm::Named
            | ReadForm::Undescribed
            | ReadForm::Binary
            | ReadForm::Limited
            | ReadForm::Pipeline => {
                let script = self.script(place, form);
                self.ask(question, &script).await
            }
        }
    }

    fn script(&mut self, place: Place, form: ReadForm) -> Script {
        let (sql, key) = place.read_with_parameter();
        let key: Vec<&str> = key.iter().map(String::as_str).collect();
        if matches!(form, ReadForm::Simple) {
            return Script::new().query(&place.read());
        }
        let mut script = Script::new();
        let mut name = String::new();
        if matches!(form, ReadForm::Unnamed | ReadForm::Limited) {
            script = script.parse("", &sql);
        } else {
            name = place.read_name();
            if self.prepared.insert(name.clone()) {
                script = script.parse(&name, &sql);
            }
        }
        let format = match form {
            ReadForm::Binary => Format::Binary,
            _ => Format::Text,
        };
        script = script.bind(&name, &key, format);
        script = match form {
            ReadForm::Undescribed => script.execute(),
            ReadForm::Limited => script.describe().execute_rows(1),
            ReadForm::Pipeline => script.describe().execute().statement(&sql, &key),
            _ => script.describe().execute(),
        };
        script.sync()
    }

    async fn read_in_transaction(&mut self, question: Question) -> Option<i64> {
        self.client.run("BEGIN").await;
        if question.form == ReadForm::AfterWrite {
            self.client.run("INSERT INTO scratch DEFAULT VALUES").await;
        }
        let mut value = None;
        for _ in 0..self.random.random_range(1..4) {
            let form = match self.random.random_range(0..3) {
                0 => ReadForm::Unnamed,
                _ => ReadForm::Simple,
            };
            let script = self.script(question.place, form);
            value = self.ask(question, &script).await;
        }
        let end = ["COMMIT", "ROLLBACK"][self.random.random_range(0..2)];
        self.client.run(end).await;
        value
    }

    /// Two reads in a snapshot that was taken some time before the first.
    async fn read_again(&mut self, question: Question) -> Option<i64> {
        let level = ["REPEATABLE READ", "SERIALIZABLE"][self.random.random_range(0..2)];
        self.client
            .run(&format!("BEGIN ISOLATION LEVEL {level}"))
            .await;
        self.client.run("SELECT 1 FROM scratch LIMIT 1").await;
        let pause = Duration::from_micros(self.random.random_range(0..8000));
        tokio::time::sleep(pause).await;
        let first = self.script(question.place, ReadForm::Simple);
        let before = self.ask(question, &first).await;
        let second = self.script(question.place, ReadForm::Unnamed);
        let value = self.ask(question, &second).await;
        if let (Some(before), Some(value)) = (before, value) {
            let judgement = Register::repeats(before, value);
            self.court.note(question.place, "RepeatableRead", judgement);
        }
        self.client.run("ROLLBACK").await;
        value
    }

    /// Becomes a session of the kind that the place needs. Returns the register that it then sees.
    async fn enter(&mut self, place: Place) -> (Place, Answers) {
        let views = place.shape().views;
        let most = match views.last().map(|view| view.answers) {
            Some(Answers::Only(_)) if !self.is_odd => views.len() - 1,
            _ => views.len(),
        };
        let target = (most > 0).then(|| (place.shape, self.random.random_range(0..most)));
        if self.entered != target {
            if let Some((shape, view)) = self.entered.take() {
                self.run_if_any(shapes()[shape].views[view].leave).await;
            }
            if let Some((_, view)) = target {
                for reset in ["RESET ALL", "RESET ROLE"] {
                    self.client.run(reset).await;
                }
                self.run_if_any(views[view].enter).await;
            }
            self.entered = target;
        }
        let Some((shape, view)) = target else {
            return (place, Answers::Number);
        };
        let key = if place.shape().registers == views.len() {
            view
        } else {
            0
        };
        (Place { shape, key }, views[view].answers)
    }

    async fn run_if_any(&mut self, sql: &str) {
        if !sql.is_empty() {
            self.client.run(sql).await;
        }
    }

    /// Asks, and has every row of the answer judged. Returns the last.
    async fn ask(&mut self, question: Question, script: &Script) -> Option<i64> {
        let Question {
            place,
            form,
            answers,
            ..
        } = question;
        let register = self.court.register(place);
        let floor = match form {
            ReadForm::RepeatableRead => question.floor,
            _ => register.floor(),
        };
        let reply = self.client.ask(script).await;
        if reply.error().is_some() {
            return self.refused(question, &reply);
        }
        let mut last = None;
        for value in reply.values() {
            self.court.count(place, Event::Read);
            let version = match (form, value.as_deref()) {
                (ReadForm::Binary, Some(value)) => from_binary(value),
                (_, Some(value)) => answers.version(value),
                (_, None) => None,
            };
            let judgement = match (answers, version) {
                (_, None) => Err(Violation::NotItsOwn),
                (Answers::Only(_), Some(_)) => Ok(()),
                (_, Some(version)) => register.judge(floor, version),
            };
            self.court.note(place, &format!("{form:?}"), judgement);
            last = version;
        }
        if last.is_none() {
            let judgement = Err(Violation::NotItsOwn);
            self.court.note(place, &format!("{form:?}"), judgement);
        }
        last
    }

    /// A read was refused: that is for PostgreSQL to say, and only of what is being replaced.
    fn refused(&mut self, question: Question, reply: &Reply) -> Option<i64> {
        let Question { place, form, .. } = question;
        let sqlstate = reply.error().unwrap_or_default();
        let is_replaced = place.shape().redefines
            && (REPLACED.contains(&sqlstate.as_str()) || sqlstate == "25P02");
        assert!(is_replaced, "{}, {form:?}: {sqlstate}", place.shape().name);
        // Whether it is prepared is not known.
        self.prepared.remove(&place.read_name());
        self.court.count(place, Event::Refused);
        None
    }
}

/// A number as PostgreSQL sends it in binary; text otherwise.
fn from_binary(value: &[u8]) -> Option<i64> {
    match *value {
        [a, b, c, d] => Some(i32::from_be_bytes([a, b, c, d]).into()),
        _ => value.try_into().ok().map(i64::from_be_bytes),
    }
}

/// Some register of these shapes.
pub(super) fn any_place(random: &mut StdRng, of: &[usize]) -> Place {
    // Every fourth time the first, which is slow: its race is the rarest.
    let index = match random.random_ratio(1, 4) {
        true => 0,
        false => random.random_range(0..of.len()),
    };
    let shape = of[index];
    Place {
        shape,
        key: random.random_range(0..shapes()[shape].registers),
    }
}
