//! What the tests share: a client's frames, sound or not, a reader of the server's frames, and a connection
//! with its buffers around it. Written apart from the crate's own encoder and parser, so that they can disagree.

// Each test binary uses a part of it.
#![allow(dead_code)]

use proptest::test_runner::Config;
use std::time::Duration;
use wsengine_proto::connection::Ending;
use wsengine_proto::deflate::{Parameters, Scratch};
use wsengine_proto::{Connection, Kind, Limits, Payload, Progress, Sink, State};

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// So many cases; PROPTEST_CASES scales it (256 is as it stands). No files of seeds: what is found becomes a
/// test with a name.
pub(crate) fn cases(cases: u32) -> Config {
    let config = Config::default();
    Config { cases: (config.cases * cases).div_ceil(256), failure_persistence: None, ..config }
}

/// How a frame writes its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Shortest,
    Bits16,
    Bits64,
    /// 64 bits that announce something else than the payload that follows.
    Declared(u64),
}

/// What permessage-deflate comes to without a word about its parameters.
pub(crate) const IN_CONTEXT: Parameters = Parameters {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    server_window_asked: false,
    client_max_window_bits: None,
};

/// The same when no message refers to another.
pub(crate) const ALONE: Parameters =
    Parameters { server_no_context_takeover: true, client_no_context_takeover: true, ..IN_CONTEXT };

/// A frame as a client may send it; `new` makes a sound one, the fields make it anything else.
#[derive(Debug, Clone)]
pub(crate) struct ClientFrame {
    pub(crate) fin: bool,
    /// RSV1 to RSV3 as the bits 0x40, 0x20 and 0x10.
    pub(crate) reserved: u8,
    pub(crate) opcode: u8,
    pub(crate) key: Option<[u8; 4]>,
    pub(crate) length: Length,
    pub(crate) payload: Vec<u8>,
}

impl ClientFrame {
    pub(crate) fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        ClientFrame {
            fin: true,
            reserved: 0,
            opcode,
            key: Some([0x37, 0xfa, 0x21, 0x3d]),
            length: Length::Shortest,
            payload: payload.as_ref().to_vec(),
        }
    }

    /// Not the last fragment.
    pub(crate) fn more(self) -> Self {
        ClientFrame { fin: false, ..self }
    }

    pub(crate) fn reserved(self, reserved: u8) -> Self {
        ClientFrame { reserved, ..self }
    }

    pub(crate) fn unmasked(self) -> Self {
        ClientFrame { key: None, ..self }
    }

    pub(crate) fn length(self, length: Length) -> Self {
        ClientFrame { length, ..self }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.reserved | self.opcode | if self.fin { 0x80 } else { 0 }];
        let masked = if self.key.is_some() { 0x80 } else { 0 };
        let len = self.payload.len();
        match self.length {
            Length::Shortest if len < 126 => bytes.push(masked | len as u8),
            Length::Bits16 => put_16(&mut bytes, masked, len as u16),
            Length::Shortest if len < 65_536 => put_16(&mut bytes, masked, len as u16),
            Length::Shortest | Length::Bits64 => put_64(&mut bytes, masked, len as u64),
            Length::Declared(len) => put_64(&mut bytes, masked, len),
        }
        let key = self.key.unwrap_or([0; 4]);
        bytes.extend_from_slice(if self.key.is_some() { &key } else { &[] });
        bytes.extend(self.payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
        bytes
    }
}

fn put_16(bytes: &mut Vec<u8>, masked: u8, len: u16) {
    bytes.push(masked | 126);
    bytes.extend_from_slice(&len.to_be_bytes());
}

fn put_64(bytes: &mut Vec<u8>, masked: u8, len: u64) {
    bytes.push(masked | 127);
    bytes.extend_from_slice(&len.to_be_bytes());
}

pub(crate) fn encode(frames: &[ClientFrame]) -> Vec<u8> {
    frames.iter().flat_map(ClientFrame::encode).collect()
}

/// The payload of a close frame.
pub(crate) fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

/// A frame as the server sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerFrame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl ServerFrame {
    pub(crate) fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        ServerFrame { opcode, payload: payload.as_ref().to_vec() }
    }

    /// The code of a close frame.
    pub(crate) fn close_code(&self) -> Option<u16> {
        assert_eq!(self.opcode, CLOSE);
        self.payload.first_chunk().map(|&code| u16::from_be_bytes(code))
    }
}

/// Takes one whole frame from the front of `bytes`; None while it is not all there. Panics at what a server
/// must not send: reserved bits, a mask, fragments, a length in more bytes than needed.
pub(crate) fn take_server_frame(bytes: &mut Vec<u8>) -> Option<ServerFrame> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(first & 0xf0, 0x80, "a frame without FIN or with reserved bits");
    assert_eq!(second & 0x80, 0, "a masked frame");
    let (head, len) = match second {
        126 => (4, u64::from(u16::from_be_bytes(*bytes.get(2..4)?.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*bytes.get(2..10)?.first_chunk()?)),
        short => (2, u64::from(short)),
    };
    let shortest = if len < 126 {
        2
    } else if len < 65_536 {
        4
    } else {
        10
    };
    assert_eq!(head, shortest, "the length of {len} bytes of payload in too many bytes");
    let end = head + len as usize;
    if bytes.len() < end {
        return None;
    }
    let frame: Vec<u8> = bytes.drain(..end).collect();
    Some(ServerFrame { opcode: first & 0x0f, payload: frame[head..].to_vec() })
}

