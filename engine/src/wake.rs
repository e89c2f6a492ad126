//! Waking: only who sleeps is woken, as it costs a system call.
//!
//! Who waits says so before it looks for the last time, and who brings something looks whether it waits after it has put it
//! there. Both look under the lock of a queue, so either the one has seen what was brought, or the other sees that it waits.
//! `tests/wake.rs` tries this in every order of their steps.

use crate::atomic::{AtomicBool, Ordering};
use crate::sys::EventFd;
use std::io;

/// Somebody who sleeps at times.
#[derive(Default)]
pub(crate) struct Sleeper {
    /// It sleeps, or is about to look for the last time before it does.
    waits: AtomicBool,
}

impl Sleeper {
    /// It looks once more and then sleeps.
    pub(crate) fn lie_down(&self) {
        self.waits.store(true, Ordering::SeqCst);
    }

    /// It is awake.
    pub(crate) fn get_up(&self) {
        self.waits.store(false, Ordering::SeqCst);
    }

    /// There is something for it. True: wake it; nobody else does.
    #[inline]
    pub(crate) fn is_to_be_woken(&self) -> bool {
        let is_awake =
            || self.waits.compare_exchange(true, false, Ordering::SeqCst, Ordering::SeqCst).is_err();
        self.waits.load(Ordering::SeqCst) && !is_awake()
    }

    /// Does it wait?
    pub(crate) fn waits(&self) -> bool {
        self.waits.load(Ordering::SeqCst)
    }
}

/// How I/O threads wake the host: a descriptor that is made readable only when the host has said that it sleeps.
pub(crate) struct HostWake {
    event: EventFd,
    /// The host, in a poll or in a loop of its own.
    sleeper: Sleeper,
    /// It was woken by events or has taken some, and has not come back for more and found none.
    at_work: AtomicBool,
    /// Somebody wants the poll to return with nothing.
    woken: AtomicBool,
    /// The host has asked for the descriptor, so it has to tell the truth between polls as well.
    exported: AtomicBool,
}

impl HostWake {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(HostWake {
            event: EventFd::new()?,
            sleeper: Sleeper::default(),
            at_work: AtomicBool::new(false),
            woken: AtomicBool::new(false),
            exported: AtomicBool::new(false),
        })
    }

    /// There are events. Called after the lock of the inbox was let go.
    #[inline]
    pub(crate) fn notify(&self) {
        if self.sleeper.is_to_be_woken() {
            self.set_at_work(true);
            self.event.signal();
        }
    }

    /// The host has taken events, or found that there are none.
    #[inline]
    pub(crate) fn set_at_work(&self, at_work: bool) {
        self.at_work.store(at_work, Ordering::Relaxed);
    }

    /// Has the host something to do with events?
    pub(crate) fn is_at_work(&self) -> bool {
        self.at_work.load(Ordering::Relaxed)
    }

    /// Makes the current, or else the next, poll return. Async-signal-safe.
    pub(crate) fn interrupt(&self) {
        self.woken.store(true, Ordering::SeqCst);
        self.event.signal();
    }

    /// Was [`HostWake::interrupt`] called since the last time?
    pub(crate) fn take_interrupt(&self) -> bool {
        self.woken.load(Ordering::SeqCst) && self.woken.swap(false, Ordering::SeqCst)
    }

    /// Does the host wait for events, in a poll or in a loop of its own?
    pub(crate) fn is_armed(&self) -> bool {
        self.sleeper.waits()
    }

    pub(crate) fn arm(&self) {
        self.sleeper.lie_down();
    }

    pub(crate) fn disarm(&self) {
        self.sleeper.get_up();
    }

    pub(crate) fn event(&self) -> &EventFd {
        &self.event
    }

    /// From now on the descriptor tells the truth between polls.
    pub(crate) fn export(&self) {
        if !self.exported.swap(true, Ordering::SeqCst) {
            self.event.signal();
        }
    }

    /// After a poll: readable if something waits, else to be made readable by the next event.
    pub(crate) fn settle(&self, something_waits: impl Fn() -> bool) {
        if !self.exported.load(Ordering::SeqCst) {
            return;
        }
        self.event.clear();
        self.arm();
        if something_waits() || self.woken.load(Ordering::SeqCst) {
            self.disarm();
            self.event.signal();
        }
    }
}
