//! Compressed messages in a connection (RFC 7692): where they are cut, what they refer to, what they may cost.

mod common;

use common::*;
use proptest::collection::vec;
use proptest::prelude::*;
use wsengine_proto::Limits;
use wsengine_proto::deflate::{COMPRESSED, Deflater, Parameters};

/// A compressed message, as a client sends it.
fn compressed(opcode: u8, deflater: &mut Deflater, data: &[u8]) -> ClientFrame {
    let mut payload = Vec::new();
    assert!(deflater.deflate(data, &mut payload));
    ClientFrame::new(opcode, payload).reserved(COMPRESSED)
}

/// The same in fragments of at most `size` bytes: the bit is in the first only (section 6.1).
fn fragments(frame: &ClientFrame, size: usize) -> Vec<ClientFrame> {
    let pieces: Vec<&[u8]> = frame.payload.chunks(size).collect();
    let fragment = |(index, piece): (usize, &&[u8])| ClientFrame {
        fin: index + 1 == pieces.len(),
        reserved: if index == 0 { COMPRESSED } else { 0 },
        opcode: if index == 0 { frame.opcode } else { CONTINUATION },
        payload: piece.to_vec(),
        ..frame.clone()
    };
    pieces.iter().enumerate().map(fragment).collect()
}

fn server(max_message_bytes: usize, parameters: &Parameters) -> Server {
    Server::with_compression(Limits { max_message_bytes, ..Limits::default() }, Some(parameters))
}

/// Text that can be compressed, of any length.
fn sentence() -> impl Strategy<Value = String> {
    vec(prop_oneof!["the ", "same ", "words ", "again ", "[a-zé€𝄞]{1,8}"], 0..200)
        .prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn messages_come_out_as_they_went_in(
        texts in vec((sentence(), any::<bool>(), 1usize..400), 1..6),
        context in any::<bool>(), window_bits in 9u8..=15, size in 1usize..500,
    ) {
        let mut server = server(1 << 20, if context { &IN_CONTEXT } else { &ALONE });
        let mut deflater = Deflater::new(window_bits);
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (data, is_compressed, fragment) in &texts {
            if !context {
                deflater.reset();
            }
            match is_compressed {
                true => {
                    let frame = compressed(TEXT, &mut deflater, data.as_bytes());
                    bytes.extend(encode(&fragments(&frame, *fragment)));
                }
                // One that is not compressed leaves the context as it is (section 7.2.3).
                false => bytes.extend(ClientFrame::new(TEXT, data).encode()),
            }
            expected.push(text(data));
        }
        server.feed_in_pieces(&bytes, &[size]);
        prop_assert_eq!(server.ending(), None);
        prop_assert_eq!(server.sink.messages, expected);
    }

    #[test]
    fn any_compressed_bytes_do_no_harm(payload in vec(any::<u8>(), 0..300), context in any::<bool>()) {
        let mut server = server(1_000, if context { &IN_CONTEXT } else { &ALONE });
        for _ in 0..3 {
            server.feed(&ClientFrame::new(BINARY, &payload).reserved(COMPRESSED).encode());
        }
        prop_assert!(server.sink.messages.iter().all(|message| message.data.len() <= 1_000));
        if server.ending().is_some() {
            prop_assert!(matches!(server.ended(), (1007 | 1009, false)));
        }
    }
}

#[test]
fn connections_that_share_an_inflater_do_not_see_each_others_messages() {
    let mut first = server(1_000, &ALONE);
    let mut second = server(1_000, &ALONE);
    let mut deflater = Deflater::new(15);
    let data = "words that the second message refers to";
    let one = compressed(TEXT, &mut deflater, data.as_bytes());
    let two = compressed(TEXT, &mut deflater, data.as_bytes());
    first.feed(&one.encode());
    std::mem::swap(&mut first.scratch, &mut second.scratch);
    second.feed(&two.encode());
    assert_eq!(first.sink.messages, [text(data)]);
    assert_eq!(second.sink.messages, []);
    assert_eq!(second.ended(), (1007, false));
}

#[test]
fn a_bomb_ends_its_connection_with_1009() {
    for parameters in [&ALONE, &IN_CONTEXT] {
        let bomb = compressed(BINARY, &mut Deflater::new(15), &vec![0; 10 << 20]);
        assert!(bomb.payload.len() < 64 << 10, "{} bytes", bomb.payload.len());
        let mut server = server(1 << 20, parameters);
        server.feed(&encode(&fragments(&bomb, 1_000)));
        assert_eq!(server.ended(), (1009, false));
        assert_eq!(server.sink.messages, []);
    }
}

#[test]
fn the_limit_is_for_the_inflated_message() {
    // What cannot be compressed is longer on the wire than in itself.
    let mut state = 1u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let noise: Vec<u8> = noise.take(100_000).collect();
    let frame = compressed(BINARY, &mut Deflater::new(15), &noise);
    assert!(frame.payload.len() > noise.len());
    for pieces in [vec![frame.clone()], fragments(&frame, 5_000)] {
        let mut just = server(100_000, &ALONE);
        just.feed(&encode(&pieces));
        assert_eq!(just.sink.messages, [binary(&noise)]);
        let mut over = server(99_999, &ALONE);
        over.feed(&encode(&pieces));
        assert_eq!(over.ended(), (1009, false));
    }
}

#[test]
fn text_is_judged_when_it_is_inflated() {
    let mut deflater = Deflater::new(15);
    let mut sound = server(1_000, &IN_CONTEXT);
    sound.feed(&compressed(TEXT, &mut deflater, "é".as_bytes()).encode());
    sound.feed(&compressed(BINARY, &mut deflater, b"\xff").encode());
    assert_eq!(sound.sink.messages, [text("é"), binary(b"\xff")]);
    sound.feed(&compressed(TEXT, &mut deflater, b"\xc3").encode());
    assert_eq!(sound.ended(), (1007, false));
}

#[test]
fn compression_that_was_agreed_on_need_not_be_used() {
    let mut server = server(1_000, &ALONE);
    server.feed(&ClientFrame::new(TEXT, "plain").encode());
    server.feed(&ClientFrame::new(PING, "plain").encode());
    assert_eq!(server.sink.messages, [text("plain")]);
    assert_eq!(server.sent(), [ServerFrame::new(PONG, b"plain")]);
}
