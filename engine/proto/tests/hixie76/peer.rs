//! A connection of the protocol of 2010 with its buffers around it.

use crate::common::{Message, Recorder};
use std::time::Duration;
use wsengine_proto::connection::Ending;
use wsengine_proto::hixie76::{Hixie76, put_text};
use wsengine_proto::{Limits, State};

pub(crate) const CLOSE_FRAME: &[u8] = b"\xff\x00";

pub(crate) fn limits() -> Limits {
    Limits { max_message_bytes: 100, ..Limits::default() }
}

/// A connection with all that its owner keeps for it.
pub(crate) struct Peer {
    pub(crate) now: Duration,
    pub(crate) limits: Limits,
    pub(crate) conn: Hixie76,
    pub(crate) out: Vec<u8>,
    pub(crate) sink: Recorder,
    pub(crate) unread: Vec<u8>,
    pub(crate) blocked: bool,
}

/// All that an observer can see.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) messages: Vec<Message>,
    pub(crate) out: Vec<u8>,
    pub(crate) state: State,
    pub(crate) deadline: Option<Duration>,
}

impl Peer {
    pub(crate) fn new(limits: Limits) -> Self {
        let now = Duration::from_secs(1_000);
        Peer {
            now,
            limits,
            conn: Hixie76::new(now),
            out: Vec::new(),
            sink: Recorder { room: usize::MAX, messages: Vec::new() },
            unread: Vec::new(),
            blocked: false,
        }
    }

    /// Bytes from the peer, in one piece; what was left before comes first.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> &mut Self {
        self.unread.extend_from_slice(bytes);
        let progress = self.conn.receive(self.now, &self.limits, &self.unread, &mut self.out, &mut self.sink);
        assert_eq!(progress.blocked, progress.consumed < self.unread.len());
        self.unread.drain(..progress.consumed);
        self.blocked = progress.blocked;
        self
    }

    pub(crate) fn feed_bytewise(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            self.feed(std::slice::from_ref(byte));
        }
        self
    }

    pub(crate) fn close(&mut self, code: u16, reason: &str) -> &mut Self {
        self.conn.close(self.now, code, reason, &mut self.out);
        self
    }

    pub(crate) fn at(&mut self, after: Duration) -> &mut Self {
        self.now = Duration::from_secs(1_000) + after;
        let before = self.conn.state().clone();
        let is_overdue = self.conn.is_overdue(self.now, &self.limits);
        self.conn.on_deadline(self.now, &self.limits, &mut self.out);
        assert_eq!(*self.conn.state() != before, is_overdue);
        self
    }

    pub(crate) fn seen(&self) -> Seen {
        Seen {
            messages: self.sink.messages.clone(),
            out: self.out.clone(),
            state: self.conn.state().clone(),
            deadline: self.conn.deadline(&self.limits),
        }
    }

    pub(crate) fn ended(&self) -> Option<(u16, &str, bool)> {
        match self.conn.state() {
            State::Closed(Ending { code, reason, clean }) => Some((*code, reason, *clean)),
            State::Open | State::Closing => None,
        }
    }
}

pub(crate) fn encode_texts(texts: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    texts.iter().for_each(|text| put_text(&mut bytes, text.as_ref()));
    bytes
}
