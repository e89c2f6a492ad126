//! The table of refusals is what a server really says. `WRITE_DOCS=1 cargo test -p wsengine --test refusals_page`
//! writes it anew.

mod common;
#[path = "common/tls.rs"]
mod tls;

use common::*;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use tls::{Certificate, Files};

/// What is wrong in a request, by what it is made of.
struct Case {
    what: &'static str,
    options: &'static [(&'static str, &'static str)],
    request: String,
}

/// A sound handshake with one line replaced; an empty replacement leaves the line out.
fn with(line: &str, replacement: &str) -> String {
    let sound = handshake("/");
    let found = sound.lines().find(|found| found.starts_with(line)).unwrap();
    let end = if replacement.is_empty() { "" } else { "\r\n" };
    sound.replacen(&format!("{found}\r\n"), &format!("{replacement}{end}"), 1)
}

fn and(line: &str) -> String {
    handshake("/").replacen("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"), 1)
}

fn cases() -> Vec<Case> {
    let case = |what, options, request: String| Case { what, options, request };
    let old = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n";
    let key2 = "Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n";
    vec![
        case("no HTTP", &[], "hello\r\n\r\n".into()),
        case("TLS on a port without it", &[], "\u{16}\u{3}\u{1}\r\n\r\n".into()),
        case("a head over `max_head_bytes`", &[], and(&format!("X: {}", "x".repeat(20_000)))),
        case(
            "more than `max_headers` lines",
            &[("max_headers", "10")],
            and(&"X: x\r\n".repeat(10).trim_end().replace("\r\n\r\n", "")),
        ),
        case(
            "a head that does not come to its end",
            &[("handshake_timeout_ms", "100")],
            "GET / HTTP/1.1\r\n".into(),
        ),
        case(
            "no WebSocket handshake, without `static_root`",
            &[],
            "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        ),
        case("HTTP/1.0", &[], with("GET", "GET / HTTP/1.0")),
        case("POST", &[], with("GET", "POST / HTTP/1.1")),
        case("no Host", &[], with("Host", "")),
        case("two Hosts", &[], and("Host: other")),
        case("no Upgrade", &[], with("Upgrade", "")),
        case("another Upgrade", &[], with("Upgrade", "Upgrade: h2c")),
        case("no Connection", &[], with("Connection", "")),
        case("another Connection", &[], with("Connection", "Connection: keep-alive")),
        case("no Sec-WebSocket-Version", &[], with("Sec-WebSocket-Version", "")),
        case("version 8 without `legacy`", &[], with("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8")),
        case(
            "version 14",
            &[("legacy", "hybi8")],
            with("Sec-WebSocket-Version", "Sec-WebSocket-Version: 14"),
        ),
        case("no Sec-WebSocket-Key", &[], with("Sec-WebSocket-Key", "")),
        case("two keys", &[], and("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")),
        case("a key of 5 bytes", &[], with("Sec-WebSocket-Key", "Sec-WebSocket-Key: c2hvcnQ=")),
        case("a body", &[], and("Content-Length: 5")),
        case("a body in chunks", &[], and("Transfer-Encoding: chunked")),
        case("a path that is not in `paths`", &[("paths", "/chat")], handshake("/other")),
        case("an origin of another host", &[], and("Origin: http://evil.example")),
        case(
            "an origin that is not in `origins`",
            &[("origins", "https://shop.example")],
            and("Origin: http://localhost"),
        ),
        case("the origin `null`", &[], and("Origin: null")),
        case("more connections than `max_connections`", &[("max_connections", "1")], handshake("/")),
        case("more than `max_connections_per_ip`", &[("max_connections_per_ip", "1")], handshake("/")),
        case(
            "no decision of the host in time",
            &[("handshake_events", "on"), ("handshake_timeout_ms", "100")],
            handshake("/"),
        ),
        case(
            "draft-76 without `legacy`",
            &[],
            format!("{old}Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n{key2}\r\n^n:ds[4U"),
        ),
        case(
            "draft-76, a key without a space",
            &[("legacy", "hixie76")],
            format!("{old}Sec-WebSocket-Key1: 12\r\n{key2}\r\n^n:ds[4U"),
        ),
        case("draft-76, one key only", &[("legacy", "hixie76")], format!("{old}{key2}\r\n^n:ds[4U")),
        case(
            "no header of the PROXY protocol on a listener with `?proxy`",
            &[("listen", "127.0.0.1:0?proxy")],
            handshake("/"),
        ),
        case(
            "a listener with `?proxy`, from outside of `trusted_proxies`",
            &[("listen", "127.0.0.1:0?proxy"), ("trusted_proxies", "10.0.0.1")],
            handshake("/"),
        ),
    ]
}

/// Status and sentence of the answer to the last of the requests that a case takes.
fn answer(case: &Case) -> (String, String) {
    let server = start(case.options);
    let fills = case.options.iter().any(|(name, _)| name.starts_with("max_connections"));
    let _first = fills.then(|| Raw::open(&server));
    let mut raw = Raw::connect(&server);
    raw.send(case.request.as_bytes());
    take_apart(&raw.read_text())
}

fn take_apart(answer: &str) -> (String, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let status = head.lines().next().unwrap().trim_start_matches("HTTP/1.1 ").trim_start_matches("HTTP/1.0 ");
    (status.to_owned(), body.trim_end().to_owned())
}

fn plain_on_tls() -> (String, String) {
    let files = Files::new("refusals", &Certificate::new());
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    let server = start(&[("listen", "tls://127.0.0.1:0"), ("tls_cert", &cert), ("tls_key", &key)]);
    let mut plain = TcpStream::connect(server.addresses()[0].trim_start_matches("tls://")).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(handshake("/").as_bytes()).unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    take_apart(&answer)
}

fn page() -> String {
    let mut page = String::from(
        "# Refusals\n\n\
         What a request gets that does not become a connection: a status of HTTP and one line of text that says why.\n\
         The engine counts them (`refused` of the statistics) and logs them at level info. Files of\n\
         `static_root` have their own answers (404, 405, 416, 500 for what cannot be read, 503 while as many are sent as\n\
         may be at once, 256 at most). With `handshake_events` the host may add its own.\n\n\
         This page is generated by `engine/tests/refusals_page.rs`, which sends each request to a server.\n\n\
         | the request | status | the line |\n| --- | --- | --- |\n",
    );
    let rows = cases().into_iter().map(|case| (case.what, answer(&case)));
    let tls = ("no TLS on a port with it", plain_on_tls());
    for (what, (status, line)) in rows.chain([tls]) {
        writeln!(page, "| {what} | {status} | {line} |").unwrap();
    }
    page
}

#[test]
fn the_page_is_what_the_server_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/refusals.md");
    let expected = page();
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == expected, "docs/refusals.md is not what the server says; see the head of this test");
}

#[test]
fn no_refusal_is_a_switch_of_protocols_and_all_say_why() {
    for case in cases() {
        let (status, line) = answer(&case);
        let code: u16 = status[..3].parse().unwrap();
        assert!((400..600).contains(&code), "{}: {status}", case.what);
        assert!(line.ends_with('.') && line.len() > 20, "{}: {line}", case.what);
    }
}
