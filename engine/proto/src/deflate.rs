//! permessage-deflate (RFC 7692): agreeing on its parameters, and messages in and out of it.
//!
//! A compressor costs some 300 KiB and an inflater some 40 KiB, so who has no context to keep shares: see
//! [`Scratch`] for what comes in and [`Deflater`] for what goes out.

use crate::error::Violation;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_EXTENSIONS};
use std::fmt;

/// The reserved bit of the first frame of a compressed message, RSV1 (section 6).
pub const COMPRESSED: u8 = 0x40;
/// The largest window, in bits: 32 KiB.
pub const MAX_WINDOW_BITS: u8 = 15;
/// The smallest one that can be agreed on.
const MIN_WINDOW_BITS: u8 = 8;
/// The smallest one that compressors of the zlib family have.
const MIN_DEFLATER_BITS: u8 = 9;

const NAME: &str = "permessage-deflate";
/// What ends a flushed block and is left out on the wire (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// An empty message on the wire (section 7.2.3.6).
const EMPTY: u8 = 0;
/// The level of the zlib family: 1 is fastest, 9 smallest.
const LEVEL: u32 = 3;
/// An inflated message of this size keeps its buffer; a smaller one is copied out of the shared one.
const OWN_BUFFER_BYTES: usize = 16 * 1024;
/// The shared buffer keeps this much between messages.
const KEPT_BYTES: usize = 256 * 1024;
/// Payload is inflated in pieces of so many bytes, with a look at what came out of them: a megabyte of empty blocks is
/// forty milliseconds of work for nothing. A sender that flushes each byte sends six for it.
const PIECE_BYTES: usize = 16 * 1024;
const MOST_WIRE_BYTES_PER_BYTE: usize = 16;
/// The first guess at how long a message is once inflated, as a multiple of its length.
const USUAL_RATIO: usize = 4;

/// What the server wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// May our messages refer to earlier ones? Smaller messages, and memory for each connection. Not where a message
    /// may be dropped after it was compressed.
    pub server_context_takeover: bool,
    /// The same for the peer's.
    pub client_context_takeover: bool,
    /// The largest window for either side, 9 to 15 bits.
    pub max_window_bits: u8,
}

/// What both sides agreed on (section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Our messages do not refer to earlier ones.
    pub server_no_context_takeover: bool,
    /// The peer's messages do not refer to earlier ones.
    pub client_no_context_takeover: bool,
    /// How far back our messages refer at most, as a power of two.
    pub server_max_window_bits: u8,
    /// The peer has asked for such a limit, and the answer must name it (section 7.1.2.1).
    pub server_window_asked: bool,
    /// The same for the peer; None if it did not say that it can be told.
    pub client_max_window_bits: Option<u8>,
}

impl Parameters {
    /// Accepts the first offer that can be accepted. An offer with anything unknown or wrong in it is declined, as
    /// section 7.1 has it.
    pub fn agree(headers: &HeaderMap, wanted: &Wanted) -> Option<Self> {
        let lines = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| split(line, ',')).find_map(|offer| Self::accept(offer, wanted))
    }

    fn accept(offer: &str, wanted: &Wanted) -> Option<Self> {
        let mut items = split(offer, ';').map(str::trim);
        if items.next()? != NAME {
            return None;
        }
        let mut offered = Offer::default();
        for item in items {
            offered.take(item)?;
        }
        let most = wanted.max_window_bits;
        Some(Parameters {
            server_no_context_takeover: offered.server_no_context_takeover || !wanted.server_context_takeover,
            client_no_context_takeover: offered.client_no_context_takeover || !wanted.client_context_takeover,
            server_max_window_bits: offered.server_max_window_bits.map_or(most, |bits| bits.min(most)),
            server_window_asked: offered.server_max_window_bits.is_some(),
            client_max_window_bits: offered.client_max_window_bits.map(|bits| bits.min(most)),
        })
    }

    /// The value of Sec-WebSocket-Extensions in the answer.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::try_from(self.to_string()).unwrap_or_else(|_| HeaderValue::from_static(NAME))
    }
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.server_no_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if self.server_window_asked || self.server_max_window_bits < MAX_WINDOW_BITS {
            write!(f, "; server_max_window_bits={}", self.server_max_window_bits)?;
        }
        match self.client_max_window_bits {
            Some(bits) if bits < MAX_WINDOW_BITS => write!(f, "; client_max_window_bits={bits}"),
            _ => Ok(()),
        }
    }
}

