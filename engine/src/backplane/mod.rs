//! Several nodes as one: the option `backplane`.
//!
//! What a host publishes goes to Redis and comes back to all nodes, also to the one that published it: so all members of
//! a topic get it in one order. Each node subscribes only to topics that have members there (`topics.rs`). While Redis
//! cannot be reached each node serves its own connections by itself.
//!
//! Hosts leave their messages in a [`Backplane`]; a thread of its own (`service.rs`) has a session with Redis after
//! another (`session.rs`), takes them there and hands out what comes. Where there is no order to keep, nobody waits.

mod batch;
mod history;
mod place;
mod service;
mod session;
mod topics;

pub(crate) use self::place::Place;
pub(crate) use self::service::Service;
pub(crate) use self::topics::News;

use crate::envelope::{self, Audience, Nodes};
use crate::error::SendError;
use crate::event::ConnId;
use crate::history::{Replay, Since};
use crate::link::Shared;
use crate::mailbox::Stop;
use crate::notice::Notice;
use history::{Comer, Kept, Late, Resume};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use wsengine_proto::Kind;

/// With so much on its way, Redis takes too little: the node goes on by itself. A single message may be larger.
const MAX_WAITING_BYTES: usize = 16 << 20;
/// What a message takes besides its channel and its payload.
const MESSAGE_BYTES: usize = 64;

/// Where hosts and the thread of the backplane meet.
pub(crate) struct Backplane {
    app: String,
    /// The name of this node.
    node: String,
    state: Mutex<State>,
    late: Mutex<Late>,
    /// The number of the session that is heard, 0 for none. It is locked while something of it is handed out.
    heard: Mutex<u64>,
    /// There is something for the thread to do.
    bell: Notify,
    counts: Counts,
}

#[derive(Default)]
struct State {
    mode: Mode,
    waiting: VecDeque<Outgoing>,
    bytes: usize,
    /// Who comes back to which topic, until it is there.
    comers: HashMap<(ConnId, Arc<str>), Comer>,
    next_ticket: u64,
    /// How many sessions there have been.
    sessions: u64,
    /// What should have been kept was published without Redis.
    has_hole: bool,
}

/// Where messages for many go.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// To this node's connections at once: Redis is not there.
    #[default]
    Alone,
    /// To Redis.
    Joined,
    /// Nowhere: what waits goes to Redis, and the server stops when it has come back.
    Stopping(Stop),
}

/// What is on its way to Redis.
enum Outgoing {
    /// A message: its channel and its payload.
    Message(String, Vec<u8>),
    /// One that Redis keeps.
    Kept(Box<Kept>),
    /// The question what somebody has missed.
    Resume(Resume),
}

impl Outgoing {
    fn cost(&self) -> usize {
        MESSAGE_BYTES
            + match self {
                Outgoing::Message(channel, payload) => channel.len() + payload.len(),
                Outgoing::Kept(kept) => kept.cost(),
                Outgoing::Resume(resume) => resume.cost(),
            }
    }
}

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    received: AtomicU64,
    ignored: AtomicU64,
}

