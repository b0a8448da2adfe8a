//! What code does that is reached from elsewhere: triggers, rules, views, procedures, functions that are vouched for.

use super::code::{FIRST, world};
use super::{DIALECT, TEXT_MAX, check_in, parse};
use crate::analysis::catalog::rows::*;
use crate::analysis::{Catalog, Oid};

const STAMP: &str =
    " RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at := now(); RETURN NEW; END $$";
const LOG: &str = " RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    IF TG_OP = 'DELETE' THEN INSERT INTO audit VALUES (OLD.id); ELSE INSERT INTO audit SELECT id FROM fresh; END IF; \
    RETURN NULL; END $$";
const BUMP: &str =
    " RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE rates SET n = 1; RETURN NULL; END $$";

fn triggered() -> Catalog {
    use TriggerEvent::{Delete, Insert, Truncate, Update};
    let mut world = world(&[("stamp", 0, STAMP), ("log", 0, LOG), ("bump", 0, BUMP)]);
    world.trigger(1, FIRST, &[Insert, Update]);
    world.trigger(2, FIRST + 1, &[Delete, Insert]);
    world.trigger(3, FIRST + 2, &[Insert]);
    world.trigger(9, FIRST + 2, &[Truncate]);
    world.rows().triggers[1].transition_tables = vec!["fresh".to_owned()];
    world.rows().foreign_keys.push(ForeignKeyRow {
        referencing: Oid(2),
        referenced: Oid(1),
        on_update: ReferentialAction::Refuse,
        on_delete: ReferentialAction::Cascade,
    });
    world.catalog()
}

#[test]
fn triggers_add_what_they_do_and_no_more() {
    check_in(
        &triggered(),
        &[
            ("UPDATE users SET a = 1", "!not_a_read -> users"),
            ("INSERT INTO users VALUES (1)", "!not_a_read -> users"),
            (
                "INSERT INTO orders VALUES (1)",
                "!not_a_read -> app.rates audit orders rates",
            ),
            ("UPDATE orders SET a = 1", "!not_a_read -> orders"),
            (
                "DELETE FROM users",
                "!not_a_read -> app.rates audit orders rates users",
            ),
            ("TRUNCATE app.rates", "!not_a_read -> app.rates rates"),
            ("DELETE FROM audit", "!not_a_read -> audit"),
            (
                "COPY orders FROM STDIN",
                "!not_a_read -> app.rates audit orders rates",
            ),
            ("SELECT * FROM users", "users"),
        ],
    );
}

#[test]
fn a_view_changes_what_is_behind_it() {
    use TriggerEvent::{Insert, Update};
    let mut world = world(&[("stamp", 0, STAMP), ("log", 0, LOG), ("bump", 0, BUMP)]);
    for (oid, name, definition) in [
        (
            20,
            "plain",
            "SELECT users.id FROM public.users WHERE users.id IN (SELECT id FROM public.audit)",
        ),
        (21, "over", "SELECT plain.id FROM public.plain"),
        (
            22,
            "joined",
            "SELECT u.id FROM public.users u JOIN public.orders o USING (id)",
        ),
        (23, "ruled", "SELECT u.id FROM public.users u"),
    ] {
        world.relation(oid, "public", name, RelationKind::View, &[]);
        let row = world.rows().relations.last_mut().expect("just pushed");
        row.definition = Some(definition.to_owned());
    }
    world.trigger(22, FIRST + 2, &[Insert, Update]);
    world.rows().triggers[0].timing = TriggerTiming::Instead;
    for (event, definition) in [
        (
            Insert,
            "CREATE RULE r AS ON INSERT TO public.ruled DO INSTEAD (INSERT INTO public.audit VALUES (new.id); DELETE FROM public.rates WHERE rates.id = new.id)",
        ),
        (
            Update,
            "CREATE RULE r AS ON UPDATE TO public.ruled WHERE (old.id > 5) DO INSTEAD NOTHING",
        ),
    ] {
        world.rows().rules.push(RuleRow {
            relation: Oid(23),
            event,
            definition: Some(definition.to_owned()),
        });
    }
    check_in(
        &world.catalog(),
        &[
            ("UPDATE plain SET id = 1", "!not_a_read -> users"),
            ("DELETE FROM over", "!not_a_read -> users"),
            (
                "INSERT INTO joined VALUES (1)",
                "!not_a_read -> app.rates rates",
            ),
            ("DELETE FROM joined", "!not_a_read"),
            (
                "INSERT INTO ruled VALUES (1)",
                "!not_a_read -> audit rates users",
            ),
            ("UPDATE ruled SET id = 2", "!not_a_read -> users"),
            ("SELECT * FROM joined", "orders users"),
        ],
    );
}

