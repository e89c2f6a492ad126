//! Commands of the host on their way to one I/O thread.
//!
//! Hosts append under one lock, the I/O thread takes all by a swap. It is woken only when it parks or is about to: a busy
//! thread looks here before it parks anyway.
//!
//! Beside the commands lies what hosts must know of each connection without asking its thread: whether it is
//! open and how much waits for it. What waits is the sum of what lies in the outbox (published by the I/O
//! thread) and of what was sent since (counted here); the latter is forgotten when the thread is done with
//! the batch it was in. A host thus never gets more into a queue than its cap. Which topics there are, and
//! who is subscribed to them, is in `topics`.

mod commands;
mod slot;
#[cfg(test)]
mod tests;
mod topics;

pub(crate) use commands::{Command, Commands, Frame, Relief, Stop, Target, What};
pub(crate) use slot::Waiting;

use crate::accept::Accepted;
use crate::error::{DecisionPart, SendError};
use crate::event::ConnId;
use crate::presence::Gone;
use crate::undecided::{Decision, decision};
use crate::wake::Sleeper;
use slot::Slot;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;
use topics::Topics;

/// Host calls wait for the I/O thread, never for a socket, while so much lies in its mailbox. It only bounds memory
/// while hosts send faster than the thread's processor can take over.
const MAX_BYTES: usize = 64 << 20;
/// The thread takes a mailbox within microseconds; a wait this long means it is gone.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// What waits at most for one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueCaps {
    pub(crate) bytes: usize,
    pub(crate) messages: usize,
}

/// The mailbox of one I/O thread.
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
    taken: Condvar,
    caps: QueueCaps,
    /// The I/O thread, which parks when there is nothing here.
    thread: Sleeper,
    waker: OnceLock<Waker>,
    /// Open connections of this thread.
    open: AtomicUsize,
}

#[derive(Default)]
struct Inner {
    commands: Commands,
    slots: Vec<Slot>,
    /// Numbers the batch that is being filled; those up to `done` have been dealt with.
    batch: u64,
    done: u64,
    /// Handshakes on which the host has yet to decide, each with the subprotocols that the client offers.
    undecided: HashMap<ConnId, Vec<String>>,
    topics: Topics,
    /// Open connections that are text only.
    text_only: u32,
    stopping: bool,
    waiting: usize,
}

/// What can still be queued for a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) bytes: usize,
    pub(crate) messages: usize,
    /// Binary messages have no form in its protocol.
    pub(crate) text_only: bool,
}

/// How many connections a message is for, and how many of them have text only.
#[derive(Clone, Copy, Default)]
struct Reach {
    all: u32,
    text_only: u32,
}

impl Inner {
    fn is_open(&self, conn: ConnId) -> bool {
        self.slots.get(conn.slot() as usize).is_some_and(|slot| slot.has(conn))
    }

    /// How many of an audience a message is for, when some of them are left out, each named once.
    fn reached(&self, audience: Reach, is_binary: bool, left_out: &[ConnId]) -> usize {
        let reached = (audience.all as usize).saturating_sub(left_out.len());
        if audience.text_only == 0 || !is_binary {
            return reached;
        }
        let text_only =
            |conn: &&ConnId| self.slots.get(conn.slot() as usize).is_some_and(|slot| slot.text_only);
        reached.saturating_sub(audience.text_only as usize - left_out.iter().filter(text_only).count())
    }
}

/// In ascending order, each once.
pub(crate) fn distinct(mut conns: Vec<ConnId>) -> Vec<ConnId> {
    conns.sort_unstable();
    conns.dedup();
    conns
}

/// Those who are left out of a message to many, of whom a host may name any: distinct, and of its audience.
#[inline]
fn left_out(except: &[ConnId], is_meant: impl Fn(ConnId) -> bool) -> Vec<ConnId> {
    if except.is_empty() {
        // As a rule, and then nothing of the rest need be fetched.
        return Vec::new();
    }
    distinct(except.iter().copied().filter(|conn| is_meant(*conn)).collect())
}

