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
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use wsengine_proto::Kind;

/// With so much on its way, Redis takes too little: the node goes on by itself.
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
    /// Messages go to Redis; else to this node's connections at once.
    is_up: bool,
    waiting: Vec<Outgoing>,
    bytes: usize,
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

    /// Takes a message for Redis. False: it is not there, so the message is for this node's connections at once.
    fn take(&self, audience: Audience<'_>, kind: Kind, data: &[u8], except: &[ConnId]) -> bool {
        let mut state = self.lock();
        if !state.is_up {
            return false;
        }
        let message = Outgoing {
            channel: envelope::channel(&self.app, audience),
            payload: envelope::seal(kind, data, except, &self.node),
        };
        state.bytes += message.cost();
        state.waiting.push(message);
        drop(state);
        self.ring();
        true
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
        let reached = self.reach(audience, kind, except);
        (reached.is_err() || backplane.take(audience, kind, data, except)).then_some(reached)
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
        let mut message = envelope::open(payload)?;
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
