//! When which connection of an I/O thread wants to be looked at.
//!
//! Deadlines move with every message, so they are lazy: a connection has one entry, made for the deadline it had
//! then; when the entry comes up the connection says whether the time has really come. Reading and writing
//! therefore never touch this.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Duration;

/// Deadlines are kept to this precision, late by at most as much.
const TICK: Duration = Duration::from_millis(20);

/// The number of a tick since the server started; deadlines round up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Tick(u64);

impl Tick {
    fn at_or_after(deadline: Duration) -> Self {
        Tick(deadline.as_nanos().div_ceil(TICK.as_nanos()) as u64)
    }

    fn after(now: Duration) -> Self {
        Tick((now.as_nanos() / TICK.as_nanos()) as u64 + 1)
    }

    fn time(self) -> Duration {
        Duration::from_millis(self.0.saturating_mul(TICK.as_millis() as u64))
    }
}

/// The entries of all connections of an I/O thread, by tick.
#[derive(Default)]
pub(crate) struct Timers {
    ticks: BTreeMap<Tick, Vec<u32>>,
    /// Nothing is entered before: what is over comes up after the ticks that have come. Else who cannot be dealt with at once
    /// would keep the thread with it.
    from: Tick,
    waker: Option<Waker>,
}

impl Timers {
    /// Enters a connection for `deadline` unless `entry`, where it is entered already, comes no later.
    pub(crate) fn schedule(&mut self, slot: u32, deadline: Option<Duration>, entry: &mut Option<Tick>) {
        let Some(deadline) = deadline else { return };
        let tick = Tick::at_or_after(deadline).max(self.from);
        if entry.is_some_and(|entry| entry <= tick) {
            return;
        }
        let earliest = self.ticks.first_key_value().is_none_or(|(first, _)| tick < *first);
        self.ticks.entry(tick).or_default().push(slot);
        *entry = Some(tick);
        if earliest && let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// When the next entry comes up.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.ticks.first_key_value().map(|(tick, _)| tick.time())
    }

    /// The entries of one tick that has come.
    pub(crate) fn pop(&mut self, now: Duration) -> Option<(Tick, Vec<u32>)> {
        self.from = Tick::after(now);
        let entry = self.ticks.first_entry().filter(|entry| entry.key().time() <= now)?;
        Some(entry.remove_entry())
    }

    /// Does an entry come up before `next`? If not the waker is told of one that will.
    pub(crate) fn has_earlier(&mut self, next: Option<Duration>, waker: &Waker) -> bool {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
        self.next().is_some_and(|earliest| next.is_none_or(|next| earliest < next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn an_entry_comes_up_at_its_deadline_or_just_after() {
        let mut timers = Timers::default();
        let mut entry = None;
        timers.schedule(7, Some(ms(30)), &mut entry);
        assert_eq!(timers.next(), Some(ms(40)));
        assert_eq!(timers.pop(ms(39)), None);
        assert_eq!(timers.pop(ms(40)), Some((entry.unwrap(), vec![7])));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn what_is_over_comes_up_but_not_again_and_again() {
        let mut timers = Timers::default();
        timers.schedule(7, Some(ms(60)), &mut None);
        assert!(timers.pop(ms(100)).is_some());
        for over in [0, 60, 100] {
            timers.schedule(7, Some(ms(over)), &mut None);
        }
        assert_eq!(timers.pop(ms(100)), None);
        assert_eq!(timers.pop(ms(120)).unwrap().1, [7; 3]);
    }

    #[test]
    fn only_an_earlier_deadline_makes_a_new_entry() {
        let mut timers = Timers::default();
        let mut entry = None;
        timers.schedule(1, Some(ms(100)), &mut entry);
        timers.schedule(1, Some(ms(200)), &mut entry);
        timers.schedule(1, None, &mut entry);
        timers.schedule(1, Some(ms(60)), &mut entry);
        let ticks: Vec<_> = std::iter::from_fn(|| timers.pop(ms(1_000))).collect();
        assert_eq!(ticks.len(), 2);
        assert_eq!(ticks[0].0, entry.unwrap(), "the connection knows which of its entries counts");
    }
}
