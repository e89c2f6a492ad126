//! What a connection costs: nothing beyond itself while it is idle, nothing for a length that is only
//! declared, at most twice its limit for a message that arrives in the smallest pieces.

mod common;

use common::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;
use wsengine_proto::deflate::Scratch;
use wsengine_proto::{Connection, Kind, Limits, Payload, Sink, State};

thread_local! {
    // Each test counts for its own thread.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

fn count(bytes: isize) {
    let live = LIVE.get() + bytes;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
    CALLS.set(CALLS.get() + 1);
}

// SAFETY: all calls go to the system's allocator as they came; counting touches no memory of theirs and, as
// the counters are constant-initialised cells without destructors, allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are those of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    // Without `realloc` growth is counted at its worst: old and new block at the same time.
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the test itself does not keep.
struct Forget {
    room: bool,
    messages: usize,
    bytes: usize,
}

impl Sink for Forget {
    fn has_room(&mut self) -> bool {
        self.room
    }

    fn message(&mut self, _: Kind, payload: Payload<'_>) {
        self.messages += 1;
        self.bytes += payload.as_bytes().len();
    }
}

/// A connection whose buffers outside are there already, so that what is counted is its own.
struct Idle {
    limits: Limits,
    conn: Connection,
    out: Vec<u8>,
    scratch: Scratch,
    sink: Forget,
}

impl Idle {
    fn new(limits: Limits) -> Self {
        let conn = Connection::new(Duration::ZERO, &limits, 1, None);
        let sink = Forget { room: true, messages: 0, bytes: 0 };
        Idle { conn, limits, out: Vec::with_capacity(1 << 16), scratch: Scratch::default(), sink }
    }

    fn feed(&mut self, bytes: &mut [u8]) -> usize {
        let Idle { conn, limits, out, scratch, sink } = self;
        conn.receive(Duration::ZERO, limits, bytes, out, scratch, sink).consumed
    }
}

/// Bytes more than before: what is left when `work` is done, the most in between, and calls to the allocator.
fn cost(work: impl FnOnce()) -> (isize, isize, usize) {
    let (live, calls) = (LIVE.get(), CALLS.get());
    PEAK.set(live);
    work();
    (LIVE.get() - live, PEAK.get() - live, CALLS.get() - calls)
}

#[test]
fn a_connection_is_small() {
    assert!(size_of::<Connection>() <= 160, "{} bytes", size_of::<Connection>());
}

#[test]
fn a_new_connection_allocates_nothing() {
    let limits = Limits::default();
    let mut conn = None;
    let cost = cost(|| conn = Some(Connection::new(Duration::ZERO, &limits, 1, None)));
    assert_eq!(cost, (0, 0, 0));
}

#[test]
fn whole_frames_allocate_nothing() {
    let mut idle = Idle::new(Limits::default());
    let mut bytes = encode(&[
        ClientFrame::new(TEXT, "h\u{e9}llo"),
        ClientFrame::new(PING, [7; 125]),
        ClientFrame::new(BINARY, [0; 70_000]),
        ClientFrame::new(PONG, ""),
    ]);
    let cost = cost(|| {
        idle.feed(&mut bytes);
    });
    assert_eq!(cost, (0, 0, 0));
    assert_eq!(idle.sink.messages, 2);
}

#[test]
fn a_header_in_pieces_allocates_nothing() {
    let mut idle = Idle::new(Limits::default());
    let mut bytes = ClientFrame::new(BINARY, [0; 70_000]).encode();
    let cost = cost(|| {
        for byte in &mut bytes[..13] {
            idle.feed(std::slice::from_mut(byte));
        }
        idle.sink.room = false;
        assert_eq!(idle.feed(&mut bytes[13..]), 0);
    });
    assert_eq!(cost, (0, 0, 0));
}

#[test]
fn a_length_that_is_only_declared_allocates_nothing_for_it() {
    let mut idle = Idle::new(Limits { max_message_bytes: 1 << 30, ..Limits::default() });
    let header = ClientFrame::new(BINARY, "").length(Length::Declared(1 << 30));
    let mut bytes = header.encode();
    let (_, peak, _) = cost(|| {
        idle.feed(&mut bytes);
    });
    assert!(peak <= 256, "{peak} bytes at the header");
    let (_, peak, _) = cost(|| {
        idle.feed(&mut [0; 100]);
    });
    assert!(peak <= 256, "{peak} bytes for 100 of payload");
}

#[test]
fn a_message_in_small_pieces_costs_at_most_twice_its_limit() {
    for (limit, piece) in [(100_000, 1), (1 << 20, 1_000), (1 << 20, 65_536), ((1 << 20) + 1, 4_096), (10, 3)]
    {
        let mut idle = Idle::new(Limits { max_message_bytes: limit, ..Limits::default() });
        let mut bytes = ClientFrame::new(TEXT, "a".repeat(limit)).encode();
        let (left, peak, _) = cost(|| {
            for piece in bytes.chunks_mut(piece) {
                idle.feed(piece);
            }
        });
        assert_eq!(idle.sink.bytes, limit);
        assert!(peak as usize <= 2 * limit + 16_384, "{peak} bytes at most for {limit} in pieces of {piece}");
        assert_eq!(left, 0, "bytes kept after the message");
    }
}

#[test]
fn a_message_in_fragments_costs_at_most_twice_its_limit() {
    let (limit, fragment) = (300_000, 1_001);
    let limits = Limits { max_message_bytes: limit, max_control_frames_per_s: 0, ..Limits::default() };
    let mut idle = Idle::new(limits);
    let data = vec![b'a'; limit];
    let mut frames = Vec::new();
    for (number, part) in data.chunks(fragment).enumerate() {
        let opcode = if number == 0 { TEXT } else { CONTINUATION };
        frames.push(ClientFrame::new(opcode, part).more());
        frames.push(ClientFrame::new(PING, [1; 125]));
    }
    frames.push(ClientFrame::new(CONTINUATION, ""));
    let mut bytes = encode(&frames);
    let (left, peak, _) = cost(|| {
        for piece in bytes.chunks_mut(777) {
            idle.feed(piece);
            idle.out.clear();
        }
    });
    assert_eq!((idle.sink.messages, idle.sink.bytes), (1, limit));
    assert!(peak as usize <= 2 * limit + 16_384, "{peak} bytes at most");
    assert_eq!(left, 0, "bytes kept after the message");
}

/// Growing by doubling: a message of n bytes in single bytes takes about log2(n) blocks.
#[test]
fn small_pieces_do_not_move_the_message_each_time() {
    let mut idle = Idle::new(Limits::default());
    let mut bytes = ClientFrame::new(BINARY, vec![0; 100_000]).encode();
    let (_, _, calls) = cost(|| {
        for byte in &mut bytes {
            idle.feed(std::slice::from_mut(byte));
        }
    });
    assert!(calls < 60, "{calls} calls to the allocator");
}

#[test]
fn half_a_control_frame_costs_less_than_a_kilobyte_and_leaves_nothing() {
    let mut idle = Idle::new(Limits { max_control_frames_per_s: 0, ..Limits::default() });
    let (left, peak, _) = cost(|| {
        for _ in 0..1_000 {
            let mut bytes = *PING_OF_125;
            for byte in &mut bytes {
                idle.feed(std::slice::from_mut(byte));
            }
            idle.out.clear();
        }
    });
    assert!(peak < 1_024, "{peak} bytes at most");
    assert_eq!(left, 0);
}

/// Masked with zeros.
const PING_OF_125: &[u8; 131] = &{
    let mut bytes = [0; 131];
    bytes[0] = 0x89;
    bytes[1] = 0x80 | 125;
    bytes
};

#[test]
fn a_closed_connection_gives_back_what_it_held() {
    type End = fn(&mut Idle);
    let ends: [(&str, bool, End); 4] = [
        ("end of stream", true, |idle| idle.conn.end_of_stream()),
        ("an end of the owner's own", true, |idle| idle.conn.end(1006, "", false)),
        ("after our close frame", true, |idle| {
            idle.conn.close(Duration::ZERO, 1000, "bye", &mut idle.out);
            idle.conn.end(1006, "", false);
        }),
        // The reason stays for the close event.
        ("a message in a message", false, |idle| {
            idle.feed(&mut [0; 25]);
            assert_eq!(idle.feed(&mut [0x81, 0x80, 0, 0, 0, 0]), 6);
        }),
    ];
    for (name, without_reason, end) in ends {
        let mut idle = Idle::new(Limits::default());
        let first = ClientFrame::new(BINARY, vec![0; 50_000]).more();
        let mut bytes = encode(&[first, ClientFrame::new(PING, [0; 125])]);
        let most_of_the_ping = bytes.len() - 25;
        let (left, peak, _) = cost(|| {
            idle.feed(&mut bytes[..most_of_the_ping]);
            end(&mut idle);
        });
        assert!(matches!(idle.conn.state(), State::Closed(_)), "{name}");
        assert!(peak >= 50_100, "{name}");
        assert!(left <= if without_reason { 0 } else { 64 }, "{name}: {left} bytes kept");
    }
}
