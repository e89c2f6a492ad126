//! A client's bytes, cut in two ways: what comes out must be the same, and within the limits.

use crate::common::{ALONE, IN_CONTEXT, Server, server_frames};
use crate::input::Input;
use wsengine_proto::Limits;
use wsengine_proto::deflate::Parameters;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (limits, compression) = settings(&mut input);
    let sizes: Vec<usize> = (0..4).map(|_| 1 + usize::from(input.byte())).collect();
    let bytes = input.rest();

    let mut whole = Server::with_compression(limits.clone(), compression.as_ref());
    whole.feed(bytes);
    let mut pieces = Server::with_compression(limits.clone(), compression.as_ref());
    pieces.feed_in_pieces(bytes, &sizes);
    let mut bytewise = Server::with_compression(limits.clone(), compression.as_ref());
    bytewise.feed_bytewise(bytes);

    for message in &whole.sink.messages {
        assert!(message.data.len() <= limits.max_message_bytes);
        if message.kind == wsengine_proto::Kind::Text {
            assert!(std::str::from_utf8(&message.data).is_ok());
        }
    }
    server_frames(&whole.out);
    for other in [pieces, bytewise] {
        assert_eq!(whole.sink.messages, other.sink.messages);
        assert_eq!(whole.out, other.out);
        assert_eq!(whole.conn.state(), other.conn.state());
        assert_eq!(whole.deadline(), other.deadline());
    }
}

/// Small limits too, so that they are met.
pub(super) fn settings(input: &mut Input<'_>) -> (Limits, Option<Parameters>) {
    let choice = input.byte();
    let mut limits = Limits { max_control_frames_per_s: 0, ..Limits::default() };
    if choice & 1 == 1 {
        limits = Limits { max_message_bytes: 100, max_fragments: 3, max_control_frames_per_s: 2, ..limits };
    }
    let compression = match choice >> 1 & 3 {
        0 | 1 => None,
        2 => Some(ALONE),
        _ => Some(IN_CONTEXT),
    };
    (limits, compression)
}