/// The parameters of an offer.
#[derive(Default)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<u8>,
}

impl Offer {
    /// None: a parameter that is unknown, given twice, or has a wrong value.
    fn take(&mut self, item: &str) -> Option<()> {
        let (name, value) = match item.split_once('=') {
            Some((name, value)) => (name.trim(), Some(unquote(value.trim()))),
            None => (item, None),
        };
        match (name, value) {
            ("server_no_context_takeover", None) => set(&mut self.server_no_context_takeover),
            ("client_no_context_takeover", None) => set(&mut self.client_no_context_takeover),
            ("server_max_window_bits", Some(bits)) => set_bits(&mut self.server_max_window_bits, bits),
            ("client_max_window_bits", Some(bits)) => set_bits(&mut self.client_max_window_bits, bits),
            // Without a value it only says that the client can be told one (section 7.1.2.2).
            ("client_max_window_bits", None) => {
                self.client_max_window_bits.replace(MAX_WINDOW_BITS).is_none().then_some(())
            }
            _ => None,
        }
    }
}

fn set(flag: &mut bool) -> Option<()> {
    (!std::mem::replace(flag, true)).then_some(())
}

/// A decimal number from 8 to 15 without leading zeros (section 7.1.2.1).
fn set_bits(slot: &mut Option<u8>, text: &str) -> Option<()> {
    let bits = text.parse().ok().filter(|bits| (MIN_WINDOW_BITS..=MAX_WINDOW_BITS).contains(bits))?;
    let plain = text.bytes().all(|digit| digit.is_ascii_digit()) && !text.starts_with('0');
    (plain && slot.replace(bits).is_none()).then_some(())
}

/// The pieces between separators that do not stand in quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

fn unquote(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// How a connection's incoming messages are compressed.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// Not at all.
    Plain,
    /// Each by itself.
    Alone,
    /// Referring to earlier ones; the inflater comes with the first compressed message.
    InContext(Option<Box<Inflater>>),
}

impl Inbound {
    pub(crate) fn new(parameters: Option<&Parameters>) -> Self {
        match parameters {
            None => Inbound::Plain,
            Some(agreed) if agreed.client_no_context_takeover => Inbound::Alone,
            Some(_) => Inbound::InContext(None),
        }
    }

    /// The reserved bits that the first frame of a message may have.
    #[inline]
    pub(crate) fn claimed(&self) -> u8 {
        if matches!(self, Inbound::Plain) { 0 } else { COMPRESSED }
    }

    /// Inflates a message of at most `max` bytes into the buffer of `scratch`.
    pub(crate) fn inflate(
        &mut self,
        payload: &[u8],
        max: usize,
        scratch: &mut Scratch,
    ) -> Result<(), Violation> {
        scratch.buffer.clear();
        scratch.buffer.shrink_to(KEPT_BYTES);
        let inflater = match self {
            Inbound::InContext(own) => own.get_or_insert_default(),
            _ => {
                let shared = scratch.inflater.get_or_insert_default();
                shared.reset();
                shared
            }
        };
        inflater.inflate(payload, max, &mut scratch.buffer)
    }
}

/// What all connections of a thread share to inflate messages: the buffer they are inflated into, and an inflater
/// for those that keep no context.
#[derive(Debug, Default)]
pub struct Scratch {
    inflater: Option<Inflater>,
    pub(crate) buffer: Vec<u8>,
}

impl Scratch {
    /// Gives the buffer away if what is in it is too large to be copied.
    pub(crate) fn take_large(&mut self) -> Option<Vec<u8>> {
        (self.buffer.len() >= OWN_BUFFER_BYTES).then(|| std::mem::take(&mut self.buffer))
    }
}

