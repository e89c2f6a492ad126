//! The end of a connection: codes and reasons in both directions, and one close event for each open.

mod common;

use common::{
    Host, PATIENCE, Raw, Seen, connect, eventually, frame, poll, poll_open, receive, receive_close, start,
};
use socket2::SockRef;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use wsengine::{ConnId, Kind, SendError};

fn closed(conn: ConnId, code: u16, reason: &str, clean: bool) -> Seen {
    Seen::Close { conn, code, reason: reason.to_owned(), clean }
}

/// A close frame's payload.
fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

#[test]
fn the_host_closes_with_code_and_reason() {
    let server = start(&[]);
    let longest = "x".repeat(123);
    for (code, reason) in [(1000, ""), (1000, "bye"), (1011, "müde"), (3000, longest.as_str()), (4999, "x")]
    {
        let mut client = connect(&server);
        let conn = poll_open(&server);
        assert_eq!(server.send(conn, Kind::Text, b"last"), Ok(()));
        assert_eq!(server.close(conn, code, reason), Ok(()));
        assert_eq!(receive(&mut client), Message::text("last"), "what was sent before comes before");
        assert_eq!(receive_close(&mut client), (code, reason.to_owned()));
        while client.read().is_ok() {}
        assert_eq!(poll(&server), closed(conn, code, reason, true));
    }
}

#[test]
fn the_peer_closes_with_code_and_reason() {
    let host = Host::echo(&[]);
    for (code, reason) in [(1000, "done"), (1001, ""), (3999, "ü"), (1007, "wrong")] {
        let mut client = connect(&host.server);
        client.send(Message::text("before")).unwrap();
        client.close(Some(CloseFrame { code: code.into(), reason: reason.into() })).unwrap();
        let Seen::Open { conn, .. } = host.next() else { panic!("open comes first") };
        assert!(matches!(host.next(), Seen::Message { .. }));
        assert_eq!(host.next(), closed(conn, code, reason, true));
        assert_eq!(receive_close(&mut client).0, code);
        assert!(!host.server.is_open(conn));
    }
    let mut raw = Raw::open(&host.server);
    let Seen::Open { conn, .. } = host.next() else { panic!("open comes first") };
    raw.send(&frame(0x88, b""));
    assert_eq!(host.next(), closed(conn, 1005, "", true));
    assert_eq!(raw.read_all(), [0x88, 0], "an empty close frame is answered by one, then the stream ends");
}

#[test]
fn after_a_close_nothing_can_be_sent() {
    let server = start(&[("close_timeout_ms", "100")]);
    let mut raw = Raw::open(&server);
    let conn = poll_open(&server);
    server.close(conn, 1000, "bye").unwrap();
    assert!(!server.is_open(conn) && server.connections().is_empty() && server.stats().connections == 0);
    assert_eq!(server.send(conn, Kind::Text, b"late"), Err(SendError::Gone));
    assert_eq!(server.broadcast(Kind::Text, b"late", &[]), Ok(0));
    assert_eq!(server.close(conn, 1000, "again"), Err(SendError::Gone));
    assert_eq!(server.buffered(conn), Err(SendError::Gone));
    assert_eq!(raw.read_all(), [&[0x88, 5][..], &close_payload(1000, "bye")].concat());
}

#[test]
fn codes_that_must_not_be_sent_are_errors() {
    let server = start(&[]);
    let _raw = Raw::open(&server);
    let conn = poll_open(&server);
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
        assert!(matches!(server.close(conn, code, ""), Err(SendError::BadClose(_))), "{code}");
    }
    assert!(matches!(server.close(conn, 1000, &"x".repeat(124)), Err(SendError::BadClose(_))));
    assert!(server.is_open(conn));
    let unknown = ConnId::from_u64(u64::MAX);
    assert_eq!(server.close(unknown, 1000, ""), Err(SendError::Gone));
    assert_eq!(server.send(unknown, Kind::Text, b""), Err(SendError::Gone));
    assert_eq!(server.send(ConnId::from_u64(0), Kind::Text, b""), Err(SendError::Gone));
}

