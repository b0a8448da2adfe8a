//! What a server says without being asked: notifications, settings, notices.

use pgkeel_bench::sandbox::Auth;

use super::{ITEMS, SCHEMA};
use crate::support::Stage;
use crate::twins::{Twins, step};
use crate::wire::*;

/// The messages, with the place among `told` of the process ids in notifications: the ids themselves differ.
fn with_senders(messages: Vec<Message>, told: &[Vec<u8>]) -> Vec<(u8, Option<usize>, Vec<u8>)> {
    let parts = |message: Message| match message.tag {
        b'A' => {
            let (pid, rest) = message.body.split_at(4);
            let sender = told.iter().position(|told| told == pid);
            (message.tag, sender, rest.to_vec())
        }
        tag => (tag, None, message.body),
    };
    messages.into_iter().map(parts).collect()
}

#[tokio::test]
async fn notifications_arrive_when_idle_and_behind_transactions() {
    let twins = Twins::new(SCHEMA).await;
    let mut told = Vec::new();
    for direct in [true, false] {
        let connect = async || {
            if direct {
                twins.direct().await
            } else {
                twins.proxied().await
            }
        };
        let (mut listener, mut other) = (connect().await, connect().await);
        let mut heard = listener.ask(&query("LISTEN news")).await;
        other.ask(&query("NOTIFY news, 'while idle'")).await;
        heard.extend(listener.messages(1).await);
        heard.extend(listener.ask(&query("BEGIN")).await);
        other.ask(&query("NOTIFY news, 'in a transaction'")).await;
        other
            .ask(&query(
                "SELECT pg_notify('news', ''), pg_notify('other', 'x')",
            ))
            .await;
        heard.extend(listener.ask(&query(ITEMS)).await);
        heard.extend(listener.ask(&query("COMMIT")).await);
        heard.extend(listener.ask(&query("NOTIFY news, 'to myself'")).await);
        heard.extend(
            listener
                .ask(&[run("NOTIFY news"), run(ITEMS), sync()].concat())
                .await,
        );
        heard.extend(listener.ask(&query("BEGIN; NOTIFY news; ROLLBACK")).await);
        heard.extend(listener.ask(&query("UNLISTEN *; NOTIFY news")).await);
        let pids = [&listener, &other].map(|client| client.key()[..4].to_vec());
        told.push(with_senders(heard, &pids));
    }
    assert_eq!(told[0], told[1]);
}

/// The connection that a login opened may be gone; the client still knows itself by the process id it was told.
#[tokio::test]
async fn a_session_hears_itself_under_the_process_id_that_it_was_told() {
    let stage = Stage::builder()
        .auth(Auth::Trust)
        .config("[pool]\nmax = 2\n");
    let stage = stage.start().await;
    let port = stage.proxy.port();
    let mut first = Wire::login(port, "app").await;
    let _others = [
        Wire::login(port, "app").await,
        Wire::login(port, "app").await,
    ];
    let mut heard = first.ask(&query("LISTEN news; NOTIFY news, 'a'")).await;
    heard.extend(first.ask(&query("NOTIFY news, 'b'")).await);
    let pid = first.key()[..4].to_vec();
    let senders: Vec<_> = with_senders(heard, &[pid])
        .into_iter()
        .filter_map(|(tag, sender, _)| (tag == b'A').then_some(sender))
        .collect();
    assert_eq!(senders, [Some(0), Some(0)]);
}

#[tokio::test]
async fn settings_are_reported_as_they_change() {
    let twins = Twins::new(SCHEMA).await;
    let script = [
        step(&[query("SET TimeZone = 'Asia/Tokyo'")]),
        step(&[query("BEGIN; SET LOCAL DateStyle = 'German'; COMMIT")]),
        step(&[
            query("BEGIN"),
            query("SET application_name = 'x'"),
            query("ROLLBACK"),
        ]),
        step(&[
            run("SET IntervalStyle = 'iso_8601'"),
            run("SELECT '1 day'::interval"),
            sync(),
        ]),
        step(&[
            query("SET client_encoding = 'latin1'"),
            query("SELECT 'gr\u{f6}'::text"),
        ]),
        step(&[query("SET client_encoding = 'nonsense'")]),
        step(&[query("SELECT set_config('application_name', 'y', false)")]),
        step(&[run("SELECT set_config('TimeZone', 'UTC', true)"), sync()]),
        step(&[
            query("SET standard_conforming_strings = off"),
            query(r"SELECT 'a\tb'"),
        ]),
        step(&[query("RESET ALL")]),
        step(&[query("SET TimeZone = 'Asia/Tokyo'"), query("DISCARD ALL")]),
    ];
    twins.agree("settings", &script).await;
}
