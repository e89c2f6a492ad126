//! What hosts must know of a connection without asking its thread: whether it is open, and how much waits for it.

use crate::event::ConnId;

/// What hosts know of a connection.
#[derive(Clone, Copy, Default)]
pub(super) struct Slot {
    /// 0: none is open here.
    pub(super) conn: u64,
    /// The connection whose slot it is until its very end; from the first word of a close on it is open no more.
    pub(super) owner: u64,
    /// What lies in its outbox, or is compressed in turns.
    pub(super) outbox: Waiting,
    /// What was sent in `batch`, and in the one before it: the thread deals with one while the next is filled.
    pub(super) sent: Waiting,
    pub(super) sent_before: Waiting,
    pub(super) batch: u64,
    /// Binary messages have no form in its protocol.
    pub(super) text_only: bool,
    /// A send was refused and nobody has been told yet that there is room again.
    pub(super) refused: bool,
}

impl Slot {
    /// Is this connection open here? None has the number 0, which stands for no connection.
    #[inline]
    pub(super) fn has(&self, conn: ConnId) -> bool {
        conn.as_u64() != 0 && self.conn == conn.as_u64()
    }

    /// What waits for the connection when the batches up to `done` have been dealt with.
    #[inline]
    pub(super) fn waiting(&self, done: u64) -> Waiting {
        let mut waiting = self.outbox;
        if self.batch > done {
            waiting = waiting.plus(self.sent);
        }
        if self.batch > done + 1 {
            waiting = waiting.plus(self.sent_before);
        }
        waiting
    }

    /// Notes what is sent in `batch`. All batches before the one before it have been dealt with.
    #[inline]
    pub(super) fn note(&mut self, batch: u64, sent: Waiting) {
        if self.batch != batch {
            let before = std::mem::take(&mut self.sent);
            self.sent_before = if self.batch + 1 == batch { before } else { Waiting::default() };
            self.batch = batch;
        }
        self.sent = self.sent.plus(sent);
    }
}

/// Messages that wait, and their bytes on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) bytes: usize,
    pub(crate) messages: usize,
}

impl Waiting {
    #[inline]
    pub(super) fn plus(self, more: Waiting) -> Waiting {
        Waiting { bytes: self.bytes + more.bytes, messages: self.messages + more.messages }
    }
}
