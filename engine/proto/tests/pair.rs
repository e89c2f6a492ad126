//! A client and the server side on a link with delay, in a virtual clock: heartbeat, idleness, the closing
//! handshake, the limit on control frames, and deadlines that never lie.

mod common;

use common::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::time::Duration;
use wsengine_proto::{Connection, Limits, State};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// How long bytes are on their way.
const DELAY: Duration = ms(20);

/// One direction of the link.
#[derive(Debug, Default)]
struct Link {
    on_their_way: VecDeque<(Duration, Vec<u8>)>,
}

impl Link {
    fn put(&mut self, now: Duration, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.on_their_way.push_back((now + DELAY, bytes));
        }
    }

    fn next_at(&self) -> Option<Duration> {
        self.on_their_way.front().map(|(at, _)| *at)
    }

    fn take(&mut self, now: Duration) -> Option<Vec<u8>> {
        self.next_at().filter(|at| *at <= now)?;
        self.on_their_way.pop_front().map(|(_, bytes)| bytes)
    }
}

/// As much of a client as the tests need: it answers pings and close frames, unless it plays dead.
#[derive(Debug)]
struct Client {
    unread: Vec<u8>,
    answers: bool,
    /// It has sent a close frame.
    closed: bool,
    received: Vec<(Duration, ServerFrame)>,
}

impl Client {
    fn receive(&mut self, now: Duration, bytes: &[u8]) -> Vec<u8> {
        let mut reply = Vec::new();
        self.unread.extend_from_slice(bytes);
        while let Some(frame) = take_server_frame(&mut self.unread) {
            match frame.opcode {
                PING if self.answers && !self.closed => {
                    reply.extend(ClientFrame::new(PONG, &frame.payload).encode());
                }
                CLOSE if self.answers && !self.closed => {
                    self.closed = true;
                    reply.extend(ClientFrame::new(CLOSE, &frame.payload).encode());
                }
                _ => {}
            }
            self.received.push((now, frame));
        }
        reply
    }

    fn times_of(&self, opcode: u8) -> Vec<Duration> {
        let of_it = self.received.iter().filter(|(_, frame)| frame.opcode == opcode);
        of_it.map(|(at, _)| *at).collect()
    }

    fn close_codes(&self) -> Vec<Option<u16>> {
        let closes = self.received.iter().filter(|(_, frame)| frame.opcode == CLOSE);
        closes.map(|(_, frame)| frame.close_code()).collect()
    }
}

#[derive(Debug)]
struct Pair {
    server: Server,
    client: Client,
    to_server: Link,
    to_client: Link,
    started: Duration,
    /// When the server's side was over.
    ended: Option<Duration>,
}

impl Pair {
    fn new(limits: Limits) -> Self {
        Self::with_spread(limits, 0)
    }

    fn with_spread(limits: Limits, spread: u64) -> Self {
        let mut server = Server::new(limits);
        server.conn = Connection::new(server.now, &server.limits, spread, None);
        let client = Client { unread: Vec::new(), answers: true, closed: false, received: Vec::new() };
        let started = server.now;
        Pair { server, client, to_server: Link::default(), to_client: Link::default(), started, ended: None }
    }

    fn now(&self) -> Duration {
        self.server.now
    }

    /// What the client says on its own account.
    fn say(&mut self, frame: ClientFrame) {
        self.client.closed |= frame.opcode == CLOSE;
        self.to_server.put(self.server.now, frame.encode());
    }

    fn flush(&mut self) {
        self.to_client.put(self.server.now, std::mem::take(&mut self.server.out));
        if self.server.ending().is_some() {
            self.ended.get_or_insert(self.server.now);
        }
    }

    /// Lets `time` pass, from event to event. Panics if the server asks for attention without end.
    fn run(&mut self, time: Duration) {
        let end = self.now() + time;
        let mut moments = 0;
        loop {
            self.flush();
            // While the sink has no room the owner does not read.
            let arrival = self.to_server.next_at().filter(|_| !self.server.blocked);
            let next =
                [self.server.deadline(), arrival, self.to_client.next_at()].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            moments = if next > self.now() { 0 } else { moments + 1 };
            assert!(moments < 20, "does not come to rest at {next:?}");
            self.server.now = next.max(self.now());
            self.step();
        }
        self.server.now = end;
    }

