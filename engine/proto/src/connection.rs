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

use crate::close::{CloseFrame, code, truncate_reason};
use crate::control_rate::ControlRate;
use crate::error::Violation;
use crate::frame::{self, Header, Kind, MAX_HEADER_BYTES, Opcode};
use crate::heartbeat::{Due, Heartbeat, millis};
use crate::limits::Limits;
use crate::mask::unmask;
use crate::message::{Assembly, Payload};
use crate::utf8;
use std::time::Duration;

/// Takes the messages of a connection.
pub trait Sink {
    /// Is there room for one more message?
    fn has_room(&mut self) -> bool;
    /// A message is complete. `reserved` are the reserved bits of its first frame, for the extension that
    /// claimed them; without extensions they are zero. Text without reserved bits is valid UTF-8.
    fn message(&mut self, kind: Kind, reserved: u8, payload: Payload<'_>);
}

/// How far [`Connection::receive`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes taken. What is left belongs before the next bytes from the socket.
    pub consumed: usize,
    /// The sink had no room: call again when it has, with no new bytes if there are none.
    pub blocked: bool,
}

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

/// The protocol state of one connection. Idle it owns no memory beyond itself.
#[derive(Debug)]
pub struct Connection {
    state: State,
    /// Reserved bits that a negotiated extension has claimed for the first frame of a message.
    claimed: u8,
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
    said: Option<Box<Said>>,
}

#[derive(Debug, Clone, Copy)]
struct FrameInProgress {
    fin: bool,
    opcode: Opcode,
    key: [u8; 4],
    /// Bytes of payload taken so far, for the phase of the masking key.
    taken: u64,
    remaining: u64,
}

/// What we said in our close frame, and when.
#[derive(Debug)]
struct Said {
    at_ms: u64,
    code: u16,
    reason: Box<str>,
}

impl Connection {
    /// A connection whose opening handshake has just succeeded. `spread` is any number, such as the
    /// connection's id: it spreads the pings of many connections over time. `claimed` holds the reserved bits
    /// (0x40, 0x20, 0x10) of a negotiated extension, 0 without.
    pub fn new(now: Duration, limits: &Limits, spread: u64, claimed: u8) -> Self {
        let now_ms = millis(now);
        Connection {
            state: State::Open,
            claimed,
            blocked: false,
            header_len: 0,
            header: [0; MAX_HEADER_BYTES],
            frame: None,
            message: None,
            control: Vec::new(),
            control_rate: ControlRate::new(limits.max_control_frames_per_s, now_ms),
            heartbeat: Heartbeat::new(now_ms, spread),
            said: None,
        }
    }

