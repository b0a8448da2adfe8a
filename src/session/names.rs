//! What a client's names of statements and portals mean.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cache::key::ContextId;
use crate::database::statement::Statement;
use crate::freshness::words::{Slot, Stamp, Words};
use crate::protocol::expect::Expected;
use crate::protocol::shape::Shape;
use crate::upstream::connection::Parsing;

/// Statements by the client's names.
pub(super) type Statements = Names<Meaning>;

/// Portals by the client's names. The unnamed one is missing while the server's, if it has one, is not what the
/// client means.
pub(super) type Portals = Names<Bound>;

type Names<T> = HashMap<Arc<[u8]>, T>;

/// What a portal runs.
#[derive(Clone)]
pub(super) enum Bound {
    /// This statement.
    To(Arc<Statement>),
    /// A statement that was prepared in SQL, or does not exist.
    ToAnother,
}

/// What the shape of a statement depends on beside its text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ground {
    /// Names are looked up as in this context.
    pub(super) context: ContextId,
    /// The catalogs as they are under this stamp.
    pub(super) catalog: Stamp,
}

impl Ground {
    /// The ground as it is now, or `None` while somebody changes a catalog.
    pub(super) fn now(context: ContextId, words: &Words) -> Option<Self> {
        let catalog = words.stamp(Slot::CATALOG)?;
        Some(Self { context, catalog })
    }
}

/// What a client means by the name of a statement.
#[derive(Clone)]
pub(super) struct Meaning {
    /// Its text and the parameter types that were given.
    pub(super) statement: Arc<Statement>,
    /// What it was found to be when the client prepared it, and what it has to stay.
    pub(super) shape: Arc<Shape>,
    /// On this ground it is known to be so; `None` if what the session did matters, too.
    ground: Option<Ground>,
}

impl Meaning {
    /// The statement as it is on this ground, which may still have to be found out.
    pub(super) fn on(statement: Arc<Statement>, ground: Option<Ground>) -> Self {
        let shape = ground.map_or_else(Arc::default, |ground| {
            statement.shape(ground.context, ground.catalog)
        });
        Self {
            statement,
            shape,
            ground,
        }
    }

    /// The statement as it was found to be, on a ground of which nothing is known.
    pub(super) const fn of(statement: Arc<Statement>, shape: Arc<Shape>) -> Self {
        Self {
            statement,
            shape,
            ground: None,
        }
    }

    /// Would the same text be found to be the same now?
    pub(super) fn is_current(&self, context: ContextId, words: &Words) -> bool {
        self.ground
            .is_some_and(|ground| ground.context == context && words.is_current(ground.catalog))
    }

    /// Is this the ground on which it was found to be so?
    pub(super) fn stands_on(&self, ground: Ground) -> bool {
        self.ground == Some(ground)
    }
}

/// What a message did to the client's names, to be undone if the server refuses or skips it. Every Parse, Bind
/// and Close of the client's has one, in order.
pub(super) enum Renaming {
    /// Nothing.
    None,
    /// The name of a portal meant this before.
    Portal(Arc<[u8]>, Option<Bound>),
    /// The name of a statement meant this before.
    Statement(Arc<[u8]>, Option<Meaning>),
}

impl Renaming {
    /// Does the reply that is owed belong to a message that has a renaming?
    pub(super) const fn is_of(expected: &Expected<Parsing>) -> bool {
        use crate::protocol::expect::Origin;

        matches!(
            expected,
            Expected::BindComplete(_)
                | Expected::CloseComplete(Origin::Client)
                | Expected::Local(_)
                | Expected::ParseComplete(Origin::Client, _)
                | Expected::Refusal(true)
        )
    }

    /// As if the message had never come.
    pub(super) fn undo(self, statements: &mut Statements, portals: &mut Portals) {
        match self {
            Self::None => {}
            Self::Portal(name, before) => drop(set(portals, name, before)),
            Self::Statement(name, before) => drop(set(statements, name, before)),
        }
    }
}

/// Makes a name mean something, or nothing; returns what it meant before.
pub(super) fn set<T>(names: &mut Names<T>, name: Arc<[u8]>, to: Option<T>) -> Option<T> {
    match to {
        Some(meaning) => names.insert(name, meaning),
        None => names.remove(&name),
    }
}
