//! One open connection: its socket, its protocol state, and what it does when it is woken.
//!
//! It reads and flushes; what the host sends is written directly by [`crate::deliver`], and only what the
//! socket refuses waits in the outbox until the connection is woken. A connection goes through these phases: live; holding, after a
//! breach by the peer, when the host may still answer what came before it; flushing, when the protocol is done and
//! the last frames are on their way out; lingering, when our side is shut and the peer's end is awaited, because
//! closing a socket with unread bytes would make the system throw away what we sent.

mod deadlines;
mod ending;
mod parts;
mod receiving;
mod sending;

use crate::chains::Chain;
use crate::encoding::Encoding;
use crate::event::ConnId;
use crate::handshake::Dialect;
use crate::hub::{self, Hub};
use crate::link::Seat;
use crate::mailbox::Waiting;
use crate::pace::{Pace, Pieces, Sent};
use crate::stream::Stream;
use crate::timers::Tick;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use wsengine_proto::hixie76::Hixie76;
use wsengine_proto::{Connection, Limits, Protocol, State};

/// Reads in a row before other connections have their turn.
const READS_PER_TURN: usize = 4;

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
    seat: Seat,
    protocol: Protocol,
    phase: Phase,
    outbox: Outbox,
    encoding: Encoding,
    /// What is compressed in turns.
    unfinished: Option<Box<parts::Unfinished>>,
    /// Since there was something to compress in turns it had one to read.
    had_turn: bool,
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
    /// It was too late for its peer when there was something to read. That comes first, in its next turn, then the verdict.
    is_accused: bool,
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
    /// After the next look at the sockets: it has more to read, or to compress.
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
    has_read: bool,
    has_message: bool,
}

impl Turn {
    fn new(share: usize) -> Self {
        Turn { share, work: 0, has_stopped: false, has_read: false, has_message: false }
    }

    fn left(&self) -> usize {
        self.share.saturating_sub(self.work)
    }

