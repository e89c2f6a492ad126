//! One open connection: its socket, its protocol state, and the task that drives it.
//!
//! The task reads and flushes; what the host sends is written directly by [`crate::deliver`], and only what the
//! socket refuses waits in the outbox for the task. A connection goes through these phases: live; holding, after a
//! breach by the peer, when the host may still answer what came before it; flushing, when the protocol is done and
//! the last frames are on their way out; lingering, when our side is shut and the peer's end is awaited, because
//! closing a socket with unread bytes would make the system throw away what we sent.

use crate::config::SlowConsumer;
use crate::deliver::{self, Chain, Piece};
use crate::event::ConnId;
use crate::hub::{self, Hub};
use crate::inbox::{Batch, Inbox};
use crate::link::Seat;
use crate::mailbox::{Commands, Target, Waiting, What};
use crate::timers::Tick;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use wsengine_proto::close::code;
use wsengine_proto::{Connection, Kind, Limits, Payload, Sink, State};

/// Reads in a row before other connections have their turn.
const READS_PER_TURN: usize = 4;
/// While the inbox is full reads are this small: control frames are still answered, and a connection keeps at
/// most so much that it cannot deliver.
const READ_BYTES_WHEN_FULL: usize = 4 * 1024;
/// What a peer may still send after the end before its connection is cut.
const LINGER_BYTES: usize = 1 << 20;
/// After a breach of the protocol the host has so long to answer the messages before it; then the close frame goes
/// out without the answers.
const HOLD: Duration = Duration::from_millis(250);
/// Frames per write from the outbox.
const SLICES: usize = 64;

/// The task of the connection in a slot.
pub(crate) struct Driver(pub(crate) u32);

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let done = hub::with(|hub| {
            hub.polled();
            let Some(mut conn) = hub.take(self.0) else { return Poll::Ready(()) };
            let done = conn.drive(hub, cx);
            match done {
                Poll::Pending => hub.put_back(conn),
                Poll::Ready(()) => hub.remove(conn),
            }
            done
        });
        done.unwrap_or(Poll::Ready(()))
    }
}

/// An open connection.
pub(crate) struct Conn {
    pub(crate) id: ConnId,
    stream: TcpStream,
    /// Given back when the socket is closed.
    _seat: Seat,
    protocol: Connection,
    phase: Phase,
    outbox: Outbox,
    /// Bytes that could not be taken yet for want of room in the inbox, or that came with the handshake.
    leftover: Vec<u8>,
    paused: bool,
    /// The host has been given a message, so it may have something to say.
    has_spoken: bool,
    /// The close frame for a breach, held until the host has answered what came before.
    held: Vec<u8>,
    /// A send was refused or a message dropped: the host wants to know when there is room again.
    drain_wanted: bool,
    dropped: u64,
    /// When the outbox last moved.
    progress: Duration,
    /// Where it is entered in the timers.
    entry: Option<Tick>,
    waker: Option<Waker>,
    /// Its commands in the batch at hand.
    pub(crate) chain: Chain,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Live,
    Holding {
        until: Duration,
    },
    Flushing {
        until: Duration,
    },
    Lingering {
        until: Duration,
        read: usize,
    },
    /// The socket is of no more use.
    Over,
}

/// The outbox and what hosts were last told of it.
#[derive(Default)]
struct Outbox {
    queue: crate::outbox::Outbox,
    published: Waiting,
}

impl Conn {
    pub(crate) fn new(
        id: ConnId,
        seat: Seat,
        stream: TcpStream,
        early: &[u8],
        now: Duration,
        limits: &Limits,
    ) -> Self {
        Conn {
            id,
            stream,
            _seat: seat,
            protocol: Connection::new(now, limits, id.as_u64(), 0),
            phase: Phase::Live,
            outbox: Outbox::default(),
            leftover: early.to_vec(),
            paused: false,
            has_spoken: false,
            held: Vec::new(),
            drain_wanted: false,
            dropped: 0,
            progress: now,
            entry: None,
            waker: None,
            chain: Chain::EMPTY,
        }
    }

