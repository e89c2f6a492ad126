//! A whole server, over a socket: whatever comes, it answers in HTTP or WebSocket or hangs up, and serves the next one.

use crate::input::Input;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::LazyLock;
use std::time::Duration;
use wsengine::{Config, EventBody, Server, Wait};

const PATIENCE: Duration = Duration::from_secs(5);

static SERVER: LazyLock<&'static Server> = LazyLock::new(|| {
    let mut config = Config::new();
    for (name, value) in [
        ("listen", "127.0.0.1:0"),
        ("io_threads", "1"),
        ("legacy", "hybi8, hixie76"),
        ("compression", "context_takeover"),
        ("max_message_bytes", "65536"),
        ("static_root", "."),
        ("origins", "any"),
    ] {
        config.set(name, value).expect("an option");
    }
    let server: &'static Server = Box::leak(Box::new(Server::start(&config).expect("a server")));
    std::thread::spawn(|| echo(server));
    server
});

/// Sends back what comes, and to all.
fn echo(server: &Server) {
    loop {
        let mut poller = server.poller().expect("nobody else polls");
        if poller.wait(None, || false) == Wait::Stopped {
            return;
        }
        while let Some(event) = poller.next() {
            if let (Some(conn), EventBody::Message { kind, data }) = (event.conn, event.body) {
                let _ = server.send(conn, kind, data);
                let _ = server.broadcast(kind, data, &[conn]);
            }
        }
    }
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let handshake = input.byte();
    let size = 1 + input.below(2_000);
    let bytes = input.rest();
    let mut stream = TcpStream::connect(&SERVER.addresses()[0]).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    if handshake & 1 == 1 {
        let compression =
            if handshake & 2 == 2 { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { "" };
        let head = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{compression}\r\n"
        );
        let _ = stream.write_all(head.as_bytes());
    }
    for piece in bytes.chunks(size) {
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let outcome = Read::by_ref(&mut stream).take(1 << 20).read_to_end(&mut answer);
    if let Err(error) = outcome {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it does not hang up: {error}");
    }
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{:?}", &answer[..answer.len().min(100)]);
}
