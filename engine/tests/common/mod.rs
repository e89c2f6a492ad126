//! A server with a host that records, and clients that this project did not write.
#![allow(dead_code, unreachable_pub)] // Each test binary uses its own part.

pub mod redis;
pub mod site;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::protocol::WebSocket;
use tokio_tungstenite::tungstenite::{self, Message};
use wsengine::{Config, ConnId, EventBody, Kind, Server, Wait};

/// No test waits longer for anything; none should come near.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub type Client = WebSocket<TcpStream>;

/// Options in one line for each test.
pub fn config(options: &[(&str, &str)]) -> Config {
    let mut config = Config::new();
    config.set("listen", "127.0.0.1:0").unwrap();
    for (name, value) in options {
        config.set(name, value).unwrap();
    }
    config
}

pub fn start(options: &[(&str, &str)]) -> Server {
    Server::start(&config(options)).unwrap()
}

/// A client by tungstenite.
pub fn connect(server: &Server) -> Client {
    try_connect(server, "/").unwrap()
}

pub fn try_connect(server: &Server, path: &str) -> Result<Client, String> {
    let stream = TcpStream::connect(&server.addresses()[0]).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let url = format!("ws://{}{path}", server.addresses()[0]);
    tungstenite::client(url, stream).map(|(client, _)| client).map_err(|error| error.to_string())
}

/// The next message that is no ping or pong.
pub fn receive(client: &mut Client) -> Message {
    loop {
        match client.read().unwrap() {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return message,
        }
    }
}

/// The next message as an envelope: its line of JSON, and what follows.
pub fn receive_envelope(client: &mut Client) -> (serde_json::Value, Vec<u8>) {
    let data = receive(client).into_data();
    let envelope = data.strip_prefix(b"\x01").unwrap_or_else(|| panic!("no envelope: {data:?}"));
    let end = envelope.iter().position(|byte| *byte == b'\n').unwrap();
    (serde_json::from_slice(&envelope[..end]).unwrap(), envelope[end + 1..].to_vec())
}

/// The code and reason of the close frame that comes next, after any messages.
pub fn receive_close(client: &mut Client) -> (u16, String) {
    loop {
        match client.read() {
            Ok(Message::Close(Some(close))) => return (close.code.into(), close.reason.to_string()),
            Ok(Message::Close(None)) => return (1005, String::new()),
            Ok(_) => {}
            Err(_) => return (1006, String::new()),
        }
    }
}

/// A client without a library, for what no library would send.
pub struct Raw(pub TcpStream);

impl Raw {
    pub fn connect(server: &Server) -> Raw {
        let stream = TcpStream::connect(&server.addresses()[0]).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Raw(stream)
    }

    /// After the opening handshake.
    pub fn open(server: &Server) -> Raw {
        let mut raw = Raw::connect(server);
        raw.send(handshake("/").as_bytes());
        let head = raw.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    pub fn read_exact(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// A response's head, up to and with the empty line.
    pub fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match self.0.read(&mut byte).unwrap() {
                0 => break,
                _ => head.push(byte[0]),
            }
        }
        String::from_utf8(head).unwrap()
    }

    /// All until the server closes.
    pub fn read_all(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut bytes) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "after {} bytes", bytes.len());
        }
        bytes
    }

    pub fn read_text(&mut self) -> String {
        String::from_utf8_lossy(&self.read_all()).into_owned()
    }

    /// The next frame: first byte and payload.
    pub fn read_frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.read_exact(2);
        let len = match head[1] {
            126 => u16::from_be_bytes(self.read_exact(2).try_into().unwrap()) as usize,
            127 => u64::from_be_bytes(self.read_exact(8).try_into().unwrap()) as usize,
            len => len as usize,
        };
        (head[0], self.read_exact(len))
    }
}

/// A sound opening handshake.
pub fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// A client's frame, masked.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=65_535 => {
            frame.push(0xfe);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0xff);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(key);
    frame.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
    frame
}

/// An event that outlives its batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    Handshake { conn: ConnId },
    Open { conn: ConnId, path: String, query: String },
    Message { conn: ConnId, text: bool, data: Data },
    Drain { conn: ConnId, dropped: u64 },
    Close { conn: ConnId, code: u16, reason: String, clean: bool },
    Error { message: String },
    Backplane { up: bool, gap: bool, reason: String },
    Stopped,
}