impl Mailbox {
    /// `has_news`: somebody will ask which topics have come and gone. `gone`: who is told of labelled connections that are
    /// open no more.
    pub(crate) fn new(caps: QueueCaps, has_news: bool, gone: Option<Arc<Gone>>) -> Self {
        let inner = Inner { batch: 1, topics: Topics::new(has_news, gone), ..Inner::default() };
        Mailbox {
            inner: Mutex::new(inner),
            taken: Condvar::new(),
            caps,
            thread: Sleeper::default(),
            waker: OnceLock::new(),
            open: AtomicUsize::new(0),
        }
    }

    // ---- the host's side ----

    /// Queues a frame for one connection.
    #[inline]
    pub(crate) fn send(&self, conn: ConnId, frame: &Frame<'_>) -> Result<(), SendError> {
        let mut guard = self.lock_with_room();
        let inner = &mut *guard;
        if inner.stopping {
            return Err(SendError::Stopped);
        }
        let slot = inner.slots.get_mut(conn.slot() as usize).filter(|slot| slot.has(conn));
        let Some(slot) = slot else { return Err(SendError::Gone) };
        if slot.text_only && frame.is_binary() {
            return Err(SendError::TextOnly);
        }
        let Waiting { bytes, messages } = slot.waiting(inner.done);
        let len = frame.wire_len();
        if (bytes > 0 && bytes + len > self.caps.bytes) || messages >= self.caps.messages {
            if !slot.refused {
                slot.refused = true;
                inner.commands.refused.push(conn);
            }
            drop(guard);
            self.wake();
            return Err(SendError::QueueFull);
        }
        slot.note(inner.batch, Waiting { bytes: len, messages: 1 });
        inner.commands.push_frame(Target::One(conn), frame, 1);
        drop(guard);
        self.wake();
        Ok(())
    }

    /// Queues a frame for all connections of this thread but `except`.
    pub(crate) fn broadcast(&self, frame: &Frame<'_>, except: &[ConnId]) -> Result<usize, SendError> {
        let inner = self.lock_with_room();
        if inner.stopping {
            return Err(SendError::Stopped);
        }
        let left_out = left_out(except, |conn| inner.is_open(conn));
        let everybody = self.everybody(&inner);
        Ok(self.push_to_many(inner, frame, everybody, left_out, |except| Target::All { except }))
    }

    /// How many connections a broadcast would be for.
    pub(crate) fn reach_of_broadcast(&self, is_binary: bool, except: &[ConnId]) -> Result<usize, SendError> {
        let inner = self.lock();
        if inner.stopping {
            return Err(SendError::Stopped);
        }
        let everybody = self.everybody(&inner);
        let left_out = left_out(except, |conn| inner.is_open(conn));
        Ok(inner.reached(everybody, is_binary, &left_out))
    }

    fn everybody(&self, inner: &Inner) -> Reach {
        Reach { all: self.open.load(Ordering::Relaxed) as u32, text_only: inner.text_only }
    }

    /// Queues a frame for all of an audience but those [`left_out`] of it, if these are not all, and says for
    /// how many.
    fn push_to_many(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        frame: &Frame<'_>,
        audience: Reach,
        left_out: Vec<ConnId>,
        target: impl FnOnce(Option<u32>) -> Target,
    ) -> usize {
        let reached = inner.reached(audience, frame.is_binary(), &left_out);
        if reached > 0 {
            let except = inner.commands.except(left_out);
            inner.commands.push_frame(target(except), frame, reached);
            drop(inner);
            self.wake();
        }
        reached
    }

