//! Every limit that a peer can meet has a counter, and a line in the log that names it.

mod common;

use common::site::{Site, request};
use common::{Raw, eventually, frame, handshake, poll_open};
use std::cell::Cell;
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Mutex, Once};
use wsengine::{Kind, Server, Stats};

/// What all servers of this process have said.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A server that logs.
fn start(options: &[(&str, &str)]) -> Server {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        wsengine::log::set_sink(Some(Box::new(|_, line| LINES.lock().unwrap().push(line.to_owned()))));
    });
    common::start(&[options, &[("log_level", "info"), ("io_threads", "1")]].concat())
}

/// Is there a line with all of these?
fn has_line(words: &[&str]) -> bool {
    LINES.lock().unwrap().iter().any(|line| words.iter().all(|word| line.contains(word)))
}

/// Waits for a line with all of these; then the counter must be exactly that.
fn expect(server: &Server, counter: (fn(&Stats) -> u64, u64), words: &[&str]) {
    eventually(&format!("a line with {words:?}"), || has_line(words));
    let (counter, expected) = counter;
    assert_eq!(counter(&server.stats()), expected, "the counter beside {words:?}");
}

/// A sound handshake with one line more.
fn and_line(line: &str) -> String {
    handshake("/").replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"))
}

fn refused(stats: &Stats) -> u64 {
    stats.refused
}

/// A peer whose request is refused, and what the line says of it.
fn refuse(options: &[(&str, &str)], request: &str, words: &[&str]) {
    let server = start(options);
    let mut raw = Raw::connect(&server);
    raw.send(request.as_bytes());
    let peer = raw.0.local_addr().unwrap().to_string();
    assert!(raw.read_text().starts_with("HTTP/1.1 4"));
    expect(&server, (refused, 1), &[&["refused", &peer], words].concat());
}

#[test]
fn heads_and_origins() {
    let large = and_line(&format!("X: {}", "x".repeat(9_000)));
    refuse(&[("max_head_bytes", "8192")], &large, &["status=431", "too large"]);
    refuse(
        &[("max_headers", "10")],
        &and_line("X: y\r\n".repeat(9).trim_end()),
        &["status=431", "too many headers"],
    );
    refuse(&[], &and_line("Origin: http://evil.example"), &["status=403", "origin"]);
    refuse(&[("paths", "/chat")], &handshake("/other"), &["status=404", "path"]);
}

#[test]
fn time_for_the_handshake() {
    refuse(&[("handshake_timeout_ms", "100")], "GET / HTT", &["status=408", "took too long"]);
}

#[test]
fn connections_in_all_and_of_an_address() {
    for (option, words) in [("max_connections", "full"), ("max_connections_per_ip", "address")] {
        let server = start(&[(option, "1")]);
        let _first = Raw::open(&server);
        let mut second = Raw::connect(&server);
        second.send(handshake("/").as_bytes());
        let peer = second.0.local_addr().unwrap().to_string();
        assert!(second.read_text().starts_with("HTTP/1.1 503 "));
        expect(&server, (refused, 1), &["refused", &peer, "status=503", words]);
    }
}

#[test]
fn files_that_are_not_taken() {
    let site = Site::new();
    site.write("public/large", &vec![b'.'; 30 << 20]);
    let server = start(&[("static_root", &site.root()), ("handshake_timeout_ms", "200")]);
    let mut raw = Raw::connect(&server);
    raw.send(&request("GET", "/large", ""));
    let peer = raw.0.local_addr().unwrap().to_string();
    expect(&server, (refused, 1), &["refused", &peer, "was not taken in time"]);
}

/// The most sockets that are no connections, of which a quarter may be served files.
const SOCKETS: u64 = 1_024;

#[test]
fn places_for_files() {
    let site = Site::new();
    site.write("public/large", &vec![b'.'; 30 << 20]);
    let server = start(&[("static_root", &site.root())]);
    let mut reading = Vec::new();
    let words = ["refused", "status=503", "Too many files"];
    while !has_line(&words) {
        assert!(reading.len() < SOCKETS as usize, "nobody was refused a file");
        let mut raw = Raw::connect(&server);
        raw.send(&request("GET", "/large", ""));
        let status = raw.read_exact(12);
        assert!(
            [&b"HTTP/1.1 200"[..], b"HTTP/1.1 503"].contains(&&status[..]),
            "{}",
            String::from_utf8_lossy(&status)
        );
        reading.push(raw);
    }
    assert!(reading.len() as u64 > SOCKETS / 4);
    assert!(server.stats().refused > 0);
}

