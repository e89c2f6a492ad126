//! Turns of those who cost much: connections that send much, handshakes, and accepting.
//!
//! Between two looks at the sockets one has its turn, and the others wait in the order in which they came. So who says
//! something now and then, as most do, waits for one of them and not for all; nor does the host's answer wait for more.

use super::{Hub, with};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// The number of a task that waits for its turn.
pub(crate) type Ticket = u64;

#[derive(Default)]
pub(super) struct Turns {
    /// The turn after the last look at the sockets has been given.
    given: bool,
    /// Tasks that have a ticket; all tickets before theirs have been called.
    waiting: VecDeque<Waker>,
    called: Ticket,
}

impl Turns {
    fn take(&mut self, ticket: &mut Option<Ticket>, cx: &Context<'_>) -> bool {
        if let Some(number) = *ticket {
            let is_called = number < self.called;
            if is_called {
                *ticket = None;
            }
            return is_called;
        }
        if !std::mem::replace(&mut self.given, true) {
            return true;
        }
        *ticket = Some(self.called + self.waiting.len() as Ticket);
        self.waiting.push_back(cx.waker().clone());
        false
    }

    /// The next has its turn. False: none waits.
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

impl Hub {
    /// May the task have a turn now? If not it gets a ticket, and is woken when that is called.
    pub(crate) fn take_turn(&mut self, ticket: &mut Option<Ticket>, cx: &Context<'_>) -> bool {
        let was_given = self.turns.given;
        let may = self.turns.take(ticket, cx);
        if !was_given {
            // After the next look it is the next one's.
            self.ready.rouse();
        }
        may
    }

    /// The sockets have been looked at. If a turn was given before, the host has its due, and the next has a turn if one
    /// waits. True: it is given.
    pub(super) fn next_turn(&mut self) -> bool {
        if !self.turns.given {
            return false;
        }
        self.attend_to_host();
        self.turns.call()
    }
}

/// Waits for a turn.
pub(crate) async fn turn() {
    let mut ticket = None;
    poll_fn(|cx| match with(|hub| hub.take_turn(&mut ticket, cx)) {
        Some(true) => Poll::Ready(()),
        _ => Poll::Pending,
    })
    .await;
}
