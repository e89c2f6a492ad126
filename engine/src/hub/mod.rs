//! The connections of one I/O thread, and what they share: buffers, timers, the links to the host.
//!
//! A hub lives in its thread and nowhere else, so nothing here is locked. Its tasks (one for all connections, one
//! for each handshake) and the hook before parking reach it by [`with`].

mod handshakes;
mod host;
mod lines;
mod relief;
mod rounds;
mod stop;
mod turns;

use self::handshakes::Handshakes;
use self::host::Host;
use self::lines::Lines;
pub(crate) use self::rounds::{Ready, rounds};
use self::turns::Turns;
pub(crate) use self::turns::{Load, Ticket, turn};
use crate::accept::Accepted;
use crate::driver::{Conn, Next, Opened};
use crate::encoding::Encoder;
use crate::event::{ConnId, MAX_SLOTS, Request};
use crate::handshake::Dialect;
use crate::link::{Link, Shared};
use crate::mailbox::{Commands, Stop};
use crate::pace::{Pace, Pieces};
use crate::timers::{Tick, Timers};
use crate::topics::Members;
use crate::undecided::Decision;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::sync::oneshot;
use wsengine_proto::close::code;
use wsengine_proto::deflate::Scratch;

/// The one buffer that all sockets of a thread are read into.
const READ_BUFFER_BYTES: usize = 256 * 1024;
thread_local! {
    static HUB: RefCell<Option<Hub>> = const { RefCell::new(None) };
}

/// Runs `f` with the hub of this thread; None outside of an I/O thread, or when it has ended.
#[inline]
pub(crate) fn with<T>(f: impl FnOnce(&mut Hub) -> T) -> Option<T> {
    HUB.with(|hub| hub.try_borrow_mut().ok()?.as_mut().map(f))
}

/// Gives this thread its hub, or takes it away.
pub(crate) fn set(hub: Option<Hub>) {
    HUB.with(|slot| *slot.borrow_mut() = hub);
}

pub(crate) struct Hub {
    pub(crate) shared: Arc<Shared>,
    thread: usize,
    slots: Vec<Slot>,
    pub(crate) ready: Arc<Ready>,
    free: Vec<u32>,
    open: usize,
    /// The engine's time as it was when the thread last woke up, or a connection had its turn: exact enough for what is
    /// measured by it.
    pub(crate) now: Duration,
    pub(crate) read_buffer: Vec<u8>,
    /// Collects what the protocol wants to send; empty between uses.
    pub(crate) replies: Vec<u8>,
    /// Inflates messages.
    pub(crate) scratch: Scratch,
    pub(crate) timers: Timers,
    /// Commands on their way to the connections; empty between uses.
    pub(crate) commands: Commands,
    pub(crate) plan: crate::deliver::Plan,
    pub(crate) members: Members,
    /// Compresses messages.
    pub(crate) encoder: Encoder,
    /// Bytes of messages that are compressed in turns.
    pub(crate) unfinished: Rc<Cell<usize>>,
    /// Connections that hold a message for which the inbox had no room.
    paused: Vec<u32>,
    /// Handshakes on which the host has yet to decide, and who waits for it.
    pub(crate) undecided: HashMap<ConnId, oneshot::Sender<Decision>>,
    host: Host,
    /// How many connections stand in line.
    in_line: usize,
    pub(crate) pieces: Pieces,
    /// When the largest queues may have to go again.
    next_relief: Duration,
    lines: Lines,
    handshakes: Handshakes,
    turns: Turns,
    pub(crate) stopping: Option<Stop>,
    /// Sockets from the thread that accepts, waiting for the root task.
    pub(crate) sockets: Vec<Accepted>,
    root: Option<Waker>,
}

struct Slot {
    conn: Option<Box<Conn>>,
    generation: u64,
    /// The host has heard of its opening but not of its end.
    known: bool,
    /// It has a turn only together with those who send much: it does so itself, has more to say than it could in its last turn,
    /// or is new and has yet to say its first message.
    in_line: bool,
}

impl Hub {
    /// By far the largest thing at the start is its buffer: it fails where there is no memory for that.
    pub(crate) fn new(shared: Arc<Shared>, thread: usize) -> io::Result<Self> {
        let mut read_buffer = Vec::new();
        let no_memory = |_| io::Error::from_raw_os_error(libc::ENOMEM);
        read_buffer.try_reserve_exact(READ_BUFFER_BYTES).map_err(no_memory)?;
        read_buffer.resize(READ_BUFFER_BYTES, 0);
        Ok(Hub {
            now: shared.now(),
            shared,
            thread,
            slots: Vec::new(),
            ready: Arc::default(),
            free: Vec::new(),
            open: 0,
            read_buffer,
            replies: Vec::new(),
            scratch: Scratch::default(),
            timers: Timers::default(),
            commands: Commands::default(),
            plan: Default::default(),
            members: Members::default(),
            encoder: Encoder::default(),
            unfinished: Rc::default(),
            paused: Vec::new(),
            undecided: HashMap::new(),
            host: Host::default(),
            in_line: 0,
            pieces: Pieces::default(),
            next_relief: Duration::ZERO,
            lines: Lines::default(),
            handshakes: Handshakes::default(),
            turns: Turns::default(),
            stopping: None,
            sockets: Vec::new(),
            root: None,
        })
    }

