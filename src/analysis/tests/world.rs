//! The made-up database of the tests.

use crate::analysis::catalog::rows::*;
use crate::analysis::{Catalog, Oid, plain_types};

const UPPER: u32 = 1_001;
const VOL: u32 = 1_002;

/// A builder of rows that reads like a list of objects.
#[derive(Default)]
pub(super) struct World(Rows);

pub(super) fn world() -> Catalog {
    let mut world = World::default();
    world.built_in();
    world.users_functions();
    world.users_types();
    world.tables();
    world.views();
    world.catalog()
}

impl World {
    pub(super) fn catalog(self) -> Catalog {
        Catalog::new(self.0)
    }

    pub(super) fn rows(&mut self) -> &mut Rows {
        &mut self.0
    }

    pub(super) fn built_in(&mut self) {
        let rows = &mut self.0;
        let mut functions = |volatility, arguments: Option<usize>, names: &str| {
            for name in names.split_whitespace() {
                let (arguments_min, arguments_max) = (arguments.unwrap_or(0), arguments);
                let name = name.to_owned();
                rows.built_in_functions.push(BuiltInFunctionRow {
                    name,
                    volatility,
                    arguments_min,
                    arguments_max,
                });
            }
        };
        functions(
            Volatility::Immutable,
            None,
            "abs age array_agg count date lower upper length max min sum round row_number rank percentile_cont unnest \
             like_escape substring position timezone json_object int4 numeric extract coalesce_ jsonb_array_elements \
             text string_agg generate_series overlay xmlexists",
        );
        functions(
            Volatility::Stable,
            Some(0),
            "now current_schema version pg_backend_pid txid_current",
        );
        functions(
            Volatility::Stable,
            Some(1),
            "age to_json current_setting timetz date regclass to_tsvector row_to_json",
        );
        functions(
            Volatility::Stable,
            Some(2),
            "date_trunc to_char date_part extract timezone to_date array_to_string",
        );
        functions(Volatility::Stable, Some(4), "table_to_xml");
        functions(
            Volatility::Stable,
            None,
            "concat format json_build_object json_agg json_to_recordset",
        );
        functions(
            Volatility::Volatile,
            None,
            "random clock_timestamp nextval currval setval lastval set_config pg_sleep pg_notify gen_random_uuid \
             pg_advisory_lock pg_advisory_xact_lock pg_try_advisory_lock_shared pg_advisory_unlock lo_create lowrite \
             query_to_xml ts_stat pg_reload_conf a_function_of_version_19 setseed",
        );
        rows.built_in_operators = [
            "=", "<>", "<", ">", "<=", ">=", "+", "-", "*", "/", "%", "||", "~~", "~~*", "~", "->",
            "->>", "@>", "?",
        ]
        .map(str::to_owned)
        .into();
        rows.system_relations = [
            "pg_class",
            "pg_stat_activity",
            "pg_settings",
            "columns",
            "tables",
        ]
        .map(str::to_owned)
        .into();
        rows.date_columns = ["created_at", "day"].map(str::to_owned).into();
        for (position, name) in plain_types().iter().enumerate() {
            self.type_row(
                100 + u32::try_from(position).expect("few"),
                "pg_catalog",
                name,
                TypeKind::Base,
                &[],
                &[],
            );
        }
        for (oid, name) in [(2_205, "regclass"), (1_266, "timetz"), (24, "regproc")] {
            self.type_row(oid, "pg_catalog", name, TypeKind::Base, &[], &[]);
        }
    }