impl Backplane {
    pub(crate) fn new(app: &str, node: &str) -> Self {
        Backplane {
            app: app.to_owned(),
            node: node.to_owned(),
            state: Mutex::default(),
            late: Mutex::default(),
            heard: Mutex::default(),
            bell: Notify::new(),
            counts: Counts::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn late(&self) -> MutexGuard<'_, Late> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> MutexGuard<'_, u64> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Topics have got their first members, or lost their last; or there is something to say of people.
    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Leaves the stop of a server to the thread, which first has what was published go out and come back. False: there is
    /// nothing to wait for.
    pub(crate) fn stop(&self, stop: Stop) -> bool {
        let mut state = self.lock();
        let waits = state.mode == Mode::Joined && !stop.drain.is_zero();
        if waits {
            state.mode = Mode::Stopping(stop);
        }
        waits
    }

    /// Messages sent to Redis, those that came from it, and those of them that could not be read.
    pub(crate) fn counts(&self) -> [u64; 3] {
        let counts = &self.counts;
        [&counts.sent, &counts.received, &counts.ignored].map(|count| count.load(Ordering::Relaxed))
    }
}

impl Shared {
    /// Gives a message for many to the backplane, and says how many of this node's connections it is for. None: there is no
    /// backplane, or it is lost.
    #[inline]
    pub(crate) fn by_backplane(
        &self,
        audience: Audience<'_>,
        kind: Kind,
        data: &[u8],
        except: &[ConnId],
    ) -> Option<Result<usize, SendError>> {
        let backplane = self.backplane.as_ref()?;
        let rule = match audience {
            Audience::Topic(topic) => self.history.rule(topic).map(|rule| (topic, rule)),
            Audience::All | Audience::Conn(_) => None,
        };
        let mut state = backplane.lock();
        match state.mode {
            Mode::Alone => {
                // Redis should have kept it: it will have to know.
                state.has_hole |= rule.is_some();
                return None;
            }
            Mode::Joined => {}
            Mode::Stopping(_) => return Some(Err(SendError::Stopped)),
        }
        let reached = match self.reach(audience, kind, except) {
            Ok(reached) => reached,
            Err(error) => return Some(Err(error)),
        };
        // Of those who are not here nobody has to be left out.
        let except: Vec<ConnId> = except.iter().filter(|conn| self.is_open(**conn)).copied().collect();
        let message = match rule {
            Some((topic, rule)) => {
                Outgoing::Kept(Box::new(Kept::new(&backplane.node, topic, rule, kind, data, &except)))
            }
            None => {
                let channel = envelope::channel(&backplane.app, audience);
                Outgoing::Message(channel, envelope::seal(kind, data, &except, &backplane.node))
            }
        };
        self.queue(backplane, state, message).then_some(Ok(reached))
    }

    /// Has Redis asked what somebody has missed, who becomes a member with the answer. None: it knows nothing, as it is lost,
    /// or there is no backplane.
    pub(crate) fn resume_by_backplane(
        &self,
        conn: ConnId,
        topic: &str,
        since: Since,
        label: Option<&str>,
    ) -> Option<Result<bool, SendError>> {
        let backplane = self.backplane.as_ref()?;
        if self.is_coming(conn, topic, label) {
            return Some(Ok(false));
        }
        let mut state = backplane.lock();
        match state.mode {
            Mode::Alone => return None,
            Mode::Joined => {}
            Mode::Stopping(_) => return Some(Err(SendError::Stopped)),
        }
        match self.mailbox(conn).and_then(|mailbox| mailbox.is_member(conn, topic)) {
            Ok(false) => {}
            // There is nothing to miss, and the label may be new.
            other => return Some(other.and_then(|_| self.enter(conn, topic, None, label))),
        }
        let topic: Arc<str> = topic.into();
        state.next_ticket += 1;
        let ticket = state.next_ticket;
        state.comers.insert((conn, topic.clone()), Comer { ticket, label: label.map(Box::from) });
        let resume = Resume { conn, topic, since, ticket };
        self.queue(backplane, state, Outgoing::Resume(resume)).then_some(Ok(true))
    }

    /// Is somebody on the way back to a topic? Then this label is the one it will have.
    pub(crate) fn is_coming(&self, conn: ConnId, topic: &str, label: Option<&str>) -> bool {
        let Some(backplane) = self.backplane.as_ref().filter(|_| self.history.is_on()) else { return false };
        let mut state = backplane.lock();
        if state.comers.is_empty() {
            return false;
        }
        let Some(comer) = state.comers.get_mut(&(conn, topic.into())) else { return false };
        if let Some(label) = label {
            comer.label = Some(label.into());
        }
        true
    }

    /// Takes back what [`Shared::resume_by_backplane`] has begun. False: there was nothing.
    pub(crate) fn forget_resume(&self, conn: ConnId, topic: &str) -> bool {
        let Some(backplane) = self.backplane.as_ref().filter(|_| self.history.is_on()) else { return false };
        let mut state = backplane.lock();
        !state.comers.is_empty() && state.comers.remove(&(conn, topic.into())).is_some()
    }

    /// False: Redis takes too little, so the node is alone from now on.
    fn queue(&self, backplane: &Backplane, mut state: MutexGuard<'_, State>, what: Outgoing) -> bool {
        let fits = state.bytes == 0 || state.bytes + what.cost() <= MAX_WAITING_BYTES;
        if fits {
            state.bytes += what.cost();
            state.waiting.push_back(what);
        } else {
            match what {
                Outgoing::Kept(_) => state.has_hole = true,
                Outgoing::Resume(resume) => drop(state.comers.remove(&(resume.conn, resume.topic))),
                Outgoing::Message(..) => {}
            }
            self.go_alone(&mut state);
        }
        drop(state);
        backplane.ring();
        fits
    }

    /// Redis is lost, or takes too little. What did not get there goes to this node's own connections, before whatever is
    /// published from then on: those who publish wait for the lock.
    fn go_alone(&self, state: &mut State) {
        let Some(backplane) = &self.backplane else { return };
        // What still comes from Redis is older than what follows, and what is older than what waits has been handed out.
        *backplane.heard() = 0;
        for what in std::mem::take(&mut state.waiting) {
            let (channel, payload) = match what {
                Outgoing::Message(channel, payload) => (channel, payload),
                Outgoing::Kept(kept) => {
                    state.has_hole = true;
                    kept.into_plain(&backplane.app)
                }
                Outgoing::Resume(resume) => {
                    resume.finish(self, state, Replay::unknown());
                    continue;
                }
            };
            if let Err(why) = self.try_receive(backplane, channel.as_bytes(), &payload) {
                tracing::debug!(why, "a message is not delivered");
            }
        }
        state.bytes = 0;
        if state.mode == Mode::Joined {
            state.mode = Mode::Alone;
        }
    }

    /// Hands out what has come from Redis.
    fn receive(&self, backplane: &Backplane, channel: &[u8], payload: &[u8]) {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        count(&backplane.counts.received);
        if let Err(why) = self.try_receive(backplane, channel, payload) {
            count(&backplane.counts.ignored);
            tracing::debug!(why, "a message from the backplane is ignored");
        }
    }

    fn try_receive(&self, backplane: &Backplane, channel: &[u8], payload: &[u8]) -> Result<(), String> {
        let say = |error: SendError| error.to_string();
        let mut message = envelope::open(payload, usize::MAX)?;
        let to_nodes = envelope::nodes(&backplane.app, channel);
        if to_nodes.is_none() && (message.word.is_some() || message.at.is_some()) {
            return Err("it says what only nodes may say, and not on a channel of theirs".into());
        }
        if let Some(word) = &message.word {
            let node = message.node.ok_or("it says \"presence\", but not which \"node\" does")?;
            return self.presence.hear(&node, word, self.now());
        }
        let audience = match to_nodes {
            Some(Nodes::Topic(topic)) => {
                if let Some(late) = backplane.late().get_mut(topic).filter(|_| message.at.is_none()) {
                    late.has_hole = true;
                }
                Audience::Topic(topic)
            }
            Some(Nodes::All | Nodes::One(_)) => return Err("that is no message for connections".into()),
            None => envelope::audience(&backplane.app, channel)?,
        };
        self.check(message.kind, message.data).map_err(say)?;
        match &message.node {
            _ if message.to.is_some() => {
                return Err(
                    "it says \"to\", which is for push_listen: a connection is named by its own node".into(),
                );
            }
            Some(node) if *node != backplane.node => message.except.clear(),
            None if !message.except.is_empty() => {
                return Err("it says \"except\", but not of which \"node\" these connections are".into());
            }
            _ => {}
        }
        if let Some(id) = &message.id {
            let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
            if repeats.find(channel, id, self.now()).is_some() {
                return Ok(());
            }
            repeats.note(channel, id, 0, self.now());
        }
        let (Some(position), Audience::Topic(topic)) = (message.at, audience) else {
            let delivered = self.deliver(audience, message.kind, message.data, &message.except);
            return delivered.map(drop).map_err(say);
        };
        let data = Notice::at(topic, position).seal(message.data);
        let delivered = self.deliver_sealed(topic, message.kind, &data, &message.except);
        if let Some(late) = backplane.late().get_mut(topic) {
            late.messages.push((position, message.kind, data));
        }
        delivered.map(drop).map_err(say)
    }
}
