//! The option `handshake_events`: the host decides, and nobody is hurt if it does not.

mod common;

use common::*;
use wsengine::{ConnId, Kind, SendError, Server};

fn server(more: &[(&str, &str)]) -> Server {
    start(&[&[("handshake_events", "on")], more].concat())
}

fn poll_handshake(server: &Server) -> ConnId {
    match poll(server) {
        Seen::Handshake { conn } => conn,
        other => panic!("{other:?} instead of handshake"),
    }
}

fn ask(server: &Server, more: &str) -> (Raw, ConnId) {
    let mut raw = Raw::connect(server);
    raw.send(handshake("/").replacen("\r\n\r\n", &format!("\r\n{more}\r\n"), 1).as_bytes());
    let conn = poll_handshake(server);
    (raw, conn)
}

#[test]
fn an_accepted_client_opens_under_the_same_id() {
    let server = server(&[("subprotocols", "v1")]);
    let (mut raw, conn) = ask(&server, "Sec-WebSocket-Protocol: v2, v1\r\n");
    assert!(!server.is_open(conn));
    assert_eq!(server.send(conn, Kind::Text, b"early"), Err(SendError::Gone));
    server.accept(conn, Some("v2"), &[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]).unwrap();
    let head = raw.read_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("sec-websocket-protocol: v2\r\n"), "{head}");
    assert!(head.contains("set-cookie: a=1\r\nset-cookie: b=2\r\n"), "{head}");
    assert_eq!(poll_open(&server), conn);
    server.send(conn, Kind::Text, b"welcome").unwrap();
    assert_eq!(raw.read_frame(), (0x81, b"welcome".to_vec()));
}

#[test]
fn without_a_choice_of_the_host_the_option_chooses() {
    let server = server(&[("subprotocols", "v1")]);
    let (mut raw, conn) = ask(&server, "Sec-WebSocket-Protocol: v2, v1\r\n");
    server.accept(conn, None, &[]).unwrap();
    assert!(raw.read_head().contains("sec-websocket-protocol: v1\r\n"));
}

#[test]
fn a_rejected_client_is_told_what_the_host_says() {
    let server = server(&[]);
    let (mut raw, conn) = ask(&server, "");
    server.reject(conn, 401, "Who are you?\n", &[("WWW-Authenticate", "Bearer")]).unwrap();
    let answer = raw.read_text();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("www-authenticate: Bearer\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nWho are you?\n"), "{answer}");
    assert_eq!(server.stats().refused, 1);
    assert_eq!(server.stats().connections, 0);
}

#[test]
fn a_decision_is_made_once() {
    let server = server(&[]);
    let (_raw, conn) = ask(&server, "");
    server.accept(conn, None, &[]).unwrap();
    assert_eq!(server.accept(conn, None, &[]), Err(SendError::Gone));
    assert_eq!(server.reject(conn, 403, "", &[]), Err(SendError::Gone));
    assert_eq!(server.accept(ConnId::from_u64(12345), None, &[]), Err(SendError::Gone));
}

#[test]
fn a_decision_that_cannot_be_carried_out_leaves_the_client_undecided() {
    let server = server(&[]);
    let (mut raw, conn) = ask(&server, "Sec-WebSocket-Protocol: v2\r\n");
    let text = |result: Result<(), SendError>| result.unwrap_err().to_string();
    assert_eq!(
        text(server.accept(conn, Some("v3"), &[])),
        "subprotocol \"v3\" was not offered; the client offers v2"
    );
    assert!(text(server.accept(conn, None, &[("Upgrade", "x")])).contains("for the engine to set"));
    assert!(text(server.reject(conn, 200, "", &[])).contains("allowed are 300 to 599"));
    server.accept(conn, Some("v2"), &[]).unwrap();
    assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
}

#[test]
fn a_host_that_does_not_decide_hurts_nobody_else() {
    let server = server(&[("handshake_timeout_ms", "2000")]);
    let (mut first, conn) = ask(&server, "");
    server.accept(conn, None, &[]).unwrap();
    first.read_head();
    assert_eq!(poll_open(&server), conn);
    let (mut second, undecided) = ask(&server, "");
    first.send(&frame(0x89, b"still there"));
    assert_eq!(first.read_frame(), (0x8a, b"still there".to_vec()));
    let answer = second.read_text();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.ends_with("The server did not decide on this handshake in time.\n"), "{answer}");
    assert_eq!(server.accept(undecided, None, &[]), Err(SendError::Gone));
    eventually("it is forgotten", || server.stats().handshakes == 0);
}

#[test]
fn a_client_that_leaves_while_it_is_undecided_gives_its_place_back() {
    let server = server(&[("max_connections", "1")]);
    let (raw, conn) = ask(&server, "");
    drop(raw);
    eventually("it is forgotten", || server.stats().handshakes == 0);
    assert_eq!(server.accept(conn, None, &[]), Err(SendError::Gone));
    let (mut raw, conn) = ask(&server, "");
    server.accept(conn, None, &[]).unwrap();
    assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(poll_open(&server), conn);
}

#[test]
fn the_undecided_are_bounded_in_number() {
    let server = server(&[("io_threads", "1")]);
    let mut asking: Vec<Raw> = (0..600).map(|_| Raw::connect(&server)).collect();
    asking.iter_mut().for_each(|raw| raw.send(handshake("/").as_bytes()));
    eventually("more than there may be are turned away", || server.stats().refused == 88);
    for _ in 0..512 {
        let conn = poll_handshake(&server);
        server.reject(conn, 403, "", &[]).unwrap();
    }
    let statuses: Vec<String> = asking.iter_mut().map(|raw| raw.read_head()[9..12].to_owned()).collect();
    assert_eq!(statuses.iter().filter(|status| *status == "503").count(), 88);
    assert_eq!(statuses.iter().filter(|status| *status == "403").count(), 512);
}

#[test]
fn a_stop_ends_the_undecided() {
    let server = server(&[]);
    let (mut raw, conn) = ask(&server, "");
    server.stop(None);
    assert_eq!(raw.read_text(), "");
    assert_eq!(poll(&server), Seen::Stopped);
    assert_eq!(server.accept(conn, None, &[]), Err(SendError::Stopped));
}

#[test]
fn a_refusal_by_the_rules_does_not_bother_the_host() {
    let server = server(&[("paths", "/chat")]);
    let mut raw = Raw::connect(&server);
    raw.send(handshake("/other").as_bytes());
    assert!(raw.read_head().starts_with("HTTP/1.1 404 "));
    assert_eq!(poll_within(&server, std::time::Duration::ZERO), None);
}
