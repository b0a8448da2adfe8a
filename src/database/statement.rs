//! A text of SQL with its parameter types, parsed once.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::analysis::{self, Dialect, Oid, Parsed, SessionEffects};
use crate::cache::key::{ContextId, StatementId};
use crate::config::Ttl;
use crate::freshness::words::{Slot, Stamp, Words};
use crate::protocol::frontend::split_cstring;
use crate::protocol::shape::Shape;
use crate::reason::Reason;

/// A distinct text with its parameter types.
pub struct Statement {
    id: StatementId,
    tail: Box<[u8]>,
    parsed: Parsed,
    plan: ArcSwapOption<Versioned>,
    shapes: Mutex<SmallVec<[Known; 1]>>,
}

/// The shape that a statement has in a context, by the catalogs as they were under a stamp.
struct Known {
    context: ContextId,
    catalog: Stamp,
    shape: Arc<Shape>,
}

/// In how many contexts the shape of a statement is remembered.
const SHAPES_MAX: usize = 16;

struct Versioned {
    version: u64,
    plan: Arc<Plan>,
}

/// What a statement reads, writes and leaves behind, by one catalog snapshot.
#[derive(Debug)]
pub struct Plan {
    /// What its result depends on, or why it is not cached.
    pub read: Result<ReadPlan, Reason>,
    /// The stamp of the catalog snapshot it was made by; `None` without one.
    pub catalog: Option<Stamp>,
    /// The words it touches when it takes effect.
    pub writes: Box<[Slot]>,
    /// Does the error of the statement alone prove that it changed nothing? Not if it may commit inside.
    pub rollback_is_provable: bool,
    /// What it may leave behind in the session.
    pub session: SessionEffects,
    /// May it be run again by itself, though it may have run already? It reads, and leaves nothing behind.
    pub is_repeatable: bool,
    /// Made without a catalog: what the statement's names stand for is not known, and so neither is what it
    /// may leave behind in the session.
    pub is_blind: bool,
}

/// What a cacheable result depends on.
#[derive(Debug)]
pub struct ReadPlan {
    /// The words, [`Slot::EVERYTHING`] among them.
    pub slots: Box<[Slot]>,
    /// The stamp of the catalog snapshot by which the slots were found.
    pub catalog: Stamp,
    /// How long a result may be kept, fresh as it may be.
    pub ttl: Ttl,
}

impl ReadPlan {
    /// The stamps for a fill that is about to be asked for, or `None` while a window is open.
    #[must_use]
    pub fn stamps(&self, words: &Words) -> Option<Arc<[Stamp]>> {
        words.stamps(self.catalog, &self.slots)
    }
}

impl Statement {
    /// Parses the text of a Parse message's tail.
    #[must_use]
    pub fn new(id: StatementId, tail: &[u8], dialect: Dialect, max_bytes: usize) -> Self {
        let text = split_cstring(tail).map_or(tail, |(text, _)| text);
        let parsed = analysis::parse(text, dialect, max_bytes);
        Self {
            id,
            tail: tail.into(),
            parsed,
            plan: ArcSwapOption::empty(),
            shapes: Mutex::new(SmallVec::new()),
        }
    }

    /// The shape that it has, or will be found to have, in a context, by the catalogs as they are now.
    ///
    /// What is found out while the catalogs change is found out in vain: their stamp is never the same again.
    #[must_use]
    pub fn shape(&self, context: ContextId, catalog: Stamp) -> Arc<Shape> {
        let mut shapes = self.shapes.lock();
        if let Some(known) = shapes.iter_mut().find(|known| known.context == context) {
            if known.catalog != catalog {
                known.catalog = catalog;
                known.shape = Arc::default();
            }
            return Arc::clone(&known.shape);
        }
        if shapes.len() >= SHAPES_MAX {
            shapes.remove(0);
        }
        let shape = Arc::default();
        shapes.push(Known {
            context,
            catalog,
            shape: Arc::clone(&shape),
        });
        shape
    }

    /// The same text with these parameter types, as a Parse message gives them.
    #[must_use]
    pub fn tail_with_types(&self, types: &[u8]) -> Vec<u8> {
        [self.text(), b"\0", types].concat()
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> StatementId {
        self.id
    }

    /// The name it has on every server connection where it is prepared.
    #[must_use]
    pub fn server_name(&self) -> Vec<u8> {
        server_name(self.id)
    }

    /// The text, its NUL and the parameter types, as in a Parse message.
    #[must_use]
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        split_cstring(&self.tail).map_or(&self.tail, |(text, _)| text)
    }

    /// The parameter types that the client chose to give.
    pub fn parameter_types(&self) -> impl Iterator<Item = Oid> {
        let types = split_cstring(&self.tail).and_then(|(_, types)| types.get(2..));
        let words = types.unwrap_or_default().chunks_exact(4);
        words.map(|word| Oid(word.iter().fold(0, |oid, &byte| oid << 8 | u32::from(byte))))
    }

    /// What the grammar says of it.
    #[must_use]
    pub const fn parsed(&self) -> &Parsed {
        &self.parsed
    }

    /// The plan of a catalog version, made by `judge` if it is not the one at hand.
    pub(super) fn plan_of(&self, version: u64, judge: impl FnOnce() -> Plan) -> Arc<Plan> {
        if let Some(known) = &*self.plan.load()
            && known.version == version
        {
            return Arc::clone(&known.plan);
        }
        let plan = Arc::new(judge());
        self.plan.store(Some(Arc::new(Versioned {
            version,
            plan: Arc::clone(&plan),
        })));
        plan
    }
}

/// The name of a statement on every server connection where it is prepared.
#[must_use]
pub fn server_name(id: StatementId) -> Vec<u8> {
    format!("pgkeel_{:x}", id.0).into_bytes()
}
