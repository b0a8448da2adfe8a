//! The ways in which what is read depends on what is written.
//!
//! Each shape has a few registers, numbered from 0, which all lie in the same tables.

/// Registers of each shape.
pub(super) const KEYS: usize = 3;

/// A scene with registers in it. `{k}` stands for a register's number, `{v}` for a version.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    setup: &'static str,
    /// Returns the version.
    read: &'static str,
    /// Sets the version.
    write: &'static str,
}

/// One register.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) shape: usize,
    pub(super) key: usize,
}

impl Shape {
    /// Makes its tables, with version 0 everywhere.
    pub(super) fn setup(&self) -> String {
        self.setup
            .replace("{keys}", &format!("generate_series(0, {}) AS k", KEYS - 1))
    }
}

impl Place {
    pub(super) fn shape(self) -> &'static Shape {
        &SHAPES[self.shape]
    }

    /// The read, with its key written into it.
    pub(super) fn read(self) -> String {
        self.shape().read.replace("{k}", &self.key.to_string())
    }

    /// The read, with its key as a parameter.
    pub(super) fn read_with_parameter(self) -> (String, String) {
        (self.shape().read.replace("{k}", "$1"), self.key.to_string())
    }

    /// The write of a version.
    pub(super) fn write(self, version: i64) -> String {
        let write = self.shape().write.replace("{k}", &self.key.to_string());
        write.replace("{v}", &version.to_string())
    }

    /// The write of a version, with parameters.
    pub(super) fn write_with_parameters(self, version: i64) -> (String, [String; 2]) {
        // A type for each: some of the texts compare or add them.
        let sql = self
            .shape()
            .write
            .replace("{k}", "$1::int")
            .replace("{v}", "$2::int");
        (sql, [self.key.to_string(), version.to_string()])
    }
}

/// The shape in which a write can begin and end while a read, whose snapshot is older, is still at work.
pub(super) const SLOW: usize = 0;

/// All of them.
pub(super) const SHAPES: &[Shape] = &[
    Shape {
        name: "slow read",
        setup: "CREATE TABLE slow (k int PRIMARY KEY, v int); INSERT INTO slow SELECT k, 0 FROM {keys}",
        read: "SELECT v FROM slow, (SELECT count(*) FROM generate_series(1, 4000)) AS nap WHERE k = {k}",
        write: "UPDATE slow SET v = {v} WHERE k = {k}",
    },
    Shape {
        name: "table",
        setup: "CREATE TABLE plain (k int PRIMARY KEY, v int); INSERT INTO plain SELECT k, 0 FROM {keys}",
        read: "SELECT v FROM plain WHERE k = {k}",
        write: "UPDATE plain SET v = {v} WHERE k = {k}",
    },
    Shape {
        name: "rows that come and go",
        setup: "CREATE TABLE log (k int, v int); INSERT INTO log SELECT k, 0 FROM {keys}",
        read: "SELECT max(v) FROM log WHERE k = {k}",
        write: "WITH gone AS (DELETE FROM log WHERE k = {k}) INSERT INTO log VALUES ({k}, {v})",
    },
    Shape {
        name: "view over view",
        setup: "CREATE TABLE base (k int PRIMARY KEY, v int); INSERT INTO base SELECT k, 0 FROM {keys}; \
            CREATE VIEW lower AS SELECT k, v FROM base WHERE k >= 0; \
            CREATE VIEW upper AS SELECT k, sum(v) AS v FROM lower GROUP BY k",
        read: "SELECT v FROM upper WHERE k = {k}",
        write: "UPDATE lower SET v = {v} WHERE k = {k}",
    },
    Shape {
        name: "join",
        setup: "CREATE TABLE names (k int PRIMARY KEY, name text); INSERT INTO names SELECT k, 'n' || k FROM {keys}; \
            CREATE TABLE values_of (name text PRIMARY KEY, v int); INSERT INTO values_of SELECT 'n' || k, 0 FROM {keys}",
        read: "SELECT o.v FROM names AS n JOIN values_of AS o USING (name) WHERE n.k = {k}",
        write: "UPDATE values_of SET v = {v} WHERE name = 'n' || {k}",
    },
    Shape {
        name: "foreign key",
        setup: "CREATE TABLE parent (k int, v int, PRIMARY KEY (k, v)); INSERT INTO parent SELECT k, 0 FROM {keys}; \
            CREATE TABLE child (k int PRIMARY KEY, v int, \
                FOREIGN KEY (k, v) REFERENCES parent ON UPDATE CASCADE); INSERT INTO child SELECT k, 0 FROM {keys}",
        read: "SELECT v FROM child WHERE k = {k}",
        write: "UPDATE parent SET v = {v} WHERE k = {k}",
    },
    Shape {
        name: "partition",
        setup: "CREATE TABLE whole (k int, v int) PARTITION BY LIST (k); \
            CREATE TABLE leaf PARTITION OF whole DEFAULT; INSERT INTO whole SELECT k, 0 FROM {keys}",
        read: "SELECT v FROM leaf WHERE k = {k}",
        write: "UPDATE whole SET v = {v} WHERE k = {k}",
    },
    Shape {
        name: "deferred trigger",
        setup: "CREATE TABLE cause (k int PRIMARY KEY, v int); INSERT INTO cause SELECT k, 0 FROM {keys}; \
            CREATE TABLE effect (k int PRIMARY KEY, v int); INSERT INTO effect SELECT k, 0 FROM {keys}; \
            CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN UPDATE effect SET v = NEW.v WHERE k = NEW.k; RETURN NULL; END $$; \
            CREATE CONSTRAINT TRIGGER follow AFTER UPDATE ON cause INITIALLY DEFERRED \
                FOR EACH ROW EXECUTE FUNCTION follow()",
        read: "SELECT v FROM effect WHERE k = {k}",
        write: "UPDATE cause SET v = {v} WHERE k = {k}",
    },
];