    /// Does what the socket allows. Ready: the connection is over.
    fn drive(&mut self, hub: &mut Hub, cx: &mut Context<'_>) -> Poll<()> {
        if self.waker.is_none() {
            self.waker = Some(cx.waker().clone());
        }
        self.flush(hub, cx);
        if self.phase == Phase::Live && !self.leftover.is_empty() && !self.paused {
            let mut early = std::mem::take(&mut self.leftover);
            self.receive(hub, &mut early);
        }
        for _ in 0..READS_PER_TURN {
            self.notice_end(hub);
            let step = match self.phase {
                Phase::Live if self.paused => Poll::Pending,
                Phase::Live => self.read(hub, cx),
                Phase::Holding { .. } => Poll::Pending,
                Phase::Flushing { .. } => self.shut(hub, cx),
                Phase::Lingering { .. } => self.linger(hub, cx),
                Phase::Over => {
                    self.outbox.queue = Default::default();
                    self.publish(hub);
                    return Poll::Ready(());
                }
            };
            if step.is_pending() {
                // What was just read may have been answered, and the answer refused by the socket.
                self.flush(hub, cx);
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One read into the buffer that all connections of the thread share.
    fn read(&mut self, hub: &mut Hub, cx: &mut Context<'_>) -> Poll<()> {
        let mut buffer = std::mem::take(&mut hub.read_buffer);
        let window = if hub.is_paused() { READ_BYTES_WHEN_FULL } else { buffer.len() };
        let mut read = ReadBuf::new(buffer.get_mut(..window).unwrap_or_default());
        let outcome = Pin::new(&mut self.stream).poll_read(cx, &mut read);
        match &outcome {
            Poll::Pending => {}
            Poll::Ready(Ok(())) if !read.filled().is_empty() => self.receive(hub, read.filled_mut()),
            Poll::Ready(_) => self.protocol.end_of_stream(),
        }
        hub.read_buffer = buffer;
        outcome.map(|_| ())
    }

    /// Hands bytes to the protocol, its messages to the inbox, its replies to the socket.
    fn receive(&mut self, hub: &mut Hub, bytes: &mut [u8]) {
        let mut replies = std::mem::take(&mut hub.replies);
        let shared = &hub.shared;
        let link = hub.link();
        let mut delivery =
            Delivery { inbox: &link.inbox, batch: None, conn: self.id, now: hub.now, messages: 0, bytes: 0 };
        let limits = &shared.settings.limits;
        let progress = self.protocol.receive(hub.now, limits, bytes, &mut replies, &mut delivery);
        let (messages, payload) = (delivery.messages, delivery.bytes);
        drop(delivery);
        if messages > 0 {
            self.has_spoken = true;
            link.counters.messages_in.add(messages);
            link.counters.bytes_in.add(payload);
            hub.announce();
        }
        if progress.blocked {
            self.leftover = bytes.get(progress.consumed..).unwrap_or_default().to_vec();
            self.paused = true;
            hub.pause(self.id.slot());
            // The host may be asleep with a full inbox that it was never told of.
            hub.announce();
        }
        if self.has_spoken && !replies.is_empty() && self.is_breach() {
            self.hold(hub, &replies);
            replies.clear();
        } else {
            self.send_control(hub, &mut replies);
        }
        hub.replies = replies;
    }

    /// The inbox has room again.
    pub(crate) fn resume(&mut self) {
        self.paused = false;
        self.wake();
    }

    // ---- sending ----

    /// Carries out commands of the host: messages in `frames`, already joined to `pieces`, and perhaps an ending.
    #[inline]
    pub(crate) fn carry_out(&mut self, hub: &mut Hub, commands: &Commands, frames: &[u32], pieces: &[Piece]) {
        let holding = matches!(self.phase, Phase::Holding { .. });
        if *self.protocol.state() != State::Open && !holding {
            // A close frame is the last thing we send; the host hears of the end by its event.
            return;
        }
        let last = frames.last().and_then(|&last| commands.list.get(last as usize));
        let ending = last.map(|command| &command.what).filter(|what| what.is_ending());
        let frames = frames.get(..frames.len() - usize::from(ending.is_some())).unwrap_or_default();
        if !frames.is_empty() {
            self.send_messages(hub, commands, frames, pieces);
        }
        if holding && ending.is_some() {
            return self.release(hub);
        }
        match ending {
            Some(What::Close { code, reason }) => {
                let reason = std::str::from_utf8(commands.bytes(reason)).unwrap_or_default();
                self.close(hub, *code, reason);
            }
            Some(What::Abort) => self.cut(hub, code::ABNORMAL, ""),
            _ => {}
        }
    }

    #[inline]
    fn send_messages(&mut self, hub: &mut Hub, commands: &Commands, frames: &[u32], pieces: &[Piece]) {
        let bytes: usize = pieces.iter().map(|piece| commands.piece_len(piece)).sum();
        let counters = &hub.link().counters;
        counters.messages_out.add(frames.len() as u64);
        counters.bytes_out.add(bytes as u64);
        let mut written = 0;
        if self.outbox.queue.is_empty() {
            match deliver::write(&self.stream, commands, pieces) {
                Ok(taken) if taken == bytes => return,
                Ok(taken) => written = taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return self.broken(),
            }
            self.progress = hub.now;
        }
        self.queue_messages(hub, commands, frames, written);
    }

    /// Puts what the socket has not taken into the outbox: `written` bytes of these frames are on their way.
    #[cold]
    fn queue_messages(&mut self, hub: &mut Hub, commands: &Commands, frames: &[u32], mut written: usize) {
        for &frame in frames {
            let Some(command) = commands.list.get(frame as usize) else { continue };
            let len = commands.frame_len(&command.what);
            if written >= len {
                written -= len;
                continue;
            }
            let begun = std::mem::take(&mut written);
            if begun == 0 && !self.has_room(hub, len) && !self.make_room(hub, len, &command.target) {
                if *self.protocol.state() != State::Open {
                    break;
                }
                continue;
            }
            self.outbox.queue.push_message(commands.frame(&command.what), begun);
        }
        self.publish(hub);
        self.schedule(hub);
        self.wake();
    }

    /// Does a frame of `len` bytes fit the queue?
    fn has_room(&self, hub: &Hub, len: usize) -> bool {
        let settings = &hub.shared.settings;
        let waiting = self.outbox.queue.waiting();
        let unpublished = waiting.bytes.saturating_sub(self.outbox.published.bytes);
        let total = hub.shared.queued_bytes.load(Ordering::Relaxed) + unpublished + len;
        let fits = waiting.bytes == 0 || waiting.bytes + len <= settings.send_queue_bytes;
        fits && waiting.messages < settings.send_queue_messages && total <= settings.total_queue_bytes
    }

    /// The slow-consumer policy for a frame that does not fit. True: it fits now.
    #[cold]
    fn make_room(&mut self, hub: &mut Hub, len: usize, target: &Target) -> bool {
        let policy = hub.shared.settings.slow_consumer;
        tracing::debug!(conn = %self.id, ?policy, broadcast = matches!(target, Target::All { .. }), "send queue is full");
        let mut dropped = 0;
        let fits = match policy {
            SlowConsumer::Close => {
                dropped = self.outbox.queue.drop_messages() + 1;
                hub.link().counters.slow_closed.add(1);
                self.close(hub, code::TRY_AGAIN, "the connection reads too slowly");
                false
            }
            SlowConsumer::DropNewest => {
                dropped += 1;
                false
            }
            SlowConsumer::DropOldest => {
                while !self.has_room(hub, len) && self.outbox.queue.drop_oldest() {
                    dropped += 1;
                    self.publish(hub);
                }
                let fits = self.has_room(hub, len);
                dropped += u64::from(!fits);
                fits
            }
        };
        hub.link().counters.messages_dropped.add(dropped);
        self.dropped += dropped;
        self.drain_wanted = true;
        fits
    }

    /// A send was refused; an event tells when there is room. There may be already.
    pub(crate) fn want_drain(&mut self, hub: &mut Hub) {
        self.drain_wanted = true;
        self.tell_drain(hub);
    }

    fn tell_drain(&mut self, hub: &mut Hub) {
        let settings = &hub.shared.settings;
        let waiting = self.outbox.queue.waiting();
        let below_half = waiting.bytes <= settings.send_queue_bytes / 2
            && waiting.messages <= settings.send_queue_messages / 2;
        if self.drain_wanted && below_half && *self.protocol.state() == State::Open {
            self.drain_wanted = false;
            let dropped = std::mem::take(&mut self.dropped);
            hub.link().inbox.lock().drain(self.id, hub.now, dropped);
            hub.announce();
        }
    }

    /// Sends frames of control and leaves `frames` empty.
    fn send_control(&mut self, hub: &mut Hub, frames: &mut Vec<u8>) {
        if frames.is_empty() {
            return;
        }
        let written = match self.outbox.queue.is_empty() {
            true => self.stream.try_write(frames),
            false => Ok(0),
        };
        match written {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => self.broken(),
            written => {
                let written = written.unwrap_or(0);
                if written < frames.len() {
                    if self.outbox.queue.is_empty() {
                        self.progress = hub.now;
                    }
                    self.outbox.queue.push_control(frames, written);
                    self.publish(hub);
                    self.schedule(hub);
                    self.wake();
                }
            }
        }
        frames.clear();
    }

    /// Writes from the outbox until it is empty or the socket takes no more; then the socket wakes the task.
    fn flush(&mut self, hub: &mut Hub, cx: &mut Context<'_>) {
        if self.outbox.queue.is_empty() || self.phase == Phase::Over {
            return;
        }
        while !self.outbox.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = self.outbox.queue.slices(&mut slices);
            let slices = slices.get(..filled).unwrap_or_default();
            match Pin::new(&mut self.stream).poll_write_vectored(cx, slices) {
                Poll::Pending => break,
                Poll::Ready(Ok(written)) => {
                    self.outbox.queue.advance(written);
                    self.progress = hub.now;
                }
                Poll::Ready(Err(_)) => {
                    self.broken();
                    break;
                }
            }
        }
        self.publish(hub);
        self.tell_drain(hub);
    }

    /// Tells hosts, and the sum over all connections, what lies in the outbox now.
    fn publish(&mut self, hub: &Hub) {
        let waiting = self.outbox.queue.waiting();
        let before = std::mem::replace(&mut self.outbox.published, waiting);
        if waiting == before {
            return;
        }
        let total = &hub.shared.queued_bytes;
        if waiting.bytes >= before.bytes {
            total.fetch_add(waiting.bytes - before.bytes, Ordering::Relaxed);
        } else {
            total.fetch_sub(before.bytes - waiting.bytes, Ordering::Relaxed);
        }
        hub.link().mailbox.publish(self.id, waiting);
    }

    // ---- the end ----

    /// Starts the closing handshake.
    pub(crate) fn close(&mut self, hub: &mut Hub, code: u16, reason: &str) {
        let mut frame = Vec::new();
        self.protocol.close(hub.now, code, reason, &mut frame);
        hub.link().mailbox.closing(self.id);
        self.send_control(hub, &mut frame);
        self.schedule(hub);
    }

    /// Ends at once.
    pub(crate) fn cut(&mut self, hub: &mut Hub, code: u16, reason: &str) {
        match code {
            // What a close frame of ours said stays.
            code::ABNORMAL => self.protocol.end_of_stream(),
            _ => self.protocol.end(code, reason, false),
        }
        if matches!(self.phase, Phase::Live | Phase::Holding { .. }) {
            self.tell_end(hub);
        }
        self.phase = Phase::Over;
        self.wake();
    }

    /// The socket does not work any more.
    fn broken(&mut self) {
        self.protocol.end_of_stream();
        // It would be tried again and again while the connection is held.
        self.outbox.queue = Default::default();
        if !matches!(self.phase, Phase::Live | Phase::Holding { .. }) {
            self.phase = Phase::Over;
        }
        self.wake();
    }

    /// When the protocol has come to its end the host is told, once, and the socket is on its way out.
    fn notice_end(&mut self, hub: &mut Hub) {
        if self.phase == Phase::Live && matches!(self.protocol.state(), State::Closed(_)) {
            self.tell_end(hub);
        }
    }

    fn tell_end(&mut self, hub: &mut Hub) {
        let State::Closed(ending) = self.protocol.state() else { return };
        let link = hub.link();
        link.mailbox.closed(self.id);
        link.inbox.lock().close(self.id, hub.now, ending.code, &ending.reason, ending.clean);
        link.counters.closed.add(1);
        if !ending.clean && matches!(ending.code, code::PROTOCOL_ERROR | 1007..=1009) {
            link.counters.violations.add(1);
        }
        tracing::debug!(conn = %self.id, code = ending.code, reason = %ending.reason, clean = ending.clean, "closed");
        self.phase = match ending.code {
            code::ABNORMAL => Phase::Over,
            _ => Phase::Flushing { until: hub.now + hub.shared.settings.limits.close_timeout },
        };
        self.leftover = Vec::new();
        hub.announce();
        self.schedule(hub);
    }

    /// Did the peer break the rules, and has it not been told yet?
    fn is_breach(&self) -> bool {
        matches!(self.protocol.state(), State::Closed(ending) if !ending.clean && ending.code != code::ABNORMAL)
    }

    /// Holds the close frame for a breach until the host has answered the messages before it: those were sound, and
    /// a peer may rely on the answers.
    fn hold(&mut self, hub: &mut Hub, frames: &[u8]) {
        self.held = frames.to_vec();
        self.phase = Phase::Holding { until: hub.now + HOLD };
        hub.link().inbox.lock().fence(self.id);
        hub.announce();
        self.schedule(hub);
    }

    /// The host has answered, or had its time.
    fn release(&mut self, hub: &mut Hub) {
        let mut frames = std::mem::take(&mut self.held);
        self.send_control(hub, &mut frames);
        self.tell_end(hub);
        self.wake();
    }

    /// When all is written our side of the stream is shut.
    fn shut(&mut self, hub: &mut Hub, cx: &mut Context<'_>) -> Poll<()> {
        if !self.outbox.queue.is_empty() {
            return Poll::Pending;
        }
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {
                let until = hub.now + hub.shared.settings.limits.close_timeout;
                self.phase = Phase::Lingering { until, read: 0 };
                self.schedule(hub);
            }
            Poll::Ready(Err(_)) => self.phase = Phase::Over,
        }
        Poll::Ready(())
    }

    /// Reads and forgets until the peer has closed as well.
    fn linger(&mut self, hub: &mut Hub, cx: &mut Context<'_>) -> Poll<()> {
        let mut buffer = std::mem::take(&mut hub.read_buffer);
        let mut into = ReadBuf::new(&mut buffer);
        let outcome = Pin::new(&mut self.stream).poll_read(cx, &mut into);
        let filled = into.filled().len();
        hub.read_buffer = buffer;
        if let Phase::Lingering { until, read } = self.phase
            && outcome.is_ready()
        {
            let read = read + filled;
            let over = filled == 0 || read > LINGER_BYTES;
            self.phase = if over { Phase::Over } else { Phase::Lingering { until, read } };
        }
        outcome.map(|_| ())
    }

    // ---- time ----

    /// An entry in the timers has come up.
    pub(crate) fn on_timer(&mut self, hub: &mut Hub, tick: Tick) {
        if self.entry != Some(tick) {
            return;
        }
        self.entry = None;
        match self.phase {
            Phase::Live => self.live_timer(hub),
            Phase::Holding { until } if hub.now >= until => self.release(hub),
            Phase::Flushing { until } | Phase::Lingering { until, .. } if hub.now >= until => {
                self.phase = Phase::Over;
                self.wake();
            }
            _ => {}
        }
        self.schedule(hub);
    }

    fn live_timer(&mut self, hub: &mut Hub) {
        let shared = hub.shared.clone();
        let mut frames = Vec::new();
        self.protocol.on_deadline(hub.now, &shared.settings.limits, &mut frames);
        if *self.protocol.state() != State::Open {
            hub.link().mailbox.closing(self.id);
        }
        self.send_control(hub, &mut frames);
        if !self.outbox.queue.is_empty() && hub.now >= self.progress + shared.settings.write_stall {
            hub.link().counters.slow_closed.add(1);
            return self.cut(hub, code::TRY_AGAIN, "the connection takes nothing");
        }
        if let State::Closed(ending) = self.protocol.state() {
            if ending.code == code::ABNORMAL {
                hub.link().counters.dead_peers.add(1);
            }
            self.wake();
        }
    }

    /// Enters the next deadline in the timers.
    pub(crate) fn schedule(&mut self, hub: &mut Hub) {
        let settings = &hub.shared.settings;
        let deadline = match self.phase {
            Phase::Live => {
                let stall = (!self.outbox.queue.is_empty()).then(|| self.progress + settings.write_stall);
                let protocol = self.protocol.deadline(&settings.limits);
                [stall, protocol].into_iter().flatten().min()
            }
            Phase::Holding { until } | Phase::Flushing { until } | Phase::Lingering { until, .. } => {
                Some(until)
            }
            Phase::Over => None,
        };
        hub.timers.schedule(self.id.slot(), deadline, &mut self.entry);
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// Brings the messages of one read to the inbox under one lock.
struct Delivery<'a> {
    inbox: &'a Inbox,
    batch: Option<MutexGuard<'a, Batch>>,
    conn: ConnId,
    now: Duration,
    messages: u64,
    bytes: u64,
}

impl Sink for Delivery<'_> {
    #[inline]
    fn has_room(&mut self) -> bool {
        let batch = self.batch.get_or_insert_with(|| self.inbox.lock());
        self.inbox.has_room(batch)
    }

    #[inline]
    fn message(&mut self, kind: Kind, _reserved: u8, payload: Payload<'_>) {
        self.messages += 1;
        self.bytes += payload.as_bytes().len() as u64;
        let batch = self.batch.get_or_insert_with(|| self.inbox.lock());
        batch.message(self.conn, self.now, kind, payload);
    }
}