#[test]
fn calls_and_blocks_do_what_their_bodies_do() {
    let catalog = world(&[
        ("steps", 1, " RETURNS void LANGUAGE plpgsql AS $$ BEGIN UPDATE users SET a = 1; COMMIT; INSERT INTO audit VALUES (1); END $$"),
        ("bump", 0, " RETURNS void LANGUAGE sql AS 'UPDATE orders SET n = n + 1'"),
    ])
    .catalog();
    check_in(
        &catalog,
        &[
            ("CALL steps(1)", "!not_a_read -> audit users"),
            ("CALL public.steps(1, NULL)", "!not_a_read -> audit users"),
            ("CALL nowhere()", "!not_a_read -> ** [unknown_code]"),
            (
                "DO $$ BEGIN PERFORM bump(); CALL steps(2); END $$",
                "!not_a_read -> audit orders users",
            ),
            (
                "DO 'BEGIN SET a.b = 1; END'",
                "!not_a_read [named_setting setting]",
            ),
            (
                "DO LANGUAGE plpgsql $$ BEGIN DELETE FROM audit; END $$",
                "!not_a_read -> audit",
            ),
            (
                "DO LANGUAGE plperl $$ 1 $$",
                "!not_a_read -> ** [unknown_code]",
            ),
            (
                "DO $$ BEGIN DROP TABLE users; END $$",
                "!not_a_read -> ** [unknown_code]",
            ),
            (
                "DO $$ BEGIN EXECUTE 'a' || 'b'; END $$",
                "!not_a_read -> ** [unknown_code]",
            ),
            ("DO $$ garble $$", "!not_a_read -> ** [unknown_code]"),
        ],
    );
    for (sql, may_commit) in [
        ("CALL bump()", true),
        ("DO 'BEGIN END'", true),
        ("SELECT bump()", false),
    ] {
        let verdict = parse(sql.as_bytes(), DIALECT, TEXT_MAX).judge(Some(&catalog));
        assert_eq!(verdict.may_commit, may_commit, "{sql}");
    }
}

#[test]
fn a_vouched_function_does_what_is_said() {
    let vouched = |function: &str, reads: &[&str], writes: &[&str]| VouchedRow {
        function: function.to_owned(),
        reads: reads.iter().map(ToString::to_string).collect(),
        writes: writes.iter().map(ToString::to_string).collect(),
    };
    let mut world = world(&[
        ("hidden", 0, ""),
        ("touch", 0, ""),
        ("odd", 0, ""),
        ("bump", 0, BUMP),
    ]);
    world.trigger(3, FIRST + 3, &[TriggerEvent::Insert]);
    world.rows().vouched = vec![
        vouched("public.hidden", &["app.rates", "users"], &[]),
        vouched("touch", &[], &["audit"]),
        vouched("odd", &["nowhere"], &[]),
        vouched("app.hidden", &[], &[]),
    ];
    let catalog = world.catalog();
    check_in(
        &catalog,
        &[
            ("SELECT hidden()", "app.rates users"),
            ("SELECT touch()", "!writes -> app.rates audit rates"),
            ("SELECT odd()", "!not_understood -> ** [unknown_code]"),
        ],
    );
    assert_eq!(
        catalog.problems(),
        [
            "[cache.functions.\"odd\"] reads \"nowhere\", which is no relation of this database, so nothing is known of the function",
            "[cache.functions.\"app.hidden\"] names no function of this database, so nothing is known of the function",
        ]
    );
}
