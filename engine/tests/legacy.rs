//! The drafts of 2010 and 2011, where the option `legacy` allows them.

mod common;

use common::*;
use wsengine::{Kind, SendError, Server};

/// What the browsers of 2010 sent to the chat of that time, and the answer by the draft's algorithm.
const OLD_CHAT: &[u8] =
    b"GET /chat HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: localhost\r\n\
    Origin: http://localhost\r\nSec-WebSocket-Key1: W  1529l9 6i4b{{a 9 z55\r\n\
    Sec-WebSocket-Key2: F13 O05   q  q6 - 4k7D   97\r\n\r\n-#&nD[fU";
const OLD_ANSWER: [u8; 16] =
    [0xa2, 0x31, 0x2b, 0x19, 0x05, 0x42, 0xb5, 0xdc, 0xed, 0x20, 0xdc, 0xac, 0xde, 0x8b, 0xa4, 0x16];

fn open(server: &Server) -> Raw {
    let mut raw = Raw::connect(server);
    raw.send(OLD_CHAT);
    let head = raw.read_head();
    assert!(head.starts_with("HTTP/1.1 101 WebSocket Protocol Handshake\r\n"), "{head}");
    assert_eq!(raw.read_exact(16), OLD_ANSWER);
    raw
}

#[test]
fn the_old_chats_handshake_and_messages() {
    let host = Host::echo(&[("legacy", "hixie76")]);
    let mut raw = Raw::connect(&host.server);
    raw.send(OLD_CHAT);
    let head = raw.read_head().to_lowercase();
    for line in [
        "upgrade: websocket",
        "sec-websocket-origin: http://localhost",
        "sec-websocket-location: ws://localhost/chat",
    ] {
        assert!(head.contains(&format!("{line}\r\n")), "{line} in {head}");
    }
    assert_eq!(raw.read_exact(16), OLD_ANSWER);
    let Seen::Open { conn, path, .. } = host.next() else { panic!("open") };
    assert_eq!(path, "/chat");
    let first = ["\0größe\u{7f}".as_bytes(), b"\xff"].concat();
    raw.send(&first);
    raw.send(b"\0second\xff");
    assert_eq!(raw.read_exact(first.len()), first);
    assert_eq!(raw.read_exact(8), b"\0second\xff");
    assert!(matches!(host.next(), Seen::Message { text: true, .. }));
    assert!(matches!(host.next(), Seen::Message { text: true, .. }));
    raw.send(b"\xff\0");
    assert_eq!(raw.read_all(), b"\xff\0");
    assert_eq!(host.next(), Seen::Close { conn, code: 1005, reason: String::new(), clean: true });
}

#[test]
fn the_last_bytes_of_the_handshake_may_come_late_and_a_message_right_behind() {
    let host = Host::echo(&[("legacy", "hixie76")]);
    let mut raw = Raw::connect(&host.server);
    let (head, body) = OLD_CHAT.split_at(OLD_CHAT.len() - 8);
    raw.send(head);
    raw.send(&body[..3]);
    std::thread::yield_now();
    raw.send(&[&body[3..], b"\0early\xff"].concat());
    raw.read_head();
    assert_eq!(raw.read_exact(16), OLD_ANSWER);
    assert_eq!(raw.read_exact(7), b"\0early\xff");
}

#[test]
fn a_handshake_without_its_last_bytes_has_its_time() {
    let server = start(&[("legacy", "hixie76"), ("handshake_timeout_ms", "1000")]);
    let mut raw = Raw::connect(&server);
    raw.send(&OLD_CHAT[..OLD_CHAT.len() - 1]);
    assert_eq!(raw.read_all(), b"");
    eventually("it is forgotten", || server.stats().handshakes == 0);
    open(&server);
}

