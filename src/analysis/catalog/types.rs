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

/// What a cast to a type may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::analysis) enum Cast {
    Plain,
    /// The result may be another one next time.
    Refused(Reason),
    /// Code that is not understood may run.
    RunsCode(Reason),
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

    /// The worst that a cast to a type of this name may do, or `None` if there is no such type.
    pub(in crate::analysis) fn cast(&self, name: &Name, functions: &Functions) -> Option<Cast> {
        self.by_name
            .get(&name.name)?
            .iter()
            .filter(|oid| {
                self.by_oid
                    .get(oid)
                    .is_some_and(|found| name.admits(&found.schema))
            })
            .map(|oid| self.cast_to(*oid, functions))
            .max_by_key(|cast| match cast {
                Cast::Plain => 0,
                Cast::Refused(_) => 1,
                Cast::RunsCode(_) => 2,
            })
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

    /// Whether making a value of this type may run code that is not understood.
    pub(super) fn runs_code(&self, oid: Oid, functions: &Functions) -> bool {
        self.runs(oid, functions, &mut Vec::new())
    }

    /// Whether this is a domain, or an array of one.
    pub(super) fn is_domain(&self, oid: Oid) -> bool {
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

    /// What a cast to this type may do.
    pub(super) fn cast_to(&self, oid: Oid, functions: &Functions) -> Cast {
        if self.runs_code(oid, functions) {
            return Cast::RunsCode(Reason::UnsafeType);
        }
        let Some(found) = self.by_oid.get(&oid) else {
            return Cast::RunsCode(Reason::UnknownType);
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

    /// `path` holds the types this one was reached from: the input function of a type returns the type itself.
    fn runs(&self, oid: Oid, functions: &Functions, path: &mut Vec<Oid>) -> bool {
        let Some(found) = self.by_oid.get(&oid) else {
            return true;
        };
        if path.contains(&oid) {
            return false;
        }
        path.push(oid);
        let of_functions = found.functions.iter().any(|function| {
            functions.runs_code(*function)
                || functions
                    .signature(*function)
                    .iter()
                    .any(|part| self.runs(*part, functions, path))
        });
        let code = of_functions
            || found
                .parts
                .iter()
                .any(|part| self.runs(*part, functions, path));
        path.pop();
        code
    }
}
