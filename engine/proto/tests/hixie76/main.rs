//! Frames of the protocol of 2010 (draft-ietf-hybi-thewebsocketprotocol-00, section 5.3): what is let in, and
//! what ends the connection and how.

mod chunking;
#[path = "../common/mod.rs"]
mod common;
mod peer;

use common::text;
use peer::*;
use std::time::Duration;
use wsengine_proto::hixie76::Hixie76;
use wsengine_proto::{Kind, Limits, Payload, Sink, State};

/// Whole and byte by byte: the connection ends with this code, and the peer is told that it ends.
#[track_caller]
fn assert_refused(bytes: &[u8], code: u16) {
    for bytewise in [false, true] {
        let mut peer = Peer::new(limits());
        if bytewise {
            peer.feed_bytewise(bytes)
        } else {
            peer.feed(bytes)
        };
        let (found, reason, clean) = peer.ended().expect("refused");
        assert_eq!((found, clean), (code, false), "{:?}", bytes.escape_ascii().to_string());
        assert!(!reason.is_empty());
        assert_eq!(peer.out, CLOSE_FRAME);
    }
}

#[test]
fn texts_come_as_they_were_sent() {
    let bytes = encode_texts(&["Hello", "", "h\u{e9}llo \u{1d11e}\0"]);
    assert!(bytes.starts_with(b"\x00Hello\xff\x00\xff"));
    let mut peer = Peer::new(limits());
    assert_eq!(peer.feed(&bytes).sink.messages, [text("Hello"), text(""), text("h\u{e9}llo \u{1d11e}\0")]);
    assert_eq!((peer.conn.state(), &peer.out[..]), (&State::Open, &b""[..]));
}

#[test]
fn a_text_that_is_there_as_a_whole_is_not_copied() {
    struct Borrowing(Vec<(*const u8, bool)>);
    impl Sink for Borrowing {
        fn has_room(&mut self) -> bool {
            true
        }

        fn message(&mut self, _: Kind, payload: Payload<'_>) {
            self.0.push((payload.as_bytes().as_ptr(), matches!(payload, Payload::Borrowed(_))));
        }
    }
    let longest = "x".repeat(limits().max_message_bytes);
    let bytes = encode_texts(&["one", &longest]);
    let mut sink = Borrowing(Vec::new());
    Hixie76::new(Duration::ZERO).receive(Duration::ZERO, &limits(), &bytes, &mut Vec::new(), &mut sink);
    assert_eq!(sink.0, [(bytes[1..].as_ptr(), true), (bytes[6..].as_ptr(), true)]);
}

#[test]
fn other_frames_are_refused_at_their_first_byte() {
    for first in 0x01..=0xfe {
        assert_refused(&[first], 1002);
        assert_refused(&[b"\x00a\xff", &[first][..], b"\x00b\xff"].concat(), 1002);
        assert_refused(&[0xff, first], 1002);
    }
    assert_refused(b"\xff\xff", 1002);
}

#[test]
fn text_is_utf8_and_is_refused_at_its_first_wrong_byte() {
    for wrong in [&b"\xc0"[..], b"caf\xc3\xff", b"\xed\xa0", b"\xf4\x90", b"\x80"] {
        assert_refused(&[b"\x00", wrong].concat(), 1007);
    }
    assert_eq!(Peer::new(limits()).feed(b"\x00caf\xc3").ended(), None);
}

#[test]
fn a_text_has_at_most_as_many_bytes_as_are_allowed() {
    let text = |len: usize| encode_texts(&["x".repeat(len)]);
    for bytewise in [false, true] {
        let mut peer = Peer::new(limits());
        if bytewise {
            peer.feed_bytewise(&text(100))
        } else {
            peer.feed(&text(100))
        };
        assert_eq!(peer.sink.messages.len(), 1);
    }
    assert_refused(&text(101), 1009);
    assert_refused(&text(101)[..102], 1009);
    // What comes first counts.
    assert_refused(&[b"\x00", &[b'x'; 99][..], b"\x80", &[b'x'; 99]].concat(), 1007);
    assert_refused(&[b"\x00", &[b'x'; 100][..], b"\x80", &[b'x'; 99]].concat(), 1009);
}

