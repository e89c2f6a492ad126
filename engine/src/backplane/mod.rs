//! Several nodes as one: the option `backplane`.
//!
//! What a host publishes goes to Redis and comes back to all nodes, also to the one that published it: so all members of
//! a topic get it in one order. Each node subscribes only to topics that have members there (`topics.rs`). While Redis
//! cannot be reached each node serves its own connections by itself.
//!
//! Hosts leave their messages in a [`Backplane`]; a thread of its own (`service.rs`) has a session with Redis after
//! another (`session.rs`), takes them there and hands out what comes. Where there is no order to keep, nobody waits.

mod service;
mod session;
mod topics;

pub(crate) use self::service::Service;
pub(crate) use self::topics::News;

use crate::envelope::{self, Audience};
use crate::error::SendError;
use crate::event::ConnId;
use crate::link::Shared;
use crate::mailbox::Stop;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use wsengine_proto::Kind;

/// With so much on its way, Redis takes too little: the node goes on by itself. A single message may be larger.
const MAX_WAITING_BYTES: usize = 16 << 20;
/// What a message takes besides its channel and its payload.
const MESSAGE_BYTES: usize = 64;

/// Where hosts and the thread of the backplane meet.
pub(crate) struct Backplane {
    app: String,
    /// Nobody else's name.
    node: String,
    state: Mutex<State>,
    /// There is something for the thread to do.
    bell: Notify,
    counts: Counts,
}

#[derive(Default)]
struct State {
    mode: Mode,
    waiting: VecDeque<Outgoing>,
    bytes: usize,
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

/// A message on its way to Redis.
struct Outgoing {
    channel: String,
    payload: Vec<u8>,
}

impl Outgoing {
    fn cost(&self) -> usize {
        self.channel.len() + self.payload.len() + MESSAGE_BYTES
    }
}

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    received: AtomicU64,
    ignored: AtomicU64,
}

impl Backplane {
    pub(crate) fn new(app: &str) -> Self {
        let random = || RandomState::new().hash_one(std::process::id());
        Backplane {
            app: app.to_owned(),
            node: format!("{:016x}{:016x}", random(), random()),
            state: Mutex::default(),
            bell: Notify::new(),
            counts: Counts::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Topics have got their first members, or lost their last.
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
    /// Is this the name of this node?
    pub(crate) fn is_node(&self, name: &str) -> bool {
        self.backplane.as_ref().is_some_and(|backplane| backplane.node == name)
    }

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
        let mut state = backplane.lock();
        match state.mode {
            Mode::Alone => return None,
            Mode::Joined => {}
            Mode::Stopping(_) => return Some(Err(SendError::Stopped)),
        }
        let reached = match self.reach(audience, kind, except) {
            Ok(reached) => reached,
            Err(error) => return Some(Err(error)),
        };
        // Of those who are not here nobody has to be left out.
        let except: Vec<ConnId> = except.iter().filter(|conn| self.is_open(**conn)).copied().collect();
        let message = Outgoing {
            channel: envelope::channel(&backplane.app, audience),
            payload: envelope::seal(kind, data, &except, &backplane.node),
        };
        if state.bytes > 0 && state.bytes + message.cost() > MAX_WAITING_BYTES {
            self.go_alone(&mut state);
            backplane.ring();
            return None;
        }
        state.bytes += message.cost();
        state.waiting.push_back(message);
        drop(state);
        backplane.ring();
        Some(Ok(reached))
    }

    /// Redis is lost, or takes too little. What did not get there goes to this node's own connections, before whatever is
    /// published from then on: those who publish wait for the lock.
    fn go_alone(&self, state: &mut State) {
        let Some(backplane) = &self.backplane else { return };
        for message in std::mem::take(&mut state.waiting) {
            if let Err(why) = self.try_receive(backplane, message.channel.as_bytes(), &message.payload) {
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
        let audience = envelope::audience(&backplane.app, channel)?;
        let mut message = envelope::open(payload, usize::MAX)?;
        self.check(message.kind, message.data).map_err(say)?;
        match &message.node {
            Some(node) if *node != backplane.node => message.except.clear(),
            None if !message.except.is_empty() => {
                return Err("it says \"except\", but not of which \"node\" these connections are".into());
            }
            _ => {}
        }
        self.deliver(audience, message.kind, message.data, &message.except).map(drop).map_err(say)
    }
}
