//! One open connection: its socket, its protocol state, and what it does when it is woken.
//!
//! It reads and flushes; what the host sends is written directly by [`crate::deliver`], and only what the
//! socket refuses waits in the outbox until the connection is woken. A connection goes through these phases: live; holding, after a
//! breach by the peer, when the host may still answer what came before it; flushing, when the protocol is done and
//! the last frames are on their way out; lingering, when our side is shut and the peer's end is awaited, because
//! closing a socket with unread bytes would make the system throw away what we sent.

mod ending;
mod sending;

use crate::chains::Chain;
use crate::encoding::Encoding;
use crate::event::ConnId;
use crate::handshake::Dialect;
use crate::hub::{self, Hub};
use crate::inbox::{Batch, Inbox};
use crate::link::Seat;
use crate::mailbox::Waiting;
use crate::pace::{Pace, Sent};
use crate::stream::Stream;
use crate::timers::Tick;
use std::io;
use std::sync::MutexGuard;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::ReadBuf;
use wsengine_proto::close::code;
use wsengine_proto::copy::append;
use wsengine_proto::hixie76::Hixie76;
use wsengine_proto::{Connection, Kind, Limits, Payload, Protocol, Sink, State};

/// Reads in a row before other connections have their turn.
const READS_PER_TURN: usize = 4;
/// What a message costs besides its payload, in bytes that could be read and written meanwhile.
const MESSAGE_COST: usize = 256;
/// An entry in the timers stays there when its connection has ended: for no longer than this.
const LONGEST_ENTRY: Duration = Duration::from_secs(60);
/// What a record of TLS costs that gives no data.
const RECORD_COST: usize = 512;
/// While the inbox is full reads are this small: control frames are still answered, and a connection keeps at
/// most so much that it cannot deliver.
const READ_BYTES_WHEN_FULL: usize = 4 * 1024;
/// How much more work compressed messages are than others; so are the answers to them.
const WEIGHT_OF_DEFLATE: usize = 8;

/// What a connection is made of.
pub(crate) struct Opened {
    pub(crate) stream: Stream,
    /// Bytes that came in the same packet as the request.
    pub(crate) early: Vec<u8>,
    pub(crate) seat: Seat,
    pub(crate) dialect: Dialect,
}

/// An open connection.
pub(crate) struct Conn {
    pub(crate) id: ConnId,
    stream: Stream,
    /// Given back when the socket is closed.
    _seat: Seat,
    protocol: Protocol,
    phase: Phase,
    outbox: Outbox,
    encoding: Encoding,
    /// Bytes that could not be taken yet for want of room in the inbox, or that came with the handshake.
    leftover: Vec<u8>,
    paused: bool,
    /// The socket does not work any more; what TLS holds back stays there.
    is_broken: bool,
    /// The host has been given a message, so it may have something to say.
    has_spoken: bool,
    /// Also in this turn.
    speaks: bool,
    /// What it has sent of late.
    sent: Sent,
    /// The close frame for a breach, held until the host has answered what came before.
    held: Vec<u8>,
    /// A send was refused or a message dropped: the host wants to know when there is room again.
    drain_wanted: bool,
    dropped: u64,
    /// When the outbox last moved.
    progress: Duration,
    /// It waits for a turn of those who send much.
    ticket: Option<hub::Ticket>,
    /// Where it is entered in the timers.
    entry: Option<Tick>,
    waker: Waker,
    /// Its commands in the batch at hand.
    pub(crate) chain: Chain,
}