#[test]
fn the_closing_handshake_of_the_peer_is_answered() {
    let mut peer = Peer::new(limits());
    peer.feed(b"\x00bye\xff\xff\x00\x00late\xff");
    assert_eq!(peer.sink.messages, [text("bye")]);
    assert_eq!((peer.ended(), &peer.out[..]), (Some((1005, "", true)), CLOSE_FRAME));
}

#[test]
fn our_closing_handshake_is_answered_by_the_peer() {
    let mut peer = Peer::new(limits());
    peer.feed(b"\x00mid").close(4000, "enough").close(4001, "more");
    assert_eq!((peer.conn.state(), &peer.out[..]), (&State::Closing, CLOSE_FRAME));
    peer.feed(b"dle\xff\xff").feed(b"\x00");
    assert_eq!(peer.sink.messages, [text("middle")]);
    assert_eq!((peer.ended(), &peer.out[..]), (Some((4000, "enough", true)), CLOSE_FRAME));
}

#[test]
fn after_our_closing_handshake_our_code_stays() {
    let mut peer = Peer::new(limits());
    peer.close(4000, "enough").feed(b"\x81");
    assert_eq!((peer.ended(), &peer.out[..]), (Some((4000, "enough", false)), CLOSE_FRAME));
    let mut peer = Peer::new(limits());
    peer.close(4000, "enough").conn.end_of_stream();
    assert_eq!(peer.ended(), Some((4000, "enough", false)));
    let mut peer = Peer::new(limits());
    peer.close(4000, "enough").at(limits().close_timeout - Duration::from_millis(1));
    assert_eq!(peer.conn.state(), &State::Closing);
    assert_eq!(peer.at(limits().close_timeout).ended(), Some((4000, "enough", false)));
}

#[test]
fn a_stream_that_ends_without_a_closing_handshake_is_abnormal() {
    for bytes in [&b""[..], b"\x00half", b"\xff"] {
        let mut peer = Peer::new(limits());
        peer.feed(bytes).conn.end_of_stream();
        assert_eq!((peer.ended(), &peer.out[..]), (Some((1006, "", false)), &b""[..]));
    }
}

#[test]
fn the_owners_own_end_says_nothing() {
    let mut peer = Peer::new(limits());
    peer.feed(b"\x00half").conn.end(1013, "too slow", false);
    peer.close(1000, "").feed(b"\xff\x00").conn.end(1000, "", true);
    assert_eq!((peer.ended(), &peer.out[..]), (Some((1013, "too slow", false)), &b""[..]));
}

#[test]
fn silence_is_no_sign_of_death() {
    let mut peer = Peer::new(limits());
    assert_eq!(peer.conn.deadline(&limits()), None);
    peer.at(Duration::from_secs(1_000_000));
    assert_eq!((peer.conn.state(), &peer.out[..]), (&State::Open, &b""[..]));
}

#[test]
fn a_peer_without_messages_is_sent_away() {
    let second = Duration::from_secs(1);
    let mut peer = Peer::new(Limits { idle_timeout: 10 * second, ..limits() });
    peer.at(5 * second).feed(b"\x00a\xff\x00b").at(10 * second);
    assert_eq!((peer.conn.deadline(&peer.limits), peer.conn.state()), (Some(1_015 * second), &State::Open));
    peer.at(15 * second);
    assert_eq!((peer.conn.state(), &peer.out[..]), (&State::Closing, CLOSE_FRAME));
    assert_eq!(peer.feed(b"\xff\xff\x00").ended(), Some((1001, "no message for too long", true)));
}

#[test]
fn a_peer_that_waits_for_us_is_not_idle() {
    let second = Duration::from_secs(1);
    let mut peer = Peer::new(Limits { idle_timeout: 10 * second, ..limits() });
    peer.sink.room = 0;
    peer.feed(b"\x00a").at(10 * second);
    assert_eq!((peer.conn.state(), peer.conn.deadline(&peer.limits)), (&State::Open, Some(1_020 * second)));
    peer.now = 1_015 * second;
    peer.sink.room = 1;
    peer.feed(b"").at(24 * second);
    assert_eq!((peer.conn.state(), peer.conn.deadline(&peer.limits)), (&State::Open, Some(1_025 * second)));
}
