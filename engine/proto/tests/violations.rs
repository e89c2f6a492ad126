//! What a peer may not do, and the close code it is told (RFC 6455, sections 5.1 to 5.5, 7.4.1 and 8.1), and
//! how early. Close frames have their own file: closing.rs.

mod common;

use common::*;
use wsengine_proto::deflate::Parameters;
use wsengine_proto::{Limits, State};

fn frame(opcode: u8, payload: impl AsRef<[u8]>) -> ClientFrame {
    ClientFrame::new(opcode, payload)
}

fn limits() -> Limits {
    Limits { max_message_bytes: 70_000, max_fragments: 3, ..Limits::default() }
}

/// Feeds `bytes` whole and byte by byte: each time the peer must be told `code` and the connection be over.
#[track_caller]
fn assert_refused(name: &str, compression: Option<&Parameters>, bytes: &[u8], code: u16) {
    for bytewise in [false, true] {
        let mut server = Server::with_compression(limits(), compression);
        if bytewise {
            server.feed_bytewise(bytes)
        } else {
            server.feed(bytes)
        }
        let sent = server.sent();
        let closes: Vec<_> = sent.iter().filter(|frame| frame.opcode == CLOSE).collect();
        assert_eq!(closes.len(), 1, "{name}, bytewise: {bytewise}, sent {sent:?}");
        assert_eq!(closes[0].close_code(), Some(code), "{name}, bytewise: {bytewise}");
        assert!(
            std::str::from_utf8(&closes[0].payload[2..]).is_ok_and(|reason| !reason.is_empty()),
            "{name}"
        );
        assert_eq!(server.ended(), (code, false), "{name}, bytewise: {bytewise}");
    }
}

#[track_caller]
fn assert_fine(name: &str, compression: Option<&Parameters>, bytes: &[u8], messages: usize) {
    for bytewise in [false, true] {
        let mut server = Server::with_compression(limits(), compression);
        if bytewise {
            server.feed_bytewise(bytes)
        } else {
            server.feed(bytes)
        }
        assert_eq!(server.conn.state(), &State::Open, "{name}, bytewise: {bytewise}");
        assert_eq!(server.sink.messages.len(), messages, "{name}, bytewise: {bytewise}");
    }
}

#[test]
fn single_frames() {
    let cases = [
        ("reserved opcode 3", frame(0x3, "x"), 1002),
        ("reserved opcode 7, empty", frame(0x7, ""), 1002),
        ("reserved control opcode b", frame(0xb, ""), 1002),
        ("reserved control opcode f", frame(0xf, "x"), 1002),
        ("unmasked text", frame(TEXT, "x").unmasked(), 1002),
        ("unmasked and empty", frame(BINARY, "").unmasked(), 1002),
        ("unmasked ping", frame(PING, "").unmasked(), 1002),
        ("unmasked close", frame(CLOSE, close_payload(1000, "")).unmasked(), 1002),
        ("fragmented ping", frame(PING, "x").more(), 1002),
        ("fragmented pong", frame(PONG, "").more(), 1002),
        ("fragmented close", frame(CLOSE, close_payload(1000, "")).more(), 1002),
        ("ping of 126 bytes", frame(PING, [0; 126]), 1002),
        ("pong of 65,536 bytes", frame(PONG, [0; 65_536]), 1002),
        ("close of 126 bytes", frame(CLOSE, close_payload(1000, &"x".repeat(124))), 1002),
        ("ping with a 16-bit length", frame(PING, "x").length(Length::Bits16), 1002),
        ("0 in 16 bits", frame(TEXT, "").length(Length::Bits16), 1002),
        ("125 in 16 bits", frame(TEXT, "x".repeat(125)).length(Length::Bits16), 1002),
        ("125 in 64 bits", frame(TEXT, "x".repeat(125)).length(Length::Bits64), 1002),
        ("65,535 in 64 bits", frame(BINARY, [0; 65_535]).length(Length::Bits64), 1002),
        ("length with its highest bit", frame(BINARY, "").length(Length::Declared(1 << 63)), 1002),
        ("all length bits", frame(BINARY, "").length(Length::Declared(u64::MAX)), 1002),
        ("longest length there is", frame(BINARY, "").length(Length::Declared((1 << 63) - 1)), 1009),
        ("nothing to continue", frame(CONTINUATION, "x"), 1002),
        ("nothing to continue, not the last", frame(CONTINUATION, "x").more(), 1002),
        ("text that is not UTF-8", frame(TEXT, b"\xff"), 1007),
        ("text that ends inside a character", frame(TEXT, b"caf\xc3"), 1007),
        ("a surrogate", frame(TEXT, b"\xed\xa0\x80"), 1007),
        ("an overlong slash", frame(TEXT, b"\xc0\xaf"), 1007),
        ("beyond the last code point", frame(TEXT, b"\xf4\x90\x80\x80"), 1007),
        ("a message over the limit", frame(BINARY, [0; 70_001]), 1009),
    ];
    for (name, frame, code) in cases {
        assert_refused(name, None, &frame.encode(), code);
    }
}

