//! Files of `static_root` on the port of the WebSockets: the right bytes and types, nothing from outside, and
//! no reader that holds a socket without reading.

mod common;

use common::site::{Site, get, header, read_response, request};
use common::{Host, PATIENCE, Raw, eventually, frame, handshake, start};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

#[test]
fn files_come_with_their_types_on_one_connection() {
    let site = Site::new();
    let server = start(&[("static_root", &site.root())]);
    let mut raw = Raw::connect(&server);
    for (path, kind, body) in [
        ("/", "text/html; charset=utf-8", "<!doctype html><title>x</title>"),
        ("/index.html?a=b", "text/html; charset=utf-8", "<!doctype html><title>x</title>"),
        ("/style.css", "text/css; charset=utf-8", "body {}"),
        ("/app.js", "text/javascript; charset=utf-8", "1;"),
        ("/with%20space.txt", "text/plain; charset=utf-8", "abcdefgh"),
        ("/sub/", "text/html; charset=utf-8", "sub"),
        ("//sub//index.html", "text/html; charset=utf-8", "sub"),
    ] {
        raw.send(&request("GET", path, ""));
        let (head, got) = read_response(&mut raw);
        assert!(head.starts_with("http/1.1 200 ok"), "{path}: {head}");
        assert_eq!(header(&head, "content-type"), Some(kind), "{path}: {head}");
        assert_eq!(header(&head, "x-content-type-options"), Some("nosniff"), "{path}: {head}");
        assert_eq!(String::from_utf8_lossy(&got), body, "{path}");
    }
    assert_eq!(server.stats().http_requests, 7);
    assert_eq!(server.stats().refused, 0);
}