/// All frames in `bytes`, which must hold nothing else.
pub(crate) fn server_frames(bytes: &[u8]) -> Vec<ServerFrame> {
    let mut bytes = bytes.to_vec();
    let frames = std::iter::from_fn(|| take_server_frame(&mut bytes)).collect();
    assert!(bytes.is_empty(), "half a frame was sent: {bytes:x?}");
    frames
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) data: Vec<u8>,
}

pub(crate) fn text(data: &str) -> Message {
    Message { kind: Kind::Text, data: data.into() }
}

pub(crate) fn binary(data: &[u8]) -> Message {
    Message { kind: Kind::Binary, data: data.into() }
}

/// Keeps what it is given. `room` messages more are welcome.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) room: usize,
    pub(crate) messages: Vec<Message>,
}

impl Sink for Recorder {
    fn has_room(&mut self) -> bool {
        self.room > 0
    }

    fn message(&mut self, kind: Kind, payload: Payload<'_>) {
        self.room = self.room.checked_sub(1).expect("it was asked for room");
        self.messages.push(Message { kind, data: payload.as_bytes().to_vec() });
    }
}

/// A connection with all that its owner keeps for it. Time stands still unless `now` is set.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) now: Duration,
    pub(crate) limits: Limits,
    pub(crate) conn: Connection,
    pub(crate) out: Vec<u8>,
    pub(crate) scratch: Scratch,
    pub(crate) sink: Recorder,
    /// What came from the peer and was not taken yet.
    pub(crate) unread: Vec<u8>,
    pub(crate) blocked: bool,
}

impl Server {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::with_compression(limits, None)
    }

    pub(crate) fn with_compression(limits: Limits, compression: Option<&Parameters>) -> Self {
        let now = Duration::from_secs(1_000);
        Server {
            now,
            conn: Connection::new(now, &limits, 0, compression),
            limits,
            out: Vec::new(),
            scratch: Scratch::default(),
            sink: Recorder { room: usize::MAX, messages: Vec::new() },
            unread: Vec::new(),
            blocked: false,
        }
    }

    /// Bytes from the peer, in one piece; what was left before comes first.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let before = self.unread.len();
        self.unread.extend_from_slice(bytes);
        let total = self.unread.len();
        let Progress { consumed, blocked } = self.conn.receive(
            self.now,
            &self.limits,
            &mut self.unread,
            &mut self.out,
            &mut self.scratch,
            &mut self.sink,
        );
        assert!(consumed <= total, "took {consumed} of {total} bytes ({before} were left before)");
        assert_eq!(blocked, consumed < total, "bytes are left if and only if it is blocked");
        self.unread.drain(..consumed);
        self.blocked = blocked;
    }

    pub(crate) fn feed_frames(&mut self, frames: &[ClientFrame]) {
        self.feed(&encode(frames));
    }

    pub(crate) fn feed_bytewise(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.feed(std::slice::from_ref(byte));
        }
    }

    /// Feeds `bytes` cut into pieces; the sizes are taken in turn, again from the start when they are used up.
    pub(crate) fn feed_in_pieces(&mut self, mut bytes: &[u8], sizes: &[usize]) {
        for &size in sizes.iter().cycle() {
            if bytes.is_empty() {
                return;
            }
            let (piece, after) = bytes.split_at(size.clamp(1, bytes.len()));
            self.feed(piece);
            bytes = after;
        }
    }

    pub(crate) fn close(&mut self, code: u16, reason: &str) {
        self.conn.close(self.now, code, reason, &mut self.out);
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.conn.deadline(&self.limits)
    }

    /// What is overdue, and nothing else, is sent away or ended.
    pub(crate) fn on_deadline(&mut self) {
        let before = self.conn.state().clone();
        let is_overdue = self.conn.is_overdue(self.now, &self.limits);
        self.conn.on_deadline(self.now, &self.limits, &mut self.out);
        assert_eq!(*self.conn.state() != before, is_overdue);
    }

    /// What was sent since it was asked last.
    pub(crate) fn sent(&mut self) -> Vec<ServerFrame> {
        server_frames(&std::mem::take(&mut self.out))
    }

    pub(crate) fn ending(&self) -> Option<&Ending> {
        match self.conn.state() {
            State::Closed(ending) => Some(ending),
            State::Open | State::Closing => None,
        }
    }

    /// Code and cleanness of the end; panics while it is not there.
    pub(crate) fn ended(&self) -> (u16, bool) {
        let ending = self.ending().expect("the connection is not closed");
        (ending.code, ending.clean)
    }
}
