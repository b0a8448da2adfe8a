//! The court: the registers, who may write them, what was read and written, and what was found wrong.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::judge::{Register, Violation};
use super::shapes::{Place, Shape, shapes};

/// Enough to understand what is wrong.
const VIOLATIONS_MAX: usize = 10;

/// The registers, and what was found wrong with them.
pub(super) struct Court {
    seed: u64,
    start: Instant,
    registers: Vec<Vec<Register>>,
    /// Held while a register is written, so that its versions are in order.
    pens: Vec<Vec<tokio::sync::Mutex<()>>>,
    tallies: Vec<Tally>,
    violations: std::sync::Mutex<Vec<String>>,
    is_closed: AtomicBool,
}

/// What happened to one shape.
#[derive(Debug, Default)]
struct Tally {
    reads: AtomicU64,
    writes: AtomicU64,
    /// Writes that were meant to fail, or whose outcome nobody knows.
    in_vain: AtomicU64,
    /// Reads that PostgreSQL itself refused, while what they name was replaced.
    refused: AtomicU64,
}

/// What to count.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Read,
    Write,
    InVain,
    Refused,
}

impl Court {
    pub(super) fn new(seed: u64) -> Self {
        let all = shapes();
        let of = |shape: &&Shape| (0..shape.registers).map(|_| Register::default()).collect();
        let pens = |shape: &&Shape| {
            let count = if shape.is_exclusive {
                1
            } else {
                shape.registers
            };
            (0..count).map(|_| tokio::sync::Mutex::default()).collect()
        };
        Self {
            seed,
            start: Instant::now(),
            registers: all.iter().map(of).collect(),
            pens: all.iter().map(pens).collect(),
            tallies: all.iter().map(|_| Tally::default()).collect(),
            violations: std::sync::Mutex::default(),
            is_closed: AtomicBool::new(false),
        }
    }

    pub(super) fn register(&self, place: Place) -> &Register {
        &self.registers[place.shape][place.key]
    }

    /// What a writer of a register has to hold.
    pub(super) fn pen(&self, place: Place) -> &tokio::sync::Mutex<()> {
        let pens = &self.pens[place.shape];
        &pens[place.key.min(pens.len() - 1)]
    }

    /// Everybody may go home.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_open(&self) -> bool {
        !self.is_closed.load(Ordering::SeqCst)
    }

    /// What was found wrong, in words.
    pub(super) fn violations(&self) -> Vec<String> {
        let violations = self.violations.lock();
        violations.expect("nobody panics with it").clone()
    }

    pub(super) fn count(&self, place: Place, event: Event) {
        let tally = &self.tallies[place.shape];
        let counter = match event {
            Event::Read => &tally.reads,
            Event::Write => &tally.writes,
            Event::InVain => &tally.in_vain,
            Event::Refused => &tally.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes what a judgement says, if it is bad.
    pub(super) fn note(&self, place: Place, form: &str, judgement: Result<(), Violation>) {
        let Err(violation) = judgement else {
            return;
        };
        let mut violations = self.violations.lock().expect("nobody panics with it");
        if violations.len() < VIOLATIONS_MAX {
            let (shape, after) = (place.shape().name, self.start.elapsed());
            violations.push(format!(
                "{shape} {}, {form}, after {after:.1?}: {violation:?}",
                place.key
            ));
        }
    }

    /// Reads and writes of some shapes so far.
    pub(super) fn numbers(&self, of: &[usize]) -> (u64, u64) {
        let sum = |counter: fn(&Tally) -> &AtomicU64| {
            let all = of.iter().map(|shape| &self.tallies[*shape]);
            all.map(|tally| counter(tally).load(Ordering::Relaxed))
                .sum()
        };
        (sum(|tally| &tally.reads), sum(|tally| &tally.writes))
    }

    /// A line for each shape; `asked` is how often PostgreSQL itself was asked for its reads.
    pub(super) fn report(&self, of: &[usize], asked: &dyn Fn(&Shape) -> Option<u64>) -> String {
        let mut report = format!(
            "{:<48} {:>9} {:>9} {:>7} {:>7} {:>7}\n",
            "shape", "reads", "hits", "refused", "writes", "in vain"
        );
        for &number in of {
            let (shape, tally) = (shapes()[number], &self.tallies[number]);
            let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let reads = count(&tally.reads);
            let hits = asked(shape).map_or_else(
                || "?".to_owned(),
                |asked| reads.saturating_sub(asked).to_string(),
            );
            let (refused, writes) = (count(&tally.refused), count(&tally.writes));
            let in_vain = count(&tally.in_vain);
            writeln!(
                report,
                "{:<48} {reads:>9} {hits:>9} {refused:>7} {writes:>7} {in_vain:>7}",
                shape.name
            )
            .expect("a string takes whatever is written");
        }
        let violations = self.violations().len();
        writeln!(
            report,
            "seed {}, {violations} violations (at most {VIOLATIONS_MAX} are kept)",
            self.seed
        )
        .expect("a string takes whatever is written");
        report
    }

    /// Reads of one shape so far.
    pub(super) fn reads_of(&self, number: usize) -> u64 {
        self.tallies[number].reads.load(Ordering::Relaxed)
    }
}
