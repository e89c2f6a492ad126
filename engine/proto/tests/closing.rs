//! Close frames and the closing handshake (RFC 6455, sections 5.5.1, 7.1 and 7.4).

mod common;

use common::*;
use wsengine_proto::{CloseFrame, Limits, State};

fn server() -> Server {
    Server::new(Limits::default())
}

fn close(payload: impl AsRef<[u8]>) -> ClientFrame {
    ClientFrame::new(CLOSE, payload)
}

/// Section 7.4 and the registry of IANA, written out once more.
fn may_be_sent(code: u16) -> bool {
    match code {
        0..=999 => false,
        1004..=1006 => false,
        1000..=1014 => true,
        1015..=2999 => false,
        3000..=4999 => true,
        _ => false,
    }
}

#[test]
fn every_close_code() {
    for code in (0..=5_100).chain((5_101..=u16::MAX).step_by(97)).chain([u16::MAX]) {
        let mut server = server();
        server.feed_frames(&[close(close_payload(code, "bye"))]);
        let sent = server.sent();
        assert_eq!(sent.len(), 1, "{code}");
        if may_be_sent(code) {
            assert_eq!(sent[0].payload, code.to_be_bytes(), "{code}");
            let ending = server.ending().unwrap();
            assert_eq!((ending.code, &*ending.reason, ending.clean), (code, "bye", true));
        } else {
            assert_eq!(sent[0].close_code(), Some(1002), "{code}");
            assert_eq!(server.ended(), (1002, false), "{code}");
        }
    }
}

#[test]
fn an_empty_close_frame_is_answered_by_one() {
    let mut server = server();
    server.feed_frames(&[close("")]);
    assert_eq!(server.sent(), [ServerFrame::new(CLOSE, "")]);
    assert_eq!(server.ended(), (1005, true));
}

#[test]
fn a_payload_of_one_byte_is_refused() {
    let mut server = server();
    server.feed_frames(&[close(b"\x03")]);
    assert_eq!(server.sent()[0].close_code(), Some(1002));
    assert_eq!(server.ended(), (1002, false));
}

#[test]
fn a_reason_that_is_not_utf8_is_refused() {
    for wrong in [&b"\xff"[..], b"ok \xc3", b"\xed\xa0\x80"] {
        let mut server = server();
        server.feed_frames(&[close([&1000u16.to_be_bytes()[..], wrong].concat())]);
        assert_eq!(server.sent()[0].close_code(), Some(1007));
        assert_eq!(server.ended(), (1007, false));
    }
}

#[test]
fn the_longest_reason_is_read_in_any_pieces() {
    let reason = format!("x{}", "é".repeat(61));
    assert_eq!(reason.len(), 123);
    let bytes = close(close_payload(3000, &reason)).encode();
    for size in [1, 2, 7, 100, 200] {
        let mut server = server();
        server.feed_in_pieces(&bytes, &[size]);
        assert_eq!(&*server.ending().unwrap().reason, reason);
        assert_eq!(server.ended(), (3000, true));
    }
}

#[test]
fn our_reason_is_cut_at_a_character() {
    let mut server = server();
    server.close(1000, &"é".repeat(100));
    let sent = server.sent();
    let said = CloseFrame::parse(&sent[0].payload).unwrap();
    assert_eq!((said.code, said.reason), (Some(1000), &*"é".repeat(61)));
    server.feed_frames(&[close(close_payload(1000, ""))]);
    assert_eq!(&*server.ending().unwrap().reason, "é".repeat(61), "the event says what was sent");
}

#[test]
fn ours_is_answered_then_it_is_clean_and_the_code_is_ours() {
    let mut server = server();
    server.close(4000, "enough");
    assert_eq!(server.sent(), [ServerFrame::new(CLOSE, close_payload(4000, "enough"))]);
    assert_eq!(server.conn.state(), &State::Closing);
    server.feed_frames(&[close(close_payload(1000, "their reason"))]);
    assert!(server.sent().is_empty(), "there is one close frame from each side");
    let ending = server.ending().unwrap();
    assert_eq!((ending.code, &*ending.reason, ending.clean), (4000, "enough", true));
}

#[test]
fn data_after_a_close_frame_is_ignored() {
    let mut server = server();
    server.feed_frames(&[
        ClientFrame::new(TEXT, "before"),
        close(close_payload(1000, "")),
        ClientFrame::new(TEXT, "after"),
        ClientFrame::new(PING, "after"),
        close(close_payload(1001, "")),
    ]);
    server.feed_frames(&[ClientFrame::new(TEXT, "later")]);
    server.feed(b"\xff\xff\xff");
    assert_eq!(server.sink.messages, [text("before")]);
    assert_eq!(server.sent(), [ServerFrame::new(CLOSE, close_payload(1000, ""))]);
    assert_eq!(server.ended(), (1000, true));
}