/// A payload; only its beginning is shown when a test fails.
#[derive(Clone, PartialEq)]
pub struct Data(pub Vec<u8>);

impl std::ops::Deref for Data {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<B: AsRef<[u8]>> From<B> for Data {
    fn from(bytes: B) -> Self {
        Data(bytes.as_ref().to_vec())
    }
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let beginning = &self.0[..self.0.len().min(40)];
        write!(f, "{} bytes: {:?}", self.0.len(), String::from_utf8_lossy(beginning))
    }
}

/// Takes the next event, on the caller's thread.
pub fn poll(server: &Server) -> Seen {
    let begin = Instant::now();
    let seen = poll_within(server, PATIENCE).expect("no event came");
    assert!(begin.elapsed() < PATIENCE, "{seen:?} was there, but nobody was woken");
    seen
}

pub fn poll_within(server: &Server, time: Duration) -> Option<Seen> {
    let mut poller = server.poller().expect("somebody else polls");
    match poller.wait(Some(time), || false) {
        Wait::Events => Some(seen(poller.next().expect("an event"))),
        _ => None,
    }
}

pub fn poll_open(server: &Server) -> ConnId {
    match poll(server) {
        Seen::Open { conn, .. } => conn,
        other => panic!("{other:?} instead of open"),
    }
}

/// A client that is open, also where others leave meanwhile.
pub fn open(server: &Server) -> (Client, ConnId) {
    let client = connect(server);
    loop {
        match poll(server) {
            Seen::Open { conn, .. } => return (client, conn),
            // Of one that came before.
            Seen::Close { .. } => {}
            other => panic!("{other:?} instead of open"),
        }
    }
}

fn seen(event: wsengine::Event<'_>) -> Seen {
    let conn = event.conn.unwrap_or(ConnId::from_u64(0));
    match event.body {
        EventBody::Handshake(_) => Seen::Handshake { conn },
        EventBody::Open(request) => {
            Seen::Open { conn, path: request.path.clone(), query: request.query.clone() }
        }
        EventBody::Message { kind, data } => {
            Seen::Message { conn, text: kind == Kind::Text, data: data.into() }
        }
        EventBody::Drain { dropped } => Seen::Drain { conn, dropped },
        EventBody::Close { code, reason, clean } => {
            Seen::Close { conn, code, reason: reason.to_owned(), clean }
        }
        EventBody::Error { message, .. } => Seen::Error { message: message.to_owned() },
        EventBody::Backplane { up, gap, reason } => Seen::Backplane { up, gap, reason: reason.to_owned() },
        EventBody::Stopped => Seen::Stopped,
    }
}

/// A host on a thread of its own that runs `on_event` for each event and stops with the server.
pub struct Host {
    pub server: Arc<Server>,
    seen: Arc<(Mutex<VecDeque<Seen>>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// Sends every message back.
    pub fn echo(options: &[(&str, &str)]) -> Host {
        Host::run(options, |server, event| {
            if let Seen::Message { conn, text, data } = event {
                let kind = if *text { Kind::Text } else { Kind::Binary };
                let _ = server.send(*conn, kind, data);
            }
        })
    }

    pub fn run(options: &[(&str, &str)], on_event: impl Fn(&Server, &Seen) + Send + 'static) -> Host {
        let server = Arc::new(start(options));
        let seen = Arc::<(Mutex<VecDeque<Seen>>, Condvar)>::default();
        let (polled, record) = (server.clone(), seen.clone());
        let thread = std::thread::spawn(move || {
            loop {
                let mut poller = polled.poller().unwrap();
                if poller.wait(None, || false) == Wait::Stopped {
                    return;
                }
                let mut batch = Vec::new();
                while let Some(event) = poller.next() {
                    batch.push(self::seen(event));
                }
                drop(poller);
                for event in batch {
                    on_event(&polled, &event);
                    record.0.lock().unwrap().push_back(event);
                    record.1.notify_all();
                }
            }
        });
        Host { server, seen, thread: Some(thread) }
    }

    /// The next event that the host has dealt with.
    pub fn next(&self) -> Seen {
        let (events, arrived) = &*self.seen;
        let guard = events.lock().unwrap();
        let (mut guard, _) = arrived.wait_timeout_while(guard, PATIENCE, |events| events.is_empty()).unwrap();
        guard.pop_front().expect("no event came")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.server.stop(Some(Duration::ZERO));
        let joined = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            joined.unwrap();
        }
    }
}

/// Waits for something that no event tells of.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}
