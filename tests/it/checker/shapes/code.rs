//! Code of the database's own: triggers, rules, functions, procedures.
//!
//! What is understood makes void what it writes, and the rest everything.

use super::{COARSE, Shape, TABLE, Write};

use Write::{Alone, Call, Literal, One, Steps};

pub(super) const SHAPES: &[Shape] = &[
    Shape {
        name: "row trigger",
        tables: &["row_cause", "row_effect"],
        setup: "CREATE FUNCTION row_follow() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN UPDATE row_effect SET v = NEW.v WHERE k = NEW.k; RETURN NEW; END $$; \
            CREATE TRIGGER follow AFTER UPDATE ON row_cause FOR EACH ROW EXECUTE FUNCTION row_follow()",
        read: "SELECT v FROM row_effect WHERE k = {k}",
        writes: &[One("UPDATE row_cause SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "row trigger, before",
        tables: &["before_cause", "before_effect"],
        setup: "CREATE FUNCTION before_follow() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN UPDATE before_effect SET v = NEW.v WHERE k = NEW.k; RETURN NULL; END $$; \
            CREATE TRIGGER follow BEFORE UPDATE ON before_cause FOR EACH ROW EXECUTE FUNCTION before_follow()",
        read: "SELECT v FROM before_effect WHERE k = {k}",
        writes: &[One("UPDATE before_cause SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "statement trigger",
        tables: &["statement_cause", "statement_effect"],
        setup: "CREATE FUNCTION statement_follow() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN UPDATE statement_effect AS e SET v = n.v FROM new_rows AS n WHERE e.k = n.k; RETURN NULL; END $$; \
            CREATE TRIGGER follow AFTER UPDATE ON statement_cause REFERENCING NEW TABLE AS new_rows \
                FOR EACH STATEMENT EXECUTE FUNCTION statement_follow()",
        read: "SELECT v FROM statement_effect WHERE k = {k}",
        writes: &[One("UPDATE statement_cause SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "deferred trigger",
        tables: &["cause", "effect"],
        setup: "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN UPDATE effect SET v = NEW.v WHERE k = NEW.k; RETURN NULL; END $$; \
            CREATE CONSTRAINT TRIGGER follow AFTER UPDATE ON cause INITIALLY DEFERRED \
                FOR EACH ROW EXECUTE FUNCTION follow()",
        read: "SELECT v FROM effect WHERE k = {k}",
        writes: &[One("UPDATE cause SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "trigger behind a cascade",
        tables: &["cascade_effect"],
        setup: "CREATE TABLE cascade_cause (k int, v int, PRIMARY KEY (k, v)); \
            INSERT INTO cascade_cause SELECT k, 0 FROM {keys}; \
            CREATE TABLE cascade_middle (k int, v int, FOREIGN KEY (k, v) REFERENCES cascade_cause ON UPDATE CASCADE); \
            INSERT INTO cascade_middle SELECT k, 0 FROM {keys}; \
            CREATE FUNCTION cascade_follow() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN UPDATE cascade_effect SET v = NEW.v WHERE k = NEW.k; RETURN NULL; END $$; \
            CREATE TRIGGER follow AFTER UPDATE ON cascade_middle FOR EACH ROW EXECUTE FUNCTION cascade_follow()",
        read: "SELECT v FROM cascade_effect WHERE k = {k}",
        writes: &[One("UPDATE cascade_cause SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "rule",
        tables: &["rule_cause", "rule_effect"],
        setup: "CREATE RULE follow AS ON UPDATE TO rule_cause DO ALSO \
            UPDATE rule_effect SET v = NEW.v WHERE k = NEW.k",
        read: "SELECT v FROM rule_effect WHERE k = {k}",
        writes: &[One("UPDATE rule_cause SET v = {v} WHERE k = {k}")],
        ..COARSE
    },
    Shape {
        name: "INSTEAD OF trigger",
        tables: &["instead_effect"],
        setup: "CREATE VIEW instead AS SELECT k, v FROM instead_effect; \
            CREATE FUNCTION instead_follow() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN UPDATE instead_effect SET v = NEW.v WHERE k = NEW.k; RETURN NEW; END $$; \
            CREATE TRIGGER follow INSTEAD OF UPDATE ON instead FOR EACH ROW EXECUTE FUNCTION instead_follow()",
        read: "SELECT v FROM instead_effect WHERE k = {k}",
        writes: &[One("UPDATE instead SET v = {v} WHERE k = {k}")],
        ..COARSE
    },
    Shape {
        name: "view that is written",
        tables: &["behind_view"],
        setup: "CREATE VIEW lower AS SELECT k, v FROM behind_view WHERE k >= 0; \
            CREATE VIEW upper AS SELECT * FROM lower",
        read: "SELECT v FROM behind_view WHERE k = {k}",
        writes: &[
            One("UPDATE upper SET v = {v} WHERE k = {k}"),
            One("UPDATE lower SET v = {v} WHERE k = {k}"),
        ],
        ..COARSE
    },
    Shape {
        name: "function that writes",
        tables: &["written"],
        setup: "CREATE FUNCTION writes(int, int) RETURNS int LANGUAGE sql AS \
                'UPDATE written SET v = $2 WHERE k = $1 RETURNING v'; \
            CREATE PROCEDURE commits(key int, version int) LANGUAGE plpgsql AS \
                $$ BEGIN UPDATE written SET v = version WHERE k = key; COMMIT; PERFORM pg_sleep(0.002); END $$; \
            CREATE FUNCTION writes_by_cast(text) RETURNS text LANGUAGE plpgsql AS \
                $$ BEGIN EXECUTE $1; RETURN $1; END $$",
        read: "SELECT v FROM written WHERE k = {k}",
        writes: &[
            One("SELECT writes({k}, {v})"),
            One("SELECT * FROM generate_series(1, 1) WHERE writes({k}, {v}) IS NOT NULL"),
            Literal("SELECT writes_by_cast('UPDATE written SET v = {v} WHERE k = {k}')"),
            Literal("DO $$ BEGIN UPDATE written SET v = {v} WHERE k = {k}; END $$"),
            Alone(
                "DO $$ BEGIN UPDATE written SET v = {v} WHERE k = {k}; COMMIT; PERFORM pg_sleep(0.002); END $$",
            ),
            Alone("CALL commits({k}, {v})"),
            Literal("EXPLAIN ANALYZE SELECT writes({k}, {v})"),
            Call("writes"),
        ],
        ..COARSE
    },
    Shape {
        name: "SQL function that reads",
        tables: &["sql_read"],
        setup: "CREATE FUNCTION reads_in_sql(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT v FROM sql_read WHERE k = $1'",
        read: "SELECT reads_in_sql({k})",
        writes: &[One("UPDATE sql_read SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "PL/pgSQL function that reads",
        tables: &["plpgsql_read"],
        setup: "CREATE FUNCTION reads_in_plpgsql(key int) RETURNS int STABLE LANGUAGE plpgsql AS \
            $$ BEGIN RETURN (SELECT v FROM plpgsql_read WHERE k = key); END $$",
        read: "SELECT reads_in_plpgsql({k})",
        writes: &[One("UPDATE plpgsql_read SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "view over a function that reads",
        tables: &["view_read"],
        setup: "CREATE FUNCTION reads_for_view(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT v FROM view_read WHERE k = $1'; \
            CREATE VIEW by_function AS SELECT k, reads_for_view(k) AS v FROM generate_series(0, 2) AS k",
        read: "SELECT v FROM by_function WHERE k = {k}",
        writes: &[One("UPDATE view_read SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "trigger that is switched on late",
        tables: &["late_cause", "late_effect"],
        setup: "CREATE FUNCTION late_follow() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN UPDATE late_effect SET v = NEW.v WHERE k = NEW.k; RETURN NULL; END $$",
        read: "SELECT v FROM late_effect WHERE k = {k}",
        writes: &[Steps(&[
            "DROP TRIGGER IF EXISTS follow ON late_cause; CREATE TRIGGER follow AFTER UPDATE ON late_cause \
                FOR EACH ROW EXECUTE FUNCTION late_follow()",
            "UPDATE late_cause SET v = {v} WHERE k = {k}",
        ])],
        is_exclusive: true,
        ..COARSE
    },
];
