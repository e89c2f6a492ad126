//! Inflating a message, within what it may cost.

use super::{MAX_WINDOW_BITS, TAIL};
use crate::error::Violation;
use flate2::{Decompress, FlushDecompress, Status};

/// Payload is inflated in pieces of so many bytes, with a look at what came out of them: a megabyte of empty blocks is
/// forty milliseconds of work for nothing. A sender that flushes each byte sends six for it.
const PIECE_BYTES: usize = 16 * 1024;
const MOST_WIRE_BYTES_PER_BYTE: usize = 16;
/// The first guess at how long a message is once inflated, as a multiple of its length.
const USUAL_RATIO: usize = 4;

/// Undoes the peer's compression (section 7.2.2).
#[derive(Debug)]
pub struct Inflater(Decompress);

impl Default for Inflater {
    fn default() -> Self {
        Inflater(Decompress::new_with_window_bits(false, MAX_WINDOW_BITS))
    }
}

impl Inflater {
    /// Forgets earlier messages.
    pub fn reset(&mut self) {
        self.0.reset(false);
    }

    /// Appends the message to `out`, which never gets beyond `max` bytes and one.
    ///
    /// # Errors
    /// [`Violation::MessageTooBig`] beyond `max`, [`Violation::NotDeflate`] for what cannot be inflated,
    /// [`Violation::EmptyBlocks`] for what is work and no message.
    pub fn inflate(&mut self, payload: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), Violation> {
        // A last block may end the stream within the message (section 7.2.3.4); what follows is a stream anew.
        let mut ended = false;
        let (begin, mut wire) = (out.len(), 0);
        for piece in payload.chunks(PIECE_BYTES) {
            ended = self.feed(piece, max, out)?;
            wire += piece.len();
            if wire > PIECE_BYTES + (out.len() - begin) * MOST_WIRE_BYTES_PER_BYTE {
                return Err(Violation::EmptyBlocks);
            }
        }
        let len = out.len();
        if !ended {
            self.feed(&TAIL, max, out)?;
        }
        // The tail is the end of an empty block: what came out of it was meant to come out of missing bytes.
        if out.len() > len { Err(Violation::NotDeflate) } else { Ok(()) }
    }

    /// Says whether the stream ended with the last byte of `rest`.
    fn feed(&mut self, mut rest: &[u8], max: usize, out: &mut Vec<u8>) -> Result<bool, Violation> {
        let mut ended = false;
        loop {
            if out.len() == out.capacity() {
                let guess = (out.len() * 2).max(rest.len().saturating_mul(USUAL_RATIO)).max(256);
                let target = guess.min(max.saturating_add(1)).max(out.len() + 1);
                out.reserve_exact(target - out.len());
            }
            let (taken, len) = (self.0.total_in(), out.len());
            let status = self.0.decompress_vec(rest, out, FlushDecompress::None);
            let status = status.map_err(|_| Violation::NotDeflate)?;
            let taken = (self.0.total_in() - taken) as usize;
            rest = rest.get(taken..).unwrap_or_default();
            if out.len() > max {
                return Err(Violation::MessageTooBig);
            }
            ended = match status {
                Status::StreamEnd => {
                    self.0.reset(false);
                    true
                }
                _ => ended && taken == 0,
            };
            if rest.is_empty() && out.len() < out.capacity() {
                return Ok(ended);
            }
            if taken == 0 && out.len() == len && status != Status::StreamEnd {
                return Err(Violation::NotDeflate);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::deflate::Deflater;
    use flate2::{Compress, Compression, FlushCompress};

    /// Inflates, and looks at what it cost.
    pub(in crate::deflate) fn inflate(
        inflater: &mut Inflater,
        payload: &[u8],
        max: usize,
    ) -> Result<Vec<u8>, Violation> {
        let mut out = Vec::new();
        let result = inflater.inflate(payload, max, &mut out);
        assert!(out.capacity() <= max + 1, "{} bytes for a limit of {max}", out.capacity());
        result.map(|()| out)
    }

    /// Section 7.2.3: one block, two blocks, shared window, no compression, a last block, an empty message.
    #[test]
    fn the_examples_of_the_rfc() {
        let hello: &[u8] = b"Hello";
        let mut inflater = Inflater::default();
        let mut inflated = |payload: &[u8]| inflate(&mut inflater, payload, 1_000).unwrap();
        assert_eq!(inflated(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]), hello);
        assert_eq!(inflated(&[0xf2, 0x00, 0x11, 0x00, 0x00]), hello, "the second refers to the first");
        assert_eq!(inflated(&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]), hello);
        let two = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(inflated(&two), hello);
        assert_eq!(inflated(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]), hello);
        assert_eq!(inflated(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]), hello, "after a last block");
        assert_eq!(inflated(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]), hello, "that ends the message");
        assert_eq!(inflated(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]), hello);
        assert_eq!(inflated(&[0x00]), b"");
    }

    #[test]
    fn a_bomb_costs_the_limit_at_most() {
        let mut bomb = Vec::new();
        assert!(Deflater::new(15).deflate(&vec![0; 10 << 20], &mut bomb));
        assert!(bomb.len() < 64 << 10);
        let mut inflater = Inflater::default();
        assert_eq!(inflate(&mut inflater, &bomb, 1 << 20), Err(Violation::MessageTooBig));
        inflater.reset();
        assert_eq!(inflate(&mut inflater, &bomb, (10 << 20) - 1), Err(Violation::MessageTooBig));
        inflater.reset();
        assert_eq!(inflate(&mut inflater, &bomb, 10 << 20).unwrap().len(), 10 << 20);
    }

    #[test]
    fn a_megabyte_of_empty_blocks_is_refused_at_its_beginning() {
        // An empty block with fixed codes is ten bits: one that is not the last, codes 01, and its end.
        let empty: Vec<u8> =
            [0b0000_0010u8, 0b0000_1000, 0b0010_0000, 0b1000_0000, 0b0000_0000].repeat(200_000);
        let mut inflater = Inflater::default();
        assert_eq!(inflate(&mut inflater, &empty, 1 << 20), Err(Violation::EmptyBlocks));
        assert!(inflater.0.total_in() <= 2 * PIECE_BYTES as u64, "{}", inflater.0.total_in());
        let flushed: Vec<u8> = {
            let mut deflate = Compress::new(Compression::new(1), false);
            let mut out = Vec::with_capacity(1 << 20);
            for _ in 0..50_000 {
                deflate.compress_vec(b"a", &mut out, FlushCompress::Sync).unwrap();
            }
            out
        };
        let flushed = flushed.strip_suffix(&TAIL).unwrap();
        assert_eq!(inflate(&mut Inflater::default(), flushed, 1 << 20).unwrap().len(), 50_000);
    }

    #[test]
    fn what_is_cut_off_or_garbled_is_refused() {
        let mut whole = Vec::new();
        assert!(Deflater::new(15).deflate(b"some text that is long enough to be cut", &mut whole));
        let cut = &whole[..whole.len() / 2];
        assert_eq!(inflate(&mut Inflater::default(), cut, 1_000), Err(Violation::NotDeflate));
        assert_eq!(inflate(&mut Inflater::default(), &[0xff; 20], 1_000), Err(Violation::NotDeflate));
    }
}