    /// Decides on a handshake, once. A subprotocol must be one that the client offers.
    pub(crate) fn decide(&self, conn: ConnId, decision: Decision) -> Result<(), SendError> {
        let mut inner = self.lock();
        if inner.stopping {
            return Err(SendError::Stopped);
        }
        let Some(offered) = inner.undecided.get(&conn) else { return Err(SendError::Gone) };
        if let Decision::Accept { subprotocol: Some(chosen), .. } = &decision
            && !offered.contains(chosen)
        {
            let offered = if offered.is_empty() { "none".into() } else { offered.join(", ") };
            let text = format!("subprotocol \"{chosen}\" was not offered; the client offers {offered}");
            return Err(decision::bad(DecisionPart::Subprotocol, text));
        }
        inner.undecided.remove(&conn);
        inner.commands.decisions.push((conn, decision));
        drop(inner);
        self.wake();
        Ok(())
    }

    /// Queues the closing handshake for one connection; nothing can be sent to it any more.
    pub(crate) fn close(&self, conn: ConnId, code: u16, reason: &str) -> Result<(), SendError> {
        let mut inner = self.lock();
        if !self.leaves(&mut inner, conn) {
            return Err(SendError::Gone);
        }
        let what = What::Close { code, reason: inner.commands.store(reason.as_bytes()) };
        inner.commands.list.push(Command { target: Target::One(conn), what });
        drop(inner);
        self.wake();
        Ok(())
    }

    /// Queues the end of one connection, also of one that is closing.
    pub(crate) fn abort(&self, conn: ConnId) -> Result<(), SendError> {
        let mut inner = self.lock();
        let owner = inner.slots.get(conn.slot() as usize).map_or(0, |slot| slot.owner);
        if owner != conn.as_u64() || owner == 0 {
            return Err(SendError::Gone);
        }
        self.leaves(&mut inner, conn);
        inner.commands.list.push(Command { target: Target::One(conn), what: What::Abort });
        drop(inner);
        self.wake();
        Ok(())
    }