/// What the peer sent before it saw our close frame still counts.
#[test]
fn messages_still_arrive_after_our_close_frame() {
    let mut server = server();
    server.close(1000, "");
    server.feed_frames(&[ClientFrame::new(TEXT, "on its way"), close(close_payload(1000, ""))]);
    assert_eq!(server.sink.messages, [text("on its way")]);
    assert_eq!(server.ended(), (1000, true));
}

#[test]
fn a_ping_after_our_close_frame_is_not_answered() {
    let mut server = server();
    server.close(1000, "");
    server.sent();
    server.feed_frames(&[ClientFrame::new(PING, "still there?")]);
    assert!(server.sent().is_empty());
    assert_eq!(server.conn.state(), &State::Closing);
}

#[test]
fn a_violation_after_our_close_frame_ends_without_a_second_one() {
    for wrong in [close(b"\x03"), ClientFrame::new(CONTINUATION, "x"), ClientFrame::new(TEXT, b"\xff")] {
        let mut server = server();
        server.close(1001, "going down");
        server.sent();
        server.feed_frames(&[wrong]);
        assert!(server.sent().is_empty());
        let ending = server.ending().unwrap();
        assert_eq!((ending.code, &*ending.reason, ending.clean), (1001, "going down", false));
    }
}

#[test]
fn closing_twice_is_closing_once() {
    let mut server = server();
    server.close(1000, "first");
    server.close(1001, "second");
    assert_eq!(server.sent(), [ServerFrame::new(CLOSE, close_payload(1000, "first"))]);
    server.feed_frames(&[close("")]);
    server.close(1001, "third");
    assert!(server.sent().is_empty());
    assert_eq!(&*server.ending().unwrap().reason, "first");
}

#[test]
fn closing_what_the_peer_has_closed_says_nothing() {
    let mut server = server();
    server.feed_frames(&[close(close_payload(1001, "leaving"))]);
    server.sent();
    server.close(1000, "");
    assert!(server.sent().is_empty());
    assert_eq!(server.ended(), (1001, true));
}

#[test]
fn a_close_frame_is_read_inside_a_fragmented_message() {
    let mut server = server();
    server.feed_frames(&[ClientFrame::new(TEXT, "half a mess").more(), close(close_payload(1000, ""))]);
    assert!(server.sink.messages.is_empty());
    assert_eq!(server.ended(), (1000, true));
}

/// A close frame is not a message: the sink need not have room for it, nor for what stood before it, once read.
#[test]
fn a_close_frame_needs_no_room() {
    let mut server = server();
    server.sink.room = 0;
    server.feed_frames(&[ClientFrame::new(PING, ""), close(close_payload(1000, ""))]);
    assert!(!server.blocked);
    assert_eq!(server.ended(), (1000, true));
}

#[test]
fn a_close_frame_waits_behind_a_message_without_room() {
    let mut server = server();
    server.sink.room = 0;
    server.feed_frames(&[ClientFrame::new(TEXT, "first"), close(close_payload(1000, ""))]);
    assert!(server.blocked);
    assert_eq!(server.conn.state(), &State::Open);
    server.sink.room = 1;
    server.feed(&[]);
    assert_eq!(server.sink.messages, [text("first")]);
    assert_eq!(server.ended(), (1000, true));
}

#[test]
fn a_stream_that_just_ends_is_1006() {
    let mut server = server();
    server.conn.end_of_stream();
    assert_eq!(server.ended(), (1006, false));
    assert!(server.sent().is_empty());
    assert_eq!(server.deadline(), None);
}

/// The code is that of the first close frame, and ours was on its way.
#[test]
fn a_stream_that_ends_after_our_close_frame_has_our_code() {
    let mut server = server();
    server.close(4001, "kicked");
    server.conn.end_of_stream();
    let ending = server.ending().unwrap();
    assert_eq!((ending.code, &*ending.reason, ending.clean), (4001, "kicked", false));
}

#[test]
fn the_first_end_counts() {
    let mut server = server();
    server.feed_frames(&[close(close_payload(1000, "done"))]);
    server.conn.end_of_stream();
    server.conn.end(1013, "too slow", false);
    assert_eq!(server.ended(), (1000, true));
}

#[test]
fn the_owner_may_end_it_with_a_code_of_its_own() {
    let mut server = server();
    server.conn.end(1013, "too slow", false);
    assert_eq!(server.ended(), (1013, false));
    assert!(server.sent().is_empty());
}
