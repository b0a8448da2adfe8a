//! The ways in which what is read depends on what is written.
//!
//! Each shape has a few registers, numbered from 0, which all lie in the same tables. A shape says in what its writes
//! are known to change ([`Reach`]) and whether its reads are kept ([`Cached`]): these are the expectations to tighten
//! when the analysis learns more.

mod code;
mod definitions;
mod relations;
mod rows;
mod sessions;

/// Registers of each shape, if it does not say otherwise.
pub(super) const KEYS: usize = 3;

/// A scene with registers in it. `{k}` stands for a register's number, `{v}` for a version.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    /// Tables `(k int PRIMARY KEY, v int)` with a row of version 0 for every register.
    tables: &'static [&'static str],
    /// What is set up behind them.
    setup: &'static str,
    /// Returns the version.
    read: &'static str,
    pub(super) writes: &'static [Write],
    pub(super) reach: Reach,
    pub(super) cached: Cached,
    /// Sessions of different kinds that ask with the same text.
    pub(super) views: &'static [View],
    pub(super) registers: usize,
    /// Do the writes touch all registers, so that only one may be under way?
    pub(super) is_exclusive: bool,
    /// Do the writes replace what the reads name, so that PostgreSQL itself may tell a read that it is not there?
    pub(super) redefines: bool,
    /// Is the register's number part of a name, so that it cannot be a parameter?
    is_inline: bool,
}

/// How a register is written, in SQL.
#[derive(Clone, Copy, Debug)]
pub(super) enum Write {
    /// One statement that may have parameters.
    One(&'static str),
    /// One statement that cannot.
    Literal(&'static str),
    /// Several statements in one text, which may be part of a transaction.
    Script(&'static str),
    /// A text that has to stand alone.
    Alone(&'static str),
    /// Several requests, one after the other, outside of a transaction.
    Steps(&'static [&'static str]),
    /// COPY FROM STDIN, and its only row.
    Copy(&'static str, &'static str),
    /// A FunctionCall message for this function of a register and a version.
    Call(&'static str),
}

/// What a write of the shape makes void today.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reach {
    /// What reads its tables.
    Tables,
    /// Every result, and the catalog has to be loaded anew: code that is not understood, or a definition.
    Everything,
}

/// Are the reads kept?
#[derive(Clone, Copy, Debug)]
pub(super) enum Cached {
    Yes,
    No { because: &'static str },
}

/// A session that sees the same text in its own way.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) enter: &'static str,
    pub(super) leave: &'static str,
    /// How its answers are written.
    pub(super) answers: Answers,
}

/// How a version looks in an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answers {
    /// As a number.
    Number,
    /// As a number in the hexadecimal form of `bytea`.
    Hex,
    /// As a number with so much added to it.
    Above(i64),
    /// With this, whatever is written.
    Only(i64),
}

/// The shape that others are made from: precise and cached.
const TABLE: Shape = Shape {
    name: "",
    tables: &[],
    setup: "",
    read: "",
    writes: &[],
    reach: Reach::Tables,
    cached: Cached::Yes,
    views: &[],
    registers: KEYS,
    is_exclusive: false,
    redefines: false,
    is_inline: false,
};

/// The shape that others are made from whose writes make everything void.
const COARSE: Shape = Shape {
    reach: Reach::Everything,
    ..TABLE
};

/// One register.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) shape: usize,
    pub(super) key: usize,
}

/// Every shape, by number.
pub(super) fn shapes() -> &'static [&'static Shape] {
    static ALL: std::sync::LazyLock<Vec<&'static Shape>> = std::sync::LazyLock::new(|| {
        let groups: [&'static [Shape]; 5] = [
            rows::SHAPES,
            relations::SHAPES,
            sessions::SHAPES,
            code::SHAPES,
            definitions::SHAPES,
        ];
        groups.into_iter().flatten().collect()
    });
    &ALL
}

/// The numbers of the shapes of which this holds.
pub(super) fn which(holds: impl Fn(&Shape) -> bool) -> Vec<usize> {
    let all = shapes().iter().enumerate();
    all.filter(|(_, shape)| holds(shape))
        .map(|(number, _)| number)
        .collect()
}

impl Shape {
    /// Makes its tables, with version 0 everywhere.
    pub(super) fn setup(&self) -> String {
        let keys = format!("generate_series(0, {}) AS k", self.registers - 1);
        let tables = self.tables.iter().map(|table| {
            format!(
                "CREATE TABLE {table} (k int PRIMARY KEY, v int); INSERT INTO {table} SELECT k, 0 FROM {keys}; "
            )
        });
        tables.collect::<String>() + &self.setup.replace("{keys}", &keys)
    }

