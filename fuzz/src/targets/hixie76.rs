//! The protocol of 2010: any bytes, cut in two ways.

use crate::common::Recorder;
use crate::input::Input;
use std::time::Duration;
use wsengine_proto::hixie76::Hixie76;
use wsengine_proto::{Kind, Limits};

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let limits = match input.flag() {
        true => Limits { max_message_bytes: 20, ..Limits::default() },
        false => Limits::default(),
    };
    let size = 1 + usize::from(input.byte());
    let bytes = input.rest();
    let (whole, pieces) = (Side::fed(&limits, bytes, bytes.len().max(1)), Side::fed(&limits, bytes, size));
    assert_eq!(whole.sink.messages, pieces.sink.messages);
    assert_eq!(whole.out, pieces.out);
    assert_eq!(whole.conn.state(), pieces.conn.state());
    for message in &whole.sink.messages {
        assert_eq!(message.kind, Kind::Text);
        assert!(std::str::from_utf8(&message.data).is_ok() && message.data.len() <= limits.max_message_bytes);
    }
}

struct Side {
    conn: Hixie76,
    out: Vec<u8>,
    sink: Recorder,
}

impl Side {
    fn fed(limits: &Limits, bytes: &[u8], size: usize) -> Self {
        let now = Duration::from_secs(1_000);
        let sink = Recorder { room: usize::MAX, messages: Vec::new() };
        let mut side = Side { conn: Hixie76::new(now), out: Vec::new(), sink };
        for piece in bytes.chunks(size) {
            let progress = side.conn.receive(now, limits, piece, &mut side.out, &mut side.sink);
            assert!(!progress.blocked && progress.consumed == piece.len());
        }
        side
    }
}