#[test]
fn binary_messages_are_refused_and_those_for_many_pass_by() {
    let server = start(&[("legacy", "hixie76")]);
    let mut old = open(&server);
    let old_id = poll_open(&server);
    let mut new = Raw::open(&server);
    let new_id = poll_open(&server);
    assert_eq!(server.send(old_id, Kind::Binary, b"x"), Err(SendError::TextOnly));
    assert_eq!(server.send(old_id, Kind::Binary, &[0; 100_000]), Err(SendError::TextOnly));
    assert_eq!(
        SendError::TextOnly.to_string(),
        "the connection speaks draft-76, which has no binary messages; send text"
    );
    assert_eq!(server.broadcast(Kind::Binary, b"bytes", &[]), Ok(1));
    assert_eq!(server.broadcast(Kind::Binary, b"bytes", &[old_id]), Ok(1));
    assert_eq!(server.broadcast(Kind::Binary, b"bytes", &[new_id]), Ok(0));
    assert_eq!(server.broadcast(Kind::Text, b"text", &[]), Ok(2));
    for id in [old_id, new_id] {
        assert_eq!(server.subscribe(id, "topic"), Ok(true));
    }
    assert_eq!(server.publish(Kind::Binary, "topic", b"topical", &[]), Ok(1));
    assert_eq!(server.publish(Kind::Binary, "topic", b"topical", &[new_id]), Ok(0));
    assert_eq!(server.publish(Kind::Text, "topic", b"topical text", &[]), Ok(2));
    assert_eq!(old.read_exact(6), b"\0text\xff");
    assert_eq!(old.read_exact(14), b"\0topical text\xff");
    assert_eq!(new.read_frame(), (0x82, b"bytes".to_vec()));
    assert_eq!(new.read_frame(), (0x82, b"bytes".to_vec()));
    assert_eq!(new.read_frame(), (0x81, b"text".to_vec()));
    assert_eq!(new.read_frame(), (0x82, b"topical".to_vec()));
    assert_eq!(new.read_frame(), (0x81, b"topical text".to_vec()));
}

#[test]
fn our_close_is_answered() {
    let server = start(&[("legacy", "hixie76")]);
    let mut raw = open(&server);
    let conn = poll_open(&server);
    server.close(conn, 4000, "enough").unwrap();
    assert_eq!(raw.read_exact(2), b"\xff\0");
    raw.send(b"\xff\0");
    assert_eq!(raw.read_all(), b"");
    assert_eq!(poll(&server), Seen::Close { conn, code: 4000, reason: "enough".into(), clean: true });
}

#[test]
fn broken_framing_and_text_end_the_connection() {
    let server = start(&[("legacy", "hixie76"), ("max_message_bytes", "10")]);
    for (bytes, code) in
        [(&b"\x01a\xff"[..], 1002), (b"\x80\x01a", 1002), (b"\0\xc3(\xff", 1007), (b"\0eleven bytes", 1009)]
    {
        let mut raw = open(&server);
        let conn = poll_open(&server);
        raw.send(bytes);
        assert_eq!(raw.read_all(), b"\xff\0");
        let Seen::Close { conn: ended, code: told, clean: false, .. } = poll(&server) else {
            panic!("close")
        };
        assert_eq!((ended, told), (conn, code));
    }
}

#[test]
fn the_host_may_decide_on_old_clients_too() {
    let server = start(&[("legacy", "hixie76"), ("handshake_events", "on")]);
    let mut raw = Raw::connect(&server);
    raw.send(OLD_CHAT);
    let Seen::Handshake { conn } = poll(&server) else { panic!("handshake") };
    server.accept(conn, None, &[("Set-Cookie", "a=1")]).unwrap();
    let head = raw.read_head().to_lowercase();
    assert!(head.contains("set-cookie: a=1\r\n"), "{head}");
    assert_eq!(raw.read_exact(16), OLD_ANSWER);
    assert_eq!(poll_open(&server), conn);
    let mut raw = Raw::connect(&server);
    raw.send(OLD_CHAT);
    let Seen::Handshake { conn } = poll(&server) else { panic!("handshake") };
    server.reject(conn, 403, "no", &[]).unwrap();
    assert!(raw.read_head().starts_with("HTTP/1.1 403 "));
}

#[test]
fn version_8_is_spoken_where_it_is_allowed() {
    let request =
        handshake("/").replace("Version: 13", "Version: 8\r\nSec-WebSocket-Origin: http://localhost");
    let host = Host::echo(&[("legacy", "hybi8")]);
    let mut raw = Raw::connect(&host.server);
    raw.send(request.as_bytes());
    assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
    raw.send(&frame(0x81, b"hello"));
    assert_eq!(raw.read_frame(), (0x81, b"hello".to_vec()));
    let mut raw = Raw::connect(&host.server);
    raw.send(handshake("/").replace("Version: 13", "Version: 7").as_bytes());
    assert!(raw.read_head().to_lowercase().contains("sec-websocket-version: 13, 8\r\n"));
}

#[test]
fn without_the_option_they_are_told_which_version_is_spoken() {
    let server = start(&[]);
    let version_8 = handshake("/").replace("Version: 13", "Version: 8");
    for request in [OLD_CHAT, version_8.as_bytes()] {
        let mut raw = Raw::connect(&server);
        raw.send(request);
        let answer = raw.read_text();
        assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
        assert!(answer.contains("speaks version 13"), "{answer}");
    }
}