    fn step(&mut self) {
        let now = self.now();
        if self.server.deadline().is_some_and(|deadline| deadline <= now) {
            self.server.on_deadline();
        }
        while !self.server.blocked
            && let Some(bytes) = self.to_server.take(now)
        {
            self.server.feed(&bytes);
        }
        while let Some(bytes) = self.to_client.take(now) {
            let reply = self.client.receive(now, &bytes);
            self.to_server.put(now, reply);
        }
    }

    /// How long after the start the server's side was over.
    fn lasted(&self) -> Duration {
        self.ended.expect("the connection is not closed") - self.started
    }
}

fn limits() -> Limits {
    Limits { ping_interval: secs(20), pong_timeout: secs(5), close_timeout: secs(3), ..Limits::default() }
}

#[test]
fn pings_come_at_the_interval_give_or_take_a_tenth() {
    let mut firsts = Vec::new();
    for spread in (0..300).chain([u64::MAX, 1 << 63]) {
        let mut pair = Pair::with_spread(limits(), spread);
        pair.run(secs(23));
        let at = pair.client.times_of(PING)[0] - DELAY - pair.started;
        assert!((secs(18)..=secs(22)).contains(&at), "{spread}: {at:?}");
        firsts.push(at);
    }
    let (earliest, latest) = (firsts.iter().min().unwrap(), firsts.iter().max().unwrap());
    assert!(*earliest < ms(18_400) && *latest > ms(21_600), "hardly spread: {earliest:?} to {latest:?}");
    firsts.sort_unstable();
    firsts.dedup();
    assert!(firsts.len() > 100, "only {} different intervals", firsts.len());
}

#[test]
fn pongs_keep_a_connection_alive() {
    let mut pair = Pair::new(limits());
    pair.run(secs(3_600));
    assert_eq!(pair.server.conn.state(), &State::Open);
    let pings = pair.client.times_of(PING);
    assert!((160..=200).contains(&pings.len()), "{} pings in an hour", pings.len());
}

#[test]
fn silence_ends_with_1006() {
    let mut pair = Pair::new(limits());
    pair.client.answers = false;
    pair.run(secs(60));
    assert_eq!(pair.server.ended(), (1006, false));
    let ping = pair.client.times_of(PING)[0] - DELAY - pair.started;
    assert_eq!(pair.lasted(), ping + secs(5));
    assert_eq!(pair.client.received.len(), 1, "one ping and nothing more");
}

#[test]
fn a_peer_that_falls_silent_later_is_found_too() {
    let mut pair = Pair::new(limits());
    pair.run(secs(600));
    pair.client.answers = false;
    pair.run(secs(22 + 5));
    assert_eq!(pair.server.ended(), (1006, false));
}

/// Any bytes are a sign of life, half a frame too.
#[test]
fn whoever_sends_is_not_pinged() {
    let mut pair = Pair::new(limits());
    let bytes = ClientFrame::new(BINARY, [0; 100]).encode();
    for byte in &bytes {
        pair.to_server.put(pair.now(), vec![*byte]);
        pair.run(secs(10));
    }
    assert!(pair.client.received.is_empty());
    assert_eq!(pair.server.sink.messages.len(), 1);
}

#[test]
fn anything_answers_a_ping() {
    let mut pair = Pair::new(limits());
    pair.client.answers = false;
    for _ in 0..100 {
        while pair.client.times_of(PING).is_empty() {
            pair.run(ms(100));
            assert_eq!(pair.server.conn.state(), &State::Open);
        }
        pair.client.received.clear();
        pair.run(secs(4));
        pair.say(ClientFrame::new(TEXT, "busy"));
    }
    assert_eq!(pair.server.conn.state(), &State::Open);
}

#[test]
fn without_an_interval_nobody_is_pinged() {
    let mut pair = Pair::new(Limits { ping_interval: Duration::ZERO, ..limits() });
    assert_eq!(pair.server.deadline(), None);
    pair.run(secs(100_000));
    assert!(pair.client.received.is_empty());
}

