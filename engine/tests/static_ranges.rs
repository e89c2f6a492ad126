//! Parts of files, and files that the peer has already (RFC 9110, sections 13 and 14).

mod common;

use common::site::{Site, get, header, request};
use common::{Raw, start};
use std::fs::File;
use std::time::{Duration, SystemTime};
use wsengine::Server;

/// "abcdefgh", under this path.
const FILE: &str = "/with%20space.txt";

fn site() -> (Site, Server) {
    let site = Site::new();
    site.write("public/empty.txt", b"");
    let server = start(&[("static_root", &site.root())]);
    (site, server)
}

/// The heads of a HEAD and of a GET of the same.
fn heads(server: &Server, path: &str, more: &str) -> (String, String) {
    let mut raw = Raw::connect(server);
    raw.send(&request("HEAD", path, more));
    (raw.read_head().to_ascii_lowercase(), get(server, path, more).1)
}

#[test]
fn a_head_is_that_of_the_get_without_the_body() {
    let (_site, server) = site();
    let mut raw = Raw::connect(&server);
    raw.send(&request("HEAD", FILE, ""));
    raw.send(&request("HEAD", FILE, "Connection: close\r\n"));
    let answers = raw.read_text().to_ascii_lowercase();
    assert_eq!(answers.matches("http/1.1 200 ").count(), 2, "{answers}");
    assert_eq!(answers.matches("content-length: 8\r\n").count(), 2, "{answers}");
    assert!(answers.ends_with("\r\n\r\n"), "{answers}");
    for path in [FILE, "/", "/sub/", "/empty.txt", "/nothing"] {
        let (head, of_get) = heads(&server, path, "");
        let without_date = |head: &str| head.lines().filter(|l| !l.starts_with("date")).collect::<String>();
        assert_eq!(without_date(&head), without_date(&of_get), "{path}");
    }
}

#[test]
fn a_single_range_is_a_part() {
    let (_site, server) = site();
    for (range, content_range, body) in [
        ("bytes=2-4", "bytes 2-4/8", "cde"),
        ("bytes=0-0", "bytes 0-0/8", "a"),
        ("bytes=6-", "bytes 6-7/8", "gh"),
        ("bytes=6-999", "bytes 6-7/8", "gh"),
        ("bytes=-3", "bytes 5-7/8", "fgh"),
        ("bytes=-8", "bytes 0-7/8", "abcdefgh"),
        ("Bytes=02-4", "bytes 2-4/8", "cde"),
    ] {
        let (status, head, got) = get(&server, FILE, &format!("Range: {range}\r\n"));
        assert_eq!((status, got.as_str()), (206, body), "{range}: {head}");
        assert_eq!(header(&head, "content-range"), Some(content_range), "{range}");
        assert_eq!(header(&head, "content-type"), Some("text/plain; charset=utf-8"), "{range}");
    }
}

#[test]
fn a_range_that_begins_after_the_end_is_refused() {
    let (_site, server) = site();
    for range in ["bytes=8-", "bytes=8-9", "bytes=18446744073709551615-"] {
        let (status, head, body) = get(&server, FILE, &format!("Range: {range}\r\n"));
        assert_eq!((status, body.as_str()), (416, ""), "{range}: {head}");
        assert_eq!(header(&head, "content-range"), Some("bytes */8"), "{range}");
    }
}

#[test]
fn a_range_that_cannot_be_served_is_ignored() {
    let (_site, server) = site();
    for more in [
        "Range: lines=1-2\r\n",
        "Range: bytes=4-2\r\n",
        "Range: bytes=a-b\r\n",
        "Range: bytes=\r\n",
        "Range: bytes=0-1,4-5\r\n",
        "Range: bytes=0-1\r\nRange: bytes=4-5\r\n",
        "Range: bytes=-0\r\n",
        "Range: bytes=0-99999999999999999999999\r\n",
        // More of the end than there is means all.
        "Range: bytes=-9\r\n",
    ] {
        let (status, head, body) = get(&server, FILE, more);
        assert_eq!((status, body.as_str()), (200, "abcdefgh"), "{more}: {head}");
    }
    for range in ["bytes=0-", "bytes=0-5", "bytes=-5"] {
        let (status, head, _) = get(&server, "/empty.txt", &format!("Range: {range}\r\n"));
        assert_eq!((status, header(&head, "content-length")), (200, Some("0")), "{range}: {head}");
    }
    let (head, _) = heads(&server, FILE, "Range: bytes=2-4\r\n");
    assert!(head.starts_with("http/1.1 200 ") && head.contains("content-length: 8\r\n"), "{head}");
}

