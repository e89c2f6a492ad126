//! How many control frames a peer may send: a token bucket that needs no clock of its own.

use std::time::Duration;

/// Tokens are counted in thousandths of a frame, so that a millisecond adds a whole number of them.
const FRAME: u64 = 1_000;

/// The state of one connection's bucket; 16 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ControlRate {
    tokens: u64,
    refilled_ms: u64,
}

impl ControlRate {
    /// A full bucket: a burst of two seconds' worth passes.
    pub(crate) fn new(per_second: u32, now: Duration) -> Self {
        ControlRate { tokens: burst(per_second), refilled_ms: now.as_millis() as u64 }
    }

    /// Takes one token; false when there is none.
    pub(crate) fn allow(&mut self, per_second: u32, now: Duration) -> bool {
        if per_second == 0 {
            return true;
        }
        let now_ms = now.as_millis() as u64;
        let passed = now_ms.saturating_sub(self.refilled_ms);
        self.refilled_ms = now_ms;
        self.tokens = self.tokens.saturating_add(passed.saturating_mul(u64::from(per_second)));
        self.tokens = self.tokens.min(burst(per_second));
        match self.tokens.checked_sub(FRAME) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}

fn burst(per_second: u32) -> u64 {
    u64::from(per_second) * 2 * FRAME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_two_seconds_then_the_rate() {
        let mut rate = ControlRate::new(50, Duration::ZERO);
        let burst = (0..1_000).take_while(|_| rate.allow(50, Duration::ZERO)).count();
        assert_eq!(burst, 100);
        let second = (1..=1_000).filter(|&ms| rate.allow(50, Duration::from_millis(ms))).count();
        assert_eq!(second, 50);
    }

    #[test]
    fn zero_is_no_limit() {
        let mut rate = ControlRate::new(0, Duration::ZERO);
        assert!((0..10_000).all(|_| rate.allow(0, Duration::ZERO)));
    }
}
