//! Files of `static_root` on the port of the WebSockets: the right bytes and types, nothing from outside, and no
//! reader that holds a socket without reading.

mod common;

use common::{Host, PATIENCE, Raw, eventually, frame, handshake, start};
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A directory with a page and more, and a secret beside it. Removed when dropped.
struct Site(PathBuf);

impl Site {
    fn new() -> Site {
        static SERIAL: AtomicUsize = AtomicUsize::new(0);
        let name = format!("wsengine-site-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::SeqCst));
        let site = Site(std::env::temp_dir().join(name));
        fs::create_dir_all(site.0.join("public/sub")).unwrap();
        site.write("secret.txt", b"secret");
        for (name, content) in [
            ("index.html", "<!doctype html><title>x</title>"),
            ("style.css", "body {}"),
            ("app.js", "1;"),
            ("data.json", "{}"),
            ("picture.svg", "<svg/>"),
            ("with space.txt", "abcdefgh"),
            ("sub/index.html", "sub"),
        ] {
            site.write(&format!("public/{name}"), content.as_bytes());
        }
        site
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.0.join(name), content).unwrap();
    }

    fn root(&self) -> String {
        self.0.join("public").to_str().unwrap().to_owned()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A response: its head in lower case, and its body of the length that the head says.
fn read_response(raw: &mut Raw) -> (String, Vec<u8>) {
    let head = raw.read_head().to_ascii_lowercase();
    let length = head
        .split("content-length: ")
        .nth(1)
        .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
    let body = raw.read_exact(length);
    (head, body)
}

fn request(method: &str, path: &str, more: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n").into_bytes()
}

#[test]
fn files_come_with_their_types_on_one_connection() {
    let site = Site::new();
    let server = start(&[("static_root", &site.root())]);
    let mut raw = Raw::connect(&server);
    for (path, kind, body) in [
        ("/", "text/html", "<!doctype html><title>x</title>"),
        ("/index.html?a=b", "text/html", "<!doctype html><title>x</title>"),
        ("/style.css", "text/css", "body {}"),
        ("/app.js", "text/javascript", "1;"),
        ("/data.json", "application/json", "{}"),
        ("/picture.svg", "image/svg+xml", "<svg/>"),
        ("/with%20space.txt", "text/plain", "abcdefgh"),
        ("/sub/", "text/html", "sub"),
    ] {
        raw.send(&request("GET", path, ""));
        let (head, got) = read_response(&mut raw);
        assert!(head.starts_with("http/1.1 200 ok"), "{path}: {head}");
        assert!(head.contains(&format!("content-type: {kind}")), "{path}: {head}");
        assert_eq!(String::from_utf8_lossy(&got), body, "{path}");
    }
    assert_eq!(server.stats().http_requests, 8);
    assert_eq!(server.stats().refused, 0);
}

#[test]
fn a_head_has_no_body_and_a_range_is_a_part() {
    let site = Site::new();
    let server = start(&[("static_root", &site.root())]);
    let mut raw = Raw::connect(&server);
    raw.send(&request("HEAD", "/with%20space.txt", ""));
    let head = raw.read_head().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 ") && head.contains("content-length: 8\r\n"), "{head}");
    raw.send(&request("GET", "/with%20space.txt", "Range: bytes=2-4\r\n"));
    let (head, body) = read_response(&mut raw);
    assert!(head.starts_with("http/1.1 206 ") && head.contains("content-range: bytes 2-4/8\r\n"), "{head}");
    assert_eq!(body, b"cde");
}

#[test]
fn what_is_not_there_or_not_allowed_is_said_in_a_line() {
    let site = Site::new();
    let server = start(&[("static_root", &site.root())]);
    for (method, path, status, words) in [
        ("GET", "/nothing.html", 404, "There is no such file."),
        ("GET", "/sub/nothing/", 404, "There is no such file."),
        ("GET", "/style.css/x", 404, "There is no such file."),
        ("GET", &format!("/{}", "x".repeat(300)), 404, "There is no such file."),
        ("GET", "/%00", 404, "There is no such file."),
        ("POST", "/", 405, "Files can only be read."),
        ("DELETE", "/index.html", 405, "Files can only be read."),
    ] {
        let mut raw = Raw::connect(&server);
        raw.send(&request(method, path, ""));
        let (head, body) = read_response(&mut raw);
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{path}: {head}");
        assert_eq!(String::from_utf8_lossy(&body), format!("{words}\n"));
    }
}

#[test]
fn nothing_outside_of_the_root_is_served() {
    let site = Site::new();
    let server = start(&[("static_root", &site.root())]);
    for path in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e%2fsecret.txt",
        "/sub/../../secret.txt",
        "/sub/..%2f..%2fsecret.txt",
        "/%5c..%5csecret.txt",
        "//../secret.txt",
        "/.%00./secret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        &format!("/{}", site.0.join("secret.txt").display()),
        &format!("/%2f{}", site.0.join("secret.txt").display()),
    ] {
        let mut raw = Raw::connect(&server);
        raw.send(&request("GET", path, "Connection: close\r\n"));
        let answer = raw.read_text();
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
        assert!(!answer.contains("secret"), "{path}: {answer}");
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
        assert_eq!(raw.read_all(), []);
    }
}

#[test]
fn a_reader_that_stops_reading_is_cut_and_one_that_goes_on_is_not() {
    let site = Site::new();
    let large = vec![7; 30_000_000];
    site.write("public/large.bin", &large);
    let server = start(&[("static_root", &site.root()), ("handshake_timeout_ms", "300")]);
    let mut stuck = Raw::connect(&server);
    stuck.send(&request("GET", "/large.bin", ""));
    stuck.read_exact(1_000);
    eventually("the stuck one is cut", || server.stats().handshakes == 0);

    // This one takes much longer than the timeout, but never stops.
    let mut slow = Raw::connect(&server);
    slow.send(&request("GET", "/large.bin", ""));
    slow.read_head();
    let mut got = 0;
    let mut buffer = vec![0; 1_000_000];
    while got < large.len() {
        got += slow.0.read(&mut buffer).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(got, large.len());
}

#[test]
fn an_idle_keep_alive_socket_is_closed() {
    let site = Site::new();
    let server = start(&[("static_root", &site.root()), ("handshake_timeout_ms", "200")]);
    let mut raw = Raw::connect(&server);
    raw.send(&request("GET", "/", ""));
    assert!(read_response(&mut raw).0.starts_with("http/1.1 200 "));
    assert_eq!(raw.read_all(), []);
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

#[test]
fn a_root_that_is_no_directory_is_an_error() {
    for root in ["/does/not/exist", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")] {
        let error = wsengine::Config::new().set("static_root", root).unwrap_err().to_string();
        assert!(error.contains("static_root") && error.contains(root), "{error}");
    }
}
