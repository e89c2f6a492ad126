//! What the calls say, and both tables against a plain set of pairs.

use super::*;
use crate::buffers::Buffers;
use crate::mailbox::{Commands, QueueCaps, Stop};
use crate::topics::Members;
use proptest::prelude::*;
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;
use wsengine_proto::Kind;

fn mailbox() -> Mailbox {
    Mailbox::new(QueueCaps { bytes: 1_000, messages: 100 }, false, None)
}

fn publish(mailbox: &Mailbox, name: &str, except: &[ConnId]) -> Result<usize, SendError> {
    mailbox.send_to_topic(name, &Frame::new(Kind::Text, b"news", &Buffers::default()), except)
}

#[test]
fn each_call_says_what_it_has_done() {
    let (mailbox, one, two) = (mailbox(), ConnId::new(0, 0, 1), ConnId::new(0, 1, 1));
    mailbox.opened(one, false, &mut Commands::default());
    assert_eq!(mailbox.subscribe(two, "a"), Err(SendError::Gone));
    mailbox.opened(two, false, &mut Commands::default());
    assert_eq!(mailbox.subscribe(one, "a"), Ok(true));
    assert_eq!(mailbox.subscribe(one, "a"), Ok(false));
    assert_eq!(mailbox.subscribe(two, "a"), Ok(true));
    assert_eq!(mailbox.unsubscribe(two, "b"), Ok(false));
    assert_eq!(publish(&mailbox, "a", &[]), Ok(2));
    assert_eq!(publish(&mailbox, "a", &[two, two]), Ok(1), "named twice, left out once");
    assert_eq!(mailbox.unsubscribe(one, "a"), Ok(true));
    assert_eq!(mailbox.unsubscribe(one, "a"), Ok(false));
    assert_eq!(publish(&mailbox, "a", &[one]), Ok(1), "who is no member is no exception");
    assert_eq!(publish(&mailbox, "a", &[two]), Ok(0));
    assert_eq!(publish(&mailbox, "A", &[]), Ok(0));
    mailbox.close(two, 1000, "").unwrap();
    assert_eq!(publish(&mailbox, "a", &[]), Ok(0));
    assert_eq!(mailbox.unsubscribe(two, "a"), Err(SendError::Gone));
    assert_eq!(mailbox.subscriptions(), 0);
    let mut commands = Commands::default();
    mailbox.take(&mut commands);
    assert_eq!(commands.list.len(), 7, "what changes nothing or reaches nobody is no command");
}

#[test]
fn binary_messages_pass_by_those_that_have_text_only() {
    let mailbox = mailbox();
    let [old, older, new] = [0, 1, 2].map(|slot| ConnId::new(0, slot, 1));
    for (conn, text_only) in [(old, true), (older, true), (new, false)] {
        mailbox.opened(conn, text_only, &mut Commands::default());
        mailbox.subscribe(conn, "a").unwrap();
    }
    let binary = |except: &[ConnId]| {
        mailbox.send_to_topic("a", &Frame::new(Kind::Binary, b"\xff", &Buffers::default()), except)
    };
    assert_eq!((binary(&[]), binary(&[old]), binary(&[new])), (Ok(1), Ok(1), Ok(0)));
    assert_eq!(publish(&mailbox, "a", &[old]), Ok(2));
    mailbox.unsubscribe(old, "a").unwrap();
    mailbox.closing(older);
    assert_eq!((binary(&[]), publish(&mailbox, "a", &[])), (Ok(1), Ok(1)));
}

#[test]
fn after_a_stop_nothing_is_taken() {
    let (mailbox, conn) = (mailbox(), ConnId::new(0, 0, 1));
    mailbox.opened(conn, false, &mut Commands::default());
    mailbox.stop(Stop { code: 1001, drain: Duration::ZERO });
    assert_eq!(mailbox.subscribe(conn, "a"), Err(SendError::Stopped));
    assert_eq!(mailbox.unsubscribe(conn, "a"), Err(SendError::Stopped));
    assert_eq!(publish(&mailbox, "a", &[]), Err(SendError::Stopped));
}

