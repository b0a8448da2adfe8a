//! What a statement leaves behind, and its part in transaction control.

use super::{DIALECT, TEXT_MAX, check, parse};
use crate::analysis::{Control, Deallocate, IsolationLevel, Parsed, TransactionModes};

fn parsed(sql: &str) -> Parsed {
    parse(sql.as_bytes(), DIALECT, TEXT_MAX)
}

#[test]
fn sessions_remember() {
    check(&[
        ("SET search_path = a", "!not_a_read [named_setting]"),
        ("SET SESSION AUTHORIZATION bob", "!not_a_read [setting]"),
        ("SET ROLE bob", "!not_a_read [named_setting]"),
        ("SET seed = 0.5", "!not_a_read [random_seed]"),
        ("SET TIME ZONE 'UTC'", "!not_a_read [named_setting]"),
        ("RESET ALL", "!not_a_read [named_setting]"),
        ("RESET search_path", "!not_a_read [named_setting]"),
        ("SET search_path TO DEFAULT", "!not_a_read [named_setting]"),
        (
            "SET LOCAL search_path TO DEFAULT",
            "!not_a_read [local_setting]",
        ),
        ("SET a.b = 1; RESET ALL", "!multi_statement [named_setting]"),
        (
            "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL",
            "!multi_statement [named_setting]",
        ),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "!not_a_read [named_setting]",
        ),
        ("SET LOCAL a.b = 1", "!not_a_read [local_setting]"),
        (
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "!not_a_read [local_setting]",
        ),
        (
            "SET TRANSACTION SNAPSHOT 'a'",
            "!not_a_read [local_setting]",
        ),
        (
            "SET transaction_isolation = 'serializable'",
            "!not_a_read [local_setting]",
        ),
        (
            "SET CONSTRAINTS ALL DEFERRED",
            "!not_a_read [local_setting]",
        ),
        (
            "SELECT set_config('a.b', 'c', false)",
            "!volatile_function [named_setting]",
        ),
        (
            "SELECT pg_catalog.set_config('a.b', 'c', 'f')",
            "!volatile_function [named_setting]",
        ),
        (
            "SELECT set_config('a.b', 'c', true)",
            "!volatile_function [local_setting]",
        ),
        (
            "SELECT set_config('a.b', 'c', $1)",
            "!volatile_function [local_setting named_setting]",
        ),
        (
            "SELECT set_config($1, 'c', false)",
            "!volatile_function [local_setting setting]",
        ),
        (
            "SELECT set_config('transaction_isolation', 'serializable', false)",
            "!volatile_function [local_setting]",
        ),
        (
            "SELECT * FROM users WHERE set_config('a.b', name, false) = 'c'",
            "!volatile_function [named_setting]",
        ),
        ("SHOW ALL", "!not_a_read"),
        ("LISTEN a", "!not_a_read [listen]"),
        ("UNLISTEN *", "!not_a_read"),
        ("NOTIFY a, 'b'", "!not_a_read"),
        ("LOAD 'a'", "!not_a_read [load]"),
        ("LOCK TABLE users", "!not_a_read"),
        (
            "PREPARE p AS DELETE FROM users",
            "!not_a_read [prepared_statement]",
        ),
        (
            "EXECUTE p(1)",
            "!not_a_read -> ** [prepared_statement unknown_code]",
        ),
        (
            "CREATE TABLE a AS EXECUTE p",
            "!not_a_read -> ** [prepared_statement unknown_code]",
        ),
        ("DEALLOCATE p", "!not_a_read [deallocate]"),
        ("DISCARD ALL", "!not_a_read [discard_all]"),
        ("DISCARD PLANS", "!not_a_read [discard]"),
        ("DECLARE c CURSOR FOR SELECT * FROM users", "!not_a_read"),
        (
            "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM users",
            "!not_a_read [hold_cursor]",
        ),
        ("FETCH 5 FROM c", "!not_a_read"),
        ("MOVE c", "!not_a_read"),
        ("CLOSE ALL", "!not_a_read"),
        ("CREATE TEMP TABLE a (id int)", "!not_a_read [temporary]"),
        ("CREATE TABLE pg_temp.a (id int)", "!not_a_read [temporary]"),
        (
            "CREATE TEMP TABLE a ON COMMIT DROP AS SELECT * FROM users",
            "!not_a_read [temporary]",
        ),
        (
            "CREATE TEMP TABLE a AS SELECT vol()",
            "!not_a_read -> ** [temporary unknown_code]",
        ),
        (
            "CREATE TEMP VIEW a AS SELECT * FROM users",
            "!not_a_read [temporary]",
        ),
        (
            "CREATE TEMP VIEW a AS SELECT vol()",
            "!not_a_read -> ** [temporary unknown_code]",
        ),
        ("CREATE TEMP SEQUENCE a", "!not_a_read [temporary]"),
        (
            "SELECT nextval('a'), currval('a'), lastval(), setval('a', 1)",
            "!volatile_function [sequence sequence_draw]",
        ),
        (
            "SELECT pg_advisory_lock(1)",
            "!volatile_function [advisory_lock]",
        ),
        (
            "SELECT pg_try_advisory_lock_shared(1)",
            "!volatile_function [advisory_lock]",
        ),
        (
            "SELECT pg_advisory_unlock(1)",
            "!volatile_function [advisory_lock]",
        ),
        ("SELECT pg_advisory_xact_lock(1)", "!volatile_function"),
        (
            "SELECT pg_backend_pid()",
            "!stable_function [session_identity]",
        ),
        (
            "SELECT txid_current()",
            "!stable_function [session_identity]",
        ),
        ("SELECT setseed(0.5)", "!volatile_function [random_seed]"),
    ]);
}

