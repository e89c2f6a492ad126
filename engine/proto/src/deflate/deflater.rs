//! Compressing a message.

use super::{MAX_WINDOW_BITS, MIN_WINDOW_BITS, TAIL};
use flate2::{Compress, Compression, FlushCompress};

/// The smallest window that compressors of the zlib family have.
const MIN_DEFLATER_BITS: u8 = 9;
/// An empty message on the wire (section 7.2.3.6).
const EMPTY: u8 = 0;
/// The level of the zlib family: 1 is fastest, 9 smallest. On JSON 1 takes half the time of 3 and sends two fifths more,
/// 6 takes twice as long for a large message and sends a tenth less.
const LEVEL: u32 = 3;

/// Compresses messages (section 7.2.1). Without a [`Deflater::reset`] before it a message refers to those before.
#[derive(Debug)]
pub struct Deflater(Compress);

impl Deflater {
    /// One for a window of 9 to 15 bits.
    pub fn new(window_bits: u8) -> Self {
        let bits = window_bits.clamp(MIN_DEFLATER_BITS, MAX_WINDOW_BITS);
        Deflater(Compress::new_with_window_bits(Compression::new(LEVEL), false, bits))
    }

    /// The smallest window with which a message of `len` bytes that is compressed by itself comes out as with
    /// `server_max_window_bits`; connections that differ in their windows share it therefore if the message is
    /// short. None: no compressor has a window that small.
    pub fn window_bits(len: usize, server_max_window_bits: u8) -> Option<u8> {
        let needed = len.checked_next_power_of_two().map_or(u32::MAX, usize::trailing_zeros);
        let bits = server_max_window_bits.min(u8::try_from(needed).unwrap_or(u8::MAX));
        (len <= 1 << MIN_WINDOW_BITS || bits >= MIN_DEFLATER_BITS).then_some(bits.max(MIN_DEFLATER_BITS))
    }

    /// Forgets earlier messages.
    pub fn reset(&mut self) {
        self.0.reset();
    }

    /// Appends the compressed message to `out`. False: the library has failed, which it does not; `out` and the
    /// context are of no use then.
    pub fn deflate(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        if payload.is_empty() {
            out.push(EMPTY);
            return true;
        }
        out.reserve(payload.len() / 2 + 64);
        self.end(payload, out)
    }

    /// Compresses a part of a message that is not its last, as [`Deflater::deflate`] does the whole. What comes out of it may
    /// come with a later part.
    pub fn begin(&mut self, part: &[u8], out: &mut Vec<u8>) -> bool {
        self.compress(part, out, FlushCompress::None)
    }

    /// The last part, which is not empty.
    pub fn end(&mut self, part: &[u8], out: &mut Vec<u8>) -> bool {
        let sound = self.compress(part, out, FlushCompress::Sync);
        let whole = sound && out.ends_with(&TAIL);
        out.truncate(out.len() - if whole { TAIL.len() } else { 0 });
        whole
    }

    fn compress(&mut self, mut payload: &[u8], out: &mut Vec<u8>, flush: FlushCompress) -> bool {
        loop {
            if out.len() == out.capacity() {
                out.reserve(payload.len() + 64);
            }
            let taken = self.0.total_in();
            if self.0.compress_vec(payload, out, flush).is_err() {
                return false;
            }
            payload = payload.get((self.0.total_in() - taken) as usize..).unwrap_or_default();
            // Room that is left says that nothing is held back that should not be.
            if payload.is_empty() && out.len() < out.capacity() {
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deflate::Inflater;
    use crate::deflate::inflater::tests::inflate;

    #[test]
    fn a_context_makes_the_second_message_small() {
        let text = b"{\"type\":\"message\",\"user\":\"somebody\",\"text\":\"the same again\"}";
        let mut deflater = Deflater::new(15);
        let mut inflater = Inflater::default();
        let mut sizes = Vec::new();
        for _ in 0..2 {
            let mut out = Vec::new();
            assert!(deflater.deflate(text, &mut out));
            assert_eq!(inflate(&mut inflater, &out, 1_000).unwrap(), text);
            sizes.push(out.len());
        }
        assert!(sizes[1] < 10, "{sizes:?}");
        deflater.reset();
        let mut out = Vec::new();
        assert!(deflater.deflate(text, &mut out));
        assert_eq!(out.len(), sizes[0]);
    }

    #[test]
    fn a_message_in_parts_is_one_message() {
        let text = b"a message in parts ".repeat(1_000);
        let mut deflater = Deflater::new(15);
        let mut inflater = Inflater::default();
        for size in [1, 100, 7_000, text.len() - 1, text.len()] {
            let mut out = Vec::new();
            let mut parts = text.chunks(size).peekable();
            while let Some(part) = parts.next() {
                assert!(match parts.peek() {
                    Some(_) => deflater.begin(part, &mut out),
                    None => deflater.end(part, &mut out),
                });
            }
            assert_eq!(inflate(&mut inflater, &out, text.len()).unwrap(), text, "in parts of {size}");
            assert!(out.len() < 1_000, "{} bytes", out.len());
        }
    }

    #[test]
    fn short_messages_share_a_window() {
        assert_eq!(Deflater::window_bits(100, 8), Some(9));
        assert_eq!(Deflater::window_bits(256, 8), Some(9));
        assert_eq!(Deflater::window_bits(257, 8), None);
        assert_eq!(Deflater::window_bits(1_000, 15), Some(10));
        assert_eq!(Deflater::window_bits(1_000, 10), Some(10));
        assert_eq!(Deflater::window_bits(1_000_000, 12), Some(12));
        assert_eq!(Deflater::window_bits(1 << 40, 15), Some(15));
    }
}