    pub(super) fn users_functions(&mut self) {
        use FunctionMark::{TakesRow, Variadic};
        use Language::{C, Internal, Other};
        use Volatility::{Immutable, Stable, Volatile};
        self.function(1_000, "pure", Immutable, Other, (1, 0), &[]);
        self.function(UPPER, "upper", Volatile, Other, (1, 0), &[]);
        self.function(VOL, "vol", Volatile, Other, (0, 0), &[]);
        self.function(1_003, "stab", Stable, Other, (1, 0), &[]);
        self.function(1_004, "lower", Volatile, Other, (3, 0), &[]);
        self.function(1_005, "full_name", Stable, Other, (1, 0), &[TakesRow]);
        self.function(1_006, "padded", Immutable, Other, (2, 1), &[]);
        self.function(1_007, "any_of", Volatile, Other, (1, 0), &[Variadic]);
        self.function(1_008, "uuid_generate_v4", Volatile, C, (0, 0), &[]);
        self.function(1_009, "crosstab", Stable, C, (1, 0), &[]);
        self.function(1_010, "citextrecv", Stable, Internal, (1, 0), &[]);
        self.function(1_011, "similarity_op", Stable, C, (2, 0), &[]);
        self.function(1_012, "same_op", Immutable, Other, (2, 0), &[]);
        self.function(1_013, "moddatetime", Volatile, C, (0, 0), &[]);
        self.function(1_014, "check_email", Volatile, Other, (1, 0), &[]);
        self.function(1_015, "mail_to", Immutable, Other, (1, 0), &[]);
        self.function(1_016, "twice", Immutable, Other, (1, 0), &[]);
        self.function(1_017, "json_array", Volatile, Other, (2, 0), &[]);
        self.function(1_018, "geo_in", Volatile, C, (1, 0), &[]);
        self.function(1_019, "total", Volatile, Other, (1, 0), &[]);
        self.function(1_020, "private", Volatile, Other, (0, 0), &[]);
        let last = self.0.functions.last_mut().expect("just pushed");
        last.schema = "hidden".to_owned();
        for (oid, part) in [(1_015, 3_001), (1_016, 3_002), (1_010, 3_003)] {
            let function = self
                .0
                .functions
                .iter_mut()
                .find(|row| row.oid == Oid(oid))
                .expect("pushed above");
            function.signature.push(Oid(part));
        }
        for (name, function, operands) in [
            ("%", 1_011, OperatorOperands::Text),
            ("===", 1_012, OperatorOperands::Any),
            ("!!!", VOL, OperatorOperands::Any),
        ] {
            self.0.operators.push(OperatorRow {
                name: name.to_owned(),
                function: Oid(function),
                operands,
            });
        }
    }

    fn users_types(&mut self) {
        self.type_row(3_000, "public", "mood", TypeKind::Enum, &[], &[]);
        self.type_row(3_001, "public", "email", TypeKind::Domain, &[100], &[1_014]);
        self.type_row(3_002, "public", "positive", TypeKind::Domain, &[100], &[]);
        self.type_row(3_003, "public", "citext", TypeKind::Base, &[], &[1_010]);
        self.type_row(3_004, "public", "geo", TypeKind::Base, &[], &[1_018]);
        self.type_row(
            3_005,
            "public",
            "pair",
            TypeKind::Composite,
            &[100, 101],
            &[],
        );
        self.type_row(3_006, "public", "_citext", TypeKind::Array, &[3_003], &[]);
        self.type_row(3_007, "pg_catalog", "_date", TypeKind::Array, &[100], &[]);
    }

    fn tables(&mut self) {
        use ReferentialAction::{Cascade, Refuse, Set};
        for (oid, name) in [
            (1, "users"),
            (2, "leads"),
            (3, "notes"),
            (4, "audit"),
            (5, "renames"),
            (31, "events_1"),
            (32, "events_2"),
            (33, "visits"),
            (40, "parent"),
            (41, "child"),
            (50, "logged"),
            (54, "defaulted"),
            (55, "stamped"),
            (56, "emails"),
            (57, "odd"),
            (58, "folded"),
            (59, "columns"),
            (80, "recent"),
        ] {
            self.relation(oid, "public", name, RelationKind::Table, &[]);
        }
        self.relation(30, "public", "events", RelationKind::Partitioned, &[]);
        self.relation(35, "public", "mixed", RelationKind::Partitioned, &[]);
        self.relation(36, "public", "mixed_remote", RelationKind::Foreign, &[]);
        self.relation(
            51,
            "public",
            "ruled",
            RelationKind::Table,
            &[RelationMark::Rule],
        );
        self.relation(
            52,
            "public",
            "secret",
            RelationKind::Table,
            &[RelationMark::RowSecurity],
        );
        self.relation(
            53,
            "public",
            "guarded",
            RelationKind::Table,
            &[RelationMark::RowSecurity],
        );
        self.relation(60, "public", "remote", RelationKind::Foreign, &[]);
        self.relation(61, "public", "users_id_seq", RelationKind::Other, &[]);
        self.relation(70, "tenant_a", "orders", RelationKind::Table, &[]);
        self.relation(71, "tenant_b", "orders", RelationKind::Table, &[]);
        for tenant in 0..65 {
            self.relation(
                500 + tenant,
                &format!("tenant_{tenant}"),
                "wide",
                RelationKind::Table,
                &[],
            );
        }
        for (parent, child) in [(30, 31), (30, 32), (35, 36), (40, 41)] {
            self.0.inheritance.push(InheritanceRow {
                parent: Oid(parent),
                child: Oid(child),
            });
        }
        for (referencing, referenced, on_update, on_delete) in [
            (2, 1, Refuse, Cascade),
            (3, 2, Refuse, Set),
            (4, 3, Cascade, Cascade),
            (5, 4, Cascade, Refuse),
            (33, 30, Refuse, Cascade),
        ] {
            let (referencing, referenced) = (Oid(referencing), Oid(referenced));
            self.0.foreign_keys.push(ForeignKeyRow {
                referencing,
                referenced,
                on_update,
                on_delete,
            });
        }
        let pair = |relation, function| RelationFunctionRow {
            relation: Oid(relation),
            function: Oid(function),
        };
        self.0.triggers = vec![pair(50, VOL), pair(55, 1_013)];
        self.0.expressions = vec![
            pair(54, VOL),
            pair(53, VOL),
            pair(1, 1_000),
            pair(58, 1_008),
        ];
        for (relation, column_type) in [(56, 3_001), (57, 2_205), (58, 3_003), (1, 3_000)] {
            self.0.column_types.push(ColumnTypeRow {
                relation: Oid(relation),
                column_type: Oid(column_type),
            });
        }
    }

