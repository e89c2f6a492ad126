//! The host's side: taking events.

use crate::event::{Event, EventBody};
use crate::inbox::Batch;
use crate::link::Shared;
use crate::sys::{self, Waited};
use std::os::fd::AsRawFd;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How [`Poller::wait`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// [`Poller::next`] has something.
    Events,
    /// Nothing came in time.
    Timeout,
    /// [`Server::wakeup`](crate::Server::wakeup) was called.
    Woken,
    /// A signal came.
    Interrupted,
    /// The server has stopped and [`EventBody::Stopped`] was taken.
    Stopped,
}

/// The right to poll, held by one thread at a time.
pub struct Poller<'a> {
    shared: &'a Shared,
    state: MutexGuard<'a, PollState>,
}

/// The batch in the host's hands. It outlives the poller, so that events stay readable between polls.
#[derive(Default)]
pub(crate) struct PollState {
    batch: Batch,
    position: usize,
    /// When it was taken, if it was full.
    taken_full: Option<Instant>,
    /// The link to look at first, so that none is starved.
    turn: usize,
    stopped: Stopped,
    /// The last answer was [`Wait::Woken`]: now events come first, or wake-ups without a pause would keep them away.
    was_woken: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    #[default]
    No,
    /// The event is to be given out.
    Due,
    Given,
}

impl<'a> Poller<'a> {
    pub(crate) fn new(shared: &'a Shared, state: MutexGuard<'a, PollState>) -> Self {
        shared.polled.store(true, Ordering::Relaxed);
        Poller { shared, state }
    }
}

impl Poller<'_> {
    /// Waits for events: up to `timeout`, or for ever. With events at hand it returns at once.
    ///
    /// `interrupted` is asked with all signals blocked before the thread sleeps, so that a signal whose handler has
    /// set what it reads is never slept over.
    pub fn wait(&mut self, timeout: Option<Duration>, interrupted: impl Fn() -> bool) -> Wait {
        if let Some(wait) = self.ready() {
            return wait;
        }
        let wake = &self.shared.wake;
        wake.set_at_work(false);
        let deadline =
            timeout.filter(|timeout| !timeout.is_zero()).map(|timeout| Instant::now().checked_add(timeout));
        if timeout == Some(Duration::ZERO) {
            return if interrupted() { Wait::Interrupted } else { Wait::Timeout };
        }
        loop {
            wake.arm();
            if let Some(wait) = self.ready() {
                wake.disarm();
                return wait;
            }
            let left = deadline.flatten().map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let waited = sys::wait_readable(wake.event().as_raw_fd(), left, &interrupted);
            wake.disarm();
            wake.event().clear();
            if let Some(wait) = self.ready() {
                return wait;
            }
            match waited {
                Waited::Readable => wake.set_at_work(false),
                Waited::Timeout => return Wait::Timeout,
                Waited::Interrupted => return Wait::Interrupted,
            }
        }
    }

    /// The next event of the batch at hand; None: wait again. What it borrows lives until the next
    /// [`Poller::wait`] on this server.
    #[allow(clippy::should_implement_trait)] // An Iterator's items cannot borrow from it.
    #[inline]
    pub fn next(&mut self) -> Option<Event<'_>> {
        self.next_if(|_| true)
    }

    /// As [`Poller::next`], if the event is `wanted` now; else it is the next one of later, and the answer is None.
    #[inline]
    pub fn next_if(&mut self, wanted: impl FnOnce(&Event<'_>) -> bool) -> Option<Event<'_>> {
        let state = &mut *self.state;
        if let Some(event) = state.batch.event(state.position) {
            if !wanted(&event) {
                return None;
            }
            state.position += 1;
            return Some(event);
        }
        if state.stopped == Stopped::Due {
            state.stopped = Stopped::Given;
            return Some(Event { conn: None, time: self.shared.now(), body: EventBody::Stopped });
        }
        None
    }

    /// What can be said without waiting.
    fn ready(&mut self) -> Option<Wait> {
        let wake = &self.shared.wake;
        if !self.state.was_woken && wake.take_interrupt() {
            self.state.was_woken = true;
            return Some(Wait::Woken);
        }
        self.state.was_woken = false;
        let found = self.find();
        if found.is_none() && self.shared.wake.take_interrupt() {
            return Some(Wait::Woken);
        }
        found
    }

    /// Events that are there, or the end.
    fn find(&mut self) -> Option<Wait> {
        if self.state.position < self.state.batch.len() || self.state.stopped == Stopped::Due {
            return Some(Wait::Events);
        }
        // Asked before the inboxes are looked at: a thread that has ended puts nothing in afterwards.
        let stopped = self.shared.running.load(Ordering::SeqCst) == 0;
        if self.fill() {
            return Some(Wait::Events);
        }
        match self.state.stopped {
            Stopped::Given => Some(Wait::Stopped),
            _ if stopped => {
                self.state.stopped = Stopped::Due;
                Some(Wait::Events)
            }
            _ => None,
        }
    }

    /// Takes the batch of the next I/O thread that has one.
    fn fill(&mut self) -> bool {
        let state = &mut *self.state;
        let links = &self.shared.links;
        for _ in 0..=links.len() {
            // Whoever polls again has dealt with the batch before.
            for conn in state.batch.take_fences() {
                if let Some(link) = links.get(conn.thread()) {
                    link.mailbox.fence(conn);
                }
            }
            if let Some(taken) = state.taken_full.take() {
                state.batch.dealt_with(taken.elapsed());
            }
            state.batch.clear();
            state.position = 0;
            state.turn = (state.turn + 1) % links.len();
            let Some(link) = links.get(state.turn) else { continue };
            std::mem::swap(&mut *link.inbox.lock(), &mut state.batch);
            if state.batch.was_full() {
                state.taken_full = Some(Instant::now());
                link.mailbox.resume();
            }
            self.shared.held_events.store(state.batch.len(), Ordering::Relaxed);
            if state.batch.has_events() {
                self.shared.wake.set_at_work(true);
                return true;
            }
        }
        false
    }
}

impl Drop for Poller<'_> {
    /// Between polls the event descriptor, if the host uses it, says whether a poll would have to wait. So it stays readable
    /// after the end, as a socket does: a loop that ends when a poll says that the server has stopped would sleep for ever.
    fn drop(&mut self) {
        let state = &*self.state;
        self.shared.held_events.store(state.batch.len() - state.position, Ordering::Relaxed);
        self.shared.wake.settle(|| {
            state.position < state.batch.len()
                || self.shared.running.load(Ordering::SeqCst) == 0
                || self.shared.links.iter().any(|link| !link.inbox.lock().is_empty())
        });
    }
}
