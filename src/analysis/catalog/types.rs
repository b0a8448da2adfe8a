//! What it takes to read and to write the values of a type.
//!
//! Invariant: a type that is not known is neither plain nor free of code.

use std::collections::HashMap;

use super::functions::Functions;
use super::rows::{TypeKind, TypeRow};
use crate::analysis::Oid;
use crate::analysis::builtin;
use crate::analysis::facts::Name;
use crate::reason::Reason;

/// The types of a snapshot.
#[derive(Debug)]
pub(in crate::analysis) struct Types {
    by_oid: HashMap<Oid, Type>,
    by_name: HashMap<Box<str>, Vec<Oid>>,
}

#[derive(Debug)]
struct Type {
    schema: Box<str>,
    kind: TypeKind,
    plain: Plain,
    parts: Box<[Oid]>,
    functions: Box<[Oid]>,
}

/// Whether a type is on the list of built-in types that mean the same to everybody.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Plain {
    No,
    Yes,
}

/// What becomes of a cast to a type, but for the code that runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::analysis) enum Cast {
    Plain,
    /// The result may be another one next time.
    Refused(Reason),
}

impl Types {
    pub(super) fn new(rows: Vec<TypeRow>) -> Self {
        let mut types = Self {
            by_oid: HashMap::new(),
            by_name: HashMap::new(),
        };
        for row in rows {
            let listed = row.schema == "pg_catalog"
                && builtin::plain_types().binary_search(&&*row.name).is_ok();
            types
                .by_name
                .entry(row.name.into())
                .or_default()
                .push(row.oid);
            let kind = Type {
                schema: row.schema.into(),
                kind: row.kind,
                plain: if listed { Plain::Yes } else { Plain::No },
                parts: row.parts.into(),
                functions: row.functions.into(),
            };
            types.by_oid.insert(row.oid, kind);
        }
        types
    }

    /// The types that a name may mean.
    pub(in crate::analysis) fn named<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = Oid> {
        let named = self.by_name.get(&name.name).map_or(&[][..], Vec::as_slice);
        let is_meant = |oid: &&Oid| {
            let found = self.by_oid.get(oid);
            found.is_some_and(|found| name.admits(&found.schema))
        };
        named.iter().filter(is_meant).copied()
    }

    /// What making a value of the type runs: functions, and the types it is made of. `None`: it is not known.
    pub(super) fn made_of(&self, oid: Oid) -> Option<(&[Oid], &[Oid])> {
        let found = self.by_oid.get(&oid)?;
        Some((&found.functions, &found.parts))
    }

    /// Whether values of this type are shown in the same way every time.
    pub(super) fn shows_plainly(&self, oid: Oid, functions: &Functions) -> bool {
        let Some(found) = self.by_oid.get(&oid) else {
            return false;
        };
        if found.plain == Plain::Yes {
            return true;
        }
        match found.kind {
            TypeKind::Enum => true,
            // A type is never a part of itself, so this ends.
            TypeKind::Array | TypeKind::Composite | TypeKind::Domain | TypeKind::Range => {
                !found.parts.is_empty()
                    && found
                        .parts
                        .iter()
                        .all(|part| self.shows_plainly(*part, functions))
            }
            TypeKind::Base => {
                &*found.schema != "pg_catalog"
                    && found
                        .functions
                        .iter()
                        .all(|function| functions.shows_plainly(*function))
            }
            TypeKind::Pseudo => false,
        }
    }

    /// Whether this is a domain, or an array of one.
    pub(in crate::analysis) fn is_domain(&self, oid: Oid) -> bool {
        self.by_oid.get(&oid).is_some_and(|found| match found.kind {
            TypeKind::Domain => true,
            TypeKind::Array => found.parts.iter().any(|part| self.is_domain(*part)),
            TypeKind::Base
            | TypeKind::Composite
            | TypeKind::Enum
            | TypeKind::Pseudo
            | TypeKind::Range => false,
        })
    }

    /// What becomes of a cast to this type.
    pub(in crate::analysis) fn cast_to(&self, oid: Oid, functions: &Functions) -> Cast {
        let Some(found) = self.by_oid.get(&oid) else {
            return Cast::Refused(Reason::UnsafeType);
        };
        let plain = match found.kind {
            TypeKind::Enum => true,
            TypeKind::Base => found.plain == Plain::Yes || self.shows_plainly(oid, functions),
            TypeKind::Range => found.plain == Plain::Yes,
            TypeKind::Array => {
                return found
                    .parts
                    .first()
                    .map_or(Cast::Refused(Reason::UnsafeType), |part| {
                        self.cast_to(*part, functions)
                    });
            }
            // Their fields may be read from text, their checks may look at the clock.
            TypeKind::Composite | TypeKind::Domain | TypeKind::Pseudo => false,
        };
        if plain {
            Cast::Plain
        } else {
            Cast::Refused(Reason::UnsafeType)
        }
    }
}
