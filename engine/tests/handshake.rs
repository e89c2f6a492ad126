//! The opening handshake over real sockets: every wrong request gets a status and a line that says why, and good
//! clients get in whatever the others do.

mod common;

use common::{Host, Raw, Seen, connect, frame, handshake, poll_open, receive, start};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;
use wsengine::Server;

/// The sound handshake with one line changed, or left out by an empty one.
fn with_line(name: &str, line: &str) -> String {
    let changed = handshake("/").replace("\r\n\r\n", "\r\n");
    let lines = changed.lines().filter(|known| !known.starts_with(name)).map(|known| format!("{known}\r\n"));
    let extra = if line.is_empty() { String::new() } else { format!("{line}\r\n") };
    lines.collect::<String>() + &extra + "\r\n"
}

/// The sound handshake with one line more.
fn and_line(line: &str) -> String {
    with_line("nothing starts like this", line)
}

/// Sends a request and reads the whole answer, until the server closes.
fn ask(server: &Server, request: &[u8]) -> String {
    let mut raw = Raw::connect(server);
    raw.send(request);
    raw.read_text()
}

/// An answer has this status, a body of one line with these words, and its length.
fn assert_refused(what: &str, answer: &str, status: u16, words: &str) {
    let version = if what.ends_with("HTTP/1.0") { "HTTP/1.0" } else { "HTTP/1.1" };
    assert!(answer.starts_with(&format!("{version} {status} ")), "{what}: {answer:?}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{what}: {answer:?}"));
    assert!(body.contains(words) && body.trim_end().lines().count() == 1, "{what}: {answer:?}");
    let length = format!("content-length: {}", body.len());
    assert!(head.to_ascii_lowercase().contains(&length), "{what}: {answer:?}");
}

#[test]
fn each_wrong_request_gets_its_status_and_a_reason() {
    let server = start(&[("max_head_bytes", "8192"), ("max_headers", "20"), ("paths", "/")]);
    let no_http = "not a sound HTTP/1.1 request";
    let many_headers: String = (0..30).map(|i| format!("X-{i}: {i}\r\n")).collect();
    let long_header = format!("X-Long: {}", "x".repeat(9_000));
    let table: &[(&str, String, u16, &str)] = &[
        ("garbage", "\0\u{1}\u{2}\u{3}\r\n\r\n".into(), 400, no_http),
        ("another protocol", "HELO mail.example\r\n\r\n".into(), 400, no_http),
        ("a cut request line", "GET\r\n\r\n".into(), 400, no_http),
        ("an unknown version", "GET / HTTP/9.9\r\nHost: h\r\n\r\n".into(), 400, no_http),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 400, no_http),
        ("a space in a header's name", and_line("Sec WebSocket: 1"), 400, no_http),
        ("a header without a colon", and_line("nonsense"), 400, no_http),
        ("a control byte in a header", and_line("X: a\u{1}b"), 400, no_http),
        ("HTTP/1.0", handshake("/").replace("HTTP/1.1", "HTTP/1.0"), 400, "needs HTTP/1.1"),
        ("no Host", with_line("Host", ""), 400, "exactly one Host"),
        ("two Hosts", and_line("Host: other"), 400, "exactly one Host"),
        ("no key", with_line("Sec-WebSocket-Key", ""), 400, "exactly one Sec-WebSocket-Key"),
        (
            "two keys",
            and_line("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
            400,
            "exactly one Sec-WebSocket-Key",
        ),
        ("a short key", with_line("Sec-WebSocket-Key", "Sec-WebSocket-Key: c2hvcnQ="), 400, "16 bytes"),
        ("a key not in base64", with_line("Sec-WebSocket-Key", "Sec-WebSocket-Key: ***"), 400, "16 bytes"),
        ("no Upgrade", with_line("Upgrade", ""), 400, "\"websocket\""),
        ("another Upgrade", with_line("Upgrade", "Upgrade: h2c"), 400, "\"websocket\""),
        ("no Connection", with_line("Connection", ""), 400, "\"Upgrade\""),
        ("another Connection", with_line("Connection", "Connection: keep-alive"), 400, "\"Upgrade\""),
        ("a body", and_line("Content-Length: 5") + "hello", 400, "no body"),
        ("a chunked body", and_line("Transfer-Encoding: chunked") + "0\r\n\r\n", 400, "no body"),
        (
            "two kinds of length",
            and_line("Content-Length: 4\r\nTransfer-Encoding: chunked") + "0\r\n\r\n",
            400,
            "",
        ),
        ("two lengths", and_line("Content-Length: 4\r\nContent-Length: 5") + "12345", 400, no_http),
        ("a length that is no number", and_line("Content-Length: -1"), 400, no_http),
        ("POST", handshake("/").replace("GET", "POST"), 405, "GET request"),
        ("version 8", with_line("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"), 426, "version 13"),
        ("no version", with_line("Sec-WebSocket-Version", ""), 426, "version 13"),
        ("two versions", and_line("Sec-WebSocket-Version: 8"), 426, "version 13"),
        ("plain HTTP", "GET / HTTP/1.1\r\nHost: h\r\n\r\n".into(), 426, "This is a WebSocket server"),
        ("plain HTTP/1.0", "GET / HTTP/1.0\r\n\r\n".into(), 426, "This is a WebSocket server"),
        ("many headers", and_line(many_headers.trim_end()), 431, "too large or has too many headers"),
        ("a long header", and_line(&long_header), 431, "too large or has too many headers"),
        ("a long path", handshake(&format!("/{}", "x".repeat(9_000))), 431, "too large"),
        ("another path", handshake("/other"), 404, "at this path"),
        ("another origin", and_line("Origin: http://evil.example"), 403, "origin"),
        ("two origins", and_line("Origin: http://localhost\r\nOrigin: http://evil.example"), 403, "origin"),
        ("a null origin", and_line("Origin: null"), 403, "origin"),
    ];
    for (what, request, status, words) in table {
        assert_refused(what, &ask(&server, request.as_bytes()), *status, words);
    }
    let answer = ask(&server, with_line("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8").as_bytes());
    assert!(answer.to_ascii_lowercase().contains("sec-websocket-version: 13\r\n"), "{answer}");
    let answer = ask(&server, handshake("/").replace("GET", "POST").as_bytes());
    assert!(answer.to_ascii_lowercase().contains("allow: get\r\n"), "{answer}");
    let refused = server.stats().refused as usize;
    assert_eq!(refused, table.len(), "two were asked again, and the two plain requests are no handshakes");
    assert_eq!(server.stats().opened, 0);
    // The sound one that all were made of.
    Raw::open(&server);
}

