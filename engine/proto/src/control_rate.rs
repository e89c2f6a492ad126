//! How many control frames a peer may send: a token bucket that needs no clock of its own.

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
    pub(crate) fn new(per_second: u32, now_ms: u64) -> Self {
        ControlRate { tokens: burst(per_second), refilled_ms: now_ms }
    }

    /// Takes one token; false when there is none.
    pub(crate) fn allow(&mut self, per_second: u32, now_ms: u64) -> bool {
        if per_second == 0 {
            return true;
        }
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

    /// Gives one token, for a frame that was asked for.
    pub(crate) fn credit(&mut self) {
        self.tokens = self.tokens.saturating_add(FRAME);
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
        let mut rate = ControlRate::new(50, 0);
        let burst = (0..1_000).take_while(|_| rate.allow(50, 0)).count();
        assert_eq!(burst, 100);
        let second = (1..=1_000).filter(|&ms| rate.allow(50, ms)).count();
        assert_eq!(second, 50);
    }

    #[test]
    fn a_frame_that_was_asked_for_is_free() {
        let mut rate = ControlRate::new(1, 0);
        assert!((0..1_000).all(|_| {
            rate.credit();
            rate.allow(1, 0)
        }));
        assert!(
            rate.allow(1, 0) && !rate.allow(1, 0),
            "what is credited is not lost, and what is not is counted"
        );
    }

    #[test]
    fn zero_is_no_limit() {
        let mut rate = ControlRate::new(0, 0);
        assert!((0..10_000).all(|_| rate.allow(0, 0)));
    }
}
