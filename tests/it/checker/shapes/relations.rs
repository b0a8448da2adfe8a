//! What hangs together: foreign keys, partitions, inheritance, materialized views.

use super::{Shape, TABLE, Write};

use Write::{One, Script, Steps};

pub(super) const SHAPES: &[Shape] = &[
    Shape {
        name: "view that is read",
        tables: &["under_view"],
        setup: "CREATE VIEW over_table AS SELECT k, v FROM under_view WHERE k >= 0",
        read: "SELECT v FROM over_table WHERE k = {k}",
        writes: &[One("UPDATE under_view SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "view over views",
        tables: &["at_bottom", "aside"],
        setup: "CREATE VIEW lowest AS SELECT k, v FROM at_bottom; \
            CREATE VIEW middle AS SELECT l.k, l.v + a.v AS v FROM lowest AS l JOIN aside AS a USING (k); \
            CREATE VIEW topmost AS SELECT k, sum(v) AS v FROM middle GROUP BY k",
        read: "SELECT v FROM topmost WHERE k = {k}",
        writes: &[One("UPDATE at_bottom SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "foreign key, on update cascade",
        setup: "CREATE TABLE parent (k int, v int, PRIMARY KEY (k, v)); INSERT INTO parent SELECT k, 0 FROM {keys}; \
            CREATE TABLE child (k int PRIMARY KEY, v int, \
                FOREIGN KEY (k, v) REFERENCES parent ON UPDATE CASCADE); INSERT INTO child SELECT k, 0 FROM {keys}",
        read: "SELECT v FROM child WHERE k = {k}",
        writes: &[One("UPDATE parent SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "foreign keys, one behind the other",
        setup: "CREATE TABLE first (k int, v int, PRIMARY KEY (k, v)); INSERT INTO first SELECT k, 0 FROM {keys}; \
            CREATE TABLE second (k int, v int, PRIMARY KEY (k, v), \
                FOREIGN KEY (k, v) REFERENCES first ON UPDATE CASCADE); INSERT INTO second SELECT k, 0 FROM {keys}; \
            CREATE TABLE third (k int PRIMARY KEY, v int, \
                FOREIGN KEY (k, v) REFERENCES second ON UPDATE CASCADE); INSERT INTO third SELECT k, 0 FROM {keys}",
        read: "SELECT v FROM third WHERE k = {k}",
        writes: &[One("UPDATE first SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    // Each version has a child of its own; what becomes of it when its parent goes makes the version visible.
    Shape {
        name: "foreign key, on delete set null",
        setup: "CREATE TABLE null_parent (id int PRIMARY KEY); \
            CREATE TABLE null_child (p int REFERENCES null_parent ON DELETE SET NULL, k int, v int); \
            CREATE INDEX ON null_child (k, v); CREATE INDEX ON null_child (p); \
            INSERT INTO null_child SELECT NULL, k, 0 FROM {keys}",
        read: "SELECT max(v) FROM null_child WHERE k = {k} AND p IS NULL",
        writes: &[Steps(&[
            "INSERT INTO null_parent VALUES ({v} * 10 + {k})",
            "INSERT INTO null_child VALUES ({v} * 10 + {k}, {k}, {v})",
            "DELETE FROM null_parent WHERE id = {v} * 10 + {k}",
        ])],
        ..TABLE
    },
    Shape {
        name: "foreign key, on delete set default",
        setup: "CREATE TABLE default_parent (id int PRIMARY KEY); INSERT INTO default_parent VALUES (-1); \
            CREATE TABLE default_child (p int DEFAULT -1 REFERENCES default_parent ON DELETE SET DEFAULT, k int, v int); \
            CREATE INDEX ON default_child (k, v); CREATE INDEX ON default_child (p); \
            INSERT INTO default_child SELECT -1, k, 0 FROM {keys}",
        read: "SELECT max(v) FROM default_child WHERE k = {k} AND p = -1",
        writes: &[Steps(&[
            "INSERT INTO default_parent VALUES ({v} * 10 + {k})",
            "INSERT INTO default_child VALUES ({v} * 10 + {k}, {k}, {v})",
            "DELETE FROM default_parent WHERE id = {v} * 10 + {k}",
        ])],
        ..TABLE
    },
    Shape {
        name: "foreign key, on delete cascade",
        setup: "CREATE TABLE cascade_parent (id int PRIMARY KEY); INSERT INTO cascade_parent SELECT 10 + k FROM {keys}; \
            CREATE TABLE cascade_child (p int REFERENCES cascade_parent ON DELETE CASCADE, k int, v int); \
            INSERT INTO cascade_child SELECT 10 + k, k, 1 FROM {keys}",
        read: "SELECT min(v) - 1 FROM cascade_child WHERE k = {k}",
        writes: &[Steps(&[
            "INSERT INTO cascade_parent VALUES (({v} + 1) * 10 + {k})",
            "INSERT INTO cascade_child VALUES (({v} + 1) * 10 + {k}, {k}, {v} + 1)",
            "DELETE FROM cascade_parent WHERE id = {v} * 10 + {k}",
        ])],
        ..TABLE
    },
    Shape {
        name: "foreign key of a partition, on update cascade",
        setup: "CREATE TABLE split_parent (k int, v int, PRIMARY KEY (k, v)) PARTITION BY LIST (k); \
            CREATE TABLE split_parent_0 PARTITION OF split_parent FOR VALUES IN (0); \
            CREATE TABLE split_parent_1 PARTITION OF split_parent DEFAULT; \
            INSERT INTO split_parent SELECT k, 0 FROM {keys}; \
            CREATE TABLE split_child (k int, v int, FOREIGN KEY (k, v) REFERENCES split_parent ON UPDATE CASCADE) \
                PARTITION BY LIST (k); \
            CREATE TABLE split_child_0 PARTITION OF split_child DEFAULT; \
            INSERT INTO split_child SELECT k, 0 FROM {keys}",
        read: "SELECT v FROM split_child_0 WHERE k = {k}",
        writes: &[
            One("UPDATE split_parent SET v = {v} WHERE k = {k}"),
            One("UPDATE split_parent SET v = {v} WHERE k = {k} AND k >= 0"),
        ],
        ..TABLE
    },
    // A row of debt keeps the version back until the table is emptied.
    Shape {
        name: "truncate cascade",
        tables: &["credit"],
        setup: "CREATE TABLE debtor (k int PRIMARY KEY); INSERT INTO debtor SELECT k FROM {keys}; \
            CREATE TABLE debt (k int REFERENCES debtor)",
        read: "SELECT v - (SELECT count(*) FROM debt WHERE k = {k}) FROM credit WHERE k = {k}",
        writes: &[
            Steps(&[
                "UPDATE credit SET v = {v} WHERE k = {k}; INSERT INTO debtor VALUES ({k}) ON CONFLICT DO NOTHING; \
                    INSERT INTO debt VALUES ({k})",
                "TRUNCATE debtor CASCADE",
            ]),
            Steps(&[
                "UPDATE credit SET v = {v} WHERE k = {k}; INSERT INTO debtor VALUES ({k}) ON CONFLICT DO NOTHING; \
                    INSERT INTO debt VALUES ({k})",
                "TRUNCATE debt",
            ]),
        ],
        is_exclusive: true,
        ..TABLE
    },
    Shape {
        name: "partition, written through its parent",
        setup: "CREATE TABLE whole (k int, v int) PARTITION BY LIST (k); \
            CREATE TABLE leaf PARTITION OF whole DEFAULT; INSERT INTO whole SELECT k, 0 FROM {keys}",
        read: "SELECT v FROM leaf WHERE k = {k}",
        writes: &[One("UPDATE whole SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "partition, read through its parent",
        setup: "CREATE TABLE total (k int, v int) PARTITION BY LIST (k); \
            CREATE TABLE total_part PARTITION OF total DEFAULT PARTITION BY HASH (k); \
            CREATE TABLE total_leaf PARTITION OF total_part FOR VALUES WITH (MODULUS 1, REMAINDER 0); \
            INSERT INTO total SELECT k, 0 FROM {keys}",
        read: "SELECT v FROM total WHERE k = {k}",
        writes: &[
            One("UPDATE total_leaf SET v = {v} WHERE k = {k}"),
            One("UPDATE total_part SET v = {v} WHERE k = {k}"),
        ],
        ..TABLE
    },
    Shape {
        name: "row that moves between partitions",
        setup: "CREATE TABLE moving (k int, side int, v int) PARTITION BY LIST (side); \
            CREATE TABLE moving_0 PARTITION OF moving FOR VALUES IN (0); \
            CREATE TABLE moving_1 PARTITION OF moving FOR VALUES IN (1); \
            INSERT INTO moving SELECT k, 0, 0 FROM {keys}",
        read: "SELECT max(v) FROM (SELECT k, v FROM moving_0 UNION ALL SELECT k, v FROM moving_1) AS sides WHERE k = {k}",
        writes: &[One(
            "UPDATE moving SET v = {v}, side = abs({v}) % 2 WHERE k = {k}",
        )],
        ..TABLE
    },
    Shape {
        name: "inheritance, read through the parent",
        setup: "CREATE TABLE elder (k int, v int); CREATE TABLE younger () INHERITS (elder); \
            CREATE TABLE youngest () INHERITS (younger); INSERT INTO youngest SELECT k, 0 FROM {keys}",
        read: "SELECT v FROM elder WHERE k = {k}",
        writes: &[
            One("UPDATE youngest SET v = {v} WHERE k = {k}"),
            One("UPDATE younger SET v = {v} WHERE k = {k}"),
        ],
        ..TABLE
    },
    Shape {
        name: "inheritance, written through the parent",
        setup: "CREATE TABLE above (k int, v int); CREATE TABLE below () INHERITS (above); \
            INSERT INTO below SELECT k, 0 FROM {keys}",
        read: "SELECT v FROM below WHERE k = {k}",
        writes: &[One("UPDATE above SET v = {v} WHERE k = {k}")],
        ..TABLE
    },
    Shape {
        name: "materialized view",
        tables: &["material"],
        setup: "CREATE MATERIALIZED VIEW immaterial AS SELECT k, v FROM material; \
            CREATE UNIQUE INDEX ON immaterial (k)",
        read: "SELECT v FROM immaterial WHERE k = {k}",
        writes: &[
            Script(
                "UPDATE material SET v = {v} WHERE k = {k}; REFRESH MATERIALIZED VIEW immaterial",
            ),
            Steps(&[
                "UPDATE material SET v = {v} WHERE k = {k}",
                "REFRESH MATERIALIZED VIEW immaterial",
            ]),
            Steps(&[
                "UPDATE material SET v = {v} WHERE k = {k}",
                "REFRESH MATERIALIZED VIEW CONCURRENTLY immaterial",
            ]),
        ],
        is_exclusive: true,
        ..TABLE
    },
];