    /// What it has cost, in bytes.
    fn cost(&self, pieces: &mut Pieces, now: Duration) -> usize {
        let is_piece = self.has_read && !self.has_message && self.work < Pieces::BYTES;
        if is_piece { pieces.cost(now) } else { self.work }
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
            seat,
            protocol,
            phase: Phase::Live,
            outbox: Outbox::default(),
            encoding,
            unfinished: None,
            had_turn: true,
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
            is_accused: false,
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
        if self.phase == Phase::Live && matches!(self.protocol.state(), State::Closed(_)) {
            // The socket is broken: nobody will have it.
            self.unfinished = None;
        }
        let is_unfinished = self.unfinished.is_some() && self.phase != Phase::Over;
        // Who took nothing was mostly not read any more either, and what the system holds for it takes long to free.
        let is_cut = self.phase == Phase::Over && self.has_unsent() && hub.stopping.is_none();
        if (is_reading || is_unfinished || is_cut)
            && in_line
            && !hub.take_turn(self.load(), &mut self.ticket, cx)
        {
            return Next::Wait;
        }
        if is_unfinished {
            self.compress_part(hub);
            if self.unfinished.is_none() {
                self.tell_room(hub);
            }
            return Next::Again;
        }
        self.had_turn = true;
        let share = if in_line { hub.pace().turn } else { Pace::ALONE.turn };
        let mut turn = Turn::new(share);
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
                self.end_turn(hub, &turn, true);
                return Next::Wait;
            }
        }
        self.notice_end(hub);
        if matches!(self.phase, Phase::Flushing { .. }) {
            // The last frame waits for it.
            let _ = self.shut(hub, cx);
        }
        self.end_turn(hub, &turn, false);
        Next::Again
    }

    /// It has had its turn, and for now that `is_all` or not.
    fn end_turn(&mut self, hub: &mut Hub, turn: &Turn, is_all: bool) {
        self.sent.add(turn.cost(&mut hub.pieces, hub.now), is_all, hub.now);
        // Who waits for room has said as little as there was room for.
        if std::mem::take(&mut self.speaks) && self.sent.is_little() && !self.paused {
            hub.shared.others.speak(hub.now);
        }
        // With a full inbox all have to wait, whether they send much or not.
        let waits_for_much = self.paused && hub.is_in_line(self.id.slot());
        // Many small bursts are much, too, but it costs more to serve them one after the other.
        let sends_much = self.sent.is_burst() || (self.sent.is_much() && hub.others_are_there());
        let is_new = !self.has_spoken && !self.sent.is_known();
        hub.set_in_line(self.id.slot(), sends_much || waits_for_much || !is_all || is_new);
        if std::mem::take(&mut self.is_accused) && self.phase == Phase::Live {
            self.keep_time(hub);
            self.schedule(hub);
        }
    }

    /// The inbox has room again.
    pub(crate) fn resume(&mut self) {
        self.paused = false;
        self.wake();
    }

    fn wake(&self) {
        self.waker.wake_by_ref();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Turn;
    use crate::pace::{Pieces, Sent};
    use crate::{Config, ConnId, EventBody, Server, Wait};
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

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
    fn who_sends_messages_byte_by_byte_sends_much() {
        let sends_much = |turns_a_second: u64, has_message: fn(u64) -> bool| {
            let (mut sent, mut pieces) = (Sent::default(), Pieces::default());
            for number in 0..turns_a_second {
                let now = Duration::from_millis(1_000 + 1_000 * number / turns_a_second);
                let has_message = has_message(number);
                let work = if has_message { 400 } else { 1 };
                let turn = Turn { work, has_read: true, has_message, ..Turn::new(0) };
                sent.add(turn.cost(&mut pieces, now), true, now);
            }
            sent.is_much()
        };
        assert!(sends_much(450, |turn| turn % 100 == 0), "four messages in 450 pieces");
        assert!(!sends_much(450, |_| true), "450 whole ones");
        assert!(!sends_much(90, |turn| turn % 3 == 0), "thirty messages that each come in three packets");
        let cost = |turn: Turn| turn.cost(&mut Pieces::default(), Duration::from_secs(1));
        assert_eq!(cost(Turn::new(0)), 0, "it has written only");
        let upload = Turn { work: 2 * Pieces::BYTES, has_read: true, ..Turn::new(0) };
        assert_eq!(cost(upload), 2 * Pieces::BYTES);
    }

    /// Two hundred that flooded the server took each other for such, and went at a fourth of their speed.
    #[test]
    fn who_has_no_room_for_more_is_not_one_that_sends_little() {
        for (queue_events, sends_little) in [("16", false), ("1000", true)] {
            let mut config = Config::new();
            let options =
                [("listen", "127.0.0.1:0"), ("io_threads", "1"), ("event_queue_events", queue_events)];
            options.iter().for_each(|(name, value)| config.set(name, value).unwrap());
            let server = Server::start(&config).unwrap();
            let mut peer = open(&server);
            poll(&server);
            // Text without a letter.
            let message = [0x81, 0x80, 0, 0, 0, 0];
            peer.write_all(&message).unwrap();
            poll(&server);
            // In a window after that of the first.
            std::thread::sleep(Duration::from_millis(150));
            peer.write_all(&message.repeat(20)).unwrap();
            let until = Instant::now() + Duration::from_secs(20);
            while server.stats().read_pauses == 0 && server.stats().messages_in < 21 {
                assert!(Instant::now() < until, "{:?}", server.stats());
                std::thread::yield_now();
            }
            let are_there = || server.shared.others.are_there(server.shared.now());
            // That is said at the end of the turn.
            let soon = Instant::now() + Duration::from_millis(50);
            while !are_there() && Instant::now() < if sends_little { until } else { soon } {
                std::thread::yield_now();
            }
            assert_eq!(are_there(), sends_little);
        }
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
