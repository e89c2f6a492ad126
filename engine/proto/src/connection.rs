//! One open connection (RFC 6455, sections 5 to 7): bytes in, messages and bytes out.
//!
//! The rules, in the order in which they are applied:
//! 1. A frame is judged by its header as soon as the header is there, a text by each byte that is there.
//! 2. The first violation is answered by a close frame with its code; nothing after it is read (7.1.7).
//! 3. A ping is answered by a pong with the same payload (5.5.3), unless a close frame has been sent.
//! 4. A close frame is answered by one with the same code (5.5.1); whoever had sent one already is done.
//! 5. Before a data frame is begun the [`Sink`] is asked for room. Without room nothing is taken from there on.
//! 6. A peer that is silent for `ping_interval` is pinged; one that stays silent for `pong_timeout` is dead.
//!    While rule 5 keeps us from listening, nobody is found dead.
//!
//! What has to be sent is appended to a buffer of the caller's; when to read and write is the caller's business.

use crate::close::{CloseFrame, code};
use crate::control_rate::ControlRate;
use crate::deflate::{self, Inbound, Parameters, Scratch};
use crate::error::Violation;
use crate::frame::{self, Header, Kind, MAX_HEADER_BYTES, Opcode};
use crate::heartbeat::{Due, Heartbeat, millis};
use crate::life::Life;
use crate::limits::Limits;
use crate::mask::unmask;
use crate::message::{Assembly, Payload};
use crate::utf8;
use std::time::Duration;

pub use crate::life::{Ending, State};

/// Takes the messages of a connection.
pub trait Sink {
    /// Is there room for one more message? Asked before each data frame.
    fn has_room(&mut self) -> bool;
    /// The same, asked again before the last piece of a message that comes in pieces: many may have begun while there was room
    /// for one. It is not complete at once; what remains to be done with it may take long.
    fn has_room_at_end(&mut self) -> bool {
        self.has_room()
    }
    /// A message is complete, inflated if it was compressed. Text is valid UTF-8.
    fn message(&mut self, kind: Kind, payload: Payload<'_>);
}

/// How far [`Connection::receive`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes taken. What is left belongs before the next bytes from the socket.
    pub consumed: usize,
    /// The sink had no room: call again when it has, with no new bytes if there are none. At least one byte is
    /// left then.
    pub blocked: bool,
}

/// The protocol state of one connection. Idle it owns no memory beyond itself.
#[derive(Debug)]
pub struct Connection {
    life: Life,
    inbound: Inbound,
    blocked: bool,
    /// The beginning of a header that is not complete.
    header_len: u8,
    header: [u8; MAX_HEADER_BYTES],
    /// The frame whose payload is arriving.
    frame: Option<FrameInProgress>,
    /// The message that is not complete; between frames: continuation frames are awaited.
    message: Option<Box<Assembly>>,
    /// The payload of a control frame that is not complete.
    control: Vec<u8>,
    control_rate: ControlRate,
    heartbeat: Heartbeat,
}

#[derive(Debug, Clone, Copy)]
struct FrameInProgress {
    fin: bool,
    opcode: Opcode,
    key: [u8; 4],
    /// Which byte of the key is next.
    phase: u8,
    /// Bytes of payload still to come.
    remaining: u64,
}

impl FrameInProgress {
    /// Do so many bytes more make a message of it? An empty frame was asked for at its header, and no byte would be left.
    fn completes_message(&self, bytes: usize) -> bool {
        self.fin && !self.opcode.is_control() && self.remaining > 0 && self.remaining <= bytes as u64
    }
}

/// One call of [`Connection::receive`]: what it was given.
struct Reading<'a, S> {
    now_ms: u64,
    limits: &'a Limits,
    /// The bytes that have not been taken.
    rest: &'a mut [u8],
    out: &'a mut Vec<u8>,
    scratch: &'a mut Scratch,
    sink: &'a mut S,
}

impl<'a, S> Reading<'a, S> {
    /// The next `len` bytes, or all if there are fewer.
    #[inline]
    fn take(&mut self, len: usize) -> &'a mut [u8] {
        let rest = std::mem::take(&mut self.rest);
        let (taken, rest) = rest.split_at_mut_checked(len.min(rest.len())).unwrap_or_default();
        self.rest = rest;
        taken
    }

    /// The same of payload; `phase` is the byte of the key that is next.
    #[inline]
    fn take_unmasked(&mut self, len: u64, key: [u8; 4], phase: u8) -> &'a [u8] {
        let payload = self.take(usize::try_from(len).unwrap_or(usize::MAX));
        unmask(payload, key, usize::from(phase));
        payload
    }
}

