//! What an I/O thread does between two looks at its sockets: the connections that have something to do, and one turn of
//! those who cost much.
//!
//! All connections of a thread share one task. A task of tokio's for each would cost four hundred bytes, with the
//! allocator's waste for its alignment; a [`Wakeup`] costs fifty. And a look costs one system call instead of two, since
//! tokio looks at its own descriptors only when there is nothing to do, or after 61 tasks.

use super::{Hub, with};
use crate::driver::Next;
use crate::sockets;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use tokio::task::coop;

/// So many connections do something in a round.
const PER_ROUND: usize = 61;

/// The connections of a thread that have something to do, in the order in which they were woken.
#[derive(Default)]
pub(crate) struct Ready(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    woken: VecDeque<Arc<Wakeup>>,
    /// The task of the rounds, while there is nothing to do.
    asleep: Option<Waker>,
}

/// Wakes the connection in a slot.
struct Wakeup {
    slot: u32,
    is_woken: AtomicBool,
    ready: Arc<Ready>,
}

impl Ready {
    /// The waker of the connection in a slot.
    pub(crate) fn waker(self: &Arc<Self>, slot: u32) -> Waker {
        Arc::new(Wakeup { slot, is_woken: AtomicBool::new(false), ready: self.clone() }).into()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There shall be a round though no connection is woken.
    pub(super) fn rouse(&self) {
        let asleep = self.lock().asleep.take();
        if let Some(task) = asleep {
            task.wake();
        }
    }

    fn push(&self, wakeup: Arc<Wakeup>) {
        let mut queue = self.lock();
        queue.woken.push_back(wakeup);
        let asleep = queue.asleep.take();
        drop(queue);
        if let Some(task) = asleep {
            task.wake();
        }
    }

    /// Nothing is to do any more: whatever is wakes the task. False: something is.
    fn sleeps(&self, task: &Waker) -> bool {
        let mut queue = self.lock();
        let is_empty = queue.woken.is_empty();
        if is_empty {
            queue.asleep = Some(task.clone());
        }
        is_empty
    }
}

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            let ready = self.ready.clone();
            ready.push(self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.clone().wake();
    }
}

/// The task of the rounds.
pub(crate) async fn rounds(ready: Arc<Ready>) {
    let mut rounds = Rounds { ready, again: Vec::new(), is_due: false };
    // The budget that tokio gives a task is for one connection; here it is for all.
    coop::unconstrained(poll_fn(|cx| {
        rounds.round(cx);
        Poll::<()>::Pending
    }))
    .await
}

struct Rounds {
    ready: Arc<Ready>,
    /// Connections that go on after the next look.
    again: Vec<Arc<Wakeup>>,
    /// There is something to do whatever the sockets say.
    is_due: bool,
}

impl Rounds {
    fn round(&mut self, cx: &mut Context<'_>) {
        sockets::look(cx, self.is_due);
        self.ready.lock().woken.extend(self.again.drain(..));
        let mut left = PER_ROUND;
        self.drive(&mut left);
        // After a panic as well there is a next round: nobody would call those who wait otherwise.
        let is_given = guarded(Hub::next_turn) != Some(false);
        if is_given {
            // If it is a connection's it comes now, or else after those for whom there was no time.
            left = left.max(1);
            self.drive(&mut left);
        }
        self.is_due = is_given || !self.again.is_empty() || !self.ready.sleeps(cx.waker());
        if self.is_due {
            cx.waker().wake_by_ref();
        }
    }

    /// Has those who are woken do what they can, so many at the most.
    fn drive(&mut self, left: &mut usize) {
        while *left > 0 {
            let next = self.ready.lock().woken.pop_front();
            let Some(wakeup) = next else { return };
            *left -= 1;
            wakeup.is_woken.store(false, Ordering::Release);
            let slot = wakeup.slot;
            let waker = Waker::from(wakeup.clone());
            // What that does for others is no fault of this one.
            guarded(|hub| hub.polled(0));
            match guarded(|hub| hub.drive(slot, &mut Context::from_waker(&waker))) {
                Some(Next::Again) if !wakeup.is_woken.swap(true, Ordering::AcqRel) => self.again.push(wakeup),
                Some(_) => {}
                None => drop(with(|hub| hub.lose(slot))),
            }
        }
    }
}

/// Runs `f` with the hub; None: it has panicked, which only a fault of ours can make it do. The hub is let go of then, and
/// what was taken out of it is only forgotten.
fn guarded<T>(f: impl FnOnce(&mut Hub) -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(|| with(f))).ok().flatten()
}
