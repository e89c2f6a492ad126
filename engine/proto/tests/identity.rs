//! Encoding and decoding are each other's inverse: what the crate writes is read back by the naive decoder of
//! the tests, what their naive encoder writes is read back by the crate.

mod common;

use common::*;
use proptest::collection::vec;
use proptest::prelude::*;
use wsengine_proto::frame::{self, Opcode};
use wsengine_proto::{CloseFrame, Kind, Limits};

/// Where the form of a length changes, and around it.
fn len() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0usize..300, 4 => 124usize..128, 1 => 65_534usize..65_538]
}

fn bytes_of(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

fn opcode() -> impl Strategy<Value = Opcode> {
    use Opcode::*;
    prop_oneof![Just(Continuation), Just(Text), Just(Binary), Just(Close), Just(Ping), Just(Pong)]
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn server_frames_are_read_back(frames in vec((opcode(), len(), any::<u8>()), 0..6), before: Vec<u8>) {
        let mut out = before.clone();
        let mut expected = Vec::new();
        for (opcode, len, seed) in frames {
            let payload = bytes_of(len, seed);
            frame::put(&mut out, opcode, &payload);
            expected.push(ServerFrame { opcode: opcode.bits(), payload });
        }
        prop_assert_eq!(&out[..before.len()], &before[..], "what was in the buffer stays");
        prop_assert_eq!(server_frames(&out[before.len()..]), expected);
    }

    #[test]
    fn a_header_alone_is_the_head_of_the_frame(opcode in opcode(), len in len()) {
        let (mut head, mut whole) = (Vec::new(), Vec::new());
        frame::put_header(&mut head, opcode, len);
        frame::put(&mut whole, opcode, &bytes_of(len, 0));
        prop_assert_eq!(head.len() + len, whole.len());
        prop_assert!(whole.starts_with(&head));
    }

    #[test]
    fn close_frames_are_read_back(code in 3000u16..5000, reason in ".{0,60}") {
        let mut out = Vec::new();
        frame::put_close(&mut out, Some(code), &reason);
        let frames = server_frames(&out);
        prop_assert_eq!(frames.len(), 1);
        prop_assert!(frames[0].payload.len() <= frame::MAX_CONTROL_BYTES);
        let close = CloseFrame::parse(&frames[0].payload).unwrap();
        prop_assert_eq!(close.code, Some(code));
        prop_assert!(reason.starts_with(close.reason));
        prop_assert!(close.reason == reason || close.reason.len() > frame::MAX_CONTROL_BYTES - 2 - 4);
    }

    #[test]
    fn client_messages_are_read_back(
        messages in vec((any::<bool>(), len(), any::<u8>(), any::<[u8; 4]>()), 0..5), size in 1usize..100_000,
    ) {
        let mut server = Server::new(Limits::default());
        let mut expected = Vec::new();
        let mut bytes = Vec::new();
        for (is_text, len, seed, key) in messages {
            let (opcode, kind) = if is_text { (TEXT, Kind::Text) } else { (BINARY, Kind::Binary) };
            let mut data = bytes_of(len, seed);
            if is_text {
                data.iter_mut().for_each(|byte| *byte &= 0x7f);
            }
            bytes.extend(ClientFrame { key: Some(key), ..ClientFrame::new(opcode, &data) }.encode());
            expected.push(Message { kind, data });
        }
        server.feed_in_pieces(&bytes, &[size]);
        prop_assert_eq!(server.sink.messages, expected);
    }

    #[test]
    fn pings_come_back_as_pongs(payloads in vec(vec(any::<u8>(), 0..=125), 0..10), size in 1usize..300) {
        let mut server = Server::new(Limits::default());
        let pings: Vec<_> = payloads.iter().map(|payload| ClientFrame::new(PING, payload)).collect();
        server.feed_in_pieces(&encode(&pings), &[size]);
        let pongs: Vec<_> = payloads.iter().map(|payload| ServerFrame::new(PONG, payload)).collect();
        prop_assert_eq!(server.sent(), pongs);
    }
}

#[test]
fn client_messages_where_the_length_changes_its_form() {
    for len in [0, 1, 124, 125, 126, 127, 65_534, 65_535, 65_536, 65_537] {
        let data = bytes_of(len, 7);
        let bytes = ClientFrame::new(BINARY, &data).encode();
        for size in [1, 2, 3, 14, 4_096, bytes.len()] {
            let mut server = Server::new(Limits::default());
            server.feed_in_pieces(&bytes, &[size]);
            assert_eq!(server.sink.messages, [binary(&data)], "{len} bytes in pieces of {size}");
        }
    }
}