    fn views(&mut self) {
        for (oid, name, kind, definition) in [
            (
                10,
                "active_users",
                RelationKind::View,
                " SELECT users.id FROM public.users WHERE users.active;",
            ),
            (
                11,
                "nested",
                RelationKind::View,
                "SELECT a.id FROM public.active_users a JOIN public.leads l USING (id)",
            ),
            (12, "clock", RelationKind::View, "SELECT now() AS now"),
            (13, "trap", RelationKind::View, "SELECT public.vol() AS v"),
            (
                14,
                "ring_a",
                RelationKind::View,
                "SELECT * FROM public.ring_b",
            ),
            (
                15,
                "ring_b",
                RelationKind::View,
                "SELECT * FROM public.ring_a",
            ),
            (
                16,
                "over_trap",
                RelationKind::View,
                "SELECT t.v FROM public.trap t",
            ),
            (17, "broken", RelationKind::View, "SELECT FROM WHERE"),
            (
                18,
                "over_secret",
                RelationKind::View,
                "SELECT secret.id FROM public.secret",
            ),
            (
                19,
                "counter",
                RelationKind::View,
                "SELECT nextval('public.users_id_seq'::regclass) AS id",
            ),
            (
                20,
                "totals",
                RelationKind::MaterializedView,
                "SELECT count(*) AS n FROM public.leads",
            ),
            (
                21,
                "trap_totals",
                RelationKind::MaterializedView,
                "SELECT v FROM public.trap",
            ),
            (24, "tables", RelationKind::View, "SELECT public.vol() AS v"),
            (
                22,
                "catalog_view",
                RelationKind::View,
                "SELECT relname FROM pg_class",
            ),
        ] {
            self.relation(oid, "public", name, kind, &[]);
            let row = self.0.relations.last_mut().expect("just pushed");
            row.definition = Some(definition.to_owned());
        }
        self.relation(23, "public", "vanished", RelationKind::View, &[]);
    }

    pub(super) fn relation(
        &mut self,
        oid: u32,
        schema: &str,
        name: &str,
        kind: RelationKind,
        marks: &[RelationMark],
    ) {
        self.0.relations.push(RelationRow {
            oid: Oid(oid),
            schema: schema.to_owned(),
            name: name.to_owned(),
            kind,
            persistence: Persistence::Permanent,
            marks: marks.to_vec(),
            definition: None,
        });
    }

    fn function(
        &mut self,
        oid: u32,
        name: &str,
        volatility: Volatility,
        language: Language,
        (arguments, defaults): (usize, usize),
        marks: &[FunctionMark],
    ) {
        self.0.functions.push(FunctionRow {
            oid: Oid(oid),
            schema: "public".to_owned(),
            name: name.to_owned(),
            volatility,
            language,
            arguments,
            defaults,
            marks: marks.to_vec(),
            signature: Vec::new(),
        });
    }

    fn type_row(
        &mut self,
        oid: u32,
        schema: &str,
        name: &str,
        kind: TypeKind,
        parts: &[u32],
        functions: &[u32],
    ) {
        let oids = |oids: &[u32]| oids.iter().copied().map(Oid).collect();
        self.0.types.push(TypeRow {
            oid: Oid(oid),
            schema: schema.to_owned(),
            name: name.to_owned(),
            kind,
            parts: oids(parts),
            functions: oids(functions),
        });
    }
}
