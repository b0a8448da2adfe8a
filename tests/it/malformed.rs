//! Messages that are not what the protocol says: an error or the end, as PostgreSQL has it, and never a hang.

use pgkeel_bench::sandbox::Auth;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::Stage;
use crate::wire::*;

/// What becomes of a client.
#[derive(Debug, Eq, PartialEq)]
enum Fate {
    /// The connection ended, with or without a word.
    Ended,
    /// An error of this SQLSTATE, and the connection goes on.
    Error(String),
}

/// Sends bytes and a Sync, and waits for what comes of it.
async fn fate(port: u16, bytes: &[u8]) -> Fate {
    let mut wire = Wire::login(port, "app").await;
    wire.try_send(bytes).await;
    wire.try_send(&sync()).await;
    let mut error = None;
    while let Some(message) = wire.next().await {
        match message.tag {
            b'E' if message.field(b'V').as_deref() == Some("FATAL") => {
                assert!(wire.until_end().await.is_empty());
                return Fate::Ended;
            }
            b'E' => error = Some(message.sqlstate()),
            b'Z' if error.is_some() => break,
            _ => {}
        }
    }
    error.map_or(Fate::Ended, Fate::Error)
}

#[tokio::test]
async fn impossible_lengths_end_the_connection() {
    let stage = Stage::builder().auth(Auth::Trust).start().await;
    for tag in *b"QPBDECSHXdcfF" {
        for length in [0_u32, 1, 3, 0x4000_0000, 0x7fff_ffff, 0xffff_ffff] {
            let bytes = [&[tag][..], &length.to_be_bytes()].concat();
            for port in [stage.postgres.port(), stage.proxy.port()] {
                let place = format!("{} with length {length} at {port}", char::from(tag));
                assert_eq!(fate(port, &bytes).await, Fate::Ended, "{place}");
            }
        }
    }
    // What is always short must not be long: nobody waits for the rest of it.
    for tag in *b"DECSHXcf" {
        let bytes = [&[tag][..], &20_000_u32.to_be_bytes()].concat();
        for port in [stage.postgres.port(), stage.proxy.port()] {
            assert_eq!(fate(port, &bytes).await, Fate::Ended, "{}", char::from(tag));
        }
    }
    Wire::login(stage.proxy.port(), "app").await;
}

#[tokio::test]
async fn unknown_types_end_the_connection_at_once() {
    let stage = Stage::builder().auth(Auth::Trust).start().await;
    for tag in [0, b'!', b'p', b'R', b'Z', b'q', 0xff] {
        for port in [stage.postgres.port(), stage.proxy.port()] {
            for ahead in [&[][..], &parse("", "SELECT 1")] {
                let mut wire = Wire::login(port, "app").await;
                wire.send(&[ahead, &[tag]].concat()).await;
                let last = wire.until_end().await.pop().unwrap();
                let text = format!("invalid frontend message type {tag}");
                assert_eq!(last.sqlstate(), "08P01");
                assert_eq!(last.field(b'M'), Some(text));
            }
        }
    }
}

#[tokio::test]
async fn messages_that_are_cut_short_are_errors() {
    let stage = Stage::builder().auth(Auth::Trust).start().await;
    stage
        .arrange("CREATE TABLE items (id int); INSERT INTO items VALUES (1)")
        .await;
    let whole = [
        parse("s", "SELECT * FROM items WHERE id = $1"),
        bind("p", "s", &[Some(b"1")]),
        describe_portal("p"),
        execute("p", 0),
        close_portal("p"),
    ];
    for (place, message_of) in whole.iter().enumerate() {
        for length in 0..message_of.len() - 5 {
            let cut = message(message_of[0], &[&message_of[5..5 + length]]);
            let bytes = [&whole[..place].concat()[..], &cut].concat();
            let direct = fate(stage.postgres.port(), &bytes).await;
            let proxied = fate(stage.proxy.port(), &bytes).await;
            assert_eq!(direct, proxied, "message {place} cut to {length}");
        }
        let long = message(message_of[0], &[&message_of[5..], b"more"]);
        let bytes = [&whole[..place].concat()[..], &long].concat();
        let direct = fate(stage.postgres.port(), &bytes).await;
        let proxied = fate(stage.proxy.port(), &bytes).await;
        assert_eq!(direct, proxied, "message {place} with more behind it");
    }
    for port in [stage.postgres.port(), stage.proxy.port()] {
        for bytes in [message(b'D', &[b"Xname\0"]), message(b'C', &[b"Xname\0"])] {
            assert_eq!(fate(port, &bytes).await, Fate::Error("08P01".into()));
        }
    }
}