#[test]
fn types_are_those_that_browsers_ask_for() {
    let site = Site::new();
    let server = start(&[("static_root", &site.root())]);
    for (name, kind) in [
        ("a.json", "application/json"),
        ("a.js.map", "application/json"),
        ("a.webmanifest", "application/manifest+json"),
        ("a.wasm", "application/wasm"),
        ("a.svg", "image/svg+xml"),
        ("a.PNG", "image/png"),
        ("a.jpg", "image/jpeg"),
        ("a.gif", "image/gif"),
        ("a.webp", "image/webp"),
        ("favicon.ico", "image/x-icon"),
        ("a.woff2", "font/woff2"),
        ("a.mp3", "audio/mpeg"),
        ("a.mp4", "video/mp4"),
        ("a.unheard-of", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ] {
        site.write(&format!("public/{name}"), b"x");
        let (status, head, _) = get(&server, &format!("/{name}"), "");
        assert_eq!((status, header(&head, "content-type")), (200, Some(kind)), "{name}: {head}");
    }
}

#[test]
fn what_is_not_there_or_not_allowed_is_said_in_a_line() {
    let site = Site::new();
    let server = start(&[("static_root", &site.root())]);
    std::fs::create_dir(site.0.join("public/empty")).unwrap();
    std::fs::create_dir_all(site.0.join("public/odd/index.html")).unwrap();
    for (method, path, status, words) in [
        ("GET", "/nothing.html", 404, "There is no such file."),
        ("GET", "/sub/nothing/", 404, "There is no such file."),
        ("GET", "/style.css/x", 404, "There is no such file."),
        ("GET", "/style.css/", 404, "There is no such file."),
        ("GET", "/empty/", 404, "There is no such file."),
        ("GET", "/odd/", 404, "There is no such file."),
        ("GET", &format!("/{}", "x".repeat(300)), 404, "There is no such file."),
        ("GET", &format!("/{}", "x/".repeat(3_000)), 404, "There is no such file."),
        ("GET", "/%00", 404, "There is no such file."),
        ("POST", "/", 405, "Files can only be read."),
        ("DELETE", "/index.html", 405, "Files can only be read."),
    ] {
        let mut raw = Raw::connect(&server);
        raw.send(&request(method, path, ""));
        let (head, body) = read_response(&mut raw);
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{path}: {head}");
        assert_eq!(header(&head, "allow"), (status == 405).then_some("get, head"), "{path}: {head}");
        assert_eq!(String::from_utf8_lossy(&body), format!("{words}\n"));
    }
}

#[test]
fn after_a_file_the_same_socket_becomes_a_websocket() {
    let site = Site::new();
    let host = Host::echo(&[("static_root", &site.root())]);
    let mut raw = Raw::connect(&host.server);
    raw.send(&request("GET", "/", ""));
    assert!(read_response(&mut raw).0.starts_with("http/1.1 200 "));
    raw.send(handshake("/").as_bytes());
    assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
    raw.send(&frame(0x81, b"now it is one"));
    assert_eq!(raw.read_frame(), (0x81, b"now it is one".to_vec()));
}

#[test]
fn a_handshake_behind_a_large_file_waits_for_the_file() {
    let site = Site::new();
    let large: Vec<u8> = (0..8_000_000u32).map(|i| (i % 251) as u8).collect();
    site.write("public/large.bin", &large);
    let host = Host::echo(&[("static_root", &site.root())]);
    let mut raw = Raw::connect(&host.server);
    let mut bytes = request("GET", "/large.bin", "");
    bytes.extend(handshake("/").as_bytes());
    bytes.extend(frame(0x81, b"in the same packet"));
    raw.send(&bytes);
    let (head, body) = read_response(&mut raw);
    assert!(head.starts_with("http/1.1 200 ") && body == large, "{head}");
    assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(raw.read_frame(), (0x81, b"in the same packet".to_vec()));
}

#[test]
fn a_large_file_arrives_whole_also_when_the_connection_closes_after_it() {
    let site = Site::new();
    let large = vec![7; 8_000_000];
    site.write("public/large.bin", &large);
    let server = start(&[("static_root", &site.root())]);
    for (more, half_closed) in [("Connection: close\r\n", false), ("Connection: close\r\n", true), ("", true)]
    {
        let mut raw = Raw::connect(&server);
        raw.send(&request("GET", "/large.bin", more));
        if half_closed {
            // As `nc -N` and old proxies do.
            raw.0.shutdown(Shutdown::Write).unwrap();
        }
        let (head, body) = read_response(&mut raw);
        assert!(head.starts_with("http/1.1 200 ") && body == large, "{head}");
        assert_eq!(raw.read_all(), b"");
    }
}

#[test]
fn a_reader_that_stops_reading_is_cut_and_one_that_goes_on_is_not() {
    let site = Site::new();
    let large = vec![7; 30_000_000];
    site.write("public/large.bin", &large);
    let server = start(&[("static_root", &site.root()), ("handshake_timeout_ms", "2000")]);
    let mut stuck = Raw::connect(&server);
    stuck.send(&request("GET", "/large.bin", ""));
    stuck.read_exact(1_000);
    eventually("the stuck one is cut", || server.stats().handshakes == 0);

    // This one takes much longer than the timeout, but never stops.
    let mut slow = Raw::connect(&server);
    slow.send(&request("GET", "/large.bin", ""));
    slow.read_head();
    let begin = Instant::now();
    let mut got = 0;
    let mut buffer = vec![0; 1_000_000];
    while got < large.len() {
        let read = slow.0.read(&mut buffer).unwrap();
        assert!(read > 0, "it was cut after {got} bytes");
        got += read;
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(got, large.len());
    assert!(begin.elapsed() > Duration::from_secs(2));
}

#[test]
fn an_idle_keep_alive_socket_is_closed() {
    let site = Site::new();
    let server = start(&[("static_root", &site.root()), ("handshake_timeout_ms", "2000")]);
    let mut raw = Raw::connect(&server);
    raw.send(&request("GET", "/", ""));
    assert!(read_response(&mut raw).0.starts_with("http/1.1 200 "));
    assert_eq!(raw.read_all(), b"");
}

#[test]
fn files_do_not_wait_for_a_host_that_sleeps() {
    let site = Site::new();
    let server = start(&[("static_root", &site.root()), ("event_queue_events", "16")]);
    let mut flooder = Raw::open(&server);
    for _ in 0..1_000 {
        flooder.send(&frame(0x81, b"x"));
    }
    eventually("the inbox is full", || server.stats().read_pauses > 0);
    let mut raw = Raw::connect(&server);
    raw.0.set_read_timeout(Some(PATIENCE)).unwrap();
    raw.0.write_all(&request("GET", "/", "")).unwrap();
    assert!(read_response(&mut raw).0.starts_with("http/1.1 200 "));
}

/// Each had a descriptor besides that of its socket, and nobody counted those. Nor do they keep others from reading.
#[test]
fn who_does_not_read_a_file_has_to_go_when_others_want_one() {
    const MOST: usize = 256;
    let site = Site::new();
    site.write("public/large.bin", &vec![7; 8 << 20]);
    let large = std::path::Path::new(&site.root()).join("large.bin");
    let server = start(&[("static_root", &site.root())]);
    let files_open = || {
        let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        links.filter_map(|fd| std::fs::read_link(fd.path()).ok()).filter(|to| *to == large).count()
    };
    let ask = || {
        let mut raw = Raw::connect(&server);
        raw.send(b"GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n");
        let head = raw.read_head();
        assert!((1..=MOST).contains(&files_open()), "{}", files_open());
        (raw, head)
    };
    let mut readers = Vec::new();
    while readers.len() < MOST + 50 {
        match ask() {
            (raw, head) if head.starts_with("HTTP/1.1 200 ") => readers.push(raw),
            (_, head) => {
                assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("connection: close"), "{head}");
                // Those before have a second.
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }
    drop(Raw::open(&server));
}