impl Connection {
    /// A connection whose opening handshake has just succeeded. `spread` is any number, such as the
    /// connection's id: it spreads the pings of many connections over time. `compression` is what was agreed on
    /// for permessage-deflate.
    pub fn new(now: Duration, limits: &Limits, spread: u64, compression: Option<&Parameters>) -> Self {
        let now_ms = millis(now);
        Connection {
            life: Life::new(),
            inbound: Inbound::new(compression),
            blocked: false,
            header_len: 0,
            header: [0; MAX_HEADER_BYTES],
            frame: None,
            message: None,
            control: Vec::new(),
            control_rate: ControlRate::new(limits.max_control_frames_per_s, now_ms),
            heartbeat: Heartbeat::new(now_ms, spread),
        }
    }

    /// Where the connection is in its life.
    pub fn state(&self) -> &State {
        self.life.state()
    }

    /// Takes bytes from the peer; they are unmasked in place. Replies are appended to `out`. `scratch` may be another
    /// one with each call. A closed connection takes all and looks at nothing.
    pub fn receive(
        &mut self,
        now: Duration,
        limits: &Limits,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        scratch: &mut Scratch,
        sink: &mut impl Sink,
    ) -> Progress {
        let (len, now_ms) = (bytes.len(), millis(now));
        if self.life.is_closed() {
            return Progress { consumed: len, blocked: false };
        }
        if self.blocked {
            self.heartbeat.excuse(now_ms);
        } else if len > 0 {
            self.heartbeat.heard(now_ms);
        }
        self.blocked = false;
        let mut reading = Reading { now_ms, limits, rest: bytes, out, scratch, sink };
        if let Err(violation) = self.run(&mut reading) {
            self.fail(violation, reading.out);
        }
        if self.life.is_closed() {
            return Progress { consumed: len, blocked: false };
        }
        Progress { consumed: len - reading.rest.len(), blocked: self.blocked }
    }

    /// Starts the closing handshake: appends our close frame. Does nothing if one was sent before. `code` is one
    /// that [may be sent](crate::close::is_sendable); a reason that is too long is cut at a character. What the
    /// peer sends until it answers is still delivered.
    pub fn close(&mut self, now: Duration, code: u16, reason: &str, out: &mut Vec<u8>) {
        if self.life.close(millis(now), code, reason) {
            frame::put_close(out, Some(code), reason);
        }
    }

    /// The peer closed its side of the stream, or the stream broke. The code is 1006 unless we had sent one.
    pub fn end_of_stream(&mut self) {
        self.end_as_said(false);
    }

    /// Ends without a further byte, for a reason of the caller's own.
    pub fn end(&mut self, code: u16, reason: &str, clean: bool) {
        self.life.end(code, reason, clean);
        self.release();
    }

    /// When [`Connection::on_deadline`] wants to be called next. It may be early: calling it then does no harm.
    pub fn deadline(&self, limits: &Limits) -> Option<Duration> {
        let at = match self.state() {
            State::Closed(_) => None,
            State::Closing => self.life.answer_until(limits),
            State::Open => self.heartbeat.deadline(limits),
        };
        at.map(Duration::from_millis)
    }

    /// Has the peer been silent for too long, so that [`Connection::on_deadline`] sends it away or ends it? What it has said
    /// and nobody has looked at yet is better received before.
    pub fn is_overdue(&self, now: Duration, limits: &Limits) -> bool {
        let now_ms = millis(now);
        match self.state() {
            State::Closed(_) => false,
            State::Closing => self.life.answer_until(limits).is_some_and(|until| now_ms >= until),
            State::Open if self.blocked => false,
            State::Open => matches!(self.heartbeat.due(now_ms, limits), Due::Dead | Due::Idle),
        }
    }

    /// Does what time demands: a ping, a close for idleness, the end of a dead peer.
    pub fn on_deadline(&mut self, now: Duration, limits: &Limits, out: &mut Vec<u8>) {
        let now_ms = millis(now);
        match self.state() {
            State::Closed(_) => {}
            State::Closing if self.is_overdue(now, limits) => self.end_as_said(false),
            State::Closing => {}
            State::Open if self.blocked => self.heartbeat.excuse(now_ms),
            State::Open => match self.heartbeat.due(now_ms, limits) {
                Due::Nothing => {}
                Due::Ping => {
                    frame::put_header(out, Opcode::Ping, 0);
                    self.heartbeat.ping(now_ms);
                    self.control_rate.credit();
                }
                Due::Dead => self.end(code::ABNORMAL, "no answer to a ping", false),
                Due::Idle => self.close(now, code::GOING_AWAY, "no message for too long", out),
            },
        }
    }

