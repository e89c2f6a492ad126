//! What passes between an I/O thread and the host: when events are announced, when commands are taken.
//!
//! Both in bundles, as each wake-up and each write has its price; but a thread with much to do never keeps either for
//! long.

use super::Hub;
use std::time::Duration;

/// The host is woken after so many reads with events, or before the thread parks, whichever is first: one
/// wake-up, poll and reply for many messages.
const READS_PER_WAKE: u32 = 64;
/// A thread with so much to do that it never parks looks into its mailbox every so many tasks, or so much work.
const POLLS_PER_LOOK: u32 = 64;
const WORK_PER_LOOK: usize = 512 * 1024;
/// A thread that finds something in its mailbox again and again turns to the sockets after so long.
const LONGEST_LOOK: Duration = Duration::from_millis(1);
/// A host that computes for long gets no more than its share: it is left the processor until it had so much.
const MOST_LEFT: Duration = Duration::from_millis(1);

#[derive(Default)]
pub(super) struct Host {
    /// Reads with events since it was last told.
    unannounced: u32,
    /// Some are of connections that do not stand in line.
    is_prompt: bool,
    /// At the last look it was at work.
    was_at_work: bool,
    /// How long it was left the processor since it was last seen idle.
    left: Duration,
    polls: u32,
    /// Bytes read and messages, in bytes, since the last look into the mailbox.
    worked: usize,
}

impl Hub {
    /// There are new events; the host hears of them soon.
    #[inline]
    pub(crate) fn announce(&mut self) {
        self.host.unannounced += 1;
        if self.host.unannounced >= READS_PER_WAKE {
            self.notify();
        }
    }

    /// A connection that does not stand in line has said something: the host hears of it sooner.
    #[inline]
    pub(crate) fn announce_promptly(&mut self) {
        self.host.is_prompt = true;
        self.announce();
    }

    /// The host hears of all events now.
    fn notify(&mut self) {
        if self.host.unannounced > 0 {
            self.host.unannounced = 0;
            self.host.is_prompt = false;
            self.shared.wake.notify();
        }
    }

    /// A task of this thread runs, and does so much work besides what it counts itself.
    #[inline]
    pub(crate) fn polled(&mut self, work: usize) {
        self.host.polls = self.host.polls.wrapping_add(1);
        self.worked(work);
        if self.host.polls.is_multiple_of(POLLS_PER_LOOK) || self.host.worked >= WORK_PER_LOOK {
            self.host.worked = 0;
            self.now = self.shared.now();
            self.run_commands();
            self.notify();
        }
    }

    /// A task has done so much, in bytes read.
    #[inline]
    pub(crate) fn worked(&mut self, work: usize) {
        self.host.worked += work;
    }

    /// Between two turns of those who cost much, after a look at the sockets: what others have said just now goes to the
    /// host, and what it has answered to them.
    pub(super) fn attend_to_host(&mut self) {
        self.now = self.shared.now();
        self.link().inbox.forget(self.now);
        if !self.shared.wake.is_at_work() {
            self.host.was_at_work = false;
            self.host.left = Duration::ZERO;
        }
        let is_prompt = self.host.is_prompt;
        if is_prompt {
            self.notify();
        }
        // Where its being woken has put this thread aside it may be done with them.
        let is_at_work = self.shared.wake.is_at_work();
        if is_at_work
            && (is_prompt || self.host.was_at_work)
            && self.host.left < MOST_LEFT
            && self.others_are_there()
        {
            self.yield_to_host();
        }
        self.run_commands();
        self.host.was_at_work = self.shared.wake.is_at_work();
    }

    /// A host that is woken, or is not done with what it has taken, may wait for this processor: the system lets a thread with
    /// much to do go on for milliseconds.
    fn yield_to_host(&mut self) {
        let before = self.shared.now();
        // It returns at once where nobody waits, or where the system holds that it is not the host's turn yet.
        std::thread::yield_now();
        self.now = self.shared.now();
        self.host.left += self.now - before;
    }

    /// The last thing before the thread sleeps, if nothing is to do when it looks at its descriptors.
    pub(crate) fn before_park(&mut self) {
        if self.host.is_prompt && self.turns.were_given_lately(self.now) {
            // More likely than not there is something to do, a turn of those who cost much.
            self.attend_to_host();
        }
        let mut begun = None;
        loop {
            // In the loop, as commands make events too.
            self.notify();
            self.link().mailbox.thread().lie_down();
            if !self.run_commands() {
                return;
            }
            self.link().mailbox.thread().get_up();
            if self.now - *begun.get_or_insert(self.now) > LONGEST_LOOK {
                // A host that sends without a pause must not keep the thread from the sockets. With this task it looks
                // at them, without waiting, and comes back here.
                tokio::task::spawn_local(tokio::task::yield_now());
                return self.notify();
            }
        }
    }

    /// The first thing after it.
    pub(crate) fn after_unpark(&mut self) {
        self.link().mailbox.thread().get_up();
        self.now = self.shared.now();
        self.link().inbox.forget(self.now);
        // Before a turn of those who cost much.
        self.run_commands();
    }
}
