//! Changes of definitions: the same name stands for something else afterwards.

use super::{COARSE, Shape, Write};

use Write::{Alone, Literal, Script, Steps};

pub(super) const SHAPES: &[Shape] = &[
    Shape {
        name: "tables that are swapped",
        tables: &["swapped"],
        read: "SELECT v FROM swapped WHERE k = {k}",
        writes: &[
            Script(
                "CREATE TABLE next AS SELECT k, CASE k WHEN {k} THEN {v} ELSE v END AS v FROM swapped; \
                DROP TABLE swapped; ALTER TABLE next RENAME TO swapped",
            ),
            Alone(
                "BEGIN; SELECT k, CASE k WHEN {k} THEN {v} ELSE v END AS v INTO next FROM swapped; \
                ALTER TABLE swapped RENAME TO former; ALTER TABLE next RENAME TO swapped; DROP TABLE former; COMMIT",
            ),
        ],
        is_exclusive: true,
        redefines: true,
        ..COARSE
    },
    Shape {
        name: "table made anew",
        tables: &["anew", "anew_source"],
        read: "SELECT v FROM anew WHERE k = {k}",
        writes: &[Script(
            "UPDATE anew_source SET v = {v} WHERE k = {k}; DROP TABLE anew; \
                CREATE TABLE anew (k int, v int); INSERT INTO anew SELECT * FROM anew_source",
        )],
        is_exclusive: true,
        redefines: true,
        ..COARSE
    },
    Shape {
        name: "values rewritten by ALTER TABLE",
        tables: &["rewritten"],
        read: "SELECT v FROM rewritten WHERE k = {k}",
        writes: &[Literal(
            "ALTER TABLE rewritten ALTER v TYPE int USING CASE k WHEN {k} THEN {v} ELSE v END",
        )],
        is_exclusive: true,
        redefines: true,
        ..COARSE
    },
    Shape {
        name: "view that is replaced",
        setup: "CREATE VIEW replaced_0 AS SELECT 0 AS v; CREATE VIEW replaced_1 AS SELECT 0 AS v; \
            CREATE VIEW replaced_2 AS SELECT 0 AS v",
        read: "SELECT v FROM replaced_{k}",
        writes: &[Literal(
            "CREATE OR REPLACE VIEW replaced_{k} AS SELECT {v} AS v",
        )],
        is_exclusive: true,
        redefines: true,
        is_inline: true,
        ..COARSE
    },
    Shape {
        name: "function that is replaced",
        setup: "CREATE FUNCTION constant_0() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 0'; \
            CREATE FUNCTION constant_1() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 0'; \
            CREATE FUNCTION constant_2() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 0'",
        read: "SELECT constant_{k}()",
        writes: &[Literal(
            "CREATE OR REPLACE FUNCTION constant_{k}() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT {v}'",
        )],
        is_exclusive: true,
        redefines: true,
        is_inline: true,
        ..COARSE
    },
    Shape {
        name: "schemas that are swapped",
        setup: "CREATE SCHEMA current; CREATE TABLE current.in_schema (k int, v int); \
            INSERT INTO current.in_schema SELECT k, 0 FROM {keys}",
        read: "SELECT v FROM current.in_schema WHERE k = {k}",
        writes: &[Script(
            "CREATE SCHEMA coming; \
                CREATE TABLE coming.in_schema AS SELECT k, CASE k WHEN {k} THEN {v} ELSE v END AS v FROM current.in_schema; \
                DROP SCHEMA current CASCADE; ALTER SCHEMA coming RENAME TO current",
        )],
        is_exclusive: true,
        redefines: true,
        ..COARSE
    },
    Shape {
        name: "partition that is exchanged",
        setup: "CREATE TABLE exchanged (k int, v int) PARTITION BY LIST (k); \
            CREATE TABLE exchange_part PARTITION OF exchanged DEFAULT; INSERT INTO exchanged SELECT k, 0 FROM {keys}",
        read: "SELECT v FROM exchanged WHERE k = {k}",
        writes: &[Steps(&[
            "CREATE TABLE exchange_next AS SELECT k, CASE k WHEN {k} THEN {v} ELSE v END AS v FROM exchanged",
            "BEGIN; ALTER TABLE exchanged DETACH PARTITION exchange_part; \
                ALTER TABLE exchanged ATTACH PARTITION exchange_next DEFAULT; \
                DROP TABLE exchange_part; ALTER TABLE exchange_next RENAME TO exchange_part; COMMIT",
        ])],
        is_exclusive: true,
        redefines: true,
        ..COARSE
    },
];
