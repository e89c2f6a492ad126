//! Turns of those who cost much: connections that send much, handshakes, and accepting.
//!
//! Between two looks at the sockets one has its turn, and the others wait in the order in which they came. So who says
//! something now and then, as most do, waits for one of them and not for all; nor does the host's answer wait for more.

use super::with;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// The number of a task that waits for its turn.
pub(crate) type Ticket = u64;

#[derive(Default)]
pub(crate) struct Turns {
    /// The turn after the last look at the sockets has been given, so [`after_next_look`] will run.
    given: bool,
    /// Tasks that have a ticket; all tickets before theirs have been called.
    waiting: VecDeque<Waker>,
    called: Ticket,
}

impl Turns {
    /// May the task have a turn now? If not it gets a ticket, and is woken when that is called.
    pub(crate) fn take(&mut self, ticket: &mut Option<Ticket>, cx: &Context<'_>) -> bool {
        if let Some(number) = *ticket {
            let is_called = number < self.called;
            if is_called {
                *ticket = None;
            }
            return is_called;
        }
        if !std::mem::replace(&mut self.given, true) {
            tokio::task::spawn_local(after_next_look());
            return true;
        }
        *ticket = Some(self.called + self.waiting.len() as Ticket);
        self.waiting.push_back(cx.waker().clone());
        false
    }

    /// The sockets have been looked at: the next has its turn. False: none waits.
    fn call(&mut self) -> bool {
        let next = self.waiting.pop_front();
        self.given = next.is_some();
        self.called += Ticket::from(self.given);
        if let Some(next) = next {
            next.wake();
        }
        self.given
    }
}

/// Waits for a turn.
pub(crate) async fn turn() {
    let mut ticket = None;
    poll_fn(|cx| match with(|hub| hub.turns.take(&mut ticket, cx)) {
        Some(true) => Poll::Ready(()),
        _ => Poll::Pending,
    })
    .await;
}

/// Dropped when [`after_next_look`] ends, even by a panic: the next to ask has a turn again.
struct Last;

impl Drop for Last {
    fn drop(&mut self) {
        with(|hub| {
            if hub.turns.call() {
                tokio::task::spawn_local(after_next_look());
            }
        });
    }
}

async fn after_next_look() {
    let last = Last;
    let more = || {
        with(|hub| {
            hub.attend_to_host();
            hub.turns.call()
        })
    };
    loop {
        // A task that yields goes on after the look.
        tokio::task::yield_now().await;
        if more() != Some(true) {
            return std::mem::forget(last);
        }
    }
}
