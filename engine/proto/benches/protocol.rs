//! What the protocol costs without sockets, per piece: `cargo bench -p wsengine-proto`.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use std::time::Duration;
use wsengine_proto::deflate::{Deflater, MAX_WINDOW_BITS, Scratch};
use wsengine_proto::frame::{self, Opcode};
use wsengine_proto::mask::unmask;
use wsengine_proto::utf8;
use wsengine_proto::{Connection, Kind, Limits, Payload, Sink};

fn main() {
    divan::main();
}

const SIZES: [usize; 4] = [16, 64, 1024, 64 * 1024];
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Counts and forgets.
#[derive(Default)]
struct Count(usize);

impl Sink for Count {
    fn has_room(&mut self) -> bool {
        true
    }

    fn message(&mut self, _: Kind, payload: Payload<'_>) {
        self.0 += payload.as_bytes().len();
    }
}

/// Text that is not all ASCII.
fn text(len: usize) -> Vec<u8> {
    let mut text: Vec<u8> = "grüße ".bytes().cycle().take(len).collect();
    while std::str::from_utf8(&text).is_err() {
        text.pop();
        text.push(b'.');
    }
    text
}

/// A client's frame.
fn masked(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame::put_header(&mut frame, opcode, payload.len());
    frame[1] |= 0x80;
    if !fin {
        frame[0] &= 0x7f;
    }
    frame.extend_from_slice(&KEY);
    let at = frame.len();
    frame.extend_from_slice(payload);
    unmask(&mut frame[at..], KEY, 0);
    frame
}

/// A connection that is given the same bytes again and again.
fn receive(bencher: Bencher, bytes: &[u8], messages: usize) {
    let limits = Limits::default();
    let mut connection = Connection::new(Duration::ZERO, &limits, 0, None);
    let (mut out, mut scratch, mut sink) = (Vec::new(), Scratch::default(), Count::default());
    let mut buffer = bytes.to_vec();
    bencher.counter(BytesCount::new(bytes.len())).counter(ItemsCount::new(messages)).bench_local(|| {
        // They are unmasked in place.
        buffer.copy_from_slice(bytes);
        connection.receive(Duration::ZERO, &limits, &mut buffer, &mut out, &mut scratch, &mut sink);
        black_box(&sink);
    });
    assert!(sink.0 > 0 && out.is_empty());
}

/// A read with a hundred messages of text.
#[divan::bench(args = [16, 64, 1024])]
fn receive_100_messages(bencher: Bencher, size: usize) {
    receive(bencher, &masked(Opcode::Text, true, &text(size)).repeat(100), 100);
}

#[divan::bench(args = [Opcode::Text, Opcode::Binary])]
fn receive_64_kib(bencher: Bencher, opcode: Opcode) {
    receive(bencher, &masked(opcode, true, &text(64 * 1024)), 1);
}

/// One message in a hundred pieces.
#[divan::bench]
fn receive_100_fragments(bencher: Bencher) {
    let piece = text(64);
    let mut bytes = masked(Opcode::Text, false, &piece);
    bytes.extend(masked(Opcode::Continuation, false, &piece).repeat(98));
    bytes.extend(masked(Opcode::Continuation, true, &piece));
    receive(bencher, &bytes, 1);
}

#[divan::bench(args = SIZES)]
fn unmask_in_place(bencher: Bencher, size: usize) {
    let mut payload = vec![7; size];
    bencher.counter(BytesCount::new(size)).bench_local(|| unmask(black_box(&mut payload), KEY, 1));
}

#[divan::bench(args = SIZES)]
fn validate_utf8(bencher: Bencher, size: usize) {
    let text = text(size);
    bencher.counter(BytesCount::new(size)).bench_local(|| utf8::validate(black_box(&text)).is_some());
}

#[divan::bench(args = SIZES)]
fn encode(bencher: Bencher, size: usize) {
    let payload = vec![7; size];
    let mut out = Vec::new();
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        out.clear();
        frame::put(black_box(&mut out), Opcode::Binary, &payload);
    });
}

/// With what was said before as context, as the answers to one connection; or each by itself, as a broadcast.
#[divan::bench(args = [64, 1024, 16 * 1024], consts = [true, false])]
fn deflate<const CONTEXT: bool>(bencher: Bencher, size: usize) {
    let message: Vec<u8> = (0..size / 32 + 1)
        .flat_map(|i| format!("{{\"id\":{i},\"text\":\"hello {}\"}},", i * 7919 % 1000).into_bytes())
        .take(size)
        .collect();
    let mut deflater = Deflater::new(MAX_WINDOW_BITS);
    let mut out = Vec::new();
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        out.clear();
        if !CONTEXT {
            deflater.reset();
        }
        assert!(deflater.deflate(black_box(&message), &mut out));
    });
}
