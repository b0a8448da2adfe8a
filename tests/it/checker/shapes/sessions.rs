//! The same text, which sessions of different kinds are to be answered differently.

use super::{Answers, Cached, Shape, TABLE, View, Write};

use Write::One;

/// The setting is left behind by all of them.
const PATH: &str = "RESET search_path";
const ROLE: &str = "RESET ROLE";

/// What the tables of the shape's registers add to a version.
const ADDED: [i64; 3] = [1 << 24, 1 << 25, 1 << 26];

const fn view(enter: &'static str, leave: &'static str, answers: Answers) -> View {
    View {
        enter,
        leave,
        answers,
    }
}

pub(super) const SHAPES: &[Shape] = &[
    Shape {
        name: "search path",
        setup: "CREATE SCHEMA path_0; CREATE SCHEMA path_1; \
            CREATE TABLE path_0.by_path (v int); INSERT INTO path_0.by_path VALUES (1 << 24); \
            CREATE TABLE path_1.by_path (v int); INSERT INTO path_1.by_path VALUES (1 << 25)",
        read: "SELECT v FROM by_path",
        writes: &[One(
            "WITH a AS (UPDATE path_0.by_path SET v = {v} + (1 << 24) WHERE {k} = 0) \
                UPDATE path_1.by_path SET v = {v} + (1 << 25) WHERE {k} = 1",
        )],
        views: &[
            view(
                "SET search_path = path_0, public",
                PATH,
                Answers::Above(ADDED[0]),
            ),
            view(
                "SET search_path = path_1, public",
                PATH,
                Answers::Above(ADDED[1]),
            ),
        ],
        registers: 2,
        ..TABLE
    },
    Shape {
        name: "schema of the role",
        setup: "CREATE SCHEMA role_0 AUTHORIZATION role_0; CREATE SCHEMA role_1 AUTHORIZATION role_1; \
            CREATE TABLE role_0.by_role (v int); INSERT INTO role_0.by_role VALUES (1 << 24); \
            CREATE TABLE role_1.by_role (v int); INSERT INTO role_1.by_role VALUES (1 << 25); \
            GRANT SELECT ON role_0.by_role TO role_0; GRANT SELECT ON role_1.by_role TO role_1",
        read: "SELECT v FROM by_role",
        writes: &[One(
            "WITH a AS (UPDATE role_0.by_role SET v = {v} + (1 << 24) WHERE {k} = 0) \
                UPDATE role_1.by_role SET v = {v} + (1 << 25) WHERE {k} = 1",
        )],
        views: &[
            view("SET ROLE role_0", ROLE, Answers::Above(ADDED[0])),
            view("SET ROLE role_1", ROLE, Answers::Above(ADDED[1])),
        ],
        registers: 2,
        ..TABLE
    },
    Shape {
        name: "form of bytea",
        setup: "CREATE TABLE bytes (k int, b bytea); INSERT INTO bytes SELECT k, '0' FROM {keys}",
        read: "SELECT b FROM bytes WHERE k = {k}",
        writes: &[One(
            "UPDATE bytes SET b = convert_to(({v})::text, 'UTF8') WHERE k = {k}",
        )],
        views: &[
            view(
                "SET bytea_output = 'hex'",
                "RESET bytea_output",
                Answers::Hex,
            ),
            view(
                "SET bytea_output = 'escape'",
                "RESET bytea_output",
                Answers::Number,
            ),
        ],
        registers: 1,
        ..TABLE
    },
    Shape {
        name: "temporary table that hides another",
        tables: &["hidden"],
        read: "SELECT v FROM hidden WHERE k = {k}",
        writes: &[One("UPDATE public.hidden SET v = {v} WHERE k = {k}")],
        views: &[
            view("", "", Answers::Number),
            view(
                "CREATE TEMPORARY TABLE hidden AS SELECT 0 AS k, 1 << 27 AS v",
                "DROP TABLE pg_temp.hidden",
                Answers::Only(1 << 27),
            ),
        ],
        registers: 1,
        ..TABLE
    },
    Shape {
        name: "row-level security",
        setup: "CREATE TABLE secured (who text, v int); INSERT INTO secured VALUES ('role_0', 1 << 24), ('role_1', 1 << 25); \
            ALTER TABLE secured ENABLE ROW LEVEL SECURITY; GRANT SELECT ON secured TO role_0, role_1; \
            CREATE POLICY own ON secured USING (who = current_user)",
        read: "SELECT v FROM secured",
        writes: &[One(
            "UPDATE secured SET v = {v} + (1 << (24 + {k})) WHERE who = 'role_' || {k}",
        )],
        cached: Cached::No {
            because: "the rows depend on who asks",
        },
        views: &[
            view("SET ROLE role_0", ROLE, Answers::Above(ADDED[0])),
            view("SET ROLE role_1", ROLE, Answers::Above(ADDED[1])),
        ],
        registers: 2,
        ..TABLE
    },
    Shape {
        name: "view of the user's own rows",
        setup: "CREATE TABLE owned (who text, v int); INSERT INTO owned VALUES ('role_0', 1 << 24), ('role_1', 1 << 25); \
            CREATE VIEW mine AS SELECT v FROM owned WHERE who = current_user; GRANT SELECT ON mine TO role_0, role_1",
        read: "SELECT v FROM mine",
        writes: &[One(
            "UPDATE owned SET v = {v} + (1 << (24 + {k})) WHERE who = 'role_' || {k}",
        )],
        cached: Cached::No {
            because: "current_user",
        },
        views: &[
            view("SET ROLE role_0", ROLE, Answers::Above(ADDED[0])),
            view("SET ROLE role_1", ROLE, Answers::Above(ADDED[1])),
        ],
        registers: 2,
        ..TABLE
    },
    Shape {
        name: "view of the tenant's own rows",
        setup: "CREATE TABLE rented (who text, v int); INSERT INTO rented VALUES ('0', 1 << 24), ('1', 1 << 25); \
            CREATE VIEW ours AS SELECT v FROM rented WHERE who = current_setting('app.tenant')",
        read: "SELECT v FROM ours",
        writes: &[One(
            "UPDATE rented SET v = {v} + (1 << (24 + {k})) WHERE who = {k}::text",
        )],
        cached: Cached::No {
            because: "current_setting()",
        },
        views: &[
            view(
                "SET app.tenant = '0'",
                "RESET app.tenant",
                Answers::Above(ADDED[0]),
            ),
            view(
                "SET app.tenant = '1'",
                "RESET app.tenant",
                Answers::Above(ADDED[1]),
            ),
        ],
        registers: 2,
        ..TABLE
    },
];
