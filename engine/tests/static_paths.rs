//! What of `static_root` is not served: what lies outside, what is hidden, what is no file; and where a
//! redirect leads.

mod common;

use common::site::{Site, get, header};
use common::{Raw, start};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::process::Command;

#[test]
fn nothing_outside_of_the_root_is_served() {
    let site = Site::new();
    let server = start(&[("static_root", &site.root())]);
    let secret = site.0.join("secret.txt");
    for path in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e%2fsecret.txt",
        "/%252e%252e/secret.txt",
        "/sub/../../secret.txt",
        "/sub/..%2f..%2fsecret.txt",
        "/sub/%2e%2e/%2e%2e/secret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/%5c..%5csecret.txt",
        "//../secret.txt",
        "/.%00./secret.txt",
        "/sub%00/../../secret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        &format!("/{}", secret.display()),
        &format!("/%2f{}", secret.display()),
        &format!("http://localhost/..{}", secret.display()),
    ] {
        let mut raw = Raw::connect(&server);
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes());
        let answer = raw.read_text();
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
        assert!(!answer.contains("secret"), "{path}: {answer}");
    }
}

#[test]
fn a_symlink_is_followed_within_the_root_only() {
    let site = Site::new();
    site.write("public/sub/deep/page.html", b"page");
    site.link("current", "sub/deep");
    site.link("sub/up.css", "../style.css");
    site.link("out.txt", "../secret.txt");
    site.link("out", "..");
    site.link("sub/around", "../../public/sub");
    site.link("absolute.txt", site.0.join("secret.txt").to_str().unwrap());
    site.link("system", "/etc");
    site.link("procfs", "/proc/self");
    site.link("loop", "loop");
    site.link("dangling", "nothing");
    let server = start(&[("static_root", &site.root())]);
    for (path, body) in [("/current/page.html", "page"), ("/sub/up.css", "body {}")] {
        let (status, head, got) = get(&server, path, "");
        assert_eq!((status, got.as_str()), (200, body), "{path}: {head}");
    }
    for path in [
        "/out.txt",
        "/out/secret.txt",
        "/out/public/index.html",
        "/sub/around/index.html",
        "/absolute.txt",
        "/system",
        "/system/",
        "/system/passwd",
        "/procfs/environ",
        "/procfs/fd/0",
        "/procfs/root/etc/passwd",
        "/loop",
        "/dangling",
    ] {
        let (status, head, _) = get(&server, path, "");
        assert_eq!(status, 404, "{path}: {head}");
    }
}

#[test]
fn a_root_that_is_a_symlink_is_as_good() {
    let site = Site::new();
    std::os::unix::fs::symlink("public", site.0.join("current")).unwrap();
    let server = start(&[("static_root", site.0.join("current").to_str().unwrap())]);
    assert_eq!(get(&server, "/app.js", "").0, 200);
    assert_eq!(get(&server, "/../secret.txt", "").0, 404);
}

#[test]
fn dot_files_are_hidden_but_for_the_well_known() {
    let site = Site::new();
    for name in [".env", ".git/config", "sub/.htpasswd", ".well-known/acme-challenge/token", ".well-known/.x"]
    {
        site.write(&format!("public/{name}"), b"dots");
    }
    let server = start(&[("static_root", &site.root())]);
    for path in [
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/.git/",
        "/sub/.htpasswd",
        "/sub/%2Ehtpasswd",
        "/.well-known/.x",
    ] {
        let (status, head, _) = get(&server, path, "");
        assert_eq!(status, 404, "{path}: {head}");
    }
    assert_eq!(get(&server, "/.well-known/acme-challenge/token", "").2, "dots");
}

/// Two threads read files; each of these would stop one for ever if it were opened the plain way.
#[test]
fn what_is_no_file_is_not_there_and_stops_nobody() {
    let site = Site::new();
    let fifo = site.0.join("public/fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    site.link("sub/index.txt", "../fifo");
    let _socket = UnixListener::bind(site.0.join("public/socket")).unwrap();
    let server = start(&[("static_root", &site.root())]);
    let waiting: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut stream = TcpStream::connect(&server.addresses()[0]).unwrap();
            stream.write_all(b"GET /fifo HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
            stream
        })
        .collect();
    for path in ["/fifo", "/sub/index.txt", "/socket", "/fifo/", "/socket/x"] {
        let (status, head, _) = get(&server, path, "");
        assert_eq!(status, 404, "{path}: {head}");
    }
    assert_eq!(get(&server, "/app.js", "").2, "1;");
    drop(waiting);
}

#[test]
fn a_redirect_stays_on_this_server() {
    let site = Site::new();
    site.write("public/evil.example/index.html", b"x");
    site.write("public/\u{fc}/index.html", b"x");
    let server = start(&[("static_root", &site.root())]);
    for (path, location) in [
        ("/sub", "/sub/"),
        ("/sub?a=b&c=//d", "/sub/?a=b&c=//d"),
        ("//evil.example", "/evil.example/"),
        ("///evil.example?x", "/evil.example/?x"),
        ("http://evil.example/sub", "/sub/"),
        ("/\u{fc}", "/%c3%bc/"),
        ("/%c3%bc?\u{fc}", "/%c3%bc/?%c3%bc"),
    ] {
        let (status, head, _) = get(&server, path, "");
        assert_eq!((status, header(&head, "location")), (307, Some(location)), "{path}: {head}");
    }
    for path in [
        "/\\evil.example",
        "/%5cevil.example",
        "//evil.example/..",
        "//evil.example/%2e%2e",
        "/%2fevil.example",
    ] {
        let (status, head, _) = get(&server, path, "");
        assert_eq!((status, header(&head, "location")), (404, None), "{path}: {head}");
    }
}

#[test]
fn a_root_that_is_no_directory_is_an_error() {
    for root in ["/does/not/exist", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")] {
        let error = wsengine::Config::new().set("static_root", root).unwrap_err().to_string();
        assert!(error.contains("static_root") && error.contains(root), "{error}");
    }
}
