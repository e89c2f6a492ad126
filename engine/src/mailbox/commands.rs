//! What a host tells an I/O thread: a batch of commands with the frames that go with them.

use crate::accept::Accepted;
use crate::buffers::Buffers;
use crate::event::ConnId;
use crate::undecided::Decision;
use bytes::Bytes;
use std::ops::Range;
use std::time::Duration;
use wsengine_proto::copy::append;
use wsengine_proto::{Kind, Opcode, frame};

/// Bytes of a mailbox that the work for one message to one connection stands for: 64 Ki of them fill it, which keep a
/// thread for some 30 ms at the most.
const DELIVERY_BYTES: usize = 1024;
/// A frame of at least this size has a buffer of its own, which a broadcast shares over all connections; smaller
/// ones lie one after the other in an arena.
const OWN_BUFFER_BYTES: usize = 16 * 1024;
/// A used arena keeps this much for the next round.
const KEPT_BYTES: usize = 1 << 20;

/// What an I/O thread is told to do, in order.
#[derive(Default)]
pub(crate) struct Commands {
    pub(crate) list: Vec<Command>,
    /// One of them is for all connections.
    pub(super) has_broadcast: bool,
    /// Small frames and close reasons, one after the other.
    pub(crate) arena: Vec<u8>,
    pub(crate) large: Vec<Bytes>,
    /// For messages to many: who is left out, in ascending order.
    pub(crate) exceptions: Vec<Vec<ConnId>>,
    /// What the host has decided on handshakes.
    pub(crate) decisions: Vec<(ConnId, Decision)>,
    /// Accepted sockets from the thread that accepts.
    pub(crate) sockets: Vec<Accepted>,
    /// Connections for which a send was refused: the host wants to know when there is room.
    pub(crate) refused: Vec<ConnId>,
    /// The host has taken a batch of events that was full.
    pub(crate) resume: bool,
    /// All queues together are too large: some of this thread have to give way.
    pub(crate) relief: Option<Relief>,
    pub(crate) stop: Option<Stop>,
    /// Bytes of all frames, and of changes of topics.
    pub(super) bytes: usize,
}

/// Who needs room in the sum of all queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Relief {
    /// Larger queues than this one give way to it.
    pub(crate) own: usize,
    /// How much it needs.
    pub(crate) bytes: usize,
}

/// One command.
pub(crate) struct Command {
    pub(crate) target: Target,
    pub(crate) what: What,
}

/// Whom a command is for.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    One(ConnId),
    /// Every open connection, less those of an entry of `exceptions`.
    All {
        except: Option<u32>,
    },
    /// The members of the topic of this number, less those of an entry of `exceptions`; or the topic itself,
    /// to change who they are.
    Topic {
        topic: u32,
        except: Option<u32>,
    },
}

/// What is to be done.
#[derive(Clone)]
pub(crate) enum What {
    /// A frame in the arena.
    Small(Range<usize>),
    /// A frame of its own.
    Large(u32),
    /// The connection is a member of the topic from here on, or is none any more.
    Subscribe(ConnId),
    Unsubscribe(ConnId),
    /// The closing handshake; the reason lies in the arena.
    Close {
        code: u16,
        reason: Range<usize>,
    },
    /// The end, at once.
    Abort,
    /// The host has dealt with all events up to the connection's fence; what it had to say stands before this.
    Fence,
}

impl What {
    /// Nothing can follow it.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self, What::Close { .. } | What::Abort | What::Fence)
    }
}

/// How a server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop {
    /// The close code that all connections get.
    pub(crate) code: u16,
    /// Time for queued messages and closing handshakes.
    pub(crate) drain: Duration,
}

/// A frame that is encoded once, for one connection or for many.
pub(crate) enum Frame<'a> {
    Small { opcode: Opcode, payload: &'a [u8] },
    Large(Bytes),
}

impl<'a> Frame<'a> {
    #[inline]
    pub(crate) fn new(kind: Kind, payload: &'a [u8], buffers: &Buffers) -> Self {
        let opcode = Opcode::from(kind);
        match payload.len() < OWN_BUFFER_BYTES {
            true => Frame::Small { opcode, payload },
            false => Frame::large(opcode, payload, buffers),
        }
    }

