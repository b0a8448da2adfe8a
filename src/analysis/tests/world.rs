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
             pg_advisory_lock pg_advisory_xact_lock pg_try_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all lo_create lowrite \
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
        use Language::{Aggregate, C, Internal, Other, Sql};
        use Volatility::{Immutable, Stable, Volatile};
        self.function(1_000, "pure", Immutable, Sql, (1, 0), &[]);
        self.function(UPPER, "upper", Volatile, Other, (1, 0), &[]);
        self.function(VOL, "vol", Volatile, Other, (0, 0), &[]);
        self.function(1_003, "stab", Stable, Other, (1, 0), &[]);
        self.function(1_004, "lower", Volatile, Other, (3, 0), &[]);
        self.function(1_005, "full_name", Stable, Other, (1, 0), &[TakesRow]);
        self.function(1_006, "padded", Immutable, Sql, (2, 1), &[]);
        self.function(1_007, "any_of", Volatile, Other, (1, 0), &[Variadic]);
        self.function(1_008, "uuid_generate_v4", Volatile, C, (0, 0), &[]);
        self.function(1_009, "crosstab", Stable, C, (1, 0), &[]);
        self.function(1_010, "citextrecv", Stable, Internal, (1, 0), &[]);
        self.function(1_011, "similarity_op", Stable, C, (2, 0), &[]);
        self.function(1_012, "same_op", Immutable, Sql, (2, 0), &[]);
        self.function(1_013, "moddatetime", Volatile, C, (0, 0), &[]);
        self.function(1_014, "check_email", Volatile, Other, (1, 0), &[]);
        self.function(1_015, "mail_to", Immutable, Sql, (1, 0), &[]);
        self.function(1_016, "twice", Immutable, Sql, (1, 0), &[]);
        self.function(1_017, "json_array", Volatile, Other, (2, 0), &[]);
        self.function(1_018, "geo_in", Volatile, C, (1, 0), &[]);
        self.function(1_019, "total", Volatile, Other, (1, 0), &[]);
        self.function(1_020, "private", Volatile, Other, (0, 0), &[]);
        let last = self.0.functions.last_mut().expect("just pushed");
        last.schema = "hidden".to_owned();
        for (oid, part) in [(1_015, 3_001), (1_016, 3_002), (1_010, 3_003)] {
            self.function_row(oid).signature.push(Oid(part));
        }
        self.function(1_031, "isn_weak", Immutable, C, (1, 0), &[]);
        self.function(1_030, "says_so", Immutable, Other, (1, 0), &[]);
        for (position, name) in [
            "looks_up", "removes", "clocked", "sets", "moving", "dated", "deep", "deeper", "ring",
            "dotted", "written", "answers", "atomic", "casual", "noon", "told", "worded",
        ]
        .into_iter()
        .enumerate()
        {
            let oid = 1_040 + u32::try_from(position).expect("few");
            self.function(oid, name, Immutable, Sql, (1, 0), &[]);
        }
        for (oid, name, part) in [(1_060, "sum_of", 1_000), (1_061, "sum_by", 1_030)] {
            self.function(oid, name, Immutable, Aggregate, (1, 0), &[]);
            self.function_row(oid).parts.push(Oid(part));
        }
        for (oid, body) in [
            (1_000, "AS $$SELECT $1 * 2$$"),
            (1_006, "AS $$SELECT $1 || $2::text$$"),
            (1_012, "AS $$SELECT $1 = $2$$"),
            (1_015, "AS $$SELECT lower($1)$$"),
            (1_016, "AS $$SELECT pure($1)$$"),
            (1_040, "AS $$SELECT count(*) FROM users$$"),
            (1_041, "AS $$DELETE FROM users RETURNING 1$$"),
            (1_042, "AS $$SELECT now()$$"),
            (1_043, "AS $$SELECT set_config('a.b', $1, false)$$"),
            (1_044, "AS $$SELECT $1::date$$"),
            (1_045, "AS $$SELECT created_at::date$$"),
            (1_046, "AS $$SELECT public.pure($1)$$"),
            (1_047, "AS $$SELECT deep($1) === pure($1)$$"),
            (1_048, "AS $$SELECT ring($1)$$"),
            (1_049, "AS $$SELECT day.total$$"),
            (1_050, "AS $$SELECT replace($1, '\\', '')$$"),
            (1_051, "RETURN abs($1)"),
            (1_052, "BEGIN ATOMIC SELECT abs($1); END"),
            (1_054, "AS $$SELECT '12:00'::time AT TIME ZONE $1$$"),
            (1_055, "AS $$SELECT ($1 AT TIME ZONE 'UTC')::date$$"),
            (1_056, "AS $$SELECT day::date$$"),
            (1_053, "BEGIN ATOMIC SELECT vol(); END"),
        ] {
            let row = self.function_row(oid);
            row.definition = Some(format!(
                "CREATE FUNCTION f(day text) RETURNS int LANGUAGE sql {body}"
            ));
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
            (81, "shifts"),
            (82, "configured"),
            (83, "numbered"),
        ] {
            self.relation(oid, "public", name, RelationKind::Table, &[]);
        }
        self.relation(30, "public", "events", RelationKind::Partitioned, &[]);
        self.relation(35, "public", "mixed", RelationKind::Partitioned, &[]);
        self.relation(36, "public", "mixed_remote", RelationKind::Foreign, &[]);
        self.relation(51, "public", "ruled", RelationKind::Table, &[]);
        self.0.rules.push(RuleRow {
            relation: Oid(51),
            event: TriggerEvent::Insert,
            definition: None,
        });
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
        self.0.times_of_day = vec![Oid(81)];
        for (oid, expression) in [
            (82, "set_config('a.b'::text, 'c'::text, false)"),
            (83, "nextval('n'::regclass) + lower('a'::text)::integer"),
        ] {
            self.0.column_expressions.push(ExpressionRow {
                relation: Oid(oid),
                expression: Some(expression.to_owned()),
            });
        }
        for (relation, function) in [(50, VOL), (55, 1_013)] {
            use TriggerEvent::{Delete, Insert, Truncate, Update};
            self.trigger(relation, function, &[Delete, Insert, Truncate, Update]);
        }
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

    pub(super) fn trigger(&mut self, relation: u32, function: u32, events: &[TriggerEvent]) {
        self.0.triggers.push(TriggerRow {
            relation: Oid(relation),
            function: Oid(function),
            events: events.to_vec(),
            timing: TriggerTiming::Beside,
            transition_tables: Vec::new(),
        });
    }

    pub(super) fn function(
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
            parts: Vec::new(),
            definition: None,
        });
    }

    pub(super) fn function_row(&mut self, oid: u32) -> &mut FunctionRow {
        let mut rows = self.0.functions.iter_mut();
        rows.find(|row| row.oid == Oid(oid))
            .expect("it was added before")
    }

    pub(super) fn type_row(
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
