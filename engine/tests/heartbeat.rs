//! Pings, peers that are dead, and peers that have nothing to say.

mod common;

use common::{Host, Raw, Seen, frame, poll, poll_open, start};
use std::time::{Duration, Instant};

#[test]
fn a_silent_peer_is_pinged_and_its_pong_keeps_it() {
    let server = start(&[("ping_interval_ms", "100"), ("pong_timeout_ms", "5000")]);
    let begin = Instant::now();
    let mut raw = Raw::open(&server);
    let conn = poll_open(&server);
    for _ in 0..4 {
        let (first, payload) = raw.read_frame();
        assert_eq!(first, 0x89);
        raw.send(&frame(0x8a, &payload));
    }
    // A tenth less is within the spread.
    assert!(begin.elapsed() > Duration::from_millis(4 * 88));
    assert!(server.is_open(conn));
    assert_eq!(server.stats().dead_peers, 0);
}

#[test]
fn a_peer_that_does_not_answer_is_dead() {
    let server = start(&[("ping_interval_ms", "100"), ("pong_timeout_ms", "150")]);
    let begin = Instant::now();
    let mut raw = Raw::open(&server);
    let conn = poll_open(&server);
    let reason = "no answer to a ping".to_owned();
    assert_eq!(poll(&server), Seen::Close { conn, code: 1006, reason, clean: false });
    assert!(begin.elapsed() > Duration::from_millis(88 + 150));
    assert_eq!(server.stats().dead_peers, 1);
    assert_eq!(raw.read_all(), [0x89, 0], "one ping, and the end");
}

#[test]
fn a_peer_that_speaks_is_not_pinged() {
    let server = start(&[("ping_interval_ms", "2000")]);
    let mut raw = Raw::open(&server);
    poll_open(&server);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(2_500) {
        raw.send(&frame(0x81, b"x"));
        assert!(matches!(poll(&server), Seen::Message { .. }));
        std::thread::sleep(Duration::from_millis(50));
    }
    raw.0.set_nonblocking(true).unwrap();
    assert!(std::io::Read::read(&mut raw.0, &mut [0]).is_err(), "nothing was sent to it");
}

#[test]
fn without_an_interval_nobody_is_pinged() {
    let server = start(&[("ping_interval_ms", "0"), ("pong_timeout_ms", "10")]);
    let mut raw = Raw::open(&server);
    let conn = poll_open(&server);
    assert_eq!(common::poll_within(&server, Duration::from_millis(300)), None);
    assert!(server.is_open(conn));
    raw.0.set_nonblocking(true).unwrap();
    assert!(std::io::Read::read(&mut raw.0, &mut [0]).is_err());
}

#[test]
fn a_peer_without_messages_is_sent_away_whatever_it_pongs() {
    let server = start(&[("idle_timeout_ms", "1500"), ("ping_interval_ms", "50")]);
    let begin = Instant::now();
    let mut raw = Raw::open(&server);
    let conn = poll_open(&server);
    let mut pings = 0;
    let close = loop {
        match raw.read_frame() {
            (0x89, payload) => {
                pings += 1;
                raw.send(&frame(0x8a, &payload));
            }
            other => break other,
        }
    };
    // The protocol counts whole milliseconds.
    assert!(begin.elapsed() > Duration::from_millis(1_498) && pings > 0);
    let reason = "no message for too long";
    assert_eq!(close, (0x88, [&1001u16.to_be_bytes()[..], reason.as_bytes()].concat()));
    raw.send(&frame(0x88, &1001u16.to_be_bytes()));
    assert_eq!(poll(&server), Seen::Close { conn, code: 1001, reason: reason.to_owned(), clean: true });
}

#[test]
fn a_thousand_silent_connections_are_all_pinged_and_then_all_found_dead() {
    let host =
        Host::run(&[("ping_interval_ms", "200"), ("pong_timeout_ms", "200"), ("io_threads", "2")], |_, _| {});
    const COUNT: usize = 1_000;
    let raws: Vec<_> = (0..COUNT).map(|_| Raw::open(&host.server)).collect();
    let mut dead = 0;
    while dead < COUNT {
        match host.next() {
            Seen::Open { .. } => {}
            Seen::Close { code: 1006, clean: false, .. } => dead += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(host.server.stats().dead_peers as usize, COUNT);
    for mut raw in raws {
        assert_eq!(raw.read_all(), [0x89, 0]);
    }
}
