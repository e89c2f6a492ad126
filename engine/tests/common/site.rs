//! A directory with files to serve, and what it takes to ask for them.

use super::Raw;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A directory with a page and more, and a secret beside it. Removed when dropped.
pub struct Site(pub PathBuf);

impl Site {
    pub fn new() -> Site {
        static SERIAL: AtomicUsize = AtomicUsize::new(0);
        let name = format!("wsengine-site-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::SeqCst));
        let site = Site(std::env::temp_dir().join(name));
        site.write("secret.txt", b"secret");
        for (name, content) in [
            ("index.html", "<!doctype html><title>x</title>"),
            ("style.css", "body {}"),
            ("app.js", "1;"),
            ("with space.txt", "abcdefgh"),
            ("sub/index.html", "sub"),
        ] {
            site.write(&format!("public/{name}"), content.as_bytes());
        }
        site
    }

    /// With the directories that it needs.
    pub fn write(&self, name: &str, content: &[u8]) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn link(&self, name: &str, to: &str) {
        std::os::unix::fs::symlink(to, self.0.join("public").join(name)).unwrap();
    }

    pub fn root(&self) -> String {
        self.0.join("public").to_str().unwrap().to_owned()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A response: its head in lower case, and its body of the length that the head says.
pub fn read_response(raw: &mut Raw) -> (String, Vec<u8>) {
    let head = raw.read_head().to_ascii_lowercase();
    let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    let body = raw.read_exact(length);
    (head, body)
}

/// A header's value in a head in lower case.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

pub fn request(method: &str, path: &str, more: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n").into_bytes()
}

/// Asks once on a connection of its own: status, head in lower case, body.
pub fn get(server: &wsengine::Server, path: &str, more: &str) -> (u16, String, String) {
    let mut raw = Raw::connect(server);
    raw.send(&request("GET", path, more));
    let (head, body) = read_response(&mut raw);
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, String::from_utf8(body).unwrap())
}