/// How a connection goes on when it has done something.
pub(crate) enum Next {
    /// When it is woken.
    Wait,
    /// After the next look at the sockets: it has more to read.
    Again,
    /// Not at all.
    Over,
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

/// What it may do before others have their turn, in bytes of work, and what it has done.
struct Turn {
    share: usize,
    work: usize,
    /// There is more to read, perhaps, but nothing came of what was read.
    has_stopped: bool,
}

impl Turn {
    fn left(&self) -> usize {
        self.share.saturating_sub(self.work)
    }
}

/// The outbox and what hosts were last told of it.
#[derive(Default)]
struct Outbox {
    queue: crate::outbox::Outbox,
    published: Waiting,
}

impl Conn {
    pub(crate) fn new(id: ConnId, opened: Opened, waker: Waker, now: Duration, limits: &Limits) -> Self {
        let Opened { stream, early, seat, dialect } = opened;
        let (protocol, encoding) = match dialect {
            Dialect::Rfc6455(compression) => {
                let connection = Connection::new(now, limits, id.as_u64(), compression.as_ref());
                (Protocol::Rfc6455(connection), Encoding::new(compression.as_ref()))
            }
            Dialect::Hixie76 => (Protocol::Hixie76(Box::new(Hixie76::new(now))), Encoding::Hixie76),
        };
        Conn {
            id,
            stream,
            _seat: seat,
            protocol,
            phase: Phase::Live,
            outbox: Outbox::default(),
            encoding,
            leftover: early,
            paused: false,
            is_broken: false,
            has_spoken: false,
            speaks: false,
            sent: Sent::default(),
            held: Vec::new(),
            drain_wanted: false,
            dropped: 0,
            progress: now,
            ticket: None,
            entry: None,
            waker,
            chain: Chain::EMPTY,
        }
    }

    /// Does what the socket allows.
    pub(crate) fn drive(&mut self, hub: &mut Hub, cx: &mut Context<'_>) -> Next {
        self.flush(hub, cx);
        let is_reading = matches!(self.phase, Phase::Live if !self.paused)
            || matches!(self.phase, Phase::Lingering { .. });
        // Those who go, as well: nobody else waits for a storm of them.
        let in_line = hub.is_in_line(self.id.slot()) || self.phase != Phase::Live;
        if is_reading && in_line && !hub.take_turn(self.load(), &mut self.ticket, cx) {
            return Next::Wait;
        }
        let share = if in_line { hub.pace().turn } else { Pace::ALONE.turn };
        let mut turn = Turn { share, work: 0, has_stopped: false };
        if self.phase == Phase::Live && !self.leftover.is_empty() && !self.paused {
            let mut early = std::mem::take(&mut self.leftover);
            self.receive(hub, &mut early, &mut turn);
        }
        for _ in 0..READS_PER_TURN {
            self.notice_end(hub);
            let step = match self.phase {
                Phase::Live if self.paused => Poll::Pending,
                Phase::Live if turn.left() == 0 || !self.leftover.is_empty() => break,
                Phase::Live => self.read(hub, cx, &mut turn),
                Phase::Holding { .. } => Poll::Pending,
                Phase::Flushing { .. } => self.shut(hub, cx),
                Phase::Lingering { .. } if turn.left() == 0 => break,
                Phase::Lingering { .. } => self.linger(hub, cx, &mut turn),
                Phase::Over => {
                    self.outbox.queue = Default::default();
                    self.publish(hub);
                    return Next::Over;
                }
            };
            if turn.has_stopped {
                break;
            }
            if step.is_pending() {
                // What was just read may have been answered, and the answer refused by the socket.
                self.flush(hub, cx);
                self.end_turn(hub, turn.work, true);
                return Next::Wait;
            }
        }
        self.end_turn(hub, turn.work, false);
        Next::Again
    }

    /// It has read what was so much work, and that `is_all` for now or not.
    fn end_turn(&mut self, hub: &mut Hub, work: usize, is_all: bool) {
        self.sent.add(work, is_all, hub.now);
        if std::mem::take(&mut self.speaks) && self.sent.is_little() {
            hub.shared.others.speak(hub.now);
        }
        // With a full inbox all have to wait, whether they send much or not.
        let waits_for_much = self.paused && hub.is_in_line(self.id.slot());
        // Many small bursts are much, too, but it costs more to serve them one after the other.
        let sends_much = self.sent.is_burst() || (self.sent.is_much() && hub.others_are_there());
        let is_new = !self.has_spoken && !self.sent.is_known();
        hub.set_in_line(self.id.slot(), sends_much || waits_for_much || !is_all || is_new);
    }

