//! Turns of those who cost much: connections that send much, handshakes, and accepting.
//!
//! Between two looks at the sockets one has its turn, or a few that only read, and the others wait in the order in which they
//! came. So who says something now and then, as most do, waits for these and not for all; nor does the host's answer wait for
//! more.

use super::{Hub, with};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The number of a task that waits for its turn.
pub(crate) type Ticket = u64;

/// What a turn takes of the time between two looks.
#[derive(Clone, Copy)]
pub(crate) enum Load {
    /// It reads.
    Light = 1,
    /// It does some dozen microseconds of other work.
    Heavy = 4,
}

/// The turns between two looks are about so much: one that is heavy, or so many that are light.
const MOST: usize = Load::Heavy as usize;
/// What takes longer than this is like a turn.
const LONG: Duration = Duration::from_micros(30);
/// After a turn the next is to be expected for so long.
const LATELY: Duration = Duration::from_millis(1);

#[derive(Default)]
pub(super) struct Turns {
    /// The load of the turns that were given after the last look at the sockets.
    given: usize,
    /// To some who had not to wait.
    is_new: bool,
    /// The next one was put off for another look.
    is_put_off: bool,
    /// Tasks that have a ticket; all tickets before theirs have been called.
    waiting: VecDeque<(Waker, Load)>,
    called: Ticket,
    /// When the last was asked for.
    last: Duration,
}

impl Turns {
    /// Has somebody had a turn a moment ago?
    pub(super) fn were_given_lately(&self, now: Duration) -> bool {
        now < self.last + LATELY
    }

    fn take(&mut self, load: Load, ticket: &mut Option<Ticket>, cx: &Context<'_>) -> bool {
        if let Some(number) = *ticket {
            let is_called = number < self.called;
            if is_called {
                *ticket = None;
            }
            return is_called;
        }
        if self.given < MOST {
            self.given += load as usize;
            self.is_new = true;
            return true;
        }
        *ticket = Some(self.called + self.waiting.len() as Ticket);
        self.waiting.push_back((cx.waker().clone(), load));
        false
    }

    /// The next have their turn, as many as may have. False: none waits.
    fn call(&mut self) -> bool {
        self.given = 0;
        while self.given < MOST
            && let Some((next, load)) = self.waiting.pop_front()
        {
            self.given += load as usize;
            self.called += 1;
            next.wake();
        }
        self.given > 0
    }
}

impl Hub {
    /// May the task have a turn now? If not it gets a ticket, and is woken when that is called.
    pub(crate) fn take_turn(&mut self, load: Load, ticket: &mut Option<Ticket>, cx: &Context<'_>) -> bool {
        self.turns.last = self.now;
        let was_given = self.turns.given;
        let may = self.turns.take(load, ticket, cx);
        if was_given == 0 {
            // After the next look it is the next one's.
            self.ready.rouse();
        }
        may
    }

    /// Those who do not wait for a turn have done what they can since the sockets were looked at. If a turn was given, the host
    /// has its due, and the next have a turn if any wait. False: there was none, and none is given.
    pub(super) fn next_turn(&mut self) -> bool {
        if self.turns.given == 0 {
            return false;
        }
        let begun = self.shared.now();
        self.attend_to_host();
        let is_new = std::mem::take(&mut self.turns.is_new);
        // Once: a host that always has much to say must not keep them from their turns.
        let is_late = !self.turns.is_put_off && self.others_are_there() && self.shared.now() - begun > LONG;
        self.turns.is_put_off = is_late;
        // One was given after that look, or the host's answers took as long as a turn: before the next the sockets are looked
        // at again.
        is_new || is_late || self.turns.call()
    }
}

/// Waits for a turn.
pub(crate) async fn turn(load: Load) {
    let mut ticket = None;
    poll_fn(|cx| match with(|hub| hub.take_turn(load, &mut ticket, cx)) {
        Some(true) => Poll::Ready(()),
        _ => Poll::Pending,
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heavy_turn_or_a_few_light_ones_are_given_and_the_others_wait_in_their_order() {
        let cx = &Context::from_waker(Waker::noop());
        let mut turns = Turns::default();
        assert!(!turns.call(), "nobody waits");
        assert!(turns.take(Load::Heavy, &mut None, cx));
        let mut light = [None; 5];
        let mut heavy = None;
        for ticket in &mut light {
            assert!(!turns.take(Load::Light, ticket, cx));
        }
        assert!(!turns.take(Load::Heavy, &mut heavy, cx));
        assert!(turns.call());
        let may = light.each_mut().map(|ticket| turns.take(Load::Light, ticket, cx));
        assert_eq!(may, [true, true, true, true, false]);
        assert!(!turns.take(Load::Light, &mut None, cx), "who comes now waits");
        assert!(turns.call());
        assert!(turns.take(Load::Light, &mut light[4], cx) && turns.take(Load::Heavy, &mut heavy, cx));
    }
}