#[test]
fn what_browsers_send_is_accepted() {
    let server = start(&[]);
    for request in [
        and_line("Origin: http://localhost:3000"),
        and_line("Content-Length: 0"),
        and_line("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
        with_line("Connection", "Connection: keep-alive, Upgrade"),
        with_line("Upgrade", "upgrade: WebSocket"),
        handshake("/chat/%C3%BC?room=1&x=%20"),
    ] {
        let mut raw = Raw::connect(&server);
        raw.send(request.as_bytes());
        let head = raw.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{request}: {head}");
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        assert!(!head.to_ascii_lowercase().contains("sec-websocket-extensions"), "{head}");
    }
}

#[test]
fn a_head_that_never_ends_gets_408() {
    let server = start(&[("handshake_timeout_ms", "300")]);
    let begin = Instant::now();
    assert_refused("silence", &ask(&server, b""), 408, "took too long");
    assert_refused("half a head", &ask(&server, b"GET / HTTP/1.1\r\nHost: h\r\n"), 408, "took too long");
    assert!(begin.elapsed() >= Duration::from_millis(600));
}

#[test]
fn a_head_that_comes_byte_after_byte_too_slowly_gets_408() {
    let server = start(&[("handshake_timeout_ms", "300")]);
    let mut raw = Raw::connect(&server);
    raw.0.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let begin = Instant::now();
    let mut answer = Vec::new();
    for byte in handshake("/").bytes() {
        let _ = raw.0.write_all(&[byte]);
        let mut buffer = [0; 1_024];
        match raw.0.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => answer.extend(&buffer[..read]),
            Err(_) => {}
        }
    }
    assert_refused("a trickle", &String::from_utf8_lossy(&answer), 408, "took too long");
    assert!(begin.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_full_server_says_so_and_a_seat_is_free_again_after_a_close() {
    for option in ["max_connections", "max_connections_per_ip"] {
        let host = Host::echo(&[(option, "2")]);
        let mut first = connect(&host.server);
        let _second = connect(&host.server);
        for _ in 0..3 {
            let answer = ask(&host.server, handshake("/").as_bytes());
            assert_refused(option, &answer, 503, if option.ends_with("ip") { "address" } else { "full" });
        }
        first.close(None).unwrap();
        while first.read().is_ok() {}
        drop(first);
        common::eventually("a free seat", || {
            let mut raw = Raw::connect(&host.server);
            raw.send(handshake("/").as_bytes());
            raw.read_head().starts_with("HTTP/1.1 101 ")
        });
    }
}

#[test]
fn a_handshake_refused_or_broken_off_takes_no_seat() {
    let server = start(&[("max_connections", "1"), ("handshake_timeout_ms", "1000"), ("paths", "/")]);
    for _ in 0..20 {
        let mut raw = Raw::connect(&server);
        raw.send(handshake("/other").as_bytes());
        drop(raw);
        let mut raw = Raw::connect(&server);
        raw.send(&handshake("/").as_bytes()[..30]);
        drop(raw);
    }
    let answer = ask(&server, handshake("/other").as_bytes());
    assert_refused("path", &answer, 404, "path");
    Raw::open(&server);
}

#[test]
fn frames_in_the_packet_of_the_handshake_are_delivered() {
    let host = Host::echo(&[]);
    let mut raw = Raw::connect(&host.server);
    let mut packet = handshake("/").into_bytes();
    packet.extend(frame(0x81, b"one"));
    packet.extend(frame(0x82, &[7; 3_000]));
    packet.extend(frame(0x89, b"ping"));
    let last = frame(0x81, b"split");
    packet.extend(&last[..5]);
    raw.send(&packet);
    assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
    raw.send(&last[5..]);
    let mut frames: Vec<_> = (0..4).map(|_| raw.read_frame()).collect();
    frames.retain(|frame| *frame != (0x8a, b"ping".to_vec()));
    assert_eq!(frames, [(0x81, b"one".to_vec()), (0x82, vec![7; 3_000]), (0x81, b"split".to_vec())]);
}

#[test]
fn a_handshake_and_a_message_byte_by_byte() {
    let host = Host::echo(&[]);
    let mut raw = Raw::connect(&host.server);
    for byte in handshake("/").bytes() {
        raw.send(&[byte]);
    }
    assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
    for byte in frame(0x81, "grün".as_bytes()) {
        raw.send(&[byte]);
    }
    assert_eq!(raw.read_frame(), (0x81, "grün".as_bytes().to_vec()));
}

#[test]
fn the_server_chooses_the_subprotocol_it_prefers() {
    let server = start(&[("subprotocols", "chat,soap")]);
    for (offered, chosen) in [("soap, chat", Some("chat")), ("soap", Some("soap")), ("other", None)] {
        let mut raw = Raw::connect(&server);
        raw.send(and_line(&format!("Sec-WebSocket-Protocol: {offered}")).as_bytes());
        let head = raw.read_head().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        match chosen {
            Some(name) => assert!(head.contains(&format!("sec-websocket-protocol: {name}\r\n")), "{head}"),
            None => assert!(!head.contains("sec-websocket-protocol"), "{head}"),
        }
    }
}

#[test]
fn the_open_event_tells_of_the_request() {
    let server = start(&[("subprotocols", "chat")]);
    let mut raw = Raw::connect(&server);
    raw.send(
        and_line("Sec-WebSocket-Protocol: chat\r\nX-Two: a\r\nX-Two: b")
            .replace("GET /", "GET /p/a%20th?q=1")
            .as_bytes(),
    );
    raw.read_head();
    let mut poller = server.poller().unwrap();
    assert_eq!(poller.wait(Some(common::PATIENCE), || false), wsengine::Wait::Events);
    let event = poller.next().unwrap();
    let wsengine::EventBody::Open(request) = event.body else { panic!("{event:?}") };
    assert_eq!((request.path.as_str(), request.query.as_str()), ("/p/a%20th", "q=1"));
    assert_eq!(request.peer, wsengine::Peer::Socket(raw.0.local_addr().unwrap()));
    assert_eq!((request.subprotocol.as_deref(), request.tls), (Some("chat"), false));
    assert_eq!(request.headers.get_all("x-two").iter().count(), 2);
}

#[test]
fn a_refusal_arrives_though_the_body_was_not_read() {
    let server = start(&[]);
    for method in ["GET", "POST"] {
        let mut raw = Raw::connect(&server);
        let request = and_line("Content-Length: 1000000").replace("GET", method);
        raw.send(request.as_bytes());
        let status = if method == "GET" { 400 } else { 405 };
        // The peer goes on sending what nobody reads; a closed socket would answer that by throwing all away.
        for _ in 0..100 {
            if raw.0.write_all(&[b'x'; 10_000]).is_err() {
                break;
            }
        }
        let mut answer = String::new();
        raw.0.read_to_string(&mut answer).expect("the end of the stream, not a reset");
        assert_refused(method, &answer, status, "handshake");
    }
}

#[test]
fn eleven_hundred_silent_sockets_keep_no_good_client_out() {
    let host = Host::echo(&[]);
    let address = &host.server.addresses()[0];
    let silent: Vec<TcpStream> = (0..1_100).map(|_| TcpStream::connect(address).unwrap()).collect();
    for socket in silent.iter().take(500) {
        (&mut &*socket).write_all(b"GET / HTTP/1.1\r\nHost: h\r\n").unwrap();
    }
    for _ in 0..5 {
        let mut client = connect(&host.server);
        client.send(Message::text("I am here")).unwrap();
        assert_eq!(receive(&mut client), Message::text("I am here"));
    }
    drop(silent);
}

/// Each request gave its socket another second, so a thousand that asked again and again had all places for ever.
#[test]
fn eleven_hundred_that_ask_again_and_again_keep_no_good_client_out() {
    let host = Host::echo(&[]);
    let address = &host.server.addresses()[0];
    let mut asking: Vec<TcpStream> = (0..1_100).map(|_| TcpStream::connect(address).unwrap()).collect();
    asking.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
    let over = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let peers = {
        let (over, asked) = (over.clone(), asked.clone());
        std::thread::spawn(move || {
            let mut answers = vec![0; 16 * 1024];
            while !over.load(Ordering::Relaxed) {
                for socket in &mut asking {
                    let _ = socket.read(&mut answers);
                    let _ = socket.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                // More often than once in the second that each has.
                std::thread::sleep(Duration::from_millis(300));
            }
        })
    };
    common::eventually("all have asked twice", || asked.load(Ordering::Relaxed) > 2_200);
    let mut client = connect(&host.server);
    client.send(Message::text("I am here")).unwrap();
    assert_eq!(receive(&mut client), Message::text("I am here"));
    over.store(true, Ordering::Relaxed);
    peers.join().unwrap();
}

#[test]
fn refused_sockets_that_stay_are_counted_like_any_without_a_handshake() {
    let host = Host::echo(&[]);
    let address = &host.server.addresses()[0];
    let mut refused = Vec::new();
    for _ in 0..200 {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(b"garbage\r\n\r\n").unwrap();
        let mut first = [0; 12];
        socket.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 400");
        refused.push(socket);
    }
    assert!(host.server.stats().handshakes >= 200, "{}", host.server.stats().handshakes);
    drop(refused);
    common::eventually("all are gone", || host.server.stats().handshakes == 0);
}

#[test]
fn a_peer_that_shuts_its_side_after_its_request_is_answered() {
    let server = start(&[]);
    for (request, answer) in [
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), "HTTP/1.1 426 "),
        (b"garbage\r\n\r\n".to_vec(), "HTTP/1.1 400 "),
        (handshake("/").into_bytes(), "HTTP/1.1 101 "),
    ] {
        let mut raw = Raw::connect(&server);
        raw.send(&request);
        raw.0.shutdown(std::net::Shutdown::Write).unwrap();
        let got = raw.read_text();
        assert!(got.starts_with(answer), "{got}");
    }
    poll_open(&server);
    assert!(matches!(common::poll(&server), Seen::Close { code: 1006, .. }));
    // Half a request is none.
    let mut raw = Raw::connect(&server);
    raw.send(b"GET / HTT");
    raw.0.shutdown(std::net::Shutdown::Write).unwrap();
    let got = raw.read_text();
    assert!(got.is_empty() || got.starts_with("HTTP/1.1 400 "), "{got}");
}

#[test]
fn a_peer_that_goes_right_after_its_handshake_opens_and_closes() {
    let host = Host::echo(&[]);
    for _ in 0..50 {
        let mut raw = Raw::connect(&host.server);
        raw.send(handshake("/").as_bytes());
        drop(raw);
    }
    common::eventually("as many closes as opens", || {
        let stats = host.server.stats();
        stats.handshakes == 0 && stats.connections == 0 && stats.opened == stats.closed
    });
    let mut client = connect(&host.server);
    client.send(Message::text("next")).unwrap();
    assert_eq!(receive(&mut client), Message::text("next"));
}

#[test]
fn ids_are_never_given_twice() {
    let server = start(&[]);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..100 {
        let raw = Raw::open(&server);
        assert!(seen.insert(poll_open(&server)));
        drop(raw);
        assert!(matches!(common::poll(&server), Seen::Close { code: 1006, .. }));
    }
}
