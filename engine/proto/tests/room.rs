//! When a connection asks whether there is room for a message, and what waits until there is.

mod common;

use common::*;
use std::time::Duration;
use wsengine_proto::deflate::Scratch;
use wsengine_proto::{Connection, Kind, Limits, Payload, Sink};

const NOW: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits { max_fragments: 3, ..Limits::default() }
}

/// Asking for room again must not count the waiting fragment again.
#[test]
fn a_fragment_that_waits_for_room_counts_once() {
    let mut server = Server::new(limits());
    server.feed_frames(&[ClientFrame::new(TEXT, "a").more(), ClientFrame::new(CONTINUATION, "b").more()]);
    server.sink.room = 0;
    server.feed_frames(&[ClientFrame::new(CONTINUATION, "c")]);
    for _ in 0..10 {
        server.feed(&[]);
        assert!(server.blocked);
    }
    server.sink.room = 1;
    server.feed(&[]);
    assert_eq!(server.sink.messages, [text("abc")]);
}

/// A hundred that sent theirs byte by byte had all begun while there was room for a few.
#[test]
fn what_was_begun_while_there_was_room_waits_for_it_at_its_end() {
    let parts = [
        ClientFrame::new(TEXT, "ab").more(),
        ClientFrame::new(PING, ""),
        ClientFrame::new(CONTINUATION, "cd"),
    ];
    let bytes: Vec<u8> = parts.iter().flat_map(ClientFrame::encode).collect();
    let mut server = Server::new(limits());
    server.feed_bytewise(&bytes[..bytes.len() - 1]);
    server.sink.room = 0;
    for _ in 0..3 {
        server.feed(&bytes[bytes.len() - 1..][..usize::from(!server.blocked)]);
        assert!(server.blocked);
        assert!(server.sink.messages.is_empty());
    }
    server.sink.room = 1;
    server.feed(&[]);
    assert_eq!(server.sink.messages, [text("abcd")]);
}

/// Asked a second time with nothing left of it, it was blocked until the peer sent another byte.
#[test]
fn an_empty_last_frame_is_asked_for_once() {
    struct Once(usize, Vec<Vec<u8>>);
    impl Sink for Once {
        fn has_room(&mut self) -> bool {
            self.0 -= usize::from(self.0 > 0);
            self.0 > 0
        }

        fn message(&mut self, _: Kind, payload: Payload<'_>) {
            self.1.push(payload.as_bytes().to_vec());
        }
    }
    let frames = [ClientFrame::new(TEXT, "ab").more(), ClientFrame::new(CONTINUATION, "")];
    let mut bytes: Vec<u8> = frames.iter().flat_map(ClientFrame::encode).collect();
    let mut sink = Once(frames.len() + 1, Vec::new());
    let mut conn = Connection::new(NOW, &limits(), 0, None);
    let progress =
        conn.receive(NOW, &limits(), &mut bytes, &mut Vec::new(), &mut Scratch::default(), &mut sink);
    assert_eq!((progress.consumed, progress.blocked), (bytes.len(), false));
    assert_eq!(sink.1, [b"ab"]);
}