#[test]
fn an_abort_ends_without_a_close_frame() {
    let server = start(&[]);
    let mut raw = Raw::open(&server);
    let conn = poll_open(&server);
    assert_eq!(server.abort(conn), Ok(()));
    assert_eq!(poll(&server), closed(conn, 1006, "", false));
    assert_eq!(raw.read_all(), b"");
}

#[test]
fn a_peer_that_vanishes_is_1006() {
    let server = start(&[]);
    for reset in [false, true] {
        let raw = Raw::open(&server);
        let conn = poll_open(&server);
        if reset {
            SockRef::from(&raw.0).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(raw);
        assert_eq!(poll(&server), closed(conn, 1006, "", false), "reset: {reset}");
    }
    // In the middle of a frame, and with only its sending side shut.
    let mut raw = Raw::open(&server);
    let conn = poll_open(&server);
    raw.send(&frame(0x81, b"never whole")[..8]);
    raw.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(poll(&server), closed(conn, 1006, "", false));
    assert_eq!(raw.read_all(), b"");
}

#[test]
fn a_peer_that_does_not_answer_a_close_frame_is_cut() {
    let server = start(&[("close_timeout_ms", "200")]);
    let mut raw = Raw::open(&server);
    let conn = poll_open(&server);
    let begin = Instant::now();
    server.close(conn, 1000, "bye").unwrap();
    assert_eq!(poll(&server), closed(conn, 1000, "bye", false));
    // The protocol counts whole milliseconds.
    assert!(begin.elapsed() > Duration::from_millis(198));
    assert_eq!(raw.read_all(), [&[0x88, 5][..], &close_payload(1000, "bye")].concat());
    drop(raw);
}

#[test]
fn a_connection_that_is_closing_can_be_cut() {
    let server = start(&[("close_timeout_ms", "600000")]);
    let mut raw = Raw::open(&server);
    let conn = poll_open(&server);
    // In one batch with the close, and after it.
    server.close(conn, 1000, "bye").unwrap();
    server.abort(conn).unwrap();
    assert!(matches!(poll(&server), Seen::Close { conn: cut, clean: false, .. } if cut == conn));
    assert_eq!(server.abort(conn), Err(SendError::Gone));

    let mut other = Raw::open(&server);
    let conn = poll_open(&server);
    server.close(conn, 1000, "bye").unwrap();
    assert_eq!(other.read_frame(), (0x88, close_payload(1000, "bye")));
    server.abort(conn).unwrap();
    assert_eq!(poll(&server), closed(conn, 1000, "bye", false));
    assert_eq!(other.read_all(), b"");
    raw.read_all();
}

#[test]
fn messages_that_cross_a_close_frame_are_delivered() {
    let server = start(&[]);
    let mut raw = Raw::open(&server);
    let conn = poll_open(&server);
    server.close(conn, 1000, "").unwrap();
    assert_eq!(raw.read_frame(), (0x88, close_payload(1000, "")));
    raw.send(&frame(0x81, b"was on its way"));
    raw.send(&frame(0x88, &close_payload(1000, "")));
    assert_eq!(poll(&server), Seen::Message { conn, text: true, data: b"was on its way".into() });
    assert_eq!(poll(&server), closed(conn, 1000, "", true));
    assert_eq!(raw.read_all(), b"");
}

#[test]
fn each_breach_of_the_protocol_has_its_code() {
    let server = start(&[("max_message_bytes", "100"), ("max_fragments", "3")]);
    let fragments: Vec<u8> = [0x01, 0x00, 0x00, 0x00].iter().flat_map(|first| frame(*first, b"")).collect();
    let pings: Vec<u8> = (0..300).flat_map(|_| frame(0x89, b"")).collect();
    let table: [(&str, Vec<u8>, u16); 10] = [
        ("no mask", vec![0x81, 1, b'x'], 1002),
        ("reserved bits", frame(0xc1, b"x"), 1002),
        ("an unknown opcode", frame(0x83, b"x"), 1002),
        ("a fragmented ping", frame(0x09, b"x"), 1002),
        ("nothing to continue", frame(0x80, b"x"), 1002),
        ("a close code that must not be sent", frame(0x88, &1005u16.to_be_bytes()), 1002),
        ("not UTF-8", frame(0x81, b"\xff"), 1007),
        ("too long", frame(0x82, &[0; 101]), 1009),
        ("too many fragments", fragments, 1008),
        ("too many pings", pings, 1008),
    ];
    for (what, bytes, code) in table {
        let violations = server.stats().violations;
        let mut raw = Raw::open(&server);
        let conn = poll_open(&server);
        raw.send(&bytes);
        match poll(&server) {
            Seen::Close { conn: from, code: given, clean: false, reason } if !reason.is_empty() => {
                assert_eq!((from, given), (conn, code), "{what}");
            }
            other => panic!("{what}: {other:?}"),
        }
        let (first, payload) = loop {
            match raw.read_frame() {
                (0x8a, _) => {}
                other => break other,
            }
        };
        assert_eq!((first, &payload[..2]), (0x88, &code.to_be_bytes()[..]), "{what}");
        assert_eq!(raw.read_all(), b"", "{what}");
        assert_eq!(server.stats().violations, violations + 1, "{what}");
    }
}

#[test]
fn what_came_before_a_breach_is_answered_before_the_close_frame() {
    let host = Host::echo(&[]);
    let mut answered = 0;
    for _ in 0..20 {
        let mut raw = Raw::open(&host.server);
        let mut bytes = frame(0x81, b"sound");
        bytes.extend(frame(0x83, b"broken"));
        let begin = Instant::now();
        raw.send(&bytes);
        let first = raw.read_frame();
        // It waits no longer than that for an answer.
        if first.0 == 0x88 && begin.elapsed() >= Duration::from_millis(250) {
            continue;
        }
        assert_eq!(first, (0x81, b"sound".to_vec()));
        assert_eq!(raw.read_frame().0, 0x88);
        assert_eq!(raw.read_all(), b"");
        answered += 1;
    }
    assert!(answered > 0);
}

#[test]
fn a_breach_is_told_though_the_host_sleeps() {
    let server = start(&[]);
    let mut raw = Raw::open(&server);
    let mut bytes = frame(0x81, b"sound");
    bytes.extend(frame(0x83, b"broken"));
    raw.send(&bytes);
    assert_eq!(raw.read_frame().0, 0x88);
    let conn = poll_open(&server);
    assert!(matches!(poll(&server), Seen::Message { .. }));
    assert!(matches!(poll(&server), Seen::Close { conn: from, code: 1002, .. } if from == conn));
}

#[test]
fn the_close_frame_reaches_a_peer_that_has_sent_much_more() {
    let server = start(&[]);
    for violation in [false, true] {
        let mut raw = Raw::open(&server);
        let conn = poll_open(&server);
        let mut bytes = if violation { frame(0x83, b"") } else { frame(0x88, &1000u16.to_be_bytes()) };
        bytes.resize(900_000, 0);
        raw.send(&bytes);
        assert!(matches!(poll(&server), Seen::Close { conn: from, .. } if from == conn));
        let mut answer = Vec::new();
        raw.0.read_to_end(&mut answer).expect("the end of the stream, not a reset");
        assert_eq!(answer[0], 0x88);
        assert_eq!(answer[2..4], if violation { 1002u16 } else { 1000 }.to_be_bytes());
    }
}

#[test]
fn who_sends_on_and_on_after_the_end_is_cut() {
    let server = start(&[("close_timeout_ms", "60000")]);
    let mut raw = Raw::open(&server);
    let conn = poll_open(&server);
    raw.send(&frame(0x83, b""));
    assert!(matches!(poll(&server), Seen::Close { conn: from, code: 1002, .. } if from == conn));
    // The system takes some megabytes before it says so.
    let block = vec![0; 1 << 20];
    assert!((0..100).any(|_| raw.0.write_all(&block).is_err()));
}

#[test]
fn all_that_was_queued_comes_before_the_close_frame() {
    let server = start(&[("send_queue_bytes", "20000000")]);
    let mut raw = Raw::open(&server);
    let conn = poll_open(&server);
    let payload = vec![9; 1 << 20];
    for _ in 0..12 {
        server.send(conn, Kind::Binary, &payload).unwrap();
    }
    server.close(conn, 1000, "all said").unwrap();
    for _ in 0..12 {
        assert_eq!(raw.read_frame(), (0x82, payload.clone()));
    }
    assert_eq!(raw.read_frame(), (0x88, close_payload(1000, "all said")));
    raw.send(&frame(0x88, &close_payload(1000, "")));
    assert_eq!(raw.read_all(), b"");
    assert_eq!(poll(&server), closed(conn, 1000, "all said", true));
}

#[test]
fn a_slot_is_used_again_and_its_new_owner_gets_nothing_of_the_old() {
    let server = start(&[("io_threads", "1"), ("close_timeout_ms", "10")]);
    let mut closes = 0;
    for i in 0..200u32 {
        let raw = Raw::open(&server);
        let conn = poll_open(&server);
        let _ = server.send(conn, Kind::Text, b"to the old one");
        match i % 3 {
            0 => drop(raw),
            1 => drop(server.abort(conn)),
            _ => drop(server.close(conn, 1000, "")),
        }
        let _ = server.send(conn, Kind::Text, b"to the old one");
        let mut next = Raw::open(&server);
        let next_conn = loop {
            match poll(&server) {
                Seen::Open { conn, .. } => break conn,
                Seen::Close { conn: gone, .. } => {
                    assert_eq!(gone, conn);
                    closes += 1;
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(server.send(next_conn, Kind::Text, b"to the new one"), Ok(()));
        assert_eq!(next.read_frame(), (0x81, b"to the new one".to_vec()));
        drop(next);
        while closes < 2 * (i + 1) {
            assert!(matches!(poll(&server), Seen::Close { .. }));
            closes += 1;
        }
    }
}

#[test]
fn each_open_has_exactly_one_close_however_it_ends() {
    let host = Host::run(&[("io_threads", "2"), ("close_timeout_ms", "50")], |server, event| {
        if let Seen::Message { conn, data, .. } = event {
            let _ = match &**data {
                b"close me" => server.close(*conn, 1000, "as you wish"),
                b"cut me" => server.abort(*conn),
                data => server.send(*conn, Kind::Binary, data),
            };
        }
    });
    const CLIENTS: usize = 400;
    let mut random = 1u32;
    for _ in 0..CLIENTS {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mut raw = Raw::open(&host.server);
        match (random >> 24) % 8 {
            0 => {}
            1 => raw.send(&frame(0x81, b"close me")),
            2 => raw.send(&frame(0x81, b"cut me")),
            3 => raw.send(&frame(0x88, b"")),
            4 => raw.send(&[0xff; 20]),
            5 => SockRef::from(&raw.0).set_linger(Some(Duration::ZERO)).unwrap(),
            6 => {
                raw.send(&frame(0x81, b"close me"));
                raw.send(&frame(0x88, b""));
            }
            _ => {
                raw.send(&frame(0x81, b"echo"));
                raw.read_frame();
            }
        }
        if random & 1 << 20 == 0 {
            raw.0.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
            let _ = raw.0.read(&mut [0; 100]);
        }
    }
    let mut open = HashMap::new();
    let mut closes = 0;
    while closes < CLIENTS {
        match host.next() {
            Seen::Open { conn, .. } => assert!(open.insert(conn, ()).is_none()),
            Seen::Close { conn, .. } => {
                assert!(open.remove(&conn).is_some(), "a close without an open, or a second one");
                closes += 1;
            }
            Seen::Message { conn, .. } => assert!(open.contains_key(&conn)),
            other => panic!("{other:?}"),
        }
    }
    assert!(open.is_empty());
    eventually("nothing is open", || host.server.stats().connections == 0);
    let stats = host.server.stats();
    assert_eq!((stats.opened, stats.closed, stats.queued_bytes), (CLIENTS as u64, CLIENTS as u64, 0));
    // All seats are free, or the next would wait for one.
    let mut client = connect(&host.server);
    client.get_mut().set_read_timeout(Some(PATIENCE)).unwrap();
    client.send(Message::binary(vec![1])).unwrap();
    assert_eq!(receive(&mut client), Message::binary(vec![1]));
}