    /// The comment by which its reads are told apart in the server's statistics.
    pub(super) fn mark(&self) -> String {
        format!("/* {} */", self.name)
    }

    /// Does the server understand its writes? MERGE came with PostgreSQL 15.
    pub(super) fn writes_of(&self, has_merge: bool) -> Vec<Write> {
        let is_known = |write: &&Write| has_merge || !write.text().starts_with("MERGE");
        self.writes.iter().filter(is_known).copied().collect()
    }
}

impl Answers {
    /// The version that an answer holds; `None` if it is not one for this session.
    pub(super) fn version(self, value: &[u8]) -> Option<i64> {
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
        match self {
            Self::Number => number(value),
            Self::Hex => {
                let digits = value
                    .strip_prefix(b"\\x")?
                    .chunks(2)
                    .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
                number(&digits.collect::<Option<Vec<u8>>>()?)
            }
            Self::Above(base) => {
                let version: i64 = number(value)?;
                // Versions of a run stay far below what is added.
                (version / base == 1).then(|| version - base)
            }
            Self::Only(only) => number(value).filter(|value| *value == only),
        }
    }
}

impl Write {
    /// The text, or the last of them, which makes the change.
    pub(super) fn text(&self) -> &'static str {
        match self {
            Self::One(sql)
            | Self::Literal(sql)
            | Self::Script(sql)
            | Self::Alone(sql)
            | Self::Copy(sql, _)
            | Self::Call(sql) => sql,
            Self::Steps(steps) => steps.last().copied().unwrap_or_default(),
        }
    }

    /// The same write as one that never takes a register back, however late it comes, if there is one.
    pub(super) fn monotone(&self) -> Option<String> {
        match self {
            Self::One(sql) if sql.starts_with("UPDATE") && sql.contains("SET v = {v} WHERE") => {
                Some(sql.replace("SET v = {v}", "SET v = greatest(v, {v})"))
            }
            _ => None,
        }
    }
}

impl Place {
    pub(super) fn shape(self) -> &'static Shape {
        shapes()[self.shape]
    }

    /// The read, with its key written into it.
    pub(super) fn read(self) -> String {
        let shape = self.shape();
        let read = shape.read.replace("{k}", &self.key.to_string());
        format!("{read} {}", shape.mark())
    }

    /// The read, with its key as a parameter where it can be one.
    pub(super) fn read_with_parameter(self) -> (String, Vec<String>) {
        let shape = self.shape();
        if shape.is_inline || !shape.read.contains("{k}") {
            return (self.read(), Vec::new());
        }
        let read = shape.read.replace("{k}", "$1");
        (
            format!("{read} {}", shape.mark()),
            vec![self.key.to_string()],
        )
    }

    /// The name under which a session prepares the read.
    pub(super) fn read_name(self) -> String {
        match self.read_with_parameter().1.len() {
            0 => format!("r{}_{}", self.shape, self.key),
            _ => format!("r{}", self.shape),
        }
    }

    /// A text, with its key and a version written into it.
    pub(super) fn literally(self, text: &str, version: i64) -> String {
        text.replace("{k}", &self.key.to_string())
            .replace("{v}", &version.to_string())
    }

    /// A text, with its key and a version as parameters.
    pub(super) fn with_parameters(self, text: &str, version: i64) -> (String, [String; 2]) {
        // A type for each: some of the texts compare or add them.
        let sql = text.replace("{k}", "$1::int").replace("{v}", "$2::int");
        (sql, [self.key.to_string(), version.to_string()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_those_of_their_session() {
        assert_eq!(Answers::Number.version(b"12"), Some(12));
        assert_eq!(Answers::Number.version(b"\\x3132"), None);
        assert_eq!(Answers::Hex.version(b"\\x3132"), Some(12));
        assert_eq!(Answers::Hex.version(b"12"), None);
        assert_eq!(Answers::Above(1000).version(b"1012"), Some(12));
        assert_eq!(Answers::Above(1000).version(b"2012"), None);
        assert_eq!(Answers::Only(7).version(b"8"), None);
    }

    #[test]
    fn names_are_given_once() {
        let mut names: Vec<_> = shapes().iter().map(|shape| shape.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
