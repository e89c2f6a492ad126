//! `/healthz`: what load balancers and supervisors ask, over plain HTTP on the port of the WebSockets.

mod common;

use common::{Raw, frame, start};
use std::fs;

/// The answer to one request on a connection of its own, in lower case.
fn ask(server: &wsengine::Server, request: &str) -> String {
    let mut raw = Raw::connect(server);
    raw.send(request.as_bytes());
    raw.read_text().to_ascii_lowercase()
}

fn is_well(answer: &str) {
    assert!(answer.starts_with("http/1.1 200 ok\r\n"), "{answer}");
    assert!(answer.contains("\r\ncontent-type: text/plain; charset=utf-8\r\n"), "{answer}");
    assert!(answer.contains("\r\ncache-control: no-store\r\n"), "{answer}");
    assert!(answer.contains("\r\ncontent-length: 3\r\n"), "{answer}");
}

const GET: &str = "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

#[test]
fn a_server_without_files_says_that_it_is_well() {
    let server = start(&[]);
    for request in [
        GET,
        "GET /healthz?from=here HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET http://h/healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    ] {
        let answer = ask(&server, request);
        is_well(&answer);
        assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
    }
    // What a probe of HTTP/1.0 sends, as haproxy's `option httpchk` does by default.
    let answer = ask(&server, "GET /healthz HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("http/1.0 200 ok\r\n") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    let answer = ask(&server, &GET.replace("GET", "HEAD"));
    is_well(&answer);
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(server.stats().http_requests, 5);
    assert_eq!(server.stats().refused, 0);
}

#[test]
fn other_requests_do_not_mean_it() {
    let server = start(&[]);
    for line in ["POST /healthz", "GET /healthz/", "GET /healthz/x", "GET /Healthz", "GET /%68ealthz"] {
        let answer = ask(&server, &format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert!(answer.starts_with("http/1.1 426 "), "{line}: {answer}");
    }
}

#[test]
fn it_comes_before_a_file_of_that_name() {
    let root = std::env::temp_dir().join(format!("wsengine-healthz-{}", std::process::id()));
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("healthz"), "a file").unwrap();
    let server = start(&[("static_root", root.to_str().unwrap())]);
    let answer = ask(&server, GET);
    let refused = ask(&server, &GET.replace("GET", "POST"));
    fs::remove_dir_all(&root).unwrap();
    is_well(&answer);
    assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
    assert!(refused.starts_with("http/1.1 405 "), "{refused}");
}

#[test]
fn it_is_answered_while_the_host_sleeps_and_on_every_listener() {
    let server = start(&[("listen", "127.0.0.1:0,[::1]:0"), ("event_queue_events", "16")]);
    let mut flooder = Raw::open(&server);
    for _ in 0..1_000 {
        flooder.send(&frame(0x81, b"x"));
    }
    common::eventually("the inbox is full", || server.stats().read_pauses > 0);
    for address in server.addresses() {
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
        let mut raw = Raw(stream);
        raw.send(GET.as_bytes());
        is_well(&raw.read_text().to_ascii_lowercase());
    }
}