    #[inline]
    pub(crate) fn link(&self) -> &Link {
        // A hub is made for a thread that has a link.
        #[allow(clippy::indexing_slicing)]
        &self.shared.links[self.thread]
    }

    // ---- connections ----

    /// Takes a slot for a connection that is to come.
    pub(crate) fn reserve(&mut self) -> Option<ConnId> {
        let Some(slot) = self.free_slot() else {
            tracing::error!(max = MAX_SLOTS, "an I/O thread cannot hold more connections");
            return None;
        };
        let entry = self.slots.get_mut(slot as usize)?;
        entry.generation += 1;
        Some(ConnId::new(self.thread, slot, entry.generation))
    }

    /// Gives a slot back: the connection did not come.
    pub(crate) fn release(&mut self, id: ConnId) {
        self.free.push(id.slot());
    }

    /// Makes a connection of a socket whose handshake has succeeded, and has it begin.
    pub(crate) fn adopt(&mut self, id: ConnId, request: Request, opened: Opened) {
        let slot = id.slot();
        let text_only = matches!(opened.dialect, Dialect::Hixie76);
        self.run_commands_taken_by(|mailbox, commands| mailbox.opened(id, text_only, commands));
        self.link().inbox.lock().open(id, self.now, request);
        self.link().counters.opened.add(1);
        self.announce();
        self.set_in_line(slot, true);
        let waker = self.ready.waker(slot);
        waker.wake_by_ref();
        let mut conn = Box::new(Conn::new(id, opened, waker, self.now, &self.shared.settings.limits));
        conn.schedule(self);
        if let Some(stop) = self.stopping {
            conn.stop(self, stop.code);
        }
        if let Some(entry) = self.slots.get_mut(slot as usize) {
            entry.known = true;
            entry.conn = Some(conn);
        }
        self.open += 1;
        self.handshakes.succeeded();
    }

    /// Has the connection in a slot do what its socket allows.
    fn drive(&mut self, slot: u32, cx: &mut Context<'_>) -> Next {
        let Some(mut conn) = self.take(slot) else { return Next::Over };
        // For each: the process may be stopped between two of them, and this one is heard now.
        self.now = self.shared.now();
        let next = conn.drive(self, cx);
        match next {
            Next::Wait | Next::Again => self.put_back(conn),
            Next::Over => self.vacate(slot),
        }
        next
    }