    /// Where the connection is in its life.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes bytes from the peer; they are unmasked in place. Replies are appended to `out`. A closed connection
    /// takes all and looks at nothing.
    pub fn receive(
        &mut self,
        now: Duration,
        limits: &Limits,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Progress {
        let (len, now_ms) = (bytes.len(), millis(now));
        if matches!(self.state, State::Closed(_)) {
            return Progress { consumed: len, blocked: false };
        }
        if self.blocked {
            self.heartbeat.excuse(now_ms);
        } else if len > 0 {
            self.heartbeat.heard(now_ms);
        }
        self.blocked = false;
        let mut rest = bytes;
        let outcome = self.run(now_ms, limits, &mut rest, out, sink);
        let left = rest.len();
        if let Err(violation) = outcome {
            self.fail(violation, out);
        }
        if matches!(self.state, State::Closed(_)) {
            self.release();
            return Progress { consumed: len, blocked: false };
        }
        Progress { consumed: len - left, blocked: self.blocked }
    }

    /// Starts the closing handshake: appends our close frame. Does nothing if one was sent before.
    pub fn close(&mut self, now: Duration, code: u16, reason: &str, out: &mut Vec<u8>) {
        if self.state != State::Open {
            return;
        }
        frame::put_close(out, Some(code), reason);
        let reason = truncate_reason(reason).into();
        self.said = Some(Box::new(Said { at_ms: millis(now), code, reason }));
        self.state = State::Closing;
    }

    /// The peer closed its side of the stream, or the stream broke.
    pub fn end_of_stream(&mut self) {
        self.end_as_said(false);
    }

    /// Ends without a further byte, for a reason of the caller's own.
    pub fn end(&mut self, code: u16, reason: &str, clean: bool) {
        if !matches!(self.state, State::Closed(_)) {
            self.state = State::Closed(Ending { code, reason: reason.into(), clean });
            self.release();
        }
    }

    /// When [`Connection::on_deadline`] wants to be called next. It may be early: calling it then does no harm.
    pub fn deadline(&self, limits: &Limits) -> Option<Duration> {
        let at = match self.state {
            State::Closed(_) => None,
            State::Closing => self.answer_until(limits),
            State::Open => self.heartbeat.deadline(limits),
        };
        at.map(Duration::from_millis)
    }

    /// Does what time demands: a ping, a close for idleness, the end of a dead peer.
    pub fn on_deadline(&mut self, now: Duration, limits: &Limits, out: &mut Vec<u8>) {
        let now_ms = millis(now);
        match self.state {
            State::Closed(_) => {}
            State::Closing if self.answer_until(limits).is_some_and(|until| now_ms >= until) => {
                self.end_as_said(false);
            }
            State::Closing => {}
            State::Open if self.blocked => self.heartbeat.excuse(now_ms),
            State::Open => match self.heartbeat.due(now_ms, limits) {
                Due::Nothing => {}
                Due::Ping => {
                    frame::put_header(out, Opcode::Ping, 0);
                    self.heartbeat.ping(now_ms);
                }
                Due::Dead => self.end(code::ABNORMAL, "no answer to a ping", false),
                Due::Idle => self.close(now, code::GOING_AWAY, "no message for too long", out),
            },
        }
    }

    /// How long the peer has to answer our close frame.
    fn answer_until(&self, limits: &Limits) -> Option<u64> {
        self.said.as_ref()?.at_ms.checked_add(millis(limits.close_timeout))
    }

    /// Consumes frames from the front of `rest` until it is used up, the sink is full or the connection closed.
    #[inline]
    fn run(
        &mut self,
        now_ms: u64,
        limits: &Limits,
        rest: &mut &mut [u8],
        out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<(), Violation> {
        loop {
            if self.frame.is_some() {
                if !self.take_payload(now_ms, limits, rest, out, sink)? {
                    return Ok(());
                }
            } else {
                let Some((header, from_rest)) = self.take_header(rest)? else { return Ok(()) };
                self.judge(&header, limits)?;
                if !header.opcode.is_control() && !sink.has_room() {
                    self.blocked = true;
                    return Ok(());
                }
                self.header_len = 0;
                let after = std::mem::take(rest);
                *rest = after.get_mut(from_rest..).unwrap_or_default();
                self.begin_frame(&header, now_ms, limits, rest, out, sink)?;
            }
            if matches!(self.state, State::Closed(_)) {
                return Ok(());
            }
        }
    }

    /// The next header and how many of its bytes lie in `rest` (the others were kept before). Bytes of a header
    /// that is not complete are kept; those of a complete one are left where they are.
    #[inline]
    fn take_header(&mut self, rest: &mut &mut [u8]) -> Result<Option<(Header, usize)>, Violation> {
        if self.header_len == 0 {
            let header = frame::parse_header(rest)?;
            if let Some(header) = header {
                return Ok(Some((header, header.size)));
            }
        }
        self.take_split_header(rest)
    }

    /// A header that arrives in pieces.
    #[cold]
    fn take_split_header(&mut self, rest: &mut &mut [u8]) -> Result<Option<(Header, usize)>, Violation> {
        let kept = usize::from(self.header_len);
        let room = self.header.get_mut(kept..).unwrap_or_default();
        let copied = room.len().min(rest.len());
        for (to, from) in room.iter_mut().zip(rest.iter()) {
            *to = *from;
        }
        let known = self.header.get(..kept + copied).unwrap_or_default();
        match frame::parse_header(known)? {
            Some(header) => Ok(Some((header, header.size.saturating_sub(kept)))),
            None => {
                self.header_len = known.len() as u8;
                *rest = &mut [];
                Ok(None)
            }
        }
    }

    /// Judges a frame by its header and what came before it. Changes nothing: a frame that waits for room in the
    /// sink is judged again when there is some.
    #[inline]
    fn judge(&self, header: &Header, limits: &Limits) -> Result<(), Violation> {
        let begins_message = matches!(header.opcode, Opcode::Text | Opcode::Binary);
        let allowed = if begins_message { self.claimed } else { 0 };
        if header.reserved & !allowed != 0 {
            return Err(Violation::ReservedBits);
        }
        match &self.message {
            _ if header.opcode.is_control() => Ok(()),
            Some(_) if begins_message => Err(Violation::MessageInMessage),
            Some(message) => message.judge(header, limits),
            None if !begins_message => Err(Violation::NothingToContinue),
            None if header.len > limits.max_message_bytes as u64 => Err(Violation::MessageTooBig),
            None => Ok(()),
        }
    }

    /// A header is there. A frame that is there as a whole is dealt with at once, without a copy.
    #[inline]
    fn begin_frame(
        &mut self,
        header: &Header,
        now_ms: u64,
        limits: &Limits,
        rest: &mut &mut [u8],
        out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<(), Violation> {
        let kind = match header.opcode {
            Opcode::Text => Some(Kind::Text),
            Opcode::Binary => Some(Kind::Binary),
            _ => None,
        };
        let len = header.len as usize;
        if (rest.len() >= len) && (kind.is_none() || header.fin) && header.opcode != Opcode::Continuation {
            let (payload, after) = std::mem::take(rest).split_at_mut_checked(len).unwrap_or_default();
            *rest = after;
            unmask(payload, header.key, 0);
            return match kind {
                None => self.on_control(header.opcode, payload, now_ms, limits, out),
                Some(kind) => {
                    if kind == Kind::Text && header.reserved == 0 && utf8::validate(payload).is_none() {
                        return Err(Violation::NotUtf8);
                    }
                    self.heartbeat.message(now_ms);
                    sink.message(kind, header.reserved, Payload::Borrowed(payload));
                    Ok(())
                }
            };
        }
        if let Some(kind) = kind {
            self.message = Some(Box::new(Assembly::new(kind, header.reserved)));
        } else if let (Opcode::Continuation, Some(message)) = (header.opcode, &mut self.message) {
            message.begin_fragment();
        }
        self.frame = Some(FrameInProgress {
            fin: header.fin,
            opcode: header.opcode,
            key: header.key,
            taken: 0,
            remaining: header.len,
        });
        Ok(())
    }

    /// Takes payload of the frame in progress; false when more bytes are needed first.
    fn take_payload(
        &mut self,
        now_ms: u64,
        limits: &Limits,
        rest: &mut &mut [u8],
        out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<bool, Violation> {
        let Some(frame) = &mut self.frame else { return Ok(true) };
        let len = usize::try_from(frame.remaining).unwrap_or(usize::MAX).min(rest.len());
        let (piece, after) = std::mem::take(rest).split_at_mut_checked(len).unwrap_or_default();
        *rest = after;
        unmask(piece, frame.key, frame.taken as usize);
        frame.taken += len as u64;
        frame.remaining -= len as u64;
        let FrameInProgress { fin, opcode, remaining, .. } = *frame;
        if opcode.is_control() {
            self.control.extend_from_slice(piece);
        } else if let Some(message) = &mut self.message {
            message.append(piece, limits)?;
        }
        if remaining > 0 {
            return Ok(false);
        }
        self.frame = None;
        if opcode.is_control() {
            let payload = std::mem::take(&mut self.control);
            self.on_control(opcode, &payload, now_ms, limits, out)?;
        } else if fin && let Some(message) = self.message.take() {
            let (kind, reserved) = (message.kind, message.reserved);
            let data = message.finish()?;
            self.heartbeat.message(now_ms);
            sink.message(kind, reserved, Payload::Owned(data));
        }
        Ok(true)
    }

    fn on_control(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        now_ms: u64,
        limits: &Limits,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        if opcode == Opcode::Close {
            let close = CloseFrame::parse(payload)?;
            self.on_close(close, out);
            return Ok(());
        }
        if !self.control_rate.allow(limits.max_control_frames_per_s, now_ms) {
            return Err(Violation::ControlFlood);
        }
        if opcode == Opcode::Ping && self.state == State::Open {
            frame::put(out, Opcode::Pong, payload);
        }
        Ok(())
    }

    fn on_close(&mut self, close: CloseFrame<'_>, out: &mut Vec<u8>) {
        if self.state == State::Closing {
            return self.end_as_said(true);
        }
        frame::put_close(out, close.code, "");
        self.end(close.reported_code(), close.reason, true);
    }

    /// Ends with the code of our own close frame, 1006 if there is none.
    fn end_as_said(&mut self, clean: bool) {
        match self.said.take() {
            Some(said) => self.end(said.code, &said.reason, clean),
            None => self.end(code::ABNORMAL, "", clean),
        }
    }

    /// Rule 2: tells the peer what it did wrong and listens no more.
    #[cold]
    fn fail(&mut self, violation: Violation, out: &mut Vec<u8>) {
        if self.state == State::Open {
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
        self.control = Vec::new();
    }
}
