//! The incoming messages of a connection, with a context of its own or without.

use super::{COMPRESSED, Inflater, Parameters};
use crate::error::Violation;

/// An inflated message of this size keeps its buffer; a smaller one is copied out of the shared one.
const OWN_BUFFER_BYTES: usize = 16 * 1024;
/// The shared buffer keeps this much between messages.
const KEPT_BYTES: usize = 256 * 1024;

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