/// 0.9 ms in whole milliseconds is nothing, and nothing means never.
#[test]
fn the_shortest_interval_still_pings() {
    for spread in 0..100 {
        let mut pair = Pair::with_spread(Limits { ping_interval: ms(1), ..limits() }, spread);
        pair.run(secs(1));
        assert!(pair.client.times_of(PING).len() > 10, "spread {spread}");
        assert_eq!(pair.server.conn.state(), &State::Open);
    }
}

#[test]
fn a_connection_without_room_is_never_found_dead() {
    let mut pair = Pair::new(Limits { idle_timeout: secs(60), ..limits() });
    pair.client.answers = false;
    pair.server.sink.room = 0;
    pair.say(ClientFrame::new(TEXT, "waits"));
    pair.run(secs(100_000));
    assert_eq!(pair.server.conn.state(), &State::Open);
    assert!(pair.client.received.is_empty(), "it was not even pinged");

    pair.server.sink.room = 10;
    pair.server.feed(&[]);
    assert_eq!(pair.server.sink.messages, [text("waits")]);
    pair.run(secs(30));
    assert_eq!(pair.server.ended(), (1006, false), "but now that we listen it is");
}

/// The host was busy for longer than `idle_timeout`, and then only half of the message is there.
#[test]
fn a_message_that_waited_for_room_is_not_idleness() {
    let mut server = Server::new(Limits { idle_timeout: secs(60), ..limits() });
    server.sink.room = 0;
    let bytes = ClientFrame::new(TEXT, "slow").encode();
    server.feed(&bytes[..8]);
    assert!(server.blocked);
    server.now += secs(59);
    server.sink.room = 1;
    server.feed(&[]);
    server.now += secs(1);
    server.on_deadline();
    assert_eq!(server.conn.state(), &State::Open);
    server.feed(&bytes[8..]);
    assert_eq!(server.sink.messages, [text("slow")]);
}

/// Nobody was told of the time in between: the header lay in the connection, no byte came since.
#[test]
fn a_header_in_pieces_that_waited_for_room_is_a_sign_of_life() {
    let mut server = Server::new(limits());
    server.sink.room = 0;
    server.feed_bytewise(&ClientFrame::new(TEXT, "").encode());
    assert!(server.blocked);
    server.now += secs(100);
    server.sink.room = 1;
    server.feed(&[]);
    server.on_deadline();
    assert!(server.sent().is_empty());
    assert!(server.deadline() > Some(server.now));
}

#[test]
fn idleness_ends_with_1001() {
    let mut pair = Pair::new(Limits { idle_timeout: secs(50), ..limits() });
    pair.run(secs(30));
    pair.say(ClientFrame::new(TEXT, "still here"));
    pair.run(secs(100));
    assert_eq!(pair.client.close_codes(), [Some(1001)]);
    assert_eq!(pair.server.ended(), (1001, true));
    assert_eq!(pair.lasted(), secs(30) + DELAY + secs(50) + DELAY + DELAY);
}

#[test]
fn a_message_in_fragments_ends_idleness_with_its_last() {
    let mut pair = Pair::new(Limits { idle_timeout: secs(50), ..limits() });
    pair.say(ClientFrame::new(TEXT, "first").more());
    pair.run(secs(40));
    pair.say(ClientFrame::new(CONTINUATION, "last"));
    pair.run(secs(49));
    assert_eq!(pair.server.conn.state(), &State::Open);
    pair.run(secs(2));
    assert_eq!(pair.server.ended(), (1001, true));
}

#[test]
fn control_frames_and_half_messages_are_not_messages() {
    let mut pair = Pair::new(Limits { idle_timeout: secs(50), ..limits() });
    for _ in 0..20 {
        pair.say(ClientFrame::new(PING, ""));
        pair.say(ClientFrame::new(PONG, ""));
        pair.run(secs(1));
    }
    pair.say(ClientFrame::new(TEXT, "not all of it").more());
    pair.run(secs(29));
    assert_eq!(pair.server.conn.state(), &State::Open);
    pair.run(secs(2));
    assert_eq!(pair.server.ended(), (1001, true));
}