#[test]
fn parts_of_two_versions_are_never_mixed() {
    let (site, server) = site();
    let (_, head, _) = get(&server, FILE, "");
    let (tag, date) = (header(&head, "etag").unwrap(), header(&head, "last-modified").unwrap());
    let part = |of: &str| get(&server, FILE, &format!("Range: bytes=2-4\r\nIf-Range: {of}\r\n"));
    assert_eq!(part(tag).0, 206);
    for other in ["\"other\"", &format!("W/{tag}"), date] {
        let (status, _, body) = part(other);
        assert_eq!((status, body.as_str()), (200, "abcdefgh"), "{other}");
    }
    site.write("public/with space.txt", b"ABCDEFGHI");
    assert_eq!(part(tag).2, "ABCDEFGHI");
    // Even where the part would lie behind the end of what is there now.
    let (status, head, _) = get(&server, FILE, &format!("Range: bytes=20-\r\nIf-Range: {tag}\r\n"));
    assert_eq!(status, 200, "{head}");
}

#[test]
fn what_the_peer_has_already_is_not_sent_again() {
    let (site, server) = site();
    let (_, head, _) = get(&server, FILE, "");
    let tag = header(&head, "etag").unwrap().to_owned();
    let date = header(&head, "last-modified").unwrap().to_ascii_uppercase();
    // The head was read in lower case; days and months have one capital.
    let date = date
        .split(' ')
        .map(|word| match word {
            "GMT" => word.to_owned(),
            word => word[..1].to_owned() + &word[1..].to_ascii_lowercase(),
        })
        .collect::<Vec<_>>()
        .join(" ");
    for more in [
        format!("If-None-Match: {tag}\r\n"),
        format!("If-None-Match: \"a\", W/{tag}\r\n"),
        "If-None-Match: *\r\n".into(),
        format!("If-Modified-Since: {date}\r\n"),
        format!("If-Modified-Since: {date}\r\nRange: bytes=2-4\r\n"),
    ] {
        let (head, of_get) = heads(&server, FILE, &more);
        assert!(head.starts_with("http/1.1 304 ") && of_get.starts_with("http/1.1 304 "), "{more}: {of_get}");
        assert_eq!(header(&of_get, "etag"), Some(tag.as_str()), "{more}: {of_get}");
    }
    for more in [
        "If-None-Match: \"a\"\r\n".into(),
        // The tag decides where both are there.
        format!("If-None-Match: \"a\"\r\nIf-Modified-Since: {date}\r\n"),
        "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n".into(),
        "If-Modified-Since: yesterday\r\n".into(),
    ] {
        let (status, head, body) = get(&server, FILE, &more);
        assert_eq!((status, body.as_str()), (200, "abcdefgh"), "{more}: {head}");
    }
    assert_eq!(get(&server, FILE, "If-Match: \"a\"\r\n").0, 412);
    site.write("public/with space.txt", b"ABCDEFGHI");
    assert_eq!(get(&server, FILE, &format!("If-None-Match: {tag}\r\n")).0, 200);
}

#[test]
fn a_date_to_come_is_not_told() {
    let (site, server) = site();
    let file = File::options().write(true).open(site.0.join("public/app.js")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(86_400)).unwrap();
    let (status, head, body) = get(&server, "/app.js", "");
    assert_eq!((status, body.as_str()), (200, "1;"));
    assert_eq!((header(&head, "last-modified"), header(&head, "etag")), (None, None), "{head}");
}