#[test]
fn a_thread_sleeps_on_for_one_subscription_but_not_for_many() {
    struct Woken(AtomicUsize);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (mailbox, conn) = (mailbox(), ConnId::new(0, 0, 1));
    let woken = Arc::new(Woken(AtomicUsize::new(0)));
    mailbox.set_waker(&Waker::from(woken.clone()));
    mailbox.opened(conn, false, &mut Commands::default());
    mailbox.thread().lie_down();
    mailbox.subscribe(conn, "a").unwrap();
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    publish(&mailbox, "a", &[]).unwrap();
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    mailbox.thread().lie_down();
    for _ in 0..1_000 {
        mailbox.unsubscribe(conn, "a").unwrap();
        mailbox.subscribe(conn, "a").unwrap();
    }
    assert_eq!(woken.0.load(Ordering::Relaxed), 2);
}

const SLOTS: u32 = 6;
const NAMES: [&str; 5] = ["a", "b", "ä", "a\0", " "];

#[derive(Debug, Clone)]
enum Step {
    /// Opens a connection in a slot that is free.
    Open(u32),
    Subscribe(u32, usize),
    Unsubscribe(u32, usize),
    Publish(usize, Vec<u32>),
    /// The host closes, the thread notices an end, the connection has ended.
    Close(u32),
    Closing(u32),
    Closed(u32),
    /// The thread takes what is there.
    Take,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (slot, name) = (0..SLOTS, 0..NAMES.len());
    let step = prop_oneof![
        3 => slot.clone().prop_map(Step::Open),
        6 => (slot.clone(), name.clone()).prop_map(|(slot, name)| Step::Subscribe(slot, name)),
        3 => (slot.clone(), name.clone()).prop_map(|(slot, name)| Step::Unsubscribe(slot, name)),
        4 => (name, proptest::collection::vec(slot.clone(), 0..3))
            .prop_map(|(name, except)| Step::Publish(name, except)),
        1 => slot.clone().prop_map(Step::Close),
        1 => slot.clone().prop_map(Step::Closing),
        1 => slot.prop_map(Step::Closed),
        2 => Just(Step::Take),
    ];
    proptest::collection::vec(step, 0..150)
}

/// Both tables, and what they should say.
struct World {
    mailbox: Mailbox,
    members: Members,
    /// By slot the connection that the thread has, how often the slot was used, and whether the connection is
    /// open in the eyes of the thread.
    conns: [Option<ConnId>; SLOTS as usize],
    uses: [u64; SLOTS as usize],
    open_there: [bool; SLOTS as usize],
    /// What the host's calls should say.
    open_here: BTreeSet<ConnId>,
    subscribed: BTreeSet<(usize, ConnId)>,
    /// Whom the messages that wait should reach.
    expected: VecDeque<BTreeSet<ConnId>>,
}

impl World {
    fn conn(&self, slot: u32) -> ConnId {
        self.conns[slot as usize].unwrap_or(ConnId::new(0, slot, self.uses[slot as usize]))
    }

