//! A message on its way in: fragments, and frames whose payload has not wholly arrived (RFC 6455, section 5.4).

use crate::copy::append;
use crate::error::Violation;
use crate::frame::{Header, Kind};
use crate::limits::Limits;
use crate::utf8::Validator;

/// The payload of a message: in the caller's buffer when it arrived in one piece, else collected.
#[derive(Debug)]
pub enum Payload<'a> {
    /// Lies in the buffer that was handed to `receive`.
    Borrowed(&'a [u8]),
    /// Was collected from several pieces.
    Owned(Vec<u8>),
}

impl Payload<'_> {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Payload::Borrowed(bytes) => bytes,
            Payload::Owned(bytes) => bytes,
        }
    }
}

/// A message of which some bytes are still to come.
#[derive(Debug)]
pub(crate) struct Assembly {
    pub(crate) kind: Kind,
    /// The reserved bits of the first frame: is it compressed?
    pub(crate) reserved: u8,
    /// Most bytes of payload.
    max: usize,
    /// Frames begun, the first one included.
    fragments: u32,
    validator: Validator,
    data: Vec<u8>,
}

impl Assembly {
    pub(crate) fn new(kind: Kind, reserved: u8, max: usize) -> Self {
        Assembly { kind, reserved, max, fragments: 1, validator: Validator::default(), data: Vec::new() }
    }

    /// May this fragment follow? The first one is not asked: a message in one frame is not fragmented.
    pub(crate) fn judge(&self, header: &Header, limits: &Limits) -> Result<(), Violation> {
        if self.fragments >= limits.max_fragments {
            return Err(Violation::TooManyFragments);
        }
        if header.len > self.room() as u64 { Err(Violation::MessageTooBig) } else { Ok(()) }
    }

    /// How many more bytes of payload are allowed.
    pub(crate) fn room(&self) -> usize {
        self.max.saturating_sub(self.data.len())
    }

    /// Counts one more fragment. Nothing is allocated for a length that is only declared.
    pub(crate) fn begin_fragment(&mut self) {
        self.fragments = self.fragments.saturating_add(1);
    }

    /// Takes unmasked payload.
    pub(crate) fn append(&mut self, piece: &[u8]) -> Result<(), Violation> {
        if self.is_plain_text() && !self.validator.feed(piece) {
            return Err(Violation::NotUtf8);
        }
        let needed = self.data.len() + piece.len();
        if needed > self.data.capacity() {
            // Doubling, but never beyond the limit: a message costs at most twice its limit while it grows.
            let target = needed.max(self.data.capacity() * 2).min(self.max.max(needed));
            self.data.reserve_exact(target - self.data.len());
        }
        append(&mut self.data, piece);
        Ok(())
    }

    /// The whole message, after its last byte.
    pub(crate) fn finish(self) -> Result<Vec<u8>, Violation> {
        if self.is_plain_text() && !self.validator.is_complete() {
            return Err(Violation::NotUtf8);
        }
        Ok(self.data)
    }

    /// Compressed text can be judged only after it is inflated.
    fn is_plain_text(&self) -> bool {
        self.kind == Kind::Text && self.reserved == 0
    }
}
