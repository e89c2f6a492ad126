//! The stop: what is queued still goes out, everybody is told, the port is free, and nothing is left.

mod common;

use common::{
    PATIENCE, Raw, Seen, config, connect, eventually, frame, handshake, poll, poll_open, receive,
    receive_close, start,
};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;
use wsengine::{Kind, SendError, Server, Wait};

/// Polls up to and with the last event.
fn rest(server: &Server) -> Vec<Seen> {
    let mut rest = Vec::new();
    loop {
        rest.push(poll(server));
        if rest.last() == Some(&Seen::Stopped) {
            break;
        }
    }
    for _ in 0..3 {
        assert_eq!(server.poller().unwrap().wait(None, || false), Wait::Stopped);
    }
    assert!(server.is_stopped());
    rest
}

fn listens(address: &str) -> bool {
    TcpStream::connect(address).is_ok()
}

#[test]
fn what_is_queued_goes_out_then_1001_and_stopped_comes_last() {
    let server = start(&[("send_queue_bytes", "20000000"), ("io_threads", "2")]);
    let mut clients: Vec<_> = (0..4).map(|_| connect(&server)).collect();
    let conns: Vec<_> = (0..4).map(|_| poll_open(&server)).collect();
    for i in 0..30 {
        for conn in &conns {
            server.send(*conn, Kind::Binary, &vec![i; 300_000]).unwrap();
        }
    }
    server.stop(None);
    assert_eq!(server.send(conns[0], Kind::Text, b""), Err(SendError::Stopped));
    assert_eq!(server.broadcast(Kind::Text, b"", &[]), Err(SendError::Stopped));
    for client in &mut clients {
        for i in 0..30 {
            assert_eq!(receive(client), Message::binary(vec![i; 300_000]));
        }
        assert_eq!(receive_close(client), (1001, String::new()));
        while client.read().is_ok() {}
    }
    drop(clients);
    let mut rest = rest(&server);
    assert_eq!(rest.pop(), Some(Seen::Stopped));
    assert_eq!(rest.len(), 4);
    for event in rest {
        assert!(matches!(event, Seen::Close { code: 1001, clean: true, .. }), "{event:?}");
    }
}

#[test]
fn a_stop_without_time_cuts_at_once() {
    let server = start(&[("drain_ms", "600000")]);
    let mut raw = Raw::open(&server);
    let conn = poll_open(&server);
    let begin = Instant::now();
    server.stop(Some(Duration::ZERO));
    let close = Seen::Close { conn, code: 1001, reason: String::new(), clean: false };
    assert_eq!(rest(&server), [close, Seen::Stopped]);
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(raw.read_all(), [0x88, 2, 0x03, 0xe9], "the peer is told all the same");
}

#[test]
fn a_second_stop_shortens_the_wait() {
    let server = start(&[("close_timeout_ms", "600000")]);
    let _raw = Raw::open(&server);
    poll_open(&server);
    server.stop(Some(Duration::from_secs(600)));
    assert_eq!(common::poll_within(&server, Duration::from_millis(50)), None);
    server.stop(Some(Duration::ZERO));
    assert_eq!(rest(&server).len(), 2);
}

#[test]
fn a_peer_that_has_answered_but_does_not_hang_up_does_not_hold_up_the_stop() {
    let server = start(&[("drain_ms", "600000"), ("close_timeout_ms", "600000")]);
    let mut raw = Raw::open(&server);
    poll_open(&server);
    server.stop(None);
    assert_eq!(raw.read_frame(), (0x88, 1001u16.to_be_bytes().to_vec()));
    raw.send(&frame(0x88, &1001u16.to_be_bytes()));
    // The socket stays open on this side; only the end of the stop can end the test in time.
    rest(&server);
    drop(raw);
}

#[test]
fn a_host_that_has_failed_says_1011() {
    for (code, told) in [(1011, 1011), (4000, 4000), (1006, 1001), (0, 1001)] {
        let server = start(&[]);
        let mut client = connect(&server);
        poll_open(&server);
        server.stop_with(code, None);
        assert_eq!(receive_close(&mut client).0, told);
        while client.read().is_ok() {}
        drop(client);
        assert!(matches!(rest(&server)[0], Seen::Close { code, clean: true, .. } if code == told));
    }
}

#[test]
fn messages_that_come_during_the_drain_are_delivered() {
    let server = start(&[]);
    let mut raw = Raw::open(&server);
    let conn = poll_open(&server);
    server.stop(None);
    assert_eq!(raw.read_frame().0, 0x88);
    raw.send(&frame(0x81, b"a last word"));
    raw.send(&frame(0x88, &1001u16.to_be_bytes()));
    drop(raw);
    let rest = rest(&server);
    assert_eq!(rest[0], Seen::Message { conn, text: true, data: b"a last word".into() });
    assert!(matches!(rest[1], Seen::Close { code: 1001, clean: true, .. }));
}

#[test]
fn nobody_gets_in_during_the_drain() {
    let server = start(&[("close_timeout_ms", "600000")]);
    let address = server.addresses()[0].clone();
    let mut half = Raw::connect(&server);
    half.send(b"GET / HTTP/1.1\r\n");
    eventually("the half handshake", || server.stats().handshakes == 1);
    let mut raw = Raw::open(&server);
    poll_open(&server);
    server.stop(Some(Duration::from_secs(600)));
    eventually("the port is closed", || !listens(&address));
    TcpListener::bind(&address).expect("the port is free while old connections drain");
    assert_eq!(half.read_all(), b"", "a handshake that does not come to its end is over");
    raw.send(&frame(0x88, &1001u16.to_be_bytes()));
    drop(raw);
    assert_eq!(rest(&server).len(), 2);
}