#[test]
fn sequences_of_frames() {
    let cases = [
        ("a message in a message", vec![frame(TEXT, "a").more(), frame(TEXT, "b")], 1002),
        ("a fragment in a message", vec![frame(TEXT, "a").more(), frame(BINARY, "b").more()], 1002),
        (
            "a second end",
            vec![frame(TEXT, "a").more(), frame(CONTINUATION, "b"), frame(CONTINUATION, "c")],
            1002,
        ),
        ("nothing to continue after a whole message", vec![frame(TEXT, "a"), frame(CONTINUATION, "b")], 1002),
        (
            "a character cut short by the last fragment",
            vec![frame(TEXT, b"\xe2\x82").more(), frame(CONTINUATION, "")],
            1007,
        ),
        (
            "a character broken across fragments",
            vec![frame(TEXT, b"\xe2\x82").more(), frame(CONTINUATION, b"x")],
            1007,
        ),
        (
            "one byte over the limit in the last of two fragments",
            vec![frame(BINARY, [0; 70_000]).more(), frame(CONTINUATION, "x")],
            1009,
        ),
        (
            "a ping does not make room",
            vec![frame(BINARY, [0; 70_000]).more(), frame(PING, ""), frame(CONTINUATION, "x").more()],
            1009,
        ),
        ("empty fragments count", [vec![frame(TEXT, "").more()], empty_fragments(3)].concat(), 1008),
    ];
    for (name, frames, code) in cases {
        assert_refused(name, None, &encode(&frames), code);
    }
}

fn empty_fragments(count: usize) -> Vec<ClientFrame> {
    vec![frame(CONTINUATION, "").more(); count]
}

#[test]
fn what_is_just_allowed() {
    let cases = [
        ("ping of 125 bytes", vec![frame(PING, [0; 125])], 0),
        ("pong nobody asked for", vec![frame(PONG, "hi")], 0),
        ("empty text", vec![frame(TEXT, "")], 1),
        ("126 in 16 bits", vec![frame(TEXT, "x".repeat(126))], 1),
        ("65,535 in 16 bits", vec![frame(BINARY, [0; 65_535])], 1),
        ("65,536 in 64 bits", vec![frame(BINARY, [0; 65_536])], 1),
        ("a message at the limit", vec![frame(BINARY, [0; 70_000])], 1),
        (
            "a message at the limit, in fragments",
            vec![frame(BINARY, [0; 69_999]).more(), frame(CONTINUATION, "x").more(), frame(CONTINUATION, "")],
            1,
        ),
        ("binary that is not UTF-8", vec![frame(BINARY, b"\xff")], 1),
        ("a null character", vec![frame(TEXT, "\0")], 1),
        ("a noncharacter", vec![frame(TEXT, "\u{ffff}")], 1),
    ];
    for (name, frames, messages) in cases {
        assert_fine(name, None, &encode(&frames), messages);
    }
}

#[test]
fn a_second_message_has_its_own_limits() {
    let message = || vec![frame(TEXT, "é").more(), frame(CONTINUATION, "").more(), frame(CONTINUATION, "x")];
    assert_fine("three fragments three times", None, &encode(&[message(), message(), message()].concat()), 3);
    let big = || vec![frame(BINARY, [0; 40_000]).more(), frame(CONTINUATION, [0; 30_000])];
    assert_fine("the limit twice", None, &encode(&[big(), big()].concat()), 2);
}

#[test]
fn reserved_bits() {
    for bit in [0x40, 0x20, 0x10] {
        for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
            let bytes = frame(opcode, close_payload(1000, "")).reserved(bit).encode();
            assert_refused("no extension", None, &bytes, 1002);
            if bit != 0x40 || !matches!(opcode, TEXT | BINARY) {
                assert_refused("not what the extension claims", Some(&ALONE), &bytes, 1002);
            }
        }
        let continuation = [frame(TEXT, "a").more(), frame(CONTINUATION, "b").reserved(bit)];
        assert_refused("no extension", None, &encode(&continuation), 1002);
        assert_refused("not the first frame", Some(&ALONE), &encode(&continuation), 1002);
    }
}

