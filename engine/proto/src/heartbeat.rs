//! When a quiet peer is pinged, found dead or told to go: arithmetic on times, nothing else.

use crate::limits::Limits;
use std::time::Duration;

/// When a connection's peer was heard. All times in milliseconds of the caller's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heartbeat {
    /// Since when a sign of life is awaited: the last one, or the ping that asked for one.
    waiting_since: u64,
    /// A ping is out and nothing was heard since.
    pinged: bool,
    /// When the last message was complete.
    last_message: u64,
    /// This connection's share of `ping_interval`, in thousandths: 900 to 1,100, so that connections that began
    /// together are not pinged together.
    spread: u16,
}

/// What time demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// `ping_interval` is over.
    Ping,
    /// `pong_timeout` is over.
    Dead,
    /// `idle_timeout` is over.
    Idle,
}

impl Heartbeat {
    /// `seed` is any number; neighbours are spread far apart.
    pub(crate) fn new(now_ms: u64, seed: u64) -> Self {
        // Multiplying by an odd constant (the golden ratio's bits) scatters numbers that follow each other.
        let spread = 900 + (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % 201;
        Heartbeat { waiting_since: now_ms, pinged: false, last_message: now_ms, spread: spread as u16 }
    }

    /// Bytes came.
    #[inline]
    pub(crate) fn heard(&mut self, now_ms: u64) {
        self.waiting_since = now_ms;
        self.pinged = false;
    }

    /// A message is complete.
    #[inline]
    pub(crate) fn message(&mut self, now_ms: u64) {
        self.last_message = now_ms;
    }

    /// A ping is on its way.
    pub(crate) fn ping(&mut self, now_ms: u64) {
        self.waiting_since = now_ms;
        self.pinged = true;
    }

    /// We did not listen until now: silence is not the peer's.
    pub(crate) fn excuse(&mut self, now_ms: u64) {
        self.heard(now_ms);
        self.message(now_ms);
    }

    /// When [`Heartbeat::due`] has something to say.
    pub(crate) fn deadline(&self, limits: &Limits) -> Option<u64> {
        [self.sign_of_life_until(limits), self.message_until(limits)].into_iter().flatten().min()
    }

    /// What is due now; idleness first, as it is told to the peer.
    pub(crate) fn due(&self, now_ms: u64, limits: &Limits) -> Due {
        let over = |until: Option<u64>| until.is_some_and(|until| now_ms >= until);
        if over(self.message_until(limits)) {
            return Due::Idle;
        }
        match (over(self.sign_of_life_until(limits)), self.pinged) {
            (false, _) => Due::Nothing,
            (true, false) => Due::Ping,
            (true, true) => Due::Dead,
        }
    }

    /// None: never, also where the sum is beyond all clocks.
    fn sign_of_life_until(&self, limits: &Limits) -> Option<u64> {
        if self.pinged {
            return self.waiting_since.checked_add(millis(limits.pong_timeout));
        }
        if limits.ping_interval.is_zero() {
            return None;
        }
        let interval = millis(limits.ping_interval).saturating_mul(u64::from(self.spread)) / 1_000;
        // Nine tenths of a millisecond are not "never".
        self.waiting_since.checked_add(interval.max(1))
    }

    /// Until when a message has to come. None: never.
    pub(crate) fn message_until(&self, limits: &Limits) -> Option<u64> {
        if limits.idle_timeout.is_zero() {
            return None;
        }
        self.last_message.checked_add(millis(limits.idle_timeout).max(1))
    }
}

/// Whole milliseconds; more than 64 bits of them are as many as 64 bits hold.
#[inline]
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(ping: u64, pong: u64, idle: u64) -> Limits {
        let ms = Duration::from_millis;
        Limits {
            ping_interval: ms(ping),
            pong_timeout: ms(pong),
            idle_timeout: ms(idle),
            ..Limits::default()
        }
    }

    #[test]
    fn a_ping_then_death() {
        let limits = limits(1_000, 300, 0);
        let mut beat = Heartbeat::new(0, 0);
        let first = beat.deadline(&limits).unwrap();
        assert_eq!((beat.due(first - 1, &limits), beat.due(first, &limits)), (Due::Nothing, Due::Ping));
        beat.ping(first);
        assert_eq!(beat.deadline(&limits), Some(first + 300));
        assert_eq!(beat.due(first + 299, &limits), Due::Nothing);
        assert_eq!(beat.due(first + 300, &limits), Due::Dead);
        beat.heard(first + 299);
        assert_eq!(beat.due(first + 300, &limits), Due::Nothing);
    }

    #[test]
    fn only_a_message_ends_idleness() {
        let limits = limits(0, 0, 500);
        let mut beat = Heartbeat::new(0, 0);
        beat.heard(400);
        assert_eq!(beat.deadline(&limits), Some(500));
        assert_eq!(beat.due(500, &limits), Due::Idle);
        beat.message(400);
        assert_eq!(beat.due(500, &limits), Due::Nothing);
    }

    #[test]
    fn all_zero_is_never() {
        let beat = Heartbeat::new(0, 0);
        assert_eq!(beat.deadline(&limits(0, 0, 0)), None);
        assert_eq!(beat.due(u64::MAX, &limits(0, 0, 0)), Due::Nothing);
    }

    #[test]
    fn the_spread_is_a_tenth_both_ways() {
        let spreads: Vec<u16> = (0..10_000).map(|seed| Heartbeat::new(0, seed).spread).collect();
        assert_eq!((spreads.iter().min(), spreads.iter().max()), (Some(&900), Some(&1_100)));
    }

    #[test]
    fn sums_beyond_the_clock_are_never() {
        let limits = limits(u64::MAX, u64::MAX, u64::MAX);
        let mut beat = Heartbeat::new(u64::MAX, 0);
        assert_eq!(beat.deadline(&limits), None);
        beat.ping(u64::MAX);
        assert_eq!(beat.deadline(&limits), None);
        assert_eq!(millis(Duration::MAX), u64::MAX);
    }
}
