//! What a server takes from the process it gives back. Alone in its file: it counts what belongs to the process.

mod common;

use common::{Raw, connect, eventually, handshake, poll_open, start};
use tokio_tungstenite::tungstenite::Message;

fn count(directory: &str) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[test]
fn two_hundred_servers_leave_no_descriptor_and_no_thread() {
    let one = |round: usize| {
        let server = start(&[("io_threads", "2"), ("static_root", env!("CARGO_MANIFEST_DIR"))]);
        server.event_fd();
        let mut client = connect(&server);
        let mut half = Raw::connect(&server);
        half.send(&handshake("/").as_bytes()[..20]);
        // Reading files takes threads of its own.
        let mut file = Raw::connect(&server);
        file.send(b"GET /Cargo.toml HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(file.read_head().starts_with("HTTP/1.1 200 "));
        let conn = poll_open(&server);
        client.send(Message::text("x")).unwrap();
        let _ = server.send(conn, wsengine::Kind::Text, b"y");
        if round.is_multiple_of(2) {
            server.stop(None);
        }
    };
    one(0);
    let before = (count("/proc/self/fd"), count("/proc/self/task"));
    (0..200).for_each(one);
    eventually("all threads have gone", || count("/proc/self/task") <= before.1);
    assert!(
        count("/proc/self/fd") <= before.0,
        "{} descriptors, {} before",
        count("/proc/self/fd"),
        before.0
    );
}