/// Autobahn 6.4.3 and 6.4.4: a frame that has not wholly arrived.
#[test]
fn text_fails_at_its_first_wrong_byte() {
    let payload = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited";
    let first_wrong = 12;
    let bytes = frame(TEXT, payload).encode();
    let at = bytes.len() - payload.len() + first_wrong;
    for sizes in [vec![1], vec![at], vec![at - 1, 1]] {
        let mut server = Server::new(Limits::default());
        server.feed_in_pieces(&bytes[..at], &sizes);
        assert_eq!(server.conn.state(), &State::Open, "{sizes:?}");
        server.feed(&bytes[at..=at]);
        assert_eq!(server.ended(), (1007, false), "{sizes:?}");
    }
}

#[test]
fn text_fails_inside_a_later_fragment() {
    let mut server = Server::new(Limits::default());
    server
        .feed_frames(&[frame(TEXT, "κό\u{3c3}".as_bytes().split_last().unwrap().1).more(), frame(PING, "")]);
    assert_eq!(server.conn.state(), &State::Open);
    let next = frame(CONTINUATION, "/ and much more").more().encode();
    server.feed(&next[..6]);
    assert_eq!(server.conn.state(), &State::Open);
    server.feed(&next[6..7]);
    assert_eq!(server.ended(), (1007, false));
}

#[test]
fn a_length_over_the_limit_is_refused_at_the_header() {
    for (declared, opcode) in [(70_001, TEXT), (70_001, BINARY), (1 << 40, BINARY), ((1 << 63) - 1, TEXT)] {
        let header = frame(opcode, "").length(Length::Declared(declared)).encode();
        assert_refused("no payload was sent", None, &header, 1009);
    }
    let mut server = Server::new(limits());
    server.feed_frames(&[frame(BINARY, [0; 35_000]).more(), frame(CONTINUATION, [0; 34_999]).more()]);
    let header = ClientFrame::new(CONTINUATION, "").length(Length::Bits16);
    let header = ClientFrame { payload: vec![0; 126], ..header }.encode();
    server.feed(&header[..8]);
    assert_eq!(server.ended(), (1009, false));
}

#[test]
fn a_control_frame_is_judged_before_its_payload() {
    for (name, frame, enough) in [
        ("too long", frame(PING, [0; 126]), 2),
        ("fragmented", frame(PING, "x").more(), 1),
        ("reserved opcode", frame(0xb, "x"), 1),
        ("unmasked", frame(PING, "x").unmasked(), 2),
    ] {
        let mut server = Server::new(Limits::default());
        server.feed(&frame.encode()[..enough]);
        assert_eq!(server.ended(), (1002, false), "{name}");
    }
}

/// A sink without room delays messages, not judgement.
#[test]
fn a_header_is_judged_before_the_sink_is_asked_for_room() {
    for (name, before, wrong, code) in [
        ("nothing to continue", vec![], frame(CONTINUATION, "x"), 1002),
        ("too big", vec![], frame(BINARY, "").length(Length::Declared(70_001)), 1009),
        ("reserved bit", vec![], frame(TEXT, "x").reserved(0x40), 1002),
        ("a message in a message", vec![frame(TEXT, "a").more()], frame(TEXT, "b"), 1002),
        (
            "too many fragments",
            [vec![frame(TEXT, "a").more()], empty_fragments(2)].concat(),
            frame(CONTINUATION, ""),
            1008,
        ),
    ] {
        let mut server = Server::new(limits());
        server.feed_frames(&before);
        server.sink.room = 0;
        server.feed_frames(&[wrong]);
        assert!(!server.blocked, "{name}");
        assert_eq!(server.ended(), (code, false), "{name}");
    }
}

/// The limit is on fragments: a message in one frame is none, in however many pieces it arrives.
#[test]
fn a_message_in_one_frame_has_no_fragments() {
    for max_fragments in [0, 1] {
        let mut server = Server::new(Limits { max_fragments, ..Limits::default() });
        server.feed_frames(&[frame(TEXT, "whole")]);
        server.feed_bytewise(&frame(TEXT, "in pieces").encode());
        assert_eq!(server.sink.messages, [text("whole"), text("in pieces")]);
        server.feed_frames(&[frame(TEXT, "a").more(), frame(CONTINUATION, "b")]);
        assert_eq!(server.ended(), (1008, false));
    }
}

#[test]
fn nothing_after_a_violation_is_read() {
    let mut server = Server::new(Limits::default());
    server.feed_frames(&[
        frame(TEXT, "before"),
        frame(PING, "before"),
        frame(CONTINUATION, "wrong"),
        frame(TEXT, "after"),
        frame(PING, "after"),
        frame(CLOSE, close_payload(1000, "")),
    ]);
    server.feed_frames(&[frame(TEXT, "later")]);
    assert_eq!(server.sink.messages, [text("before")]);
    let sent = server.sent();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0], ServerFrame::new(PONG, "before"));
    assert_eq!(sent[1].close_code(), Some(1002));
}
