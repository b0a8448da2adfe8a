//! Tables, and every form in which a query reads one or a statement changes its rows.

use super::{Cached, Shape, TABLE, Write};

use Write::{Copy, Literal, One, Script, Steps};

pub(super) const SHAPES: &[Shape] = &[
    Shape {
        name: "slow read",
        tables: &["slow"],
        read: "SELECT v FROM slow, (SELECT count(*) FROM generate_series(1, 4000)) AS nap WHERE k = {k}",
        writes: &[One("UPDATE slow SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "table",
        tables: &["plain"],
        read: "SELECT v FROM plain WHERE k = {k}",
        writes: &[
            One("UPDATE plain SET v = {v} WHERE k = {k}"),
            One("INSERT INTO plain VALUES ({k}, {v}) ON CONFLICT (k) DO UPDATE SET v = excluded.v"),
            One(
                "MERGE INTO plain USING (VALUES ({k}, {v})) AS n (k, v) ON plain.k = n.k \
                WHEN MATCHED THEN UPDATE SET v = n.v",
            ),
            One("WITH w AS (UPDATE plain SET v = {v} WHERE k = {k} RETURNING v) SELECT v FROM w"),
            One("UPDATE plain SET v = {v} WHERE k = {k} RETURNING (SELECT max(v) FROM slow)"),
            Literal(
                "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) UPDATE plain SET v = {v} WHERE k = {k}",
            ),
            Script("UPDATE plain SET v = -1 WHERE k = {k}; UPDATE plain SET v = {v} WHERE k = {k}"),
            Steps(&[
                "PREPARE by_name AS UPDATE plain SET v = {v} WHERE k = {k}",
                "EXECUTE by_name",
                "DEALLOCATE by_name",
            ]),
            Steps(&[
                "BEGIN",
                "DECLARE c CURSOR FOR SELECT v FROM plain WHERE k = {k} FOR UPDATE",
                "FETCH c",
                "UPDATE plain SET v = {v} WHERE CURRENT OF c",
                "COMMIT",
            ]),
            Steps(&[
                "BEGIN",
                "SAVEPOINT a",
                "UPDATE plain SET v = -1 WHERE k = {k}",
                "ROLLBACK TO a",
                "UPDATE plain SET v = {v} WHERE k = {k}",
                "RELEASE a",
                "COMMIT AND CHAIN",
                "ROLLBACK",
            ]),
        ],
        ..TABLE
    },
    Shape {
        name: "rows that come and go",
        setup: "CREATE TABLE log (k int, v int); INSERT INTO log SELECT k, 0 FROM {keys}",
        read: "SELECT max(v) FROM log WHERE k = {k}",
        writes: &[
            One("WITH gone AS (DELETE FROM log WHERE k = {k}) INSERT INTO log VALUES ({k}, {v})"),
            Script("DELETE FROM log WHERE k = {k}; INSERT INTO log SELECT {k}, {v}"),
        ],
        ..TABLE
    },
    Shape {
        name: "copy",
        setup: "CREATE TABLE copied (k int, v int); INSERT INTO copied SELECT k, 0 FROM {keys}; \
            CREATE INDEX ON copied (k, v)",
        read: "SELECT max(v) FROM copied WHERE k = {k}",
        writes: &[
            Copy("COPY copied (k, v) FROM STDIN", "{k}\t{v}\n"),
            Copy(
                "DELETE FROM copied WHERE k = {k}; COPY copied (k, v) FROM STDIN",
                "{k}\t{v}\n",
            ),
        ],
        ..TABLE
    },
    Shape {
        name: "subquery",
        tables: &["sub"],
        read: "SELECT (SELECT v FROM sub WHERE k = {k})",
        writes: &[One("UPDATE sub SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "common table expression",
        tables: &["common"],
        read: "WITH c AS MATERIALIZED (SELECT k, v FROM common), d AS (SELECT * FROM c) SELECT v FROM d WHERE k = {k}",
        writes: &[One("UPDATE common SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "recursion",
        tables: &["recursive"],
        read: "WITH RECURSIVE r AS (SELECT k, v FROM recursive WHERE k = {k} UNION SELECT k, v FROM r) SELECT v FROM r",
        writes: &[One("UPDATE recursive SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "set operation",
        tables: &["union_a", "union_b"],
        read: "SELECT v FROM union_a WHERE k = {k} AND v < 0 UNION ALL (SELECT v FROM union_b WHERE k = {k} EXCEPT SELECT -1)",
        writes: &[One("UPDATE union_b SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "aggregate",
        tables: &["aggregate"],
        read: "SELECT max(v) FILTER (WHERE k = {k}) FROM aggregate",
        writes: &[One("UPDATE aggregate SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "window function",
        tables: &["windowed"],
        read: "SELECT last FROM (SELECT k, last_value(v) OVER (PARTITION BY k) AS last FROM windowed) AS w WHERE k = {k}",
        writes: &[One("UPDATE windowed SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "join",
        setup: "CREATE TABLE names (k int PRIMARY KEY, name text); INSERT INTO names SELECT k, 'n' || k FROM {keys}; \
            CREATE TABLE values_of (name text PRIMARY KEY, v int); INSERT INTO values_of SELECT 'n' || k, 0 FROM {keys}",
        read: "SELECT o.v FROM names AS n JOIN values_of AS o USING (name) WHERE n.k = {k}",
        writes: &[One("UPDATE values_of SET v = {v} WHERE name = 'n' || {k}")],
        ..TABLE
    },
    Shape {
        name: "lateral join",
        tables: &["outside", "inside"],
        read: "SELECT i.v FROM outside AS o LEFT JOIN LATERAL (SELECT v FROM inside WHERE k = o.k) AS i ON true WHERE o.k = {k}",
        writes: &[One("UPDATE inside SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "condition",
        tables: &["condition"],
        read: "SELECT n FROM generate_series(0, 100000) AS n WHERE n = ANY (ARRAY(SELECT v FROM condition WHERE k = {k}))",
        writes: &[One("UPDATE condition SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "generated column",
        setup: "CREATE TABLE generated (k int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v + 0) STORED); \
            INSERT INTO generated SELECT k, 0 FROM {keys}",
        read: "SELECT g FROM generated WHERE k = {k}",
        writes: &[One("UPDATE generated SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "default",
        setup: "CREATE TABLE defaulted (k int, v int, is_last bool DEFAULT true); \
            INSERT INTO defaulted SELECT k, 0 FROM {keys}",
        read: "SELECT max(v) FROM defaulted WHERE k = {k} AND is_last",
        writes: &[One(
            "WITH gone AS (DELETE FROM defaulted WHERE k = {k}) INSERT INTO defaulted (k, v) VALUES ({k}, {v})",
        )],
        ..TABLE
    },
    Shape {
        name: "enum",
        setup: "CREATE TYPE mood AS ENUM ('calm', 'cross'); CREATE TABLE moods (k int, mood mood, v int); \
            INSERT INTO moods SELECT k, 'calm', 0 FROM {keys}",
        read: "SELECT max(v) FROM moods WHERE k = {k} AND mood = 'calm'",
        writes: &[One("UPDATE moods SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "domain",
        setup: "CREATE DOMAIN version AS int CHECK (VALUE > -1000000000); CREATE TABLE domains (k int, v version); \
            INSERT INTO domains SELECT k, 0 FROM {keys}",
        read: "SELECT v FROM domains WHERE k = {k}",
        writes: &[One("UPDATE domains SET v = {v} WHERE k = {k}")],
        cached: Cached::No {
            because: "the type of a column is a domain",
        },
        ..TABLE
    },
    Shape {
        name: "subscript of jsonb",
        setup: "CREATE TABLE documents (k int PRIMARY KEY, j jsonb); INSERT INTO documents SELECT k, '{\"v\": 0}' FROM {keys}",
        read: "SELECT (j ->> 'v')::int FROM documents WHERE k = {k}",
        writes: &[
            One("UPDATE documents SET j['v'] = to_jsonb({v}) WHERE k = {k}"),
            One("UPDATE documents SET j = jsonb_set(j, ARRAY['v'], to_jsonb({v})) WHERE k = {k}"),
        ],
        ..TABLE
    },
    Shape {
        name: "array",
        setup: "CREATE TABLE arrays (k int PRIMARY KEY, a int[]); INSERT INTO arrays SELECT k, '{0}' FROM {keys}",
        read: "SELECT a[1] FROM arrays WHERE k = {k}",
        writes: &[One("UPDATE arrays SET a[1] = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "row lock",
        tables: &["locked"],
        read: "SELECT v FROM locked WHERE k = {k} FOR SHARE",
        writes: &[One("UPDATE locked SET v = {v} WHERE k = {k}")],
        cached: Cached::No {
            because: "it locks rows",
        },
        ..TABLE
    },
    Shape {
        name: "unlogged table",
        setup: "CREATE UNLOGGED TABLE unlogged (k int PRIMARY KEY, v int); INSERT INTO unlogged SELECT k, 0 FROM {keys}",
        read: "SELECT v FROM unlogged WHERE k = {k}",
        writes: &[One("UPDATE unlogged SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
];