/// PostgreSQL reports an error; the proxy ends the connection. Neither waits.
#[tokio::test]
async fn a_sync_or_flush_with_a_body_is_refused() {
    let stage = Stage::builder().auth(Auth::Trust).start().await;
    for tag in *b"SH" {
        let bytes = message(tag, &[b"body"]);
        let direct = fate(stage.postgres.port(), &bytes).await;
        assert_eq!(direct, Fate::Error("08P01".into()));
        assert_eq!(fate(stage.proxy.port(), &bytes).await, direct);
    }
}

#[tokio::test]
async fn what_is_left_of_a_copy_is_ignored() {
    let stage = Stage::builder().auth(Auth::Trust).start().await;
    for port in [stage.postgres.port(), stage.proxy.port()] {
        let mut wire = Wire::login(port, "app").await;
        let rest = [
            copy_data(b"1\n"),
            copy_done(),
            copy_fail("late"),
            query("SELECT 1"),
        ];
        assert_eq!(tags(&wire.ask(&rest.concat()).await), "TDCZ");
        let between = [
            parse("", "SELECT 1"),
            copy_data(b""),
            bind("", "", &[]),
            sync(),
        ];
        assert_eq!(tags(&wire.ask(&between.concat()).await), "12Z");
    }
}

#[tokio::test]
async fn bytes_that_come_one_by_one_are_read_as_they_are_meant() {
    let stage = Stage::builder().auth(Auth::Trust).start().await;
    let mut wire = Wire::open(stage.proxy.port()).await;
    for byte in startup(&[("user", "keel"), ("database", "app")]) {
        wire.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    wire.until_ready().await;
    let pipeline = [
        parse("", "SELECT $1::text"),
        bind("", "", &[Some(b"slow")]),
        describe_portal(""),
        execute("", 0),
        sync(),
        query("SELECT 2"),
    ];
    for byte in pipeline.concat() {
        wire.send(&[byte]).await;
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(tags(&wire.until_ready().await), "12TDCZ");
    assert_eq!(tags(&wire.until_ready().await), "TDCZ");
}

/// A client that says goodbye before it has said anything else, and others that make no sense from the start.
#[tokio::test]
async fn what_is_no_startup_packet_is_answered_as_the_server_does() {
    let stage = Stage::builder().auth(Auth::Trust).start().await;
    for bytes in [
        b"X\0\0\0\x04".as_slice(),
        b"\0\0\0\x07\0\x03\0\0",
        b"\0\0\0\x09\0\x03\0\0x",
        b"\0\0\0\x08\0\x02\0\0",
    ] {
        let mut answers = Vec::new();
        for port in [stage.postgres.port(), stage.proxy.port()] {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            // The fields that every client reads: severity, SQLSTATE and text.
            let fields = answer.split(|byte| *byte == 0);
            let read = fields.filter(|field| matches!(field.first(), Some(b'V' | b'C' | b'M')));
            answers.push((
                answer.first().copied(),
                read.map(<[u8]>::to_vec).collect::<Vec<_>>(),
            ));
        }
        assert_eq!(answers[0], answers[1], "{bytes:?}");
    }
}

/// A client that makes no sense costs itself its connection, and nobody their cached results.
#[tokio::test]
async fn nonsense_harms_nobody_else() {
    let stage = Stage::builder().auth(Auth::Trust).start().await;
    let mut good = Wire::login(stage.proxy.port(), "app").await;
    good.ask(&query("SELECT 'kept'")).await;
    let hits = stage.hits().await;
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        [b'Q', 0, 0, 0, 1].to_vec(),
        [b'S', 0, 1, 0, 0].to_vec(),
        vec![0; 64],
    ] {
        assert_eq!(fate(stage.proxy.port(), &bytes).await, Fate::Ended);
    }
    good.ask(&query("SELECT 'kept'")).await;
    assert_eq!(stage.hits().await, hits + 1);
}