#[test]
fn sockets_without_a_connection() {
    let server = start(&[]);
    let address = &server.addresses()[0];
    let most = Cell::new(0);
    let look = || {
        let stats = server.stats();
        most.set(most.get().max(stats.handshakes));
        stats
    };
    let connect = |_| {
        look();
        TcpStream::connect(address).unwrap()
    };
    let silent: Vec<TcpStream> = (0..SOCKETS + 76).map(connect).collect();
    eventually("the first have gone for the last", || look().refused >= 76);
    assert_eq!(most.get(), SOCKETS);
    let first = silent[0].local_addr().unwrap().to_string();
    assert!(has_line(&["refused", &first, "status=408"]));
}

/// A peer whose connection is ended for what it sends.
fn breach(options: &[(&str, &str)], bytes: &[u8], words: &[&str]) {
    let server = start(&[options, &[("compression", "context_takeover")]].concat());
    let mut raw = Raw::connect(&server);
    raw.send(and_line("Sec-WebSocket-Extensions: permessage-deflate").as_bytes());
    assert!(raw.read_head().contains("permessage-deflate"));
    // It may be ended before it has said all.
    let _ = raw.0.write_all(bytes);
    expect(&server, (|stats| stats.violations, 1), &[&["ends a connection"], words].concat());
}

#[test]
fn what_a_connection_may_send() {
    breach(&[("max_message_bytes", "1024")], &frame(0x82, &[0; 1_025]), &["code=1009", "large"]);
    let fragments = [frame(0x01, b""), frame(0x00, b"").repeat(8)].concat();
    breach(&[("max_fragments", "8")], &fragments, &["code=1008", "more fragments"]);
    breach(&[("max_control_frames_per_s", "5")], &frame(0x89, b"").repeat(30), &["code=1008", "control"]);
    breach(&[], &frame(0x81, b"\xff"), &["code=1007"]);
    breach(&[], &frame(0x83, b""), &["code=1002"]);
    // Empty blocks of deflate: much work for nothing.
    let blocks = frame(0xc2, &[0x00, 0x00, 0x00, 0xff, 0xff].repeat(20_000));
    breach(&[], &blocks, &["code=1008", "empty blocks"]);
}

#[test]
fn what_a_connection_does_not_read() {
    let limits = [("send_queue_bytes", "100000"), ("write_stall_ms", "60000"), ("close_timeout_ms", "100")];
    for (policy, words) in [
        ("close", &["code=1013", "reads too slowly"][..]),
        ("drop_newest", &["a send queue is full", "slow_consumer=\"drop_newest\""]),
        ("drop_oldest", &["a send queue is full", "slow_consumer=\"drop_oldest\""]),
    ] {
        let server = start(&[&limits[..], &[("slow_consumer", policy)]].concat());
        let _raw = Raw::open(&server);
        poll_open(&server);
        eventually("something is left out", || {
            // A broadcast is for the queue to take or not; a send would be refused.
            server.broadcast(Kind::Binary, &[b'.'; 10_000], &[]).unwrap();
            server.stats().messages_dropped > 0
        });
        expect(&server, (|stats| stats.slow_closed, u64::from(policy == "close")), words);
    }
}

#[test]
fn time_to_take_something_to_speak_and_to_close() {
    let server = start(&[("write_stall_ms", "100"), ("send_queue_bytes", "100000")]);
    let _raw = Raw::open(&server);
    let conn = poll_open(&server);
    eventually("it takes nothing any more", || {
        let _ = server.send(conn, Kind::Binary, &[0; 10_000]);
        !server.is_open(conn)
    });
    expect(&server, (|stats| stats.slow_closed, 1), &["code=1013", "takes nothing"]);

    let server = start(&[("ping_interval_ms", "50"), ("pong_timeout_ms", "50")]);
    let _raw = Raw::open(&server);
    expect(&server, (|stats| stats.dead_peers, 1), &["code=1006", "no answer to a ping"]);

    let server = start(&[("idle_timeout_ms", "50"), ("close_timeout_ms", "60000")]);
    let _raw = Raw::open(&server);
    expect(&server, (|stats| stats.idle_closed, 1), &["code=1001", "no message for too long"]);
    assert_eq!(server.stats().close_timeouts, 0);

    let server = start(&[("close_timeout_ms", "50")]);
    let _raw = Raw::open(&server);
    server.close(poll_open(&server), 4321, "").unwrap();
    expect(&server, (|stats| stats.close_timeouts, 1), &["code=4321", "no answer to a close frame"]);
}

#[test]
fn events_that_the_host_does_not_take() {
    let server = start(&[("event_queue_events", "16")]);
    let mut raw = Raw::open(&server);
    raw.send(&frame(0x81, b"x").repeat(100));
    expect(&server, (|stats| stats.read_pauses, 1), &["events are not polled fast enough"]);
}
