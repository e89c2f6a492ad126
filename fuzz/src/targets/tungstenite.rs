//! A client's bytes read by us and by tungstenite: the same messages, and the same opinion of what is sound.

use crate::common::{Message, Server, text};
use std::io::{Cursor, Read, Write};
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use wsengine_proto::close::code;
use wsengine_proto::{Kind, Limits, State};

pub(crate) fn run(data: &[u8]) {
    let limits = Limits {
        max_control_frames_per_s: 0,
        max_fragments: u32::MAX,
        max_message_bytes: 1 << 24,
        ..Limits::default()
    };
    // We may refuse a frame before it is all there, tungstenite waits for the rest.
    let data = whole_frames(data);
    let mut ours = Server::new(limits);
    ours.feed(data);
    let (theirs, sound) = read_with_tungstenite(data);

    let messages = &ours.sink.messages;
    match ours.conn.state() {
        State::Open | State::Closing => {
            assert!(sound, "sound for us, not for tungstenite");
            assert_eq!(*messages, theirs);
        }
        State::Closed(ending) if ending.clean => assert_eq!(*messages, theirs),
        State::Closed(ending) => {
            // It reads on where we are stricter, and has what we have before it.
            assert!(theirs.starts_with(messages) || messages.starts_with(&theirs));
            let stricter = is_stricter(&ending.reason);
            assert!(
                !sound || stricter,
                "sound for tungstenite, but for us {}: {}",
                ending.code,
                ending.reason
            );
            assert_ne!(ending.code, code::ABNORMAL);
        }
    }
}

/// The frames that are all there, by their lengths alone.
fn whole_frames(data: &[u8]) -> &[u8] {
    let mut end = 0;
    loop {
        let Some(&[_, second]) = data.get(end..).and_then(<[u8]>::first_chunk) else { break };
        let extended = [0, 2, 8][usize::from(second & 0x7f == 126) + 2 * usize::from(second & 0x7f == 127)];
        let Some(bytes) = data.get(end + 2..end + 2 + extended) else { break };
        let len = match extended {
            0 => u64::from(second & 0x7f),
            _ => bytes.iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
        };
        let head = 2 + extended + if second & 0x80 != 0 { 4 } else { 0 };
        let size = usize::try_from(len).ok().and_then(|len| len.checked_add(end + head));
        match size.filter(|size| *size <= data.len()) {
            Some(size) => end = size,
            None => break,
        }
    }
    &data[..end]
}

/// A length that is written longer than needed, also that of a control frame, and a close frame that must not be:
/// tungstenite lets the first pass and answers the second without an error.
fn is_stricter(reason: &str) -> bool {
    ["length", "control frames carry", "close"].iter().any(|part| reason.contains(part))
}

/// The messages up to the first error or the close frame, and whether there was no error.
fn read_with_tungstenite(data: &[u8]) -> (Vec<Message>, bool) {
    let config = WebSocketConfig::default().max_message_size(Some(1 << 24)).max_frame_size(Some(1 << 24));
    let mut socket = WebSocket::from_raw_socket(Wire(Cursor::new(data)), Role::Server, Some(config));
    let mut messages = Vec::new();
    loop {
        match socket.read() {
            Ok(tungstenite::Message::Text(data)) => messages.push(text(data.as_str())),
            Ok(tungstenite::Message::Binary(data)) => {
                messages.push(Message { kind: Kind::Binary, data: data.to_vec() });
            }
            Ok(tungstenite::Message::Close(_)) => return (messages, true),
            Ok(_) => {}
            // The end of the bytes.
            Err(tungstenite::Error::Io(_)) => return (messages, true),
            Err(_) => return (messages, false),
        }
    }
}

/// The bytes to read; what is written is forgotten. At their end there is nothing yet, as on a socket.
struct Wire<'a>(Cursor<&'a [u8]>);

impl Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(std::io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
