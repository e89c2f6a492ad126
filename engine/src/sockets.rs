//! The sockets of an I/O thread: what they are ready for, and who waits for it.
//!
//! All are in one epoll set of the thread's own, and tokio watches that one. Were each of them watched by tokio, it would
//! take four hundred bytes more: three hundred, and the allocator's waste for their alignment.
//!
//! The set tells of each change once (edge-triggered), so what a socket was ready for is kept until a call finds that it
//! is no more. Until then it is not even in the set: many a peer has said all when its socket is accepted, and is answered
//! and gone without. One task at a time uses a socket.

use crate::accept::accept_one;
use crate::listen::Listener;
use crate::sys::{self, fork::Kept};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll as Epoll, Token};
use socket2::{Domain, SockAddr, Socket as Unregistered};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;

/// Changes that are taken from the set at once.
const EVENTS: usize = 512;

const READABLE: u8 = 1;
const WRITABLE: u8 = 2;
/// No more than the rest can be read; or nothing can be written any more. It stays so.
const READ_CLOSED: u8 = 4;
const WRITE_CLOSED: u8 = 8;
const TO_READ: u8 = READABLE | READ_CLOSED;
const TO_WRITE: u8 = WRITABLE | WRITE_CLOSED;

thread_local! {
    static SOCKETS: RefCell<Option<Sockets>> = const { RefCell::new(None) };
}

/// All sockets of a thread.
struct Sockets {
    epoll: AsyncFd<Epoll>,
    events: Events,
    states: Vec<State>,
    free: Vec<u32>,
    /// Scratch space; empty between looks.
    woken: Vec<Waker>,
}

struct State {
    descriptor: RawFd,
    interest: Interest,
    /// It is in the set.
    is_watched: bool,
    ready: u8,
    awaited: u8,
    waker: Option<Waker>,
}

/// Runs `f` with the sockets of this thread; None when it has none yet, or none any more.
#[inline]
fn with<T>(f: impl FnOnce(&mut Sockets) -> T) -> Option<T> {
    SOCKETS.try_with(|sockets| sockets.borrow_mut().as_mut().map(f)).ok().flatten()
}

/// Gives this thread its set. It needs the runtime.
pub(crate) fn open() -> io::Result<()> {
    let sockets = Sockets {
        epoll: sys::watch(Epoll::new()?)?,
        events: Events::with_capacity(EVENTS),
        states: Vec::new(),
        free: Vec::new(),
        woken: Vec::new(),
    };
    SOCKETS.set(Some(sockets));
    Ok(())
}

/// Takes it away.
pub(crate) fn close() {
    drop(SOCKETS.take());
}

/// Wakes whoever waits for what sockets have become ready for. If tokio has nothing to tell of it, the system is asked only
/// where the look `is_due`. The task of `cx` is woken when there is something again.
pub(crate) fn look(cx: &mut Context<'_>, is_due: bool) {
    let Some(mut woken) = with(|sockets| {
        sockets.look(cx, is_due);
        std::mem::take(&mut sockets.woken)
    }) else {
        return;
    };
    for waker in woken.drain(..) {
        waker.wake();
    }
    // Put back for its capacity.
    with(|sockets| sockets.woken = woken);
}

/// Looks whenever it has to, for ever.
pub(crate) async fn watch() {
    coop::unconstrained(poll_fn(|cx| {
        look(cx, false);
        Poll::Pending
    }))
    .await
}

impl Sockets {
    fn look(&mut self, cx: &mut Context<'_>, mut is_due: bool) {
        loop {
            match self.epoll.poll_read_ready_mut(cx) {
                Poll::Ready(Ok(mut changed)) => {
                    // It fails when a signal comes, at the most.
                    let asked = changed.get_inner_mut().poll(&mut self.events, Some(Duration::ZERO));
                    if asked.is_ok() && self.events.iter().count() < EVENTS {
                        changed.clear_ready();
                    }
                }
                Poll::Pending if is_due => {
                    let _ = self.epoll.get_mut().poll(&mut self.events, Some(Duration::ZERO));
                }
                _ => return,
            }
            is_due = self.events.iter().count() == EVENTS;
            self.note_changes();
        }
    }