    /// Nothing can be sent to a connection any more. False: it was so before.
    fn leaves(&self, inner: &mut Inner, conn: ConnId) -> bool {
        let slot = inner.slots.get_mut(conn.slot() as usize).filter(|slot| slot.has(conn));
        let Some(slot) = slot else { return false };
        slot.conn = 0;
        let text_only = slot.text_only;
        inner.text_only -= u32::from(text_only);
        inner.leave_topics(conn, text_only);
        self.open.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// What waits for a connection, or None if it is gone.
    pub(crate) fn waiting(&self, conn: ConnId) -> Option<Waiting> {
        let inner = self.lock();
        let slot = inner.slots.get(conn.slot() as usize).filter(|slot| slot.has(conn))?;
        Some(slot.waiting(inner.done))
    }

    /// The open connections.
    pub(crate) fn connections(&self, into: &mut Vec<ConnId>) {
        let inner = self.lock();
        into.extend(inner.slots.iter().filter(|slot| slot.conn != 0).map(|slot| ConnId::from_u64(slot.conn)));
    }

    /// How many connections are open.
    pub(crate) fn open_count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Begins or hastens the stop of this thread.
    pub(crate) fn stop(&self, stop: Stop) {
        let mut inner = self.lock();
        inner.stopping = true;
        // The first says the code, the shortest drain counts.
        let first = *inner.commands.stop.get_or_insert(stop);
        inner.commands.stop = Some(Stop { drain: stop.drain.min(first.drain), ..first });
        drop(inner);
        self.wake();
    }

    /// The host has taken a full batch of events: reading may go on.
    pub(crate) fn resume(&self) {
        self.lock().commands.resume = true;
        self.wake();
    }

    /// The host has dealt with all events up to the fence of a connection.
    pub(crate) fn fence(&self, conn: ConnId) {
        self.lock().commands.list.push(Command { target: Target::One(conn), what: What::Fence });
        self.wake();
    }

    // ---- the I/O threads' side ----

    /// Hands an accepted socket to this thread.
    pub(crate) fn adopt(&self, accepted: Accepted) {
        self.lock().commands.sockets.push(accepted);
        self.wake();
    }

    /// Another thread needs room in the sum of all queues.
    pub(crate) fn relieve(&self, relief: Relief) {
        self.lock().commands.relief = Some(relief);
        self.wake();
    }

    /// Sets how the thread is woken; the first call counts.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    /// The thread that takes what is here.
    pub(crate) fn thread(&self) -> &Sleeper {
        &self.thread
    }

    /// Swaps all commands into `commands`, which is empty. False: there are none. Whatever was taken before has
    /// been dealt with by now.
    pub(crate) fn take(&self, commands: &mut Commands) -> bool {
        self.take_of(&mut self.lock(), commands)
    }

    fn take_of(&self, inner: &mut Inner, commands: &mut Commands) -> bool {
        inner.done = inner.batch - 1;
        if inner.commands.is_empty() {
            return false;
        }
        std::mem::swap(&mut inner.commands, commands);
        inner.batch += 1;
        for conn in &commands.refused {
            if let Some(slot) = inner.slots.get_mut(conn.slot() as usize) {
                slot.refused = false;
            }
        }
        if inner.waiting > 0 {
            self.taken.notify_all();
        }
        true
    }

    /// The host has to decide on a handshake.
    pub(crate) fn undecided(&self, conn: ConnId, offered: Vec<String>) {
        self.lock().undecided.insert(conn, offered);
    }

    /// It needs to no more.
    pub(crate) fn decided(&self, conn: ConnId) {
        self.lock().undecided.remove(&conn);
    }

    /// A connection has opened. What was broadcast before is not for it: if anything was, all commands until now are taken, see
    /// [`Mailbox::take`], and have to be carried out without it. Others would be part of its turn, and can wait.
    pub(crate) fn opened(&self, conn: ConnId, text_only: bool, commands: &mut Commands) -> bool {
        let mut inner = self.lock();
        let any = inner.commands.has_broadcast && self.take_of(&mut inner, commands);
        let index = conn.slot() as usize;
        if inner.slots.len() <= index {
            inner.slots.resize(index + 1, Slot::default());
        }
        if let Some(slot) = inner.slots.get_mut(index) {
            *slot = Slot { conn: conn.as_u64(), owner: conn.as_u64(), text_only, ..Slot::default() };
        }
        inner.text_only += u32::from(text_only);
        self.open.fetch_add(1, Ordering::Relaxed);
        any
    }

    /// The engine closes a connection: what hosts would send to it now could not follow the close frame.
    pub(crate) fn closing(&self, conn: ConnId) {
        self.leaves(&mut self.lock(), conn);
    }

    /// A connection has closed.
    pub(crate) fn closed(&self, conn: ConnId) {
        let mut inner = self.lock();
        self.leaves(&mut inner, conn);
        if let Some(slot) = inner.slots.get_mut(conn.slot() as usize) {
            *slot = Slot::default();
        }
    }

    /// Publishes what lies in a connection's outbox, when the thread has dealt with all that it has taken for it:
    /// that must not count twice.
    pub(crate) fn publish(&self, conn: ConnId, outbox: Waiting) {
        let mut inner = self.lock();
        let filling = inner.batch;
        if let Some(slot) = inner.slots.get_mut(conn.slot() as usize) {
            slot.outbox = outbox;
            slot.sent_before = Waiting::default();
            if slot.batch < filling {
                slot.sent = Waiting::default();
            }
        }
    }

    /// There is something for the thread. Called after the lock was let go.
    #[inline]
    fn wake(&self) {
        if self.thread.is_to_be_woken()
            && let Some(waker) = self.waker.get()
        {
            waker.wake_by_ref();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn lock_with_room(&self) -> MutexGuard<'_, Inner> {
        let inner = self.lock();
        if inner.commands.bytes < MAX_BYTES { inner } else { self.wait_for_room(inner) }
    }

    #[cold]
    fn wait_for_room<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        inner.waiting += 1;
        let full = |inner: &mut Inner| inner.commands.bytes >= MAX_BYTES;
        let waited = self.taken.wait_timeout_while(inner, MAX_WAIT, full);
        inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        inner.waiting -= 1;
        inner
    }
}
