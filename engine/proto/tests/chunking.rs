//! How TCP cuts the bytes must make no difference: the same messages, the same bytes out, the same end,
//! for sound traffic, for garbage, and with a sink whose room comes and goes.

mod common;

use common::*;
use proptest::collection::vec;
use proptest::prelude::*;
use wsengine_proto::deflate::Parameters;
use wsengine_proto::{Limits, State};

/// All that an observer can see of a connection.
#[derive(Debug, PartialEq)]
struct Seen {
    messages: Vec<Message>,
    out: Vec<u8>,
    state: State,
    deadline: Option<std::time::Duration>,
}

fn seen(server: Server) -> Seen {
    Seen {
        deadline: server.deadline(),
        state: server.conn.state().clone(),
        messages: server.sink.messages,
        out: server.out,
    }
}

fn in_one_piece(limits: &Limits, compression: Option<&Parameters>, bytes: &[u8]) -> Seen {
    let mut server = Server::with_compression(limits.clone(), compression);
    server.feed(bytes);
    seen(server)
}

fn in_pieces(limits: &Limits, compression: Option<&Parameters>, bytes: &[u8], sizes: &[usize]) -> Seen {
    let mut server = Server::with_compression(limits.clone(), compression);
    server.feed_in_pieces(bytes, sizes);
    seen(server)
}

/// The sink has no room at first; after each piece it gets what `rooms` says, in turn.
fn with_room_now_and_then(limits: &Limits, bytes: &[u8], sizes: &[usize], rooms: &[usize]) -> Seen {
    let mut server = Server::new(limits.clone());
    server.sink.room = 0;
    let mut rest = bytes;
    for (&size, &room) in sizes.iter().cycle().zip(rooms.iter().cycle()) {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(size.clamp(1, rest.len()));
        server.feed(piece);
        rest = after;
        // Room that comes is told to nobody: only the next bytes find it.
        server.sink.room = room;
    }
    while server.blocked {
        server.sink.room = 1;
        server.feed(&[]);
    }
    assert!(server.unread.is_empty());
    seen(server)
}

/// One thing a peer does: a message in fragments with control frames between them, or a control frame alone.
fn exchange() -> impl Strategy<Value = Vec<ClientFrame>> {
    let data = prop_oneof![
        6 => ".{0,40}".prop_map(|text| (TEXT, text.into_bytes())),
        6 => vec(any::<u8>(), 0..40).prop_map(|data| (BINARY, data)),
        2 => (120usize..135).prop_map(|len| (TEXT, "é€𝄞x".repeat(len).into_bytes()[..len / 10 * 10].to_vec())),
        1 => (65_530usize..65_540).prop_map(|len| (BINARY, (0..len).map(|at| at as u8).collect())),
    ];
    let message = (data, vec(any::<prop::sample::Index>(), 0..5), vec(control(), 0..5), any::<[u8; 4]>())
        .prop_map(|((opcode, data), cuts, controls, key)| fragments(opcode, &data, &cuts, controls, key));
    prop_oneof![4 => message, 1 => control().prop_map(|frame| vec![frame])]
}

fn control() -> impl Strategy<Value = ClientFrame> {
    let opcode = prop_oneof![Just(PING), Just(PONG)];
    let payload = prop_oneof![4 => vec(any::<u8>(), 0..10), 1 => vec(any::<u8>(), 124..=125)];
    (opcode, payload, any::<[u8; 4]>()).prop_map(|(opcode, payload, key)| ClientFrame {
        key: Some(key),
        ..ClientFrame::new(opcode, payload)
    })
}

/// `data` cut anywhere, also inside characters; cuts at the same place give empty fragments.
fn fragments(
    opcode: u8,
    data: &[u8],
    cuts: &[prop::sample::Index],
    controls: Vec<ClientFrame>,
    key: [u8; 4],
) -> Vec<ClientFrame> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
    cuts.sort_unstable();
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain(std::iter::once(data.len()));
    let mut controls = controls.into_iter();
    let mut frames = Vec::new();
    for (number, (start, end)) in starts.zip(ends).enumerate() {
        let opcode = if number == 0 { opcode } else { CONTINUATION };
        let fin = number == cuts.len();
        frames.push(ClientFrame { fin, key: Some(key), ..ClientFrame::new(opcode, &data[start..end]) });
        frames.extend(controls.next().filter(|_| !fin));
    }
    frames
}

fn exchanges() -> impl Strategy<Value = Vec<ClientFrame>> {
    vec(exchange(), 0..6).prop_map(|exchanges| exchanges.concat())
}

/// A close frame, and something after it that nobody may look at.
fn ending() -> impl Strategy<Value = Vec<u8>> {
    let close = (any::<bool>(), "[a-zé]{0,20}", vec(any::<u8>(), 0..20)).prop_map(|(code, reason, after)| {
        let payload = if code { close_payload(1000, &reason) } else { Vec::new() };
        [ClientFrame::new(CLOSE, payload).encode(), after].concat()
    });
    prop_oneof![Just(Vec::new()), close]
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![1]),
        vec(1usize..8, 1..10),
        vec(1usize..200, 1..10),
        vec(prop_oneof![1usize..4, 1_000usize..70_000], 1..6),
    ]
}

