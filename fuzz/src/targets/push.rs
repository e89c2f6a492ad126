//! Commands, channels and envelopes of those who push: the same however the bytes come.

use wsengine::fuzzing::{commands, envelope};
use wsengine_proto::Kind;

const MAX: usize = 1 << 10;

pub(crate) fn run(data: &[u8]) {
    let (said, len, is_broken) = commands(data, MAX);
    assert!(len <= data.len());
    let at = usize::from(data.first().copied().unwrap_or_default()).min(data.len());
    let (begun, taken, begun_is_broken) = commands(&data[..at], MAX);
    assert_eq!(begun, said[..begun.len()]);
    if begun_is_broken {
        assert!(is_broken && begun.len() == said.len());
    } else {
        // What was left goes on with what comes.
        let (rest, rest_len, rest_is_broken) = commands(&data[taken..], MAX);
        assert_eq!(rest, said[begun.len()..]);
        assert_eq!((taken + rest_len, rest_is_broken), (len, is_broken));
    }
    for words in &said {
        let [channel, payload] =
            words.last_chunk().map_or([&[][..], data], |pair: &[Vec<u8>; 2]| [&pair[0], &pair[1]]);
        let (_, message) = envelope("default", channel, payload);
        if let Some((kind, message)) = message {
            assert!(payload.ends_with(message));
            assert!(payload.first() == Some(&1) || message == payload);
            assert!(
                kind == Kind::Binary || payload.first() == Some(&1) || std::str::from_utf8(message).is_ok()
            );
        }
    }
}