    /// The connection is open no more, as far as the host is told.
    fn ends(&mut self, conn: ConnId) {
        self.open_here.remove(&conn);
        self.subscribed.retain(|(_, member)| *member != conn);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Open(slot) => {
                let index = slot as usize;
                if self.conns[index].is_none() {
                    self.uses[index] += 1;
                    let conn = ConnId::new(0, slot, self.uses[index]);
                    let mut commands = Commands::default();
                    self.mailbox.opened(conn, slot == 0, &mut commands);
                    self.carry_out(&commands);
                    (self.conns[index], self.open_there[index]) = (Some(conn), true);
                    self.open_here.insert(conn);
                }
            }
            Step::Subscribe(slot, name) => {
                let conn = self.conn(slot);
                let is_open = self.open_here.contains(&conn);
                let expected = is_open.then(|| self.subscribed.insert((name, conn)));
                assert_eq!(self.mailbox.subscribe(conn, NAMES[name]), expected.ok_or(SendError::Gone));
            }
            Step::Unsubscribe(slot, name) => {
                let conn = self.conn(slot);
                let is_open = self.open_here.contains(&conn);
                let expected = is_open.then(|| self.subscribed.remove(&(name, conn)));
                assert_eq!(self.mailbox.unsubscribe(conn, NAMES[name]), expected.ok_or(SendError::Gone));
            }
            Step::Publish(name, except) => {
                let except: Vec<_> = except.into_iter().map(|slot| self.conn(slot)).collect();
                let reached = self.subscribed.iter().filter(|(topic, _)| *topic == name);
                let mut reached: BTreeSet<_> = reached.map(|(_, conn)| *conn).collect();
                reached.retain(|conn| !except.contains(conn));
                assert_eq!(publish(&self.mailbox, NAMES[name], &except), Ok(reached.len()));
                if !reached.is_empty() {
                    self.expected.push_back(reached);
                }
            }
            Step::Close(slot) => {
                let conn = self.conn(slot);
                let _ = self.mailbox.close(conn, 1000, "");
                self.ends(conn);
            }
            Step::Closing(slot) | Step::Closed(slot) => {
                let conn = self.conn(slot);
                self.open_there[slot as usize] = false;
                self.mailbox.closing(conn);
                self.ends(conn);
                if matches!(step, Step::Closed(_)) {
                    self.members.leave(slot);
                    self.mailbox.closed(conn);
                    self.conns[slot as usize] = None;
                }
            }
            Step::Take => {
                let mut commands = Commands::default();
                self.mailbox.take(&mut commands);
                self.carry_out(&commands);
            }
        }
    }

    /// What the thread does with the commands; whom each message reaches is as expected.
    fn carry_out(&mut self, commands: &Commands) {
        for command in &commands.list {
            match (command.target, &command.what) {
                (Target::Topic { topic, .. }, What::Subscribe(conn)) => {
                    if self.conns[conn.slot() as usize] == Some(*conn) {
                        self.members.subscribe(conn.slot(), topic);
                    }
                }
                (Target::Topic { topic, .. }, What::Unsubscribe(conn)) => {
                    if self.conns[conn.slot() as usize] == Some(*conn) {
                        self.members.unsubscribe(conn.slot(), topic);
                    }
                }
                (Target::One(conn), _) => {
                    if self.conns[conn.slot() as usize] == Some(conn) {
                        self.open_there[conn.slot() as usize] = false;
                    }
                }
                (Target::Topic { topic, except }, _) => {
                    let left_out = except.map_or(&[][..], |except| &commands.exceptions[except as usize]);
                    let slots = self.members.of(topic).iter().map(|slot| *slot as usize);
                    let reached = slots.filter(|slot| self.open_there[*slot]);
                    let reached = reached.map(|slot| self.conns[slot].unwrap());
                    let reached: BTreeSet<_> = reached.filter(|conn| !left_out.contains(conn)).collect();
                    let is_open = |conn: &ConnId| {
                        let slot = conn.slot() as usize;
                        self.conns[slot] == Some(*conn) && self.open_there[slot]
                    };
                    let mut expected = self.expected.pop_front().unwrap();
                    expected.retain(is_open);
                    assert_eq!(reached, expected);
                }
                (Target::All { .. }, _) => unreachable!(),
            }
        }
    }
}

proptest! {
    #[test]
    fn a_message_reaches_those_who_are_members_when_it_is_published(steps in steps()) {
        let mut world = World {
            mailbox: mailbox(),
            members: Members::default(),
            conns: [None; SLOTS as usize],
            uses: [0; SLOTS as usize],
            open_there: [false; SLOTS as usize],
            open_here: BTreeSet::new(),
            subscribed: BTreeSet::new(),
            expected: VecDeque::new(),
        };
        for step in steps {
            world.step(step);
            prop_assert_eq!(world.mailbox.subscriptions(), world.subscribed.len());
        }
        for name in 0..NAMES.len() {
            world.step(Step::Publish(name, Vec::new()));
        }
        world.step(Step::Take);
        (0..SLOTS).for_each(|slot| world.step(Step::Closed(slot)));
        let topics = &world.mailbox.lock().topics;
        prop_assert!(topics.named.is_empty() && topics.of.is_empty());
        prop_assert_eq!((topics.subscriptions, topics.free.len()), (0, topics.names.len()));
    }
}