#[test]
fn a_handshake_under_way_at_the_stop_comes_to_its_end() {
    let server = start(&[]);
    let mut late = Raw::connect(&server);
    let request = handshake("/");
    let (begin, end) = request.as_bytes().split_at(20);
    late.send(begin);
    eventually("the half handshake", || server.stats().handshakes == 1);
    server.stop(Some(Duration::from_secs(600)));
    late.send(end);
    assert!(late.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(late.read_frame(), (0x88, 1001u16.to_be_bytes().to_vec()));
    late.send(&frame(0x88, &1001u16.to_be_bytes()));
    let events = rest(&server);
    assert!(
        matches!(events.as_slice(), [Seen::Open { .. }, Seen::Close { code: 1001, .. }, Seen::Stopped]),
        "{events:?}"
    );
}

#[test]
fn the_port_is_free_at_once() {
    let mut server = start(&[]);
    let address = server.addresses()[0].clone();
    for round in 0..20 {
        let mut client = connect(&server);
        client.send(Message::text("x")).unwrap();
        poll_open(&server);
        if round % 2 == 0 {
            server.stop(Some(Duration::ZERO));
            rest(&server);
            // The handle of the old one still lives.
            let next = Server::start(&config(&[("listen", &address)])).unwrap();
            server = next;
        } else {
            drop(server);
            server = Server::start(&config(&[("listen", &address)])).unwrap();
        }
        assert_eq!(server.addresses()[0], address);
    }
}

#[test]
fn dropping_without_a_stop_ends_all() {
    let server = start(&[("io_threads", "3")]);
    let address = server.addresses()[0].clone();
    let mut raws: Vec<_> = (0..10).map(|_| Raw::open(&server)).collect();
    drop(server);
    assert!(!listens(&address));
    for raw in &mut raws {
        // 1001 or nothing, and the end.
        assert!(raw.read_all().len() <= 4);
    }
}

#[test]
fn a_full_inbox_that_nobody_polls_does_not_hold_up_the_end() {
    let server = start(&[("event_queue_events", "16"), ("io_threads", "1")]);
    let raws: Vec<_> = (0..3)
        .map(|_| {
            let mut raw = Raw::open(&server);
            for _ in 0..1_000 {
                raw.send(&frame(0x81, b"nobody listens"));
            }
            raw
        })
        .collect();
    eventually("the inbox is full", || server.stats().read_pauses > 0);
    let begin = Instant::now();
    drop(server);
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    drop(raws);
}

#[test]
fn a_full_inbox_is_polled_to_its_end_after_a_stop() {
    let server = start(&[("event_queue_events", "16"), ("io_threads", "1"), ("drain_ms", "300")]);
    let mut raw = Raw::open(&server);
    for _ in 0..100 {
        raw.send(&frame(0x81, b"x"));
    }
    eventually("the inbox is full", || server.stats().read_pauses > 0);
    server.stop(None);
    let events = rest(&server);
    assert!(matches!(events[0], Seen::Open { .. }));
    assert!(matches!(events[events.len() - 2], Seen::Close { code: 1001, .. }));
}

#[test]
fn stops_from_many_threads_at_once_are_one() {
    let server = start(&[("io_threads", "2")]);
    let clients: Vec<_> = (0..20).map(|_| Raw::open(&server)).collect();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| server.stop(Some(Duration::from_millis(50))));
        }
    });
    let events = rest(&server);
    assert_eq!(events.iter().filter(|event| matches!(event, Seen::Close { .. })).count(), 20);
    drop(clients);
}

#[test]
fn a_stop_among_handshakes_tells_of_each_that_was_opened() {
    for round in 0..20 {
        let server = start(&[("io_threads", "2")]);
        let address = server.addresses()[0].clone();
        let storm = thread::spawn(move || {
            let mut sockets = Vec::new();
            for _ in 0..50 {
                let Ok(mut socket) = TcpStream::connect(&address) else { break };
                let _ = std::io::Write::write_all(&mut socket, handshake("/").as_bytes());
                sockets.push(socket);
            }
            sockets
        });
        eventually("some are in", || server.stats().opened >= round);
        server.stop(Some(Duration::from_millis(20)));
        let events = rest(&server);
        let opens = events.iter().filter(|event| matches!(event, Seen::Open { .. })).count();
        let closes = events.iter().filter(|event| matches!(event, Seen::Close { .. })).count();
        assert_eq!((opens, opens + closes + 1), (closes, events.len()));
        drop(storm.join().unwrap());
    }
}

#[test]
fn a_busy_port_is_an_error_that_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = Server::start(&config(&[("listen", &address)])).unwrap_err();
    let text = error.to_string();
    for words in [address.as_str(), "\"listen\"", "in use", "choose another port"] {
        assert!(text.contains(words), "{text}");
    }
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn one_of_two_addresses_taken_leaves_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let both = format!("{free},{}", taken.local_addr().unwrap());
    assert!(Server::start(&config(&[("listen", &both)])).is_err());
    TcpListener::bind(free).expect("the first of the two is free again");
}

#[test]
fn several_addresses_all_work() {
    let server = start(&[("listen", "127.0.0.1:0,127.0.0.1:0,[::1]:0")]);
    assert_eq!(server.addresses().len(), 3);
    for address in server.addresses() {
        let mut raw = Raw(TcpStream::connect(address).unwrap());
        raw.0.set_read_timeout(Some(PATIENCE)).unwrap();
        raw.send(handshake("/").as_bytes());
        assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
    }
}
