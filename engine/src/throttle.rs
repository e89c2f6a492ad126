//! How often a peer may make us write a log line: hostile ones could fill a disk with them.

use std::time::Duration;

/// Lines in one interval; the rest is counted and told with the next one.
const LINES: u32 = 10;
const INTERVAL: Duration = Duration::from_secs(1);

/// For one kind of line of one I/O thread.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    since: Duration,
    lines: u32,
    left_out: u64,
}

impl Throttle {
    /// May a line be written now? Then how many were left out before it, if any: a field that is not there is not written.
    pub(crate) fn line(&mut self, now: Duration) -> Option<Option<u64>> {
        if now.saturating_sub(self.since) >= INTERVAL {
            (self.since, self.lines) = (now, 0);
        }
        if self.lines == LINES {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        let left_out = std::mem::take(&mut self.left_out);
        Some((left_out > 0).then_some(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_lines_a_second_pass_and_the_rest_is_counted() {
        let mut throttle = Throttle::default();
        let start = Duration::from_secs(100);
        assert!((0..LINES).all(|_| throttle.line(start) == Some(None)));
        assert!((0..7).all(|_| throttle.line(start + Duration::from_millis(999)).is_none()));
        assert_eq!(throttle.line(start + INTERVAL), Some(Some(7)));
        assert_eq!(throttle.line(start + INTERVAL), Some(None));
    }
}
