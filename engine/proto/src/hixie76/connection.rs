//! One open connection (section 5.3): bytes in, text messages and bytes out.
//!
//! The rules are those of [`crate::connection`] as far as there is something to apply them to:
//! 1. A text is judged by each byte that is there, a frame by its first one.
//! 2. The first violation ends the connection. The peer gets the closing handshake, which carries no code.
//! 3. The closing handshake is answered by its like; whoever had sent it already is done.
//! 4. Before a text is begun the [`Sink`] is asked for room, and before its end if that comes later. Without room nothing is
//!    taken from there on.
//! 5. Silence is no sign of death, as nobody can be pinged.

use super::{TEXT_BEGIN, TEXT_END};
use crate::close::code;
use crate::connection::{Progress, Sink, State};
use crate::error::Violation;
use crate::frame::Kind;
use crate::heartbeat::{Heartbeat, millis};
use crate::life::Life;
use crate::limits::Limits;
use crate::message::{Assembly, Payload};
use crate::utf8;
use std::time::Duration;

/// The closing handshake, the same both ways.
const CLOSE: [u8; 2] = [TEXT_END, TEXT_BEGIN];

/// The protocol state of one connection. Idle it owns no memory beyond itself.
#[derive(Debug)]
pub struct Hixie76 {
    life: Life,
    blocked: bool,
    /// The first byte of the closing handshake is there.
    close_begun: bool,
    /// The text whose end is still to come.
    message: Option<Box<Assembly>>,
    heartbeat: Heartbeat,
}

/// One call of [`Hixie76::receive`]: what it was given.
struct Reading<'a, S> {
    now_ms: u64,
    limits: &'a Limits,
    /// The bytes that have not been taken.
    rest: &'a [u8],
    out: &'a mut Vec<u8>,
    sink: &'a mut S,
}

impl Hixie76 {
    /// A connection whose opening handshake has just succeeded.
    pub fn new(now: Duration) -> Self {
        Hixie76 {
            life: Life::new(),
            blocked: false,
            close_begun: false,
            message: None,
            // Pings are what would be spread.
            heartbeat: Heartbeat::new(millis(now), 0),
        }
    }

    /// Where the connection is in its life.
    pub fn state(&self) -> &State {
        self.life.state()
    }