    /// One read into the buffer that all connections of the thread share.
    fn read(&mut self, hub: &mut Hub, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<()> {
        let mut buffer = std::mem::take(&mut hub.read_buffer);
        let is_full = hub.is_paused() && !hub.link().inbox.takes_from(hub.pace_of(self.id.slot()));
        let most = if is_full { READ_BYTES_WHEN_FULL } else { buffer.len() };
        let window = turn.share.min(most);
        let mut read = ReadBuf::new(buffer.get_mut(..window).unwrap_or_default());
        let outcome = self.read_into(hub, cx, &mut read, turn);
        match &outcome {
            Poll::Pending => {}
            Poll::Ready(Ok(())) if !read.filled().is_empty() => self.receive(hub, read.filled_mut(), turn),
            Poll::Ready(_) => self.protocol.end_of_stream(),
        }
        hub.read_buffer = buffer;
        outcome.map(|_| ())
    }

    /// Reads from the socket, or from what TLS makes of it.
    #[inline]
    fn read_into(
        &mut self,
        hub: &mut Hub,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
        turn: &mut Turn,
    ) -> Poll<io::Result<()>> {
        let (outcome, in_vain) = self.stream.poll_data(cx, into);
        let work = RECORD_COST * in_vain;
        turn.has_stopped = outcome.is_pending() && self.stream.has_stopped();
        turn.work += work;
        hub.worked(work);
        outcome
    }

    /// Hands bytes to the protocol, its messages to the inbox, its replies to the socket.
    fn receive(&mut self, hub: &mut Hub, bytes: &mut [u8], turn: &mut Turn) {
        #[cfg(test)]
        tests::panic_if_asked(bytes);
        let mut replies = std::mem::take(&mut hub.replies);
        let mut scratch = std::mem::take(&mut hub.scratch);
        let weight = self.weight();
        let shared = &hub.shared;
        let link = hub.link();
        let mut delivery = Delivery {
            inbox: &link.inbox,
            batch: None,
            conn: self.id,
            now: hub.now,
            messages: 0,
            bytes: 0,
            pace: hub.pace_of(self.id.slot()),
            // Twice what is read: so much are small messages, and those of one read are better not parted.
            most: 2 * turn.left() / weight,
        };
        let limits = &shared.settings.limits;
        let progress =
            self.protocol.receive(hub.now, limits, bytes, &mut replies, &mut scratch, &mut delivery);
        let Delivery { messages, bytes: payload, .. } = delivery;
        let has_turn = delivery.has_turn();
        let work = weight * delivery.cost().max(progress.consumed);
        drop(delivery);
        if messages > 0 {
            (self.has_spoken, self.speaks) = (true, true);
            link.counters.messages_in.add(messages as u64);
            link.counters.bytes_in.add(payload as u64);
            match hub.is_in_line(self.id.slot()) {
                true => hub.announce(),
                false => hub.announce_promptly(),
            }
        }
        turn.work += work;
        hub.worked(work);
        if progress.blocked {
            self.leftover.clear();
            append(&mut self.leftover, bytes.get(progress.consumed..).unwrap_or_default());
            // At the end of its turn it goes on by itself.
            if has_turn {
                self.paused = true;
                hub.pause(self.id.slot());
                // The host may be asleep with a full inbox that it was never told of.
                hub.announce();
            }
        }
        if self.has_spoken && !replies.is_empty() && self.is_breach() {
            self.hold(hub, &replies);
            replies.clear();
        } else {
            self.send_control(hub, &mut replies);
        }
        hub.replies = replies;
        hub.scratch = scratch;
    }

    /// What its turns are.
    fn load(&self) -> hub::Load {
        match self.encoding {
            Encoding::Deflate(_) if self.phase == Phase::Live => hub::Load::Heavy,
            _ => hub::Load::Light,
        }
    }

    /// How much work its messages are.
    fn weight(&self) -> usize {
        if matches!(self.encoding, Encoding::Deflate(_)) { WEIGHT_OF_DEFLATE } else { 1 }
    }

    /// The inbox has room again.
    pub(crate) fn resume(&mut self) {
        self.paused = false;
        self.wake();
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
        if self.has_unsent() && hub.now >= self.progress + shared.settings.write_stall {
            hub.link().counters.slow_closed.add(1);
            hub.log_fault(self.id, code::TRY_AGAIN, "the connection takes nothing");
            return self.cut(hub, code::TRY_AGAIN, "the connection takes nothing");
        }
        if let State::Closed(ending) = self.protocol.state() {
            if ending.code == code::ABNORMAL {
                hub.link().counters.dead_peers.add(1);
                hub.log_fault(self.id, ending.code, "no answer to a ping");
            }
            self.wake();
        }
    }

    /// Enters the next deadline in the timers.
    pub(crate) fn schedule(&mut self, hub: &mut Hub) {
        let settings = &hub.shared.settings;
        let deadline = match self.phase {
            Phase::Live => {
                let stall = self.has_unsent().then(|| self.progress + settings.write_stall);
                // A pong makes the next ping due before the end of the wait for it, and nobody enters that: so look
                // at least as often as pings are due.
                let interval = settings.limits.ping_interval;
                let look = if interval.is_zero() { Duration::MAX } else { hub.now + interval };
                let protocol = self.protocol.deadline(&settings.limits).map(|deadline| deadline.min(look));
                [stall, protocol].into_iter().flatten().min()
            }
            Phase::Holding { until } | Phase::Flushing { until } | Phase::Lingering { until, .. } => {
                Some(until)
            }
            Phase::Over => None,
        };
        let deadline = deadline.map(|deadline| deadline.min(hub.now + LONGEST_ENTRY));
        hub.timers.schedule(self.id.slot(), deadline, &mut self.entry);
    }

    fn wake(&self) {
        self.waker.wake_by_ref();
    }
}

/// Brings the messages of one read to the inbox under one lock.
struct Delivery<'a> {
    inbox: &'a Inbox,
    batch: Option<MutexGuard<'a, Batch>>,
    conn: ConnId,
    now: Duration,
    messages: usize,
    bytes: usize,
    /// If it stands in line.
    pace: Option<&'static Pace>,
    /// Other connections have their turn when messages have cost so much.
    most: usize,
}

impl Delivery<'_> {
    #[inline]
    fn cost(&self) -> usize {
        self.bytes + self.messages * MESSAGE_COST
    }

