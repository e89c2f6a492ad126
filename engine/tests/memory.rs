//! What one message costs the process at most, from the socket to the host: twice its limit and 16 KiB, in whatever pieces
//! and encoding it comes. In one test, alone in its file: it counts what belongs to the process.

mod common;

use common::{PATIENCE, Raw, frame, handshake, start};
use flate2::{Compress, Compression, FlushCompress};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};
use wsengine::{EventBody, Poller, Server, Wait};

static LIVE: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

struct Counting;

fn count(bytes: isize) {
    let live = LIVE.fetch_add(bytes, Ordering::SeqCst) + bytes;
    PEAK.fetch_max(live, Ordering::SeqCst);
}

// SAFETY: all calls go to the system's allocator as they came; counting touches no memory of theirs.
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

const LIMIT: usize = 1 << 20;

/// Sends a message in pieces of so many bytes, and waits until the host has it.
fn deliver(poller: &mut Poller<'_>, raw: &mut Raw, bytes: &[u8], piece: usize) -> usize {
    bytes.chunks(piece).for_each(|piece| raw.send(piece));
    loop {
        assert_eq!(poller.wait(Some(PATIENCE), || false), Wait::Events);
        while let Some(event) = poller.next() {
            if let EventBody::Message { data, .. } = event.body {
                return data.len();
            }
        }
    }
}

/// What a message of [`LIMIT`] bytes takes at the most, after a small one that has made what each connection and thread has
/// of its own, such as the window of its compression.
fn most(server: &Server, raw: &mut Raw, encode: Encode, piece: usize) -> isize {
    let (small, large) = (encode(b"small"), encode(&vec![b'a'; LIMIT]));
    let mut poller = server.poller().unwrap();
    assert_eq!(deliver(&mut poller, raw, &small, piece), 5);
    let before = LIVE.load(Ordering::SeqCst);
    PEAK.store(before, Ordering::SeqCst);
    assert_eq!(deliver(&mut poller, raw, &large, piece), LIMIT);
    PEAK.load(Ordering::SeqCst) - before
}

/// What a payload is on the wire.
type Encode = fn(&[u8]) -> Vec<u8>;

fn whole(payload: &[u8]) -> Vec<u8> {
    frame(0x82, payload)
}

fn text(payload: &[u8]) -> Vec<u8> {
    frame(0x81, payload)
}

fn halves(payload: &[u8]) -> Vec<u8> {
    let (first, second) = payload.split_at(payload.len() / 2);
    [frame(0x02, first), frame(0x80, second)].concat()
}

fn fragments(payload: &[u8]) -> Vec<u8> {
    let parts = payload.chunks(4_096).enumerate();
    let frames = parts.flat_map(|(i, part)| frame(if i == 0 { 0x02 } else { 0x00 }, part));
    frames.chain(frame(0x80, b"")).collect()
}

/// It refers to nothing before it.
fn compressed(payload: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::with_capacity(payload.len() + 100);
    let mut deflate = Compress::new(Compression::new(6), false);
    deflate.compress_vec(payload, &mut compressed, FlushCompress::Full).unwrap();
    frame(0xc1, &compressed[..compressed.len() - 4])
}

fn hixie76(payload: &[u8]) -> Vec<u8> {
    [&[0x00][..], payload, &[0xff]].concat()
}

const HIXIE76: &[u8] = b"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: localhost\r\n\
    Origin: http://localhost\r\nSec-WebSocket-Key1: W  1529l9 6i4b{{a 9 z55\r\n\
    Sec-WebSocket-Key2: F13 O05   q  q6 - 4k7D   97\r\n\r\n-#&nD[fU";

#[test]
fn a_message_costs_at_most_twice_its_limit_from_the_socket_to_the_host() {
    let plain = handshake("/");
    let offer = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    let deflating = plain.replacen("\r\n\r\n", offer, 1);
    let (plain, deflating) = (plain.as_bytes(), deflating.as_bytes());
    let cases: [(&str, &[u8], Encode, usize); 8] = [
        ("whole", plain, whole, LIMIT),
        ("text", plain, text, 50_000),
        ("small pieces", plain, whole, 1_000),
        ("two fragments", plain, halves, 10_000),
        ("many fragments", plain, fragments, 10_000),
        ("compressed", deflating, compressed, LIMIT),
        ("compressed, in small pieces", deflating, compressed, 10),
        ("hixie-76", HIXIE76, hixie76, 10_000),
    ];
    let limit = LIMIT.to_string();
    for compression in ["context_takeover", "no_context_takeover"] {
        for (what, head, encode, piece) in cases {
            let server = start(&[
                ("io_threads", "1"),
                ("max_message_bytes", &limit),
                ("legacy", "hixie76"),
                ("compression", compression),
                ("ping_interval_ms", "0"),
            ]);
            let mut raw = Raw::connect(&server);
            raw.send(head);
            assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
            if head == HIXIE76 {
                raw.read_exact(16);
            }
            let most = most(&server, &mut raw, encode, piece);
            let allowed = (2 * LIMIT + 16 * 1024) as isize;
            assert!(most <= allowed, "{what}, {compression}: {most} bytes for {LIMIT}");
        }
    }
}
