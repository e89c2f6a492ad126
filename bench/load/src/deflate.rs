//! permessage-deflate (RFC 7692) where no message refers to another: what is offered and has to be answered,
//! and a message compressed and back.

use std::io::{self, Write};

use flate2::write::DeflateEncoder;
use flate2::{Decompress, FlushDecompress};

/// Are messages compressed?
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Off,
    Deflate,
}

/// The value of `Sec-WebSocket-Extensions`. With a context each reply would be another.
pub(crate) const OFFER: &str = "permessage-deflate; client_no_context_takeover; server_no_context_takeover";

/// What ends a compressed message, and is not sent (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Does this value of `Sec-WebSocket-Extensions` agree to the offer? A window of the client's is no part of that.
pub(crate) fn is_agreed(answer: &str) -> bool {
    let words: Vec<&str> = answer.split(';').map(str::trim).collect();
    words.first() == Some(&"permessage-deflate")
        && words.contains(&"server_no_context_takeover")
        && !words.iter().any(|word| word.starts_with("client_max_window_bits"))
}

/// The payload of the compressed message.
pub(crate) fn compress(message: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(message)?;
    encoder.flush()?;
    let flushed = encoder.get_ref();
    let payload =
        flushed.strip_suffix(&TAIL).ok_or_else(|| io::Error::other("deflate ended without a flush"))?;
    Ok(payload.to_vec())
}

/// Is this the payload of the message, however it was compressed?
pub(crate) fn inflates_to(payload: &[u8], message: &[u8]) -> bool {
    // One byte more is enough to see that it is another.
    let mut inflated = Vec::with_capacity(message.len() + 1);
    let whole = [payload, &TAIL].concat();
    let done = Decompress::new(false).decompress_vec(&whole, &mut inflated, FlushDecompress::Sync);
    done.is_ok() && inflated == message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back() {
        for message in [&b""[..], b"a", &b"abcdefgh".repeat(50_000)] {
            let payload = compress(message).unwrap();
            assert!(!payload.ends_with(&TAIL));
            assert!(inflates_to(&payload, message));
        }
    }

    /// The compressed "Hello" of section 7.2.3.1, its uncompressed block of 7.2.3.3 and the final one of 7.2.3.4.
    #[test]
    fn what_others_compress_is_understood() {
        for payload in [
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        ] {
            assert!(inflates_to(payload, b"Hello"), "{payload:x?}");
            for another in [&b"Hell"[..], b"Hello!", b"hello", b""] {
                assert!(!inflates_to(payload, another), "{payload:x?}");
            }
        }
        assert!(!inflates_to(b"\xff\xff\xff", b"Hello"));
    }

    #[test]
    fn an_answer_without_what_was_offered_is_no_agreement() {
        assert!(is_agreed(OFFER));
        assert!(is_agreed("permessage-deflate;server_no_context_takeover ; server_max_window_bits=12"));
        for answer in [
            "",
            "permessage-deflate",
            "permessage-deflate; client_no_context_takeover",
            "permessage-deflate2; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=9",
        ] {
            assert!(!is_agreed(answer), "{answer}");
        }
    }
}
