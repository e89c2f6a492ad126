//! Messages that do not look on every connection as they lie in the mailbox: compressed ones (RFC 7692), and those
//! of the draft of 2010.
//!
//! A message for many is compressed once for each window that it makes a difference to, by itself. A connection
//! with a context of its own must forget it then, for its peer's window has moved on by that message.

use crate::aside::{self, Rank};
use crate::mailbox::{Commands, Target};
use bytes::Bytes;
use std::collections::HashMap;
use tokio::sync::oneshot::{self, error::TryRecvError};
use wsengine_proto::deflate::{COMPRESSED, Deflater, MAX_WINDOW_BITS, Parameters};
use wsengine_proto::frame::{self, MAX_HEADER_BYTES, Opcode};
use wsengine_proto::hixie76;

/// In the place of a window, for what has none.
const NO_WINDOW: u8 = 0;
/// The buffer that messages are compressed into keeps this much.
const KEPT_BYTES: usize = 64 * 1024;

/// How a connection's outgoing messages are encoded.
pub(crate) enum Encoding {
    /// As they lie in the mailbox.
    Plain,
    /// Compressed where that makes them smaller.
    Deflate(Box<Outbound>),
    /// As the draft of 2010 has it.
    Hixie76,
}

impl Encoding {
    pub(crate) fn new(compression: Option<&Parameters>) -> Self {
        let Some(agreed) = compression else { return Encoding::Plain };
        let context = (!agreed.server_no_context_takeover).then(Context::default);
        Encoding::Deflate(Box::new(Outbound { window_bits: agreed.server_max_window_bits, context }))
    }

    /// Does any of these frames look different here? Messages that are too short to be compressed do not.
    #[inline]
    pub(crate) fn changes(&self, commands: &Commands, frames: &[u32], threshold: usize) -> bool {
        let is_long = |&index: &u32| {
            let command = commands.list.get(index as usize);
            let split = command.and_then(|command| frame::split(commands.frame_bytes(&command.what)));
            split.is_some_and(|(_, payload)| payload.len() >= threshold)
        };
        match self {
            Encoding::Plain => false,
            Encoding::Deflate(_) => frames.iter().any(is_long),
            Encoding::Hixie76 => true,
        }
    }

    /// May a message for this connection alone refer to earlier ones?
    pub(crate) fn has_context(&self) -> bool {
        matches!(self, Encoding::Deflate(outbound) if outbound.context.is_some())
    }

    /// Is there a compressor for that?
    pub(crate) fn has_compressor(&mut self) -> bool {
        let Encoding::Deflate(outbound) = self else { return false };
        outbound.context.as_mut().is_some_and(Context::has_compressor)
    }

    /// Compresses a part of a message for this connection alone, appends what comes out, and says whether that is the whole
    /// message. None: it failed, and the message has to go as it is.
    pub(crate) fn compress_part(&mut self, part: Part<'_>, out: &mut Vec<u8>) -> Option<bool> {
        let Encoding::Deflate(outbound) = self else { return None };
        let context = outbound.context.as_mut()?;
        if part.is_first && !context.has_compressor() {
            // Its peer is in its turn.
            context.put(Deflater::new(outbound.window_bits));
        }
        context.compress_part(part, out)
    }

    /// Messages that were compressed are not sent: later ones must not refer to them.
    pub(crate) fn forget_context(&mut self) {
        if let Encoding::Deflate(outbound) = self
            && let Some(context) = &mut outbound.context
        {
            context.stale = true;
        }
    }
}

/// A connection whose messages are compressed.
pub(crate) struct Outbound {
    window_bits: u8,
    /// Where messages may refer to earlier ones.
    context: Option<Context>,
}

/// A part of a message.
pub(crate) struct Part<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) is_first: bool,
    pub(crate) is_last: bool,
}

/// What lets a message refer to earlier ones.
#[derive(Default)]
struct Context {
    compressor: Compressor,
    /// The peer's window is not what the compressor believes.
    stale: bool,
}

/// To take and to clear its memory takes up to half a millisecond. So it is made aside when the first message for this connection
/// alone is there; meanwhile messages are compressed by themselves.
#[derive(Default)]
enum Compressor {
    #[default]
    Unwanted,
    Coming(oneshot::Receiver<Deflater>),
    Here(Deflater),
}

impl Context {
    /// Is the compressor there?
    fn has_compressor(&mut self) -> bool {
        if let Compressor::Coming(made) = &mut self.compressor {
            match made.try_recv() {
                Ok(deflater) => self.put(deflater),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Closed) => self.compressor = Compressor::Unwanted,
            }
        }
        matches!(self.compressor, Compressor::Here(_))
    }

    fn ask_for_compressor(&mut self, window_bits: u8) {
        if let Compressor::Unwanted = self.compressor {
            let made = aside::run(Rank::Unawaited, move || Deflater::new(window_bits));
            self.compressor = Compressor::Coming(made);
        }
    }

    fn put(&mut self, deflater: Deflater) {
        self.compressor = Compressor::Here(deflater);
        self.stale = false;
    }

    /// Compresses a message even if it grows by it: without it the context would be lost. A window of 8 bits is kept to
    /// with one of 9, for compressors of the zlib family refer no further back than their window less 262 bytes.
    fn compress(&mut self, message: &Message<'_>, scratch: &mut Vec<u8>) -> Option<Bytes> {
        let frame = Message { always: true, ..*message }.compress(self.begin()?, scratch);
        self.stale = frame.is_none();
        frame
    }

    fn compress_part(&mut self, part: Part<'_>, out: &mut Vec<u8>) -> Option<bool> {
        if part.is_first {
            self.begin()?;
        }
        let Compressor::Here(deflater) = &mut self.compressor else { return None };
        let sound = match part.is_last {
            true => deflater.end(part.bytes, out),
            false => deflater.begin(part.bytes, out),
        };
        self.stale |= !sound;
        sound.then_some(part.is_last)
    }

    /// The compressor at the beginning of a message, if it is there.
    fn begin(&mut self) -> Option<&mut Deflater> {
        let Compressor::Here(deflater) = &mut self.compressor else { return None };
        if std::mem::take(&mut self.stale) {
            deflater.reset();
        }
        Some(deflater)
    }
}