/// Most bytes of a compressed message on the wire when `max` is the limit for the inflated one: what cannot be
/// compressed grows, with the smallest compressors of the zlib family by an eighth.
pub(crate) fn max_wire_bytes(max: usize) -> usize {
    max.saturating_add(max / 8 + 64)
}

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
    pub fn deflate(&mut self, mut payload: &[u8], out: &mut Vec<u8>) -> bool {
        if payload.is_empty() {
            out.push(EMPTY);
            return true;
        }
        let start = out.len();
        out.reserve(payload.len() / 2 + 64);
        loop {
            if out.len() == out.capacity() {
                out.reserve(payload.len() + 64);
            }
            let taken = self.0.total_in();
            if self.0.compress_vec(payload, out, FlushCompress::Sync).is_err() {
                return false;
            }
            payload = payload.get((self.0.total_in() - taken) as usize..).unwrap_or_default();
            // Room that is left says that nothing is held back.
            if payload.is_empty() && out.len() < out.capacity() {
                break;
            }
        }
        let whole = out.get(start..).is_some_and(|bytes| bytes.ends_with(&TAIL));
        out.truncate(out.len() - if whole { TAIL.len() } else { 0 });
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEOVER: Wanted =
        Wanted { server_context_takeover: true, client_context_takeover: true, max_window_bits: 15 };
    const ALONE: Wanted =
        Wanted { server_context_takeover: false, client_context_takeover: false, max_window_bits: 15 };

    fn answer(offer: &'static str, wanted: &Wanted) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(offer));
        Parameters::agree(&headers, wanted).map(|agreed| agreed.header().to_str().unwrap().to_owned())
    }

    #[test]
    fn all_four_parameters_are_negotiated() {
        for (offer, expected) in [
            ("permessage-deflate", "permessage-deflate"),
            ("permessage-deflate; client_max_window_bits", "permessage-deflate"),
            (
                "permessage-deflate; server_max_window_bits=15",
                "permessage-deflate; server_max_window_bits=15",
            ),
            (
                "permessage-deflate; client_max_window_bits=10",
                "permessage-deflate; client_max_window_bits=10",
            ),
            ("permessage-deflate; server_max_window_bits=8", "permessage-deflate; server_max_window_bits=8"),
            (
                "permessage-deflate;server_max_window_bits=\"9\"",
                "permessage-deflate; server_max_window_bits=9",
            ),
            (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            ),
        ] {
            assert_eq!(answer(offer, &TAKEOVER).as_deref(), Some(expected), "{offer}");
        }
        let alone = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(answer("permessage-deflate", &ALONE).as_deref(), Some(alone));
        let small = Wanted { max_window_bits: 11, ..TAKEOVER };
        assert_eq!(
            answer("permessage-deflate; client_max_window_bits", &small).as_deref(),
            Some("permessage-deflate; server_max_window_bits=11; client_max_window_bits=11")
        );
        assert_eq!(
            answer("permessage-deflate", &small).as_deref(),
            Some("permessage-deflate; server_max_window_bits=11"),
            "a client that does not say that it can be told is not told"
        );
    }

    #[test]
    fn the_first_sound_offer_is_accepted() {
        for (offer, expected) in [
            ("x-other, permessage-deflate", Some("permessage-deflate")),
            ("permessage-deflate; unknown, permessage-deflate", Some("permessage-deflate")),
            (
                "permessage-deflate; server_max_window_bits=10, permessage-deflate",
                Some("permessage-deflate; server_max_window_bits=10"),
            ),
            ("permessage-deflate; a=\"b,permessage-deflate\"", None),
            ("permessage-deflate; server_max_window_bits", None),
            ("permessage-deflate; server_max_window_bits=7", None),
            ("permessage-deflate; server_max_window_bits=16", None),
            ("permessage-deflate; server_max_window_bits=08", None),
            ("permessage-deflate; server_max_window_bits=+9", None),
            ("permessage-deflate; client_max_window_bits=0", None),
            ("permessage-deflate; client_max_window_bits; client_max_window_bits=9", None),
            ("permessage-deflate; server_no_context_takeover=1", None),
            ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
            ("permessage-deflate;", None),
            ("permessage-deflate2", None),
            ("", None),
        ] {
            assert_eq!(answer(offer, &TAKEOVER).as_deref(), expected, "{offer}");
        }
    }

    fn inflate(inflater: &mut Inflater, payload: &[u8], max: usize) -> Result<Vec<u8>, Violation> {
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
