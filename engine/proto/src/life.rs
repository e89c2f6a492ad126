//! Where a connection is in its life, and how it ends, whatever its frames look like.

use crate::close::{code, truncate_reason};
use crate::heartbeat::millis;
use crate::limits::Limits;

/// Where a connection is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Both sides may send.
    Open,
    /// Our close frame is out, the peer's is awaited.
    Closing,
    /// Nothing more is read; what is still to be sent may be sent, then the socket is closed.
    Closed(Ending),
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The code of the close frame that came first, ours or the peer's; 1005 if it had none, 1006 without any.
    pub code: u16,
    /// The reason that stood beside the code.
    pub reason: Box<str>,
    /// Both sides have sent a close frame.
    pub clean: bool,
}

/// The state, and what was said when the end began.
#[derive(Debug)]
pub(crate) struct Life {
    state: State,
    said: Option<Box<Said>>,
}

/// What we said in our close frame, and when.
#[derive(Debug)]
struct Said {
    at_ms: u64,
    code: u16,
    reason: Box<str>,
}

impl Life {
    pub(crate) fn new() -> Self {
        Life { state: State::Open, said: None }
    }

    #[inline]
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }

    /// Our close frame goes out now; false if one did before. A reason that is too long is cut.
    pub(crate) fn close(&mut self, now_ms: u64, code: u16, reason: &str) -> bool {
        let is_open = self.is_open();
        if is_open {
            self.said = Some(Box::new(Said { at_ms: now_ms, code, reason: truncate_reason(reason).into() }));
            self.state = State::Closing;
        }
        is_open
    }

    /// The end, if it was not there before.
    pub(crate) fn end(&mut self, code: u16, reason: &str, clean: bool) {
        if !self.is_closed() {
            self.state = State::Closed(Ending { code, reason: reason.into(), clean });
            self.said = None;
        }
    }

    /// Ends with the code of our own close frame, 1006 if there is none.
    pub(crate) fn end_as_said(&mut self, clean: bool) {
        match self.said.take() {
            Some(said) => self.end(said.code, &said.reason, clean),
            None => self.end(code::ABNORMAL, "", clean),
        }
    }

    /// How long the peer has to answer our close frame. None: there is none, or for ever.
    pub(crate) fn answer_until(&self, limits: &Limits) -> Option<u64> {
        self.said.as_ref()?.at_ms.checked_add(millis(limits.close_timeout))
    }
}
