//! Either protocol behind the same calls: that of RFC 6455 or the one of 2010.

use crate::connection::{Connection, Progress, Sink};
use crate::deflate::Scratch;
use crate::hixie76::Hixie76;
use crate::life::State;
use crate::limits::Limits;
use std::time::Duration;

/// The state of a connection; each call does what it does in [`Connection`].
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Protocol {
    Rfc6455(Connection),
    /// In a box, for hardly anybody speaks it.
    Hixie76(Box<Hixie76>),
}

/// The same call for whichever it is.
macro_rules! either {
    ($self:expr, $connection:ident => $call:expr) => {
        match $self {
            Protocol::Rfc6455($connection) => $call,
            Protocol::Hixie76($connection) => $call,
        }
    };
}

#[allow(missing_docs)]
impl Protocol {
    #[inline]
    pub fn state(&self) -> &State {
        either!(self, connection => connection.state())
    }

    #[inline]
    pub fn receive(
        &mut self,
        now: Duration,
        limits: &Limits,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        scratch: &mut Scratch,
        sink: &mut impl Sink,
    ) -> Progress {
        match self {
            Protocol::Rfc6455(connection) => connection.receive(now, limits, bytes, out, scratch, sink),
            Protocol::Hixie76(connection) => connection.receive(now, limits, bytes, out, sink),
        }
    }

    pub fn close(&mut self, now: Duration, code: u16, reason: &str, out: &mut Vec<u8>) {
        either!(self, connection => connection.close(now, code, reason, out));
    }

    pub fn end_of_stream(&mut self) {
        either!(self, connection => connection.end_of_stream());
    }

    pub fn end(&mut self, code: u16, reason: &str, clean: bool) {
        either!(self, connection => connection.end(code, reason, clean));
    }

    pub fn deadline(&self, limits: &Limits) -> Option<Duration> {
        either!(self, connection => connection.deadline(limits))
    }

    pub fn is_overdue(&self, now: Duration, limits: &Limits) -> bool {
        either!(self, connection => connection.is_overdue(now, limits))
    }

    pub fn on_deadline(&mut self, now: Duration, limits: &Limits, out: &mut Vec<u8>) {
        either!(self, connection => connection.on_deadline(now, limits, out));
    }
}