#[test]
fn transactions_are_told() {
    let modes = |isolation, read_only, deferrable| {
        Control::Begin(TransactionModes {
            isolation,
            read_only,
            deferrable,
            start: false,
        })
    };
    let gid = || "a b".to_owned();
    for (sql, control) in [
        ("BEGIN", modes(None, None, None)),
        (
            "START TRANSACTION",
            Control::Begin(TransactionModes {
                start: true,
                ..TransactionModes::default()
            }),
        ),
        (
            "begin work isolation level repeatable read",
            modes(Some(IsolationLevel::RepeatableRead), None, None),
        ),
        (
            "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE",
            modes(Some(IsolationLevel::Serializable), Some(true), Some(true)),
        ),
        (
            "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE, NOT DEFERRABLE",
            modes(
                Some(IsolationLevel::ReadCommitted),
                Some(false),
                Some(false),
            ),
        ),
        (
            "BEGIN ISOLATION LEVEL READ UNCOMMITTED",
            modes(Some(IsolationLevel::ReadUncommitted), None, None),
        ),
        ("COMMIT", Control::Commit { chain: false }),
        ("END AND CHAIN", Control::Commit { chain: true }),
        ("COMMIT AND NO CHAIN", Control::Commit { chain: false }),
        ("ROLLBACK", Control::Rollback { chain: false }),
        ("ABORT AND CHAIN", Control::Rollback { chain: true }),
        ("SAVEPOINT a", Control::Savepoint),
        ("RELEASE a", Control::ReleaseSavepoint),
        ("ROLLBACK TO a", Control::RollbackToSavepoint),
        (
            "PREPARE TRANSACTION 'a b'",
            Control::PrepareTransaction(gid()),
        ),
        ("COMMIT PREPARED 'a b'", Control::CommitPrepared(gid())),
        ("ROLLBACK PREPARED 'a b'", Control::RollbackPrepared(gid())),
        ("", Control::Empty),
        (";", Control::Empty),
        ("SELECT 1;", Control::Plain),
        ("BEGIN;", modes(None, None, None)),
        (
            "SELECT 1; SELECT 2",
            Control::Script {
                transaction_control: false,
            },
        ),
        (
            "BEGIN; SELECT 2",
            Control::Script {
                transaction_control: true,
            },
        ),
        ("SELEKT", Control::NotUnderstood),
    ] {
        assert_eq!(*parsed(sql).control(), control, "{sql}");
    }
}

#[test]
fn transaction_control_itself_writes_nothing_but_a_prepared_commit() {
    check(&[
        ("BEGIN", "!not_a_read"),
        ("COMMIT", "!not_a_read"),
        ("ROLLBACK TO a", "!not_a_read"),
        ("PREPARE TRANSACTION 'a'", "!not_a_read"),
        ("ROLLBACK PREPARED 'a'", "!not_a_read"),
        ("COMMIT PREPARED 'a'", "!not_a_read -> **"),
    ]);
}

#[test]
fn deallocation_is_told() {
    assert_eq!(
        parsed("DEALLOCATE PREPARE a").deallocates(),
        Some(&Deallocate::Name("a".to_owned()))
    );
    assert_eq!(
        parsed("DEALLOCATE ALL").deallocates(),
        Some(&Deallocate::All)
    );
    assert_eq!(
        parsed("DEALLOCATE \"ALL\"").deallocates(),
        Some(&Deallocate::Name("ALL".to_owned()))
    );
    assert_eq!(parsed("DEALLOCATE a; DEALLOCATE b").deallocates(), None);
}