    fn free_slot(&mut self) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        (self.slots.len() < MAX_SLOTS).then(|| {
            self.slots.push(Slot { conn: None, generation: 0, known: false, in_line: false });
            self.slots.len() as u32 - 1
        })
    }

    /// Takes a connection out, to work on it together with the hub; it has to be put back or removed.
    #[inline]
    pub(crate) fn take(&mut self, slot: u32) -> Option<Box<Conn>> {
        self.slots.get_mut(slot as usize)?.conn.take()
    }

    #[inline]
    pub(crate) fn put_back(&mut self, conn: Box<Conn>) {
        if let Some(slot) = self.slots.get_mut(conn.id.slot() as usize) {
            slot.conn = Some(conn);
        }
    }

    /// Tells the host of the end of a connection, once.
    pub(crate) fn tell_close(&mut self, id: ConnId, code: u16, reason: &str, clean: bool) {
        let slot = self.slots.get_mut(id.slot() as usize);
        if !slot.is_some_and(|slot| std::mem::take(&mut slot.known)) {
            return;
        }
        self.members.leave(id.slot());
        let link = self.link();
        link.mailbox.closed(id);
        link.inbox.lock().close(id, self.now, code, reason, clean);
        link.counters.closed.add(1);
        tracing::debug!(conn = %id, code, reason, clean, "closed");
        self.announce();
    }

    /// A connection has panicked, which only a fault of ours can make it do. That connection is lost,
    /// and nothing else.
    pub(crate) fn lose(&mut self, slot: u32) {
        let Some(generation) = self.slots.get(slot as usize).map(|slot| slot.generation) else { return };
        let id = ConnId::new(self.thread, slot, generation);
        tracing::error!(conn = %id, "internal error, please report it; the connection is lost");
        self.tell_close(id, code::INTERNAL, "internal error", false);
        self.read_buffer.resize(READ_BUFFER_BYTES, 0);
        drop(self.take(slot));
        self.vacate(slot);
    }

    /// The connection that was taken out of a slot is over.
    fn vacate(&mut self, slot: u32) {
        self.set_in_line(slot, false);
        self.free.push(slot);
        self.open -= 1;
        if self.open == 0 && self.stopping.is_some() {
            self.wake_root();
        }
    }

    /// The connection of this id, if it is still there.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        let conn = self.slots.get_mut(id.slot() as usize)?.conn.as_deref_mut()?;
        (conn.id == id).then_some(conn)
    }

    /// Has the host heard of this connection, but not of its end?
    pub(crate) fn is_known(&self, id: ConnId) -> bool {
        let slot = self.slots.get(id.slot() as usize).filter(|slot| slot.known);
        slot.and_then(|slot| slot.conn.as_ref()).is_some_and(|conn| conn.id == id)
    }

    /// Goes through the members of a topic.
    pub(crate) fn for_members(&mut self, topic: u32, mut f: impl FnMut(&mut Conn)) {
        for slot in self.members.of(topic) {
            let slot = self.slots.get_mut(*slot as usize);
            if let Some(conn) = slot.and_then(|slot| slot.conn.as_deref_mut()) {
                f(conn);
            }
        }
    }

    /// Takes out each connection in turn and puts it back.
    pub(crate) fn for_each(&mut self, mut f: impl FnMut(&mut Self, &mut Conn)) {
        for slot in 0..self.slots.len() as u32 {
            if let Some(mut conn) = self.take(slot) {
                f(self, &mut conn);
                self.put_back(conn);
            }
        }
    }

    // ---- who stands in line ----

    /// Notes whether a connection has to stand in line, with those who send much.
    #[inline]
    pub(crate) fn set_in_line(&mut self, slot: u32, in_line: bool) {
        let Some(slot) = self.slots.get_mut(slot as usize) else { return };
        if slot.in_line != in_line {
            slot.in_line = in_line;
            self.in_line = if in_line { self.in_line + 1 } else { self.in_line - 1 };
        }
    }

    #[inline]
    pub(crate) fn is_in_line(&self, slot: u32) -> bool {
        self.slots.get(slot as usize).is_some_and(|slot| slot.in_line)
    }

    /// Does any?
    #[inline]
    pub(crate) fn has_line(&self) -> bool {
        self.in_line > 0
    }

    /// Is somebody there who sends little and would have to wait?
    #[inline]
    pub(crate) fn others_are_there(&self) -> bool {
        self.shared.others.are_there(self.now)
    }

    /// What those may have done at once.
    #[inline]
    pub(crate) fn pace(&self) -> &'static Pace {
        self.shared.others.pace(self.now)
    }

    /// The same, if a connection is one of them.
    #[inline]
    pub(crate) fn pace_of(&self, slot: u32) -> Option<&'static Pace> {
        self.is_in_line(slot).then(|| self.pace())
    }

    // ---- backpressure ----

    /// The inbox was full: this connection waits until the host has taken it.
    pub(crate) fn pause(&mut self, slot: u32) {
        if self.paused.is_empty() {
            self.log_wait();
        }
        self.paused.push(slot);
        self.link().counters.read_pauses.add(1);
    }

    /// Does any connection wait for the host?
    #[inline]
    pub(crate) fn is_paused(&self) -> bool {
        !self.paused.is_empty()
    }

    /// The host has taken what the inbox held.
    pub(crate) fn resume(&mut self) {
        // The first to wait was the one that filled the inbox: it comes last now, or it would keep the others out.
        if !self.paused.is_empty() {
            self.paused.rotate_left(1);
        }
        for slot in std::mem::take(&mut self.paused) {
            if let Some(conn) = self.slots.get_mut(slot as usize).and_then(|slot| slot.conn.as_deref_mut()) {
                conn.resume();
            }
        }
    }

    // ---- time ----

    /// Does what is due, and says when the next thing is.
    pub(crate) fn run_timers(&mut self) -> Option<Duration> {
        self.now = self.shared.now();
        let now = self.now;
        while let Some((tick, slots)) = self.timers.pop(now) {
            for slot in slots {
                self.run_timer(tick, slot);
            }
        }
        self.timers.next()
    }

    fn run_timer(&mut self, tick: Tick, slot: u32) {
        // For each: the process may be stopped between two of them, and what a ping waits for begins when it is sent.
        self.now = self.shared.now();
        if let Some(mut conn) = self.take(slot) {
            conn.on_timer(self, tick);
            self.put_back(conn);
        }
    }
}