    fn large(opcode: Opcode, payload: &[u8], buffers: &Buffers) -> Self {
        let mut frame = buffers.take(payload.len() + frame::MAX_HEADER_BYTES);
        frame::put(&mut frame, opcode, payload);
        Frame::Large(frame.into())
    }
}

impl Frame<'_> {
    pub(super) fn is_binary(&self) -> bool {
        match self {
            Frame::Small { opcode, .. } => *opcode == Opcode::Binary,
            Frame::Large(frame) => frame::split(frame).is_some_and(|(opcode, _)| opcode == Opcode::Binary),
        }
    }

    /// Its bytes on the wire.
    pub(super) fn wire_len(&self) -> usize {
        match self {
            Frame::Small { payload, .. } => payload.len() + if payload.len() < 126 { 2 } else { 4 },
            Frame::Large(frame) => frame.len(),
        }
    }
}

impl Commands {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
            && self.decisions.is_empty()
            && self.sockets.is_empty()
            && self.refused.is_empty()
            && !self.resume
            && self.relief.is_none()
            && self.stop.is_none()
    }

    /// Queues a frame for so many connections. What it will cost the thread counts as bytes: any number of short
    /// messages would otherwise come between two of its looks at the sockets.
    #[inline]
    pub(super) fn push_frame(&mut self, target: Target, frame: &Frame<'_>, reached: usize) {
        let what = match frame {
            Frame::Small { opcode, payload } => {
                let start = self.arena.len();
                frame::put(&mut self.arena, *opcode, payload);
                What::Small(start..self.arena.len())
            }
            Frame::Large(frame) => {
                self.large.push(frame.clone());
                What::Large(self.large.len() as u32 - 1)
            }
        };
        self.bytes += size_of::<Command>() + frame.wire_len() + reached * DELIVERY_BYTES;
        self.has_broadcast |= matches!(target, Target::All { .. });
        self.list.push(Command { target, what });
    }

    /// A change of topics. It counts as bytes too: any number of them may come without a frame.
    pub(super) fn push_change(&mut self, topic: u32, what: What) {
        self.bytes += size_of::<Command>();
        self.list.push(Command { target: Target::Topic { topic, except: None }, what });
    }

    pub(super) fn except(&mut self, left_out: Vec<ConnId>) -> Option<u32> {
        if left_out.is_empty() {
            return None;
        }
        self.bytes += left_out.len() * size_of::<ConnId>();
        self.exceptions.push(left_out);
        Some(self.exceptions.len() as u32 - 1)
    }

    pub(super) fn store(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        start..self.arena.len()
    }

    /// The bytes of a range of the arena.
    #[inline]
    pub(crate) fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.arena.get(range.clone()).unwrap_or_default()
    }

    /// Makes it ready to be filled again.
    pub(crate) fn clear(&mut self, buffers: &Buffers) {
        self.list.clear();
        self.list.shrink_to(KEPT_BYTES / size_of::<Command>());
        self.has_broadcast = false;
        self.arena.clear();
        self.arena.shrink_to(KEPT_BYTES);
        self.large.drain(..).for_each(|frame| buffers.give(frame));
        self.exceptions.clear();
        self.decisions.clear();
        self.sockets.clear();
        self.refused.clear();
        self.resume = false;
        self.relief = None;
        self.stop = None;
        self.bytes = 0;
    }

    /// The bytes of a frame; empty for what is none.
    pub(crate) fn frame_bytes(&self, what: &What) -> &[u8] {
        match what {
            What::Small(range) => self.bytes(range),
            What::Large(index) => self.large.get(*index as usize).map_or(&[], |frame| frame),
            _ => &[],
        }
    }

    /// The same as one that can wait: a small one is copied, a large one shared.
    pub(crate) fn frame(&self, what: &What) -> Bytes {
        match what {
            What::Small(range) => {
                let mut frame = Vec::new();
                append(&mut frame, self.bytes(range));
                frame.into()
            }
            What::Large(index) => self.large.get(*index as usize).cloned().unwrap_or_default(),
            _ => Bytes::new(),
        }
    }
}