    /// May it go on for now? A kilobyte on the wire may be a hundred messages, or become a megabyte.
    #[inline]
    fn has_turn(&self) -> bool {
        self.cost() < self.most
    }
}

impl Sink for Delivery<'_> {
    #[inline]
    fn has_room(&mut self) -> bool {
        let has_turn = self.has_turn();
        let batch = self.batch.get_or_insert_with(|| self.inbox.lock());
        has_turn && self.inbox.has_room(batch, self.pace)
    }

    #[inline]
    fn message(&mut self, kind: Kind, payload: Payload<'_>) {
        self.messages += 1;
        self.bytes += payload.as_bytes().len();
        let batch = self.batch.get_or_insert_with(|| self.inbox.lock());
        batch.message(self.conn, self.now, kind, payload);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::{Config, ConnId, EventBody, Server, Wait};
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    /// An unmasked frame of a reserved opcode: what no test but the one below sends.
    const PANIC: &[u8] = b"\x8fpanic in a test";

    pub(super) fn panic_if_asked(bytes: &[u8]) {
        assert_ne!(bytes, PANIC);
    }

    pub(crate) fn open(server: &Server) -> TcpStream {
        let mut stream = TcpStream::connect(&server.addresses()[0]).unwrap();
        let request = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        stream
    }

    pub(crate) fn poll(server: &Server) -> (Option<ConnId>, Option<u16>) {
        let mut poller = server.poller().unwrap();
        assert_eq!(poller.wait(Some(Duration::from_secs(20)), || false), Wait::Events);
        let event = poller.next().unwrap();
        let code = if let EventBody::Close { code, .. } = event.body { Some(code) } else { None };
        (event.conn, code)
    }

    #[test]
    fn a_panic_in_one_connection_is_the_end_of_that_one_only() {
        let mut config = Config::new();
        config.set("listen", "127.0.0.1:0").unwrap();
        config.set("io_threads", "1").unwrap();
        let server = Server::start(&config).unwrap();
        let mut doomed = open(&server);
        let (lost, _) = poll(&server);
        let mut other = open(&server);
        poll(&server);

        doomed.write_all(PANIC).unwrap();
        assert_eq!(poll(&server), (lost, Some(1011)));
        assert_eq!(doomed.read(&mut [0]).unwrap_or(0), 0, "its socket is closed");
        // A ping with an empty payload, masked, and its pong.
        other.write_all(&[0x89, 0x80, 0, 0, 0, 0]).unwrap();
        let mut pong = [0; 2];
        other.read_exact(&mut pong).unwrap();
        assert_eq!(pong, [0x8a, 0]);
        assert_eq!(server.stats().connections, 1);
        open(&server);
        server.stop(Some(Duration::ZERO));
        while !server.is_stopped() {
            std::thread::yield_now();
        }
    }
}