    /// Takes frames until there are no more bytes, the sink is full or the connection closed.
    #[inline]
    fn run<S: Sink>(&mut self, reading: &mut Reading<'_, S>) -> Result<(), Violation> {
        loop {
            if let Some(frame) = &self.frame {
                if frame.completes_message(reading.rest.len()) && !reading.sink.has_room_at_end() {
                    self.blocked = true;
                    return Ok(());
                }
                if !self.continue_frame(reading)? {
                    return Ok(());
                }
            } else {
                let Some((header, size)) = self.next_header(reading)? else { return Ok(()) };
                self.judge(&header, reading.limits)?;
                if !header.opcode.is_control() && !reading.sink.has_room() {
                    self.blocked = true;
                    return Ok(());
                }
                reading.take(size);
                self.header_len = 0;
                self.begin_frame(&header, reading)?;
            }
            if self.life.is_closed() {
                return Ok(());
            }
        }
    }

    /// The next header and how many of its bytes have not been taken: a complete one is left where it is, as
    /// there may be no room for its frame.
    #[inline]
    fn next_header<S>(&mut self, reading: &mut Reading<'_, S>) -> Result<Option<(Header, usize)>, Violation> {
        if reading.rest.is_empty() {
            return Ok(None);
        }
        if self.header_len == 0
            && let Some(header) = frame::parse_header(reading.rest)?
        {
            return Ok(Some((header, header.size)));
        }
        self.split_header(reading)
    }

    /// A header that arrives in pieces: what is there of it is taken and kept.
    #[cold]
    fn split_header<S>(
        &mut self,
        reading: &mut Reading<'_, S>,
    ) -> Result<Option<(Header, usize)>, Violation> {
        let kept = usize::from(self.header_len);
        let free = self.header.get_mut(kept..).unwrap_or_default();
        let copied = free.len().min(reading.rest.len());
        for (to, from) in free.iter_mut().zip(reading.rest.iter()) {
            *to = *from;
        }
        let known = self.header.get(..kept + copied).unwrap_or_default();
        if let Some(header) = frame::parse_header(known)? {
            return Ok(Some((header, header.size.saturating_sub(kept))));
        }
        self.header_len = known.len() as u8;
        reading.take(copied);
        Ok(None)
    }

    /// Judges a frame by its header and what came before it. Changes nothing: a frame that waits for room in the
    /// sink is judged again when there is some.
    #[inline]
    fn judge(&self, header: &Header, limits: &Limits) -> Result<(), Violation> {
        let begins_message = matches!(header.opcode, Opcode::Text | Opcode::Binary);
        let allowed = if begins_message { self.inbound.claimed() } else { 0 };
        if header.reserved & !allowed != 0 {
            return Err(Violation::ReservedBits);
        }
        match &self.message {
            _ if header.opcode.is_control() => Ok(()),
            Some(_) if begins_message => Err(Violation::MessageInMessage),
            Some(message) => message.judge(header, limits),
            None if !begins_message => Err(Violation::NothingToContinue),
            None if header.len > max_wire_bytes(header.reserved, limits) as u64 => {
                Err(Violation::MessageTooBig)
            }
            None => Ok(()),
        }
    }

    /// A header is there and sound. A frame that is there as a whole is dealt with at once, without a copy;
    /// fragments and frames that are still arriving are collected.
    #[inline]
    fn begin_frame<S: Sink>(
        &mut self,
        header: &Header,
        reading: &mut Reading<'_, S>,
    ) -> Result<(), Violation> {
        let &Header { fin, reserved, opcode, len, key, .. } = header;
        let kind = match opcode {
            Opcode::Text => Some(Kind::Text),
            Opcode::Binary => Some(Kind::Binary),
            _ => None,
        };
        if len <= reading.rest.len() as u64 {
            if let (Some(kind), true) = (kind, fin) {
                let payload = reading.take_unmasked(len, key, 0);
                return self.deliver(kind, reserved, Payload::Borrowed(payload), reading);
            }
            if opcode.is_control() {
                let payload = reading.take_unmasked(len, key, 0);
                return self.on_control(opcode, payload, reading);
            }
        }
        if let Some(kind) = kind {
            let max = max_wire_bytes(reserved, reading.limits);
            self.message = Some(Box::new(Assembly::new(kind, reserved, max)));
        } else if let (Opcode::Continuation, Some(message)) = (opcode, &mut self.message) {
            message.begin_fragment();
        }
        self.frame = Some(FrameInProgress { fin, opcode, key, phase: 0, remaining: len });
        Ok(())
    }