/// Without the limit on control frames: time stands still here.
fn limits() -> Limits {
    Limits { max_control_frames_per_s: 0, ..Limits::default() }
}

/// Small limits, so that garbage meets them.
fn small_limits() -> Limits {
    Limits { max_message_bytes: 100, max_fragments: 3, max_control_frames_per_s: 2, ..Limits::default() }
}

/// Mostly sound traffic with one byte changed.
fn nearly_sound() -> impl Strategy<Value = Vec<u8>> {
    (exchanges(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(frames, at, wrong)| {
        let mut bytes = encode(&frames);
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = wrong;
        }
        bytes
    })
}

/// Frames in any order with any bits, most of them wrong where they stand.
fn any_frames() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![Just(CONTINUATION), Just(TEXT), Just(BINARY), Just(PING), Just(CLOSE), 0u8..16];
    let reserved = prop_oneof![8 => Just(0u8), 1 => (0u8..8).prop_map(|bits| bits << 4)];
    let length =
        prop_oneof![8 => Just(Length::Shortest), 1 => Just(Length::Bits16), 1 => Just(Length::Bits64)];
    let frame = (any::<bool>(), reserved, opcode, prop::option::weighted(0.95, any::<[u8; 4]>()), length);
    let frame =
        (frame, vec(any::<u8>(), 0..50)).prop_map(|((fin, reserved, opcode, key, length), payload)| {
            ClientFrame { fin, reserved, opcode, key, length, payload }.encode()
        });
    vec(frame, 0..8).prop_map(|frames| frames.concat())
}

fn garbage() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..200), nearly_sound(), any_frames()]
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn sound_traffic_is_the_same_in_any_pieces(
        frames in exchanges(), ending in ending(), sizes in sizes(),
    ) {
        let bytes = [encode(&frames), ending.clone()].concat();
        let whole = in_one_piece(&limits(), None, &bytes);
        if ending.is_empty() {
            prop_assert_eq!(&whole.state, &State::Open);
        }
        let messages = frames.iter().filter(|frame| frame.fin && frame.opcode < CLOSE).count();
        prop_assert_eq!(whole.messages.len(), messages);
        let pings = frames.iter().filter(|frame| frame.opcode == PING);
        let pongs: Vec<ServerFrame> = pings.map(|ping| ServerFrame::new(PONG, &ping.payload)).collect();
        prop_assert!(server_frames(&whole.out).starts_with(&pongs));
        prop_assert_eq!(in_pieces(&limits(), None, &bytes, &sizes), whole);
    }

    #[test]
    fn garbage_ends_the_same_in_any_pieces(
        bytes in garbage(), compression in prop_oneof![Just(None), Just(Some(&ALONE)), Just(Some(&IN_CONTEXT))], sizes in sizes(),
    ) {
        let whole = in_one_piece(&small_limits(), compression, &bytes);
        prop_assert_eq!(in_pieces(&small_limits(), compression, &bytes, &sizes), whole);
    }

    #[test]
    fn nothing_is_lost_or_doubled_when_room_comes_and_goes(
        frames in exchanges(), ending in ending(), sizes in sizes(), rooms in vec(0usize..3, 1..10),
    ) {
        let bytes = [encode(&frames), ending].concat();
        let whole = in_one_piece(&limits(), None, &bytes);
        prop_assert_eq!(with_room_now_and_then(&limits(), &bytes, &sizes, &rooms), whole);
    }

    #[test]
    fn garbage_ends_the_same_when_room_comes_and_goes(
        bytes in garbage(), sizes in sizes(), rooms in vec(0usize..3, 1..10),
    ) {
        let whole = in_one_piece(&small_limits(), None, &bytes);
        prop_assert_eq!(with_room_now_and_then(&small_limits(), &bytes, &sizes, &rooms), whole);
    }

    /// A socket may deliver more after the end of the connection, and the caller need not look.
    #[test]
    fn a_closed_connection_looks_at_nothing(bytes in garbage(), after in garbage()) {
        let mut server = Server::new(small_limits());
        server.feed(&bytes);
        server.conn.end_of_stream();
        let state = server.conn.state().clone();
        let (out, messages) = (server.out.len(), server.sink.messages.len());
        server.feed(&after);
        prop_assert_eq!(server.conn.state(), &state);
        prop_assert_eq!((server.out.len(), server.sink.messages.len()), (out, messages));
    }
}

#[test]
fn reserved_bits_are_judged_with_the_rest_of_the_header() {
    // The first byte alone used to fail for its reserved bits, the two together for the missing mask.
    let bytes = [0x90, 0x00];
    assert_eq!(in_pieces(&limits(), None, &bytes, &[1]), in_one_piece(&limits(), None, &bytes));
}