#[test]
fn the_client_closes() {
    let mut pair = Pair::new(limits());
    pair.say(ClientFrame::new(CLOSE, close_payload(1000, "done")));
    pair.run(secs(1));
    assert_eq!(pair.client.close_codes(), [Some(1000)]);
    assert_eq!(pair.server.ended(), (1000, true));
    assert_eq!(pair.lasted(), DELAY);
}

#[test]
fn the_server_closes() {
    let mut pair = Pair::new(limits());
    pair.server.close(4002, "enough");
    pair.run(secs(1));
    assert_eq!(pair.client.close_codes(), [Some(4002)]);
    assert_eq!(pair.server.ended(), (4002, true));
    assert_eq!(pair.lasted(), DELAY + DELAY);
}

#[test]
fn both_close_at_once() {
    let mut pair = Pair::new(limits());
    pair.server.close(4002, "enough");
    pair.say(ClientFrame::new(CLOSE, close_payload(1001, "leaving")));
    pair.run(secs(10));
    assert_eq!(pair.client.close_codes(), [Some(4002)], "one close frame from each side");
    assert_eq!(pair.server.ended(), (4002, true));
    assert_eq!(pair.lasted(), DELAY);
}

#[test]
fn a_close_frame_that_is_not_answered_is_waited_for_so_long() {
    let mut pair = Pair::new(limits());
    pair.client.answers = false;
    pair.run(secs(7));
    pair.server.close(1001, "going down");
    pair.run(ms(2_999));
    assert_eq!(pair.server.conn.state(), &State::Closing);
    pair.run(ms(1));
    let ending = pair.server.ending().unwrap();
    assert_eq!((ending.code, &*ending.reason, ending.clean), (1001, "going down", false));
    assert_eq!(pair.lasted(), secs(10));
}

/// Traffic does not buy time: a peer that goes on talking instead of answering is cut all the same.
#[test]
fn talking_does_not_put_off_the_end() {
    let mut pair = Pair::new(limits());
    pair.client.answers = false;
    pair.server.close(1001, "");
    for _ in 0..40 {
        pair.say(ClientFrame::new(TEXT, "but"));
        pair.run(ms(100));
    }
    assert_eq!(pair.lasted(), secs(3));
}

#[test]
fn while_closing_nobody_is_pinged() {
    let mut pair = Pair::new(Limits { close_timeout: secs(100), idle_timeout: secs(10), ..limits() });
    pair.client.answers = false;
    pair.server.close(1000, "");
    pair.run(secs(99));
    assert_eq!(pair.client.times_of(PING), []);
    assert_eq!(pair.client.close_codes(), [Some(1000)]);
}

#[test]
fn control_frames_may_come_at_their_rate_for_ever() {
    let mut pair = Pair::new(Limits { max_control_frames_per_s: 50, ..limits() });
    for _ in 0..5_000 {
        pair.say(ClientFrame::new(PING, ""));
        pair.run(ms(20));
    }
    assert_eq!(pair.server.conn.state(), &State::Open);
    pair.run(secs(2));
    assert_eq!(pair.client.times_of(PONG).len(), 5_000);
}

/// An honest peer must not be thrown out for doing what we asked.
#[test]
fn answers_to_our_pings_are_not_counted() {
    let mut pair = Pair::new(Limits { max_control_frames_per_s: 1, ping_interval: ms(100), ..limits() });
    pair.run(secs(60));
    assert!(pair.client.times_of(PING).len() > 300);
    assert_eq!(pair.server.conn.state(), &State::Open);
}

#[test]
fn a_burst_of_control_frames_passes_and_one_more_does_not() {
    let mut pair = Pair::new(Limits { max_control_frames_per_s: 50, ..limits() });
    for _ in 0..3 {
        for number in 0..100 {
            pair.say(ClientFrame::new(if number % 2 == 0 { PING } else { PONG }, ""));
        }
        pair.run(secs(2) + DELAY);
        assert_eq!(pair.server.conn.state(), &State::Open);
    }
    for _ in 0..101 {
        pair.say(ClientFrame::new(PONG, ""));
    }
    pair.run(secs(1));
    assert_eq!(pair.client.close_codes(), [Some(1008)]);
    assert_eq!(pair.server.ended(), (1008, false));
}

