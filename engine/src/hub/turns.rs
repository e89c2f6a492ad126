//! Turns of those who cost much: connections that send much, handshakes, and accepting.
//!
//! Only some have a turn between two looks at the sockets, and the others wait in the order in which they came. So who
//! says something now and then, as most do, waits for a few of them and not for all.

use super::with;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// Turns between two looks at the sockets.
const TURNS_PER_LOOK: usize = 8;

/// The number of a task that waits for its turn.
pub(crate) type Ticket = u64;

#[derive(Default)]
pub(crate) struct Turns {
    /// Taken since the last look at the sockets.
    taken: usize,
    /// Will [`after_next_look`] run?
    counts: bool,
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
        if !std::mem::replace(&mut self.counts, true) {
            tokio::task::spawn_local(after_next_look());
        }
        if self.taken < TURNS_PER_LOOK && self.waiting.is_empty() {
            self.taken += 1;
            return true;
        }
        *ticket = Some(self.called + self.waiting.len() as Ticket);
        self.waiting.push_back(cx.waker().clone());
        false
    }

    /// The sockets have been looked at: the next have their turns. False: none waits.
    fn call(&mut self) -> bool {
        self.taken = self.waiting.len().min(TURNS_PER_LOOK);
        self.called += self.taken as Ticket;
        self.waiting.drain(..self.taken).for_each(Waker::wake);
        self.counts = self.taken > 0;
        self.counts
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

async fn after_next_look() {
    loop {
        // A task that yields goes on after the look.
        tokio::task::yield_now().await;
        if with(|hub| hub.turns.call()) != Some(true) {
            return;
        }
    }
}
