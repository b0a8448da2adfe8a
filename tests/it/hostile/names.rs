//! Statements and portals whose names do not mean what they meant before.

use super::{ONE_CONNECTION, READ, TABLES, UNCACHED, UPDATE, Witness, client, run};
use crate::scene::Scene;
use crate::support::Stage;
use crate::wire::{bind, errors, execute, parse, query, sync, tags};

#[tokio::test]
async fn forgetting_all_statements_within_a_text_does_not_confuse_another_client() {
    let scene = Scene::of(Stage::builder().config(ONE_CONNECTION), TABLES).await;
    Witness::new(&scene, READ).await;
    let mut prepared = client(&scene.stage).await;
    let call = [bind("", "x", &[]), execute("", 0), sync()].concat();
    let prepare = [parse("x", UNCACHED), call.clone()].concat();
    assert_eq!(tags(&prepared.ask(&prepare).await), "12DCZ");
    for forget in ["DEALLOCATE ALL; SELECT 1", "SELECT 1; DEALLOCATE ALL"] {
        // Its login takes the place of the connection there was.
        let mut forgetful = client(&scene.stage).await;
        assert_eq!(tags(&prepared.ask(&call).await), "2DCZ");
        run(&mut forgetful, forget).await;
        drop(forgetful);
        assert_eq!(tags(&prepared.ask(&call).await), "2DCZ", "{forget}");
    }
}

/// The ROLLBACK that cleans up behind a client is a simple query, and does away with the unnamed statement.
#[tokio::test]
async fn cleaning_up_behind_a_client_takes_the_unnamed_statement_from_nobody() {
    const ABOVE: &str = "SELECT v FROM t WHERE v > $1 ORDER BY v";
    let scene = Scene::of(Stage::builder().config(ONE_CONNECTION), TABLES).await;
    Witness::new(&scene, READ).await;
    let above = |value| [bind("", "", &[Some(value)]), execute("", 0), sync()].concat();
    let mut stayed = client(&scene.stage).await;
    let mut gone = client(&scene.stage).await;
    for wire in [&mut stayed, &mut gone] {
        let reply = wire.ask(&[parse("", ABOVE), above(b"0")].concat()).await;
        assert_eq!(tags(&reply), "12DDCZ");
    }
    run(&mut gone, "BEGIN").await;
    let reply = gone.ask(&[parse("", ABOVE), above(b"1")].concat()).await;
    assert_eq!(tags(&reply), "12DDCZ");
    drop(gone);
    let reply = stayed.ask(&above(b"15")).await;
    assert_eq!(tags(&reply), "2DCZ", "{reply:?}");
}

/// The unnamed portal of the outer transaction is there again after ROLLBACK TO, and the Bind that would
/// have replaced it was skipped.
#[tokio::test]
async fn a_bind_that_was_skipped_has_not_replaced_the_portal() {
    let scene = Scene::new(TABLES).await;
    let mut witness = Witness::new(&scene, READ).await;
    let mut hostile = client(&scene.stage).await;
    let statements = [
        parse("write", UPDATE),
        parse("read", "SELECT 1"),
        parse("fail", "SELECT 1 / 0"),
        parse("save", "SAVEPOINT s"),
        parse("back", "ROLLBACK TO s"),
    ];
    hostile.ask(&[statements.concat(), sync()].concat()).await;
    run(&mut hostile, "BEGIN").await;
    let beside = |name| [bind("beside", name, &[]), execute("beside", 0)].concat();
    let script = [bind("", "write", &[]), beside("save"), sync()];
    assert_eq!(tags(&hostile.ask(&script.concat()).await), "22CZ");
    let close = crate::wire::close_portal("beside");
    let script = [close, beside("fail"), bind("", "read", &[]), sync()];
    assert_eq!(errors(&hostile.ask(&script.concat()).await), ["22012"]);
    let script = [bind("other", "back", &[]), execute("other", 0), sync()];
    assert_eq!(tags(&hostile.ask(&script.concat()).await), "2CZ");
    hostile.ask(&[execute("", 0), sync()].concat()).await;
    witness.sees().await;
    hostile.ask(&query("COMMIT")).await;
    witness.sees().await;
}