#[test]
fn no_time_is_too_long() {
    let long = [Duration::MAX, Duration::from_millis(u64::MAX), secs(u64::MAX / 1_000), ms(u64::MAX - 1)];
    for long in long {
        let limits = Limits {
            ping_interval: long,
            pong_timeout: long,
            idle_timeout: long,
            close_timeout: long,
            max_control_frames_per_s: u32::MAX,
            ..Limits::default()
        };
        let mut server = Server::new(limits);
        for now in [server.now, secs(1 << 40), Duration::MAX] {
            server.now = now;
            server.feed_frames(&[ClientFrame::new(PING, ""), ClientFrame::new(TEXT, "")]);
            assert!(server.deadline().is_none_or(|deadline| deadline > secs(1_000_000_000)));
            server.now = now.min(secs(1_000_000_000));
            server.on_deadline();
            assert_eq!(server.conn.state(), &State::Open);
        }
        server.close(1000, "");
        assert!(server.deadline().is_none_or(|deadline| deadline > secs(1_000_000_000)));
    }
}

/// What may happen to a connection between two deadlines.
#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    PassUntilDeadline,
    CallEarly,
    Send(Vec<u8>),
    Room(usize),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let opcode = prop_oneof![Just(TEXT), Just(PING), Just(PONG), Just(BINARY)];
    let frame = (opcode, any::<bool>(), 0usize..10).prop_map(|(opcode, fin, cut)| {
        let fin = fin || opcode > BINARY;
        let frame = ClientFrame { fin, ..ClientFrame::new(opcode, "data") }.encode();
        Step::Send(frame[..frame.len() - cut.min(frame.len())].to_vec())
    });
    prop_oneof![
        6 => (0u64..30_000).prop_map(Step::Pass),
        6 => Just(Step::PassUntilDeadline),
        2 => Just(Step::CallEarly),
        6 => frame,
        1 => vec(any::<u8>(), 0..6).prop_map(Step::Send),
        3 => (0usize..2).prop_map(Step::Room),
        1 => Just(Step::Close),
    ]
}

fn times() -> impl Strategy<Value = Limits> {
    let time = || prop_oneof![Just(0u64), Just(1), 1u64..50, 1_000u64..30_000, Just(u64::MAX)];
    (time(), time(), time(), time()).prop_map(|(ping, pong, idle, close)| Limits {
        ping_interval: ms(ping),
        pong_timeout: ms(pong),
        idle_timeout: ms(idle),
        close_timeout: ms(close),
        ..Limits::default()
    })
}

proptest! {
    #![proptest_config(cases(512))]

    /// Called at its deadline a connection makes progress: the deadline moves on or is gone. Called before it,
    /// nothing happens. Otherwise the owner would turn in circles, or a peer be judged too early.
    #[test]
    fn deadlines_do_not_lie(limits in times(), spread: u64, steps in vec(step(), 0..40)) {
        let mut server = Server::new(limits);
        server.conn = Connection::new(server.now, &server.limits, spread, None);
        for step in steps {
            match step {
                Step::Pass(time) => server.now += ms(time),
                Step::PassUntilDeadline => {
                    let far = server.now + secs(1_000_000);
                    server.now = server.deadline().unwrap_or(far).clamp(server.now, far);
                }
                Step::CallEarly => {
                    if server.deadline().is_none_or(|deadline| server.now < deadline) {
                        let before = (server.out.len(), server.conn.state().clone());
                        server.on_deadline();
                        prop_assert_eq!(&before, &(server.out.len(), server.conn.state().clone()));
                    }
                }
                Step::Send(bytes) if !server.blocked => server.feed(&bytes),
                Step::Send(_) => {}
                Step::Room(room) => {
                    server.sink.room = room;
                    if server.blocked {
                        server.feed(&[]);
                    }
                }
                Step::Close => server.close(1000, ""),
            }
            // Ping, then the end of a pong_timeout of zero: more than two in a row nothing can ask for.
            let mut calls = 0;
            while server.deadline().is_some_and(|deadline| deadline <= server.now) {
                server.on_deadline();
                calls += 1;
                prop_assert!(calls <= 3, "no progress at {:?}: {:?}", server.now, server.conn);
            }
            prop_assert_eq!(server.ending().is_some() && server.deadline().is_some(), false);
        }
    }
}
