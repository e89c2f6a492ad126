//! How TCP cuts the bytes must make no difference: the same messages, the same bytes out, the same end.

use crate::common::{Message, cases, text};
use crate::peer::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;
use wsengine_proto::{Limits, State};

/// With a deadline for every state but the last.
fn limits() -> Limits {
    Limits { idle_timeout: Duration::from_secs(10), ..crate::peer::limits() }
}

fn in_one_piece(bytes: &[u8]) -> Seen {
    Peer::new(limits()).feed(bytes).seen()
}

/// Sizes and rooms are taken in turn. Without rooms there is always room; with them there is none at first,
/// and that there is some again is told to nobody: only the next bytes find it.
fn in_pieces(bytes: &[u8], sizes: &[usize], rooms: &[usize]) -> Seen {
    let mut peer = Peer::new(limits());
    peer.sink.room = if rooms.is_empty() { usize::MAX } else { 0 };
    let mut rooms = rooms.iter().cycle();
    let mut rest = bytes;
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(size.clamp(1, rest.len()));
        peer.feed(piece);
        rest = after;
        peer.sink.room = rooms.next().copied().unwrap_or(usize::MAX);
    }
    while peer.blocked {
        peer.sink.room = 1;
        peer.feed(&[]);
    }
    peer.seen()
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    vec(prop_oneof![8 => ".{0,24}", 1 => "[a-z]{90,100}"], 0..6)
}

fn ending() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![Just(&b""[..]), Just(&b"\xff\x00"[..]), Just(&b"\xff\x00\x00late\xff"[..])]
}

/// Mostly sound traffic with one byte changed, frames too long or not of text, and bytes in any order.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let nearly_sound = (texts(), ending(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(texts, ending, at, wrong)| {
            let mut bytes = [&encode_texts(&texts)[..], ending].concat();
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = wrong;
            }
            bytes
        },
    );
    let byte = prop_oneof![3 => Just(0x00), 3 => Just(0xff), 6 => 0x20u8..0x7f, 1 => any::<u8>()];
    let long = (90usize..110, 0usize..110, any::<u8>()).prop_map(|(len, at, wrong)| {
        let mut text = vec![b'x'; len];
        text.iter_mut().skip(at).take(1).for_each(|byte| *byte = wrong);
        encode_texts(&[text])
    });
    prop_oneof![nearly_sound, vec(byte, 0..60), long, vec(any::<u8>(), 0..100)]
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), vec(1usize..8, 1..10), vec(1usize..200, 1..10)]
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn sound_traffic_is_the_same_in_any_pieces(
        texts in texts(), ending in ending(), sizes in sizes(), rooms in vec(0usize..3, 1..10),
    ) {
        prop_assume!(texts.iter().all(|text| text.len() <= 100));
        let bytes = [&encode_texts(&texts)[..], ending].concat();
        let whole = in_one_piece(&bytes);
        let expected: Vec<Message> = texts.iter().map(|data| text(data)).collect();
        prop_assert_eq!(&whole.messages, &expected);
        prop_assert_eq!(&whole.out[..], if ending.is_empty() { b"" } else { CLOSE_FRAME });
        prop_assert_eq!(whole.state == State::Open, ending.is_empty());
        prop_assert_eq!(&in_pieces(&bytes, &sizes, &[]), &whole);
        prop_assert_eq!(&in_pieces(&bytes, &sizes, &rooms), &whole);
    }

    #[test]
    fn garbage_ends_the_same_in_any_pieces(
        bytes in garbage(), sizes in sizes(), rooms in vec(0usize..3, 1..10),
    ) {
        let whole = in_one_piece(&bytes);
        prop_assert_eq!(&in_pieces(&bytes, &sizes, &[]), &whole);
        prop_assert_eq!(&in_pieces(&bytes, &sizes, &rooms), &whole);
    }

    /// A socket may deliver more after the end of the connection, and the caller need not look.
    #[test]
    fn a_closed_connection_looks_at_nothing(bytes in garbage(), after in garbage()) {
        let mut peer = Peer::new(limits());
        peer.feed(&bytes).conn.end_of_stream();
        let seen = peer.seen();
        prop_assert_eq!(peer.close(1000, "").feed(&after).seen(), seen);
        prop_assert!(!peer.blocked);
    }
}