/// A message as it lies in the mailbox.
struct Message<'a> {
    opcode: Opcode,
    payload: &'a [u8],
    /// Compressed even if it grows by it.
    always: bool,
}

impl Message<'_> {
    /// The whole frame, or None if it would be no smaller and need not be compressed.
    fn compress(&self, deflater: &mut Deflater, scratch: &mut Vec<u8>) -> Option<Bytes> {
        scratch.clear();
        scratch.shrink_to(KEPT_BYTES);
        let sound = deflater.deflate(self.payload, scratch);
        if !sound || (scratch.len() >= self.payload.len() && !self.always) {
            return None;
        }
        Some(compressed_frame(self.opcode, scratch))
    }
}

pub(crate) fn compressed_frame(opcode: Opcode, compressed: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(compressed.len() + MAX_HEADER_BYTES);
    frame::put(&mut frame, opcode, compressed);
    if let Some(first) = frame.first_mut() {
        *first |= COMPRESSED;
    }
    frame.into()
}

/// What the connections of a thread share to compress messages.
#[derive(Default)]
pub(crate) struct Encoder {
    /// One for each window, as they are needed.
    deflaters: [Option<Deflater>; MAX_WINDOW_BITS as usize + 1],
    /// Of the batch at hand: frames for many, by command and window.
    shared: HashMap<(u32, u8), Option<Bytes>>,
    scratch: Vec<u8>,
}

impl Encoder {
    /// The batch is done.
    pub(crate) fn clear(&mut self) {
        self.shared.clear();
    }

    /// The frame of a command as a connection gets it; empty if it cannot have it. Messages shorter than `threshold`
    /// are not compressed, nor those without a context that would not be smaller; with a
    /// threshold of 0 all are.
    pub(crate) fn encode(
        &mut self,
        encoding: &mut Encoding,
        commands: &Commands,
        index: u32,
        threshold: usize,
    ) -> Bytes {
        let Some(command) = commands.list.get(index as usize) else { return Bytes::new() };
        let plain = || commands.frame(&command.what);
        let Some((opcode, payload)) = frame::split(commands.frame_bytes(&command.what)) else {
            return plain();
        };
        let message = Message { opcode, payload, always: threshold == 0 };
        match encoding {
            Encoding::Plain => plain(),
            Encoding::Deflate(_) if payload.len() < threshold => plain(),
            Encoding::Deflate(outbound) => {
                self.compress(outbound, command.target, index, &message).unwrap_or_else(plain)
            }
            // Binary messages have no form there; hosts cannot send one to this connection alone.
            Encoding::Hixie76 if opcode == Opcode::Binary => Bytes::new(),
            Encoding::Hixie76 => {
                let frame = self.once(command.target, (index, NO_WINDOW), |_| {
                    let mut frame = Vec::new();
                    hixie76::put_text(&mut frame, payload);
                    Some(frame.into())
                });
                frame.unwrap_or_default()
            }
        }
    }

    /// What all that speak alike share is made once.
    fn once(
        &mut self,
        target: Target,
        key: (u32, u8),
        make: impl FnOnce(&mut Self) -> Option<Bytes>,
    ) -> Option<Bytes> {
        if let Target::One(_) = target {
            return make(self);
        }
        if let Some(frame) = self.shared.get(&key) {
            return frame.clone();
        }
        let frame = make(self);
        self.shared.insert(key, frame.clone());
        frame
    }

    /// None: the message stays as it is.
    fn compress(
        &mut self,
        outbound: &mut Outbound,
        target: Target,
        index: u32,
        message: &Message<'_>,
    ) -> Option<Bytes> {
        if let (Target::One(_), Some(context)) = (target, &mut outbound.context) {
            if context.has_compressor() {
                return context.compress(message, &mut self.scratch);
            }
            context.ask_for_compressor(outbound.window_bits);
        }
        let bits = Deflater::window_bits(message.payload.len(), outbound.window_bits)?;
        let frame = self.once(target, (index, bits), |encoder| encoder.alone(bits, message))?;
        if let Some(context) = &mut outbound.context {
            context.stale = true;
        }
        Some(frame)
    }

    /// Compresses a message so that it refers to no other.
    fn alone(&mut self, window_bits: u8, message: &Message<'_>) -> Option<Bytes> {
        let deflater = self.deflaters.get_mut(usize::from(window_bits))?;
        let deflater = deflater.get_or_insert_with(|| Deflater::new(window_bits));
        deflater.reset();
        message.compress(deflater, &mut self.scratch)
    }
}