    /// Takes bytes from the peer. Replies are appended to `out`. A closed connection takes all and looks at
    /// nothing.
    pub fn receive(
        &mut self,
        now: Duration,
        limits: &Limits,
        bytes: &[u8],
        out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Progress {
        let now_ms = millis(now);
        if self.blocked {
            self.heartbeat.excuse(now_ms);
        }
        self.blocked = false;
        let mut reading = Reading { now_ms, limits, rest: bytes, out, sink };
        if let Err(violation) = self.run(&mut reading) {
            self.fail(violation, reading.out);
        }
        if self.life.is_closed() {
            return Progress { consumed: bytes.len(), blocked: false };
        }
        Progress { consumed: bytes.len() - reading.rest.len(), blocked: self.blocked }
    }

    /// Starts the closing handshake, unless that was done before. Code and reason are what the connection
    /// ends with; the peer is not told. What it sends until it answers is still delivered.
    pub fn close(&mut self, now: Duration, code: u16, reason: &str, out: &mut Vec<u8>) {
        if self.life.close(millis(now), code, reason) {
            out.extend_from_slice(&CLOSE);
        }
    }

    /// The peer closed its side of the stream, or the stream broke. The code is 1006 unless we had sent one.
    pub fn end_of_stream(&mut self) {
        self.end_as_said(false);
    }

    /// Ends without a further byte, for a reason of the caller's own.
    pub fn end(&mut self, code: u16, reason: &str, clean: bool) {
        self.life.end(code, reason, clean);
        self.message = None;
    }

    /// When [`Hixie76::on_deadline`] wants to be called next. It may be early: calling it then does no harm.
    pub fn deadline(&self, limits: &Limits) -> Option<Duration> {
        let at = match self.state() {
            State::Closed(_) => None,
            State::Closing => self.life.answer_until(limits),
            State::Open => self.heartbeat.message_until(limits),
        };
        at.map(Duration::from_millis)
    }

    /// As [`Connection::is_overdue`](crate::Connection::is_overdue).
    pub fn is_overdue(&self, now: Duration, limits: &Limits) -> bool {
        let is_excused = self.blocked && *self.state() == State::Open;
        !is_excused && self.deadline(limits).is_some_and(|deadline| now >= deadline)
    }

    /// Does what time demands: a close for idleness, the end of a peer that does not answer ours.
    pub fn on_deadline(&mut self, now: Duration, limits: &Limits, out: &mut Vec<u8>) {
        if self.deadline(limits).is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state() {
            State::Closed(_) => {}
            State::Closing => self.end_as_said(false),
            State::Open if self.blocked => self.heartbeat.excuse(millis(now)),
            State::Open => self.close(now, code::GOING_AWAY, "no message for too long", out),
        }
    }

    /// Takes frames until there are no more bytes, the sink is full or the connection closed.
    fn run<S: Sink>(&mut self, reading: &mut Reading<'_, S>) -> Result<(), Violation> {
        while !self.life.is_closed()
            && let Some((&first, after)) = reading.rest.split_first()
        {
            let is_full = match self.message {
                Some(_) => reading.rest.contains(&TEXT_END) && !reading.sink.has_room_at_end(),
                None => !self.close_begun && first == TEXT_BEGIN && !reading.sink.has_room(),
            };
            if is_full {
                self.blocked = true;
                return Ok(());
            }
            if self.message.is_some() {
                self.continue_text(reading)?;
                continue;
            }
            match (self.close_begun, first) {
                (false, TEXT_BEGIN) => {
                    reading.rest = after;
                    self.begin_text(reading)?;
                }
                (false, TEXT_END) => {
                    reading.rest = after;
                    self.close_begun = true;
                }
                (true, TEXT_BEGIN) => self.on_close(reading.out),
                // The draft would have other frames skipped, though its clients can send none.
                _ => return Err(Violation::Hixie76Framing),
            }
        }
        Ok(())
    }

    /// A text that is there as a whole is dealt with at once, without a copy; others are collected.
    fn begin_text<S: Sink>(&mut self, reading: &mut Reading<'_, S>) -> Result<(), Violation> {
        let max = reading.limits.max_message_bytes;
        match split_text(reading.rest) {
            Some((text, after)) if text.len() <= max => {
                utf8::validate(text).ok_or(Violation::NotUtf8)?;
                reading.rest = after;
                self.deliver(Payload::Borrowed(text), reading);
            }
            _ => self.message = Some(Box::new(Assembly::new(Kind::Text, 0, max))),
        }
        Ok(())
    }

    /// Takes what is there of the text in progress. Its bytes are judged in their order, so that it makes no
    /// difference how many come at once: up to the limit by what they are, then by their number.
    fn continue_text<S: Sink>(&mut self, reading: &mut Reading<'_, S>) -> Result<(), Violation> {
        let Some(message) = &mut self.message else { return Ok(()) };
        let (piece, after) = match split_text(reading.rest) {
            Some((piece, after)) => (piece, Some(after)),
            None => (reading.rest, None),
        };
        let (allowed, beyond) = piece.split_at_checked(message.room()).unwrap_or((piece, &[]));
        message.append(allowed)?;
        if !beyond.is_empty() {
            return Err(Violation::MessageTooBig);
        }
        reading.rest = after.unwrap_or_default();
        if after.is_some()
            && let Some(message) = self.message.take()
        {
            let data = message.finish()?;
            self.deliver(Payload::Owned(data), reading);
        }
        Ok(())
    }

    fn deliver<S: Sink>(&mut self, payload: Payload<'_>, reading: &mut Reading<'_, S>) {
        self.heartbeat.message(reading.now_ms);
        reading.sink.message(Kind::Text, payload);
    }

    fn on_close(&mut self, out: &mut Vec<u8>) {
        if *self.state() == State::Closing {
            return self.end_as_said(true);
        }
        out.extend_from_slice(&CLOSE);
        self.end(code::NO_STATUS, "", true);
    }

    fn end_as_said(&mut self, clean: bool) {
        self.life.end_as_said(clean);
        self.message = None;
    }

    #[cold]
    fn fail(&mut self, violation: Violation, out: &mut Vec<u8>) {
        if self.life.is_open() {
            out.extend_from_slice(&CLOSE);
            self.end(violation.close_code(), violation.reason(), false);
        } else {
            self.end_as_said(false);
        }
    }
}

/// What stands before the end of a text, and what after it. None: the end is not there.
fn split_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == TEXT_END)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}