    fn note_changes(&mut self) {
        for event in &self.events {
            let Some(state) = self.states.get_mut(event.token().0) else { continue };
            state.ready |= changes(event);
            if state.ready & state.awaited != 0 {
                state.awaited = 0;
                self.woken.extend(state.waker.take());
            }
        }
    }
}

fn changes(event: &mio::event::Event) -> u8 {
    if event.is_error() {
        return TO_READ | TO_WRITE;
    }
    [
        (event.is_readable(), READABLE),
        (event.is_writable(), WRITABLE),
        (event.is_read_closed(), READ_CLOSED),
        (event.is_write_closed(), WRITE_CLOSED),
    ]
    .into_iter()
    .fold(0, |changes, (is_so, change)| if is_so { changes | change } else { changes })
}

/// The place of a descriptor in the set of this thread.
struct Place(u32);

impl Place {
    /// It is taken for ready until it says that it is not.
    fn take(descriptor: &impl AsRawFd, interest: Interest) -> io::Result<Place> {
        let state = State {
            descriptor: descriptor.as_raw_fd(),
            interest,
            is_watched: false,
            ready: READABLE | WRITABLE,
            awaited: 0,
            waker: None,
        };
        let taken = with(|sockets| {
            let number = sockets.free.pop().unwrap_or(sockets.states.len() as u32);
            match sockets.states.get_mut(number as usize) {
                Some(free) => *free = state,
                None => sockets.states.push(state),
            }
            Place(number)
        });
        taken.ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// Tries `f` when the descriptor is ready for it, or has the task of `cx` woken when it is.
    #[inline]
    fn poll_io<T>(
        &self,
        cx: &mut Context<'_>,
        what: u8,
        mut f: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        // As tokio's own sockets have it: a task that finds all of its sockets ready stops for the others all the same.
        ready!(pin!(coop::consume_budget()).poll(cx));
        while self.is_ready(cx, what) {
            match f() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_not(what)?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
        Poll::Pending
    }

    #[inline]
    fn is_ready(&self, cx: &mut Context<'_>, what: u8) -> bool {
        // What it replaces is dropped when nothing is borrowed any more.
        let mut before = None;
        let is_ready = with(|sockets| {
            let Some(state) = sockets.states.get_mut(self.0 as usize) else { return false };
            let is_ready = state.ready & what != 0;
            if !is_ready {
                state.awaited |= what;
                if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    before = state.waker.replace(cx.waker().clone());
                }
            }
            is_ready
        });
        drop(before);
        is_ready == Some(true)
    }

    /// It is known to be ready.
    fn is(&self, what: u8) {
        with(|sockets| {
            if let Some(state) = sockets.states.get_mut(self.0 as usize) {
                state.ready |= what;
            }
        });
    }

    /// It is not ready: now the set has to tell when it is. An error: it cannot be watched.
    #[inline]
    fn is_not(&self, what: u8) -> io::Result<()> {
        let watched = with(|sockets| {
            let Some(state) = sockets.states.get_mut(self.0 as usize) else { return Ok(()) };
            if !state.is_watched {
                let registry = sockets.epoll.get_ref().registry();
                registry.register(
                    &mut SourceFd(&state.descriptor),
                    Token(self.0 as usize),
                    state.interest,
                )?;
                state.is_watched = true;
            }
            // Not before: who tries again when it could not be watched shall find it as it was.
            state.ready &= !what;
            Ok(())
        });
        watched.unwrap_or(Ok(()))
    }

    /// All that was there has been read. If more comes the set will tell, if it watches.
    #[inline]
    fn has_no_more(&self) {
        with(|sockets| {
            if let Some(state) = sockets.states.get_mut(self.0 as usize)
                && state.is_watched
            {
                state.ready &= !READABLE;
            }
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The system takes a descriptor out of the set when it is closed.
        let waker = with(|sockets| {
            sockets.free.push(self.0);
            sockets.states.get_mut(self.0 as usize).and_then(|state| state.waker.take())
        });
        drop(waker);
    }
}

/// A listening socket of this thread.
pub(crate) struct Listening {
    pub(crate) listener: Listener,
    place: Place,
}

impl Listening {
    pub(crate) fn register(listener: Listener) -> io::Result<Self> {
        let place = Place::take(&listener, Interest::READABLE)?;
        Ok(Listening { listener, place })
    }

    /// Waits until somebody connects, most likely.
    pub(crate) async fn knock(&self) {
        poll_fn(|cx| if self.place.is_ready(cx, READABLE) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Accepts one that waits. It has no place before it is known which descriptor and which thread it will have.
    pub(crate) fn accept(&self) -> Option<io::Result<(Kept<Unregistered>, SockAddr)>> {
        // Whether it blocks is the socket's, not the process's: systemd has it block for each program that it starts with it, and
        // this thread would stand still.
        if self.listener.is_shared
            && let Err(error) = self.listener.socket.set_nonblocking(true)
        {
            return Some(Err(error));
        }
        match accept_one(&self.listener.socket) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.place.is_not(READABLE).err().map(Err),
            accepted => Some(accepted),
        }
    }
}

/// So much the system takes for a socket before it is sent; without a limit it is megabytes for a peer that takes nothing, which
/// hold memory that no option counts, and the thread when the socket is closed. Less makes large messages dearer.
const UNSENT_BYTES: u32 = 1 << 20;

/// A socket of this thread.
pub(crate) struct Socket {
    place: Place,
    socket: Kept<Unregistered>,
    /// What is written may wait for the end.
    holds_for_end: bool,
}

impl Socket {
    /// Makes an accepted socket, which never blocks, one of this thread.
    pub(crate) fn register(socket: Kept<Unregistered>) -> io::Result<Self> {
        // Not from the listener: those that connect before it has the option do not have it.
        if socket.domain()? != Domain::UNIX {
            socket.set_tcp_nodelay(true)?;
            // Without it more memory is held, and all works: not every protocol has it (MPTCP).
            let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES);
        }
        let place = Place::take(&*socket, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Socket { place, socket, holds_for_end: false })
    }

    /// The first byte that is there, which stays there; None at the end.
    pub(crate) async fn peek_first(&self) -> io::Result<Option<u8>> {
        poll_fn(|cx| self.place.poll_io(cx, TO_READ, || sys::peek_first(&self.socket))).await
    }

    /// Is there something to read, an end or an error as well, though the set has not told of it yet? Then the next read
    /// finds it.
    pub(crate) fn notice_unread(&self) -> bool {
        let is_there = sys::peek_first(&self.socket)
            .map_or_else(|error| error.kind() != ErrorKind::WouldBlock, |_| true);
        if is_there {
            self.place.is(READABLE);
        }
        is_there
    }

    /// Takes what is there and nobody wants, so much at most; the buffer has some of it then, or none.
    pub(crate) fn poll_discard(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let taken = self.place.poll_io(cx, TO_READ, || sys::discard(&self.socket, buffer));
        taken.map_ok(|taken| {
            if taken < buffer.len() {
                self.place.has_no_more();
            }
            taken
        })
    }

    /// From now on what is written may wait for the end, which follows at once, so that one packet has both. With two, where
    /// the peer does not acknowledge the first at once, the system sends one of them again, about 10 ms later: those of all
    /// connections that have ended in a tick of its clock in one go, before it lets the thread go on.
    pub(crate) fn hold_for_end(&mut self) {
        self.holds_for_end = true;
    }

    /// Writes what the socket takes at once.
    #[inline]
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.send_with_flags(bytes, self.flags())
    }

    #[inline]
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.send_vectored_with_flags(slices, self.flags())
    }

    #[inline]
    fn flags(&self) -> i32 {
        libc::MSG_NOSIGNAL | if self.holds_for_end { libc::MSG_MORE } else { 0 }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsyncRead for Socket {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining();
        self.place.poll_io(cx, TO_READ, || sys::receive(&self.socket, buffer)).map_ok(|read| {
            if read < room {
                self.place.has_no_more();
            }
        })
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.place.poll_io(cx, TO_WRITE, || self.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.place.poll_io(cx, TO_WRITE, || self.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
pub(crate) mod tests;