    /// A message is there as a whole; uncompressed text that was collected has been validated on its way.
    #[inline]
    fn deliver<S: Sink>(
        &mut self,
        kind: Kind,
        reserved: u8,
        payload: Payload<'_>,
        reading: &mut Reading<'_, S>,
    ) -> Result<(), Violation> {
        if reserved != 0 {
            return self.deliver_inflated(kind, &payload, reading);
        }
        if let (Kind::Text, Payload::Borrowed(text)) = (kind, &payload)
            && utf8::validate(text).is_none()
        {
            return Err(Violation::NotUtf8);
        }
        self.heartbeat.message(reading.now_ms);
        reading.sink.message(kind, payload);
        Ok(())
    }

    fn deliver_inflated<S: Sink>(
        &mut self,
        kind: Kind,
        payload: &Payload<'_>,
        reading: &mut Reading<'_, S>,
    ) -> Result<(), Violation> {
        let Reading { now_ms, limits, scratch, sink, .. } = reading;
        self.inbound.inflate(payload.as_bytes(), limits.max_message_bytes, scratch)?;
        if kind == Kind::Text && utf8::validate(&scratch.buffer).is_none() {
            return Err(Violation::NotUtf8);
        }
        self.heartbeat.message(*now_ms);
        match scratch.take_large() {
            Some(data) => sink.message(kind, Payload::Owned(data)),
            None => sink.message(kind, Payload::Borrowed(&scratch.buffer)),
        }
        Ok(())
    }

    /// Takes payload of the frame in progress; false when more bytes are needed first.
    fn continue_frame<S: Sink>(&mut self, reading: &mut Reading<'_, S>) -> Result<bool, Violation> {
        let Some(frame) = &mut self.frame else { return Ok(true) };
        let piece = reading.take_unmasked(frame.remaining, frame.key, frame.phase);
        frame.remaining -= piece.len() as u64;
        frame.phase = frame.phase.wrapping_add(piece.len() as u8) % 4;
        let FrameInProgress { fin, opcode, remaining, .. } = *frame;
        if opcode.is_control() {
            self.control.extend_from_slice(piece);
        } else if let Some(message) = &mut self.message {
            message.append(piece)?;
        }
        if remaining > 0 {
            return Ok(false);
        }
        self.frame = None;
        if opcode.is_control() {
            let payload = std::mem::take(&mut self.control);
            self.on_control(opcode, &payload, reading)?;
        } else if fin && let Some(message) = self.message.take() {
            let (kind, reserved) = (message.kind, message.reserved);
            let data = message.finish()?;
            self.deliver(kind, reserved, Payload::Owned(data), reading)?;
        }
        Ok(true)
    }

    fn on_control<S>(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        reading: &mut Reading<'_, S>,
    ) -> Result<(), Violation> {
        if opcode == Opcode::Close {
            self.on_close(CloseFrame::parse(payload)?, reading.out);
            return Ok(());
        }
        if !self.control_rate.allow(reading.limits.max_control_frames_per_s, reading.now_ms) {
            return Err(Violation::ControlFlood);
        }
        if opcode == Opcode::Ping && self.life.is_open() {
            frame::put(reading.out, Opcode::Pong, payload);
        }
        Ok(())
    }

    fn on_close(&mut self, close: CloseFrame<'_>, out: &mut Vec<u8>) {
        if *self.state() == State::Closing {
            return self.end_as_said(true);
        }
        frame::put_close(out, close.code, "");
        self.end(close.reported_code(), close.reason, true);
    }

    /// Ends with the code of our own close frame, 1006 if there is none.
    fn end_as_said(&mut self, clean: bool) {
        self.life.end_as_said(clean);
        self.release();
    }

    /// Rule 2: tells the peer what it did wrong and listens no more.
    #[cold]
    fn fail(&mut self, violation: Violation, out: &mut Vec<u8>) {
        if self.life.is_open() {
            frame::put_close(out, Some(violation.close_code()), violation.reason());
            self.end(violation.close_code(), violation.reason(), false);
        } else {
            self.end_as_said(false);
        }
    }

    /// Gives back what a closed connection no longer needs.
    fn release(&mut self) {
        self.frame = None;
        self.message = None;
        self.inbound = Inbound::Plain;
        self.control = Vec::new();
    }
}

/// Most payload of a message whose first frame has these reserved bits.
#[inline]
fn max_wire_bytes(reserved: u8, limits: &Limits) -> usize {
    match reserved {
        0 => limits.max_message_bytes,
        _ => deflate::max_wire_bytes(limits.max_message_bytes),
    }
}
