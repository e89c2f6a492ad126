//! Messages that have come with an id lately. Whoever got no answer says his message again, and it must not be delivered twice.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The longest id.
pub(crate) const MAX_ID_BYTES: usize = 128;
/// How long an id is known, and how many are.
const AGE: Duration = Duration::from_secs(60);
const MOST: usize = 10_000;

/// Who may say it on one channel says nothing of another.
fn key(channel: &[u8], id: &str) -> Arc<[u8]> {
    [channel, b"\0", id.as_bytes()].concat().into()
}

/// The ids, each with how many the message has reached.
#[derive(Default)]
pub(crate) struct Repeats {
    known: HashMap<Arc<[u8]>, usize>,
    by_age: VecDeque<(Duration, Arc<[u8]>)>,
}

impl Repeats {
    /// Whom the message reached when it came before. None: it did not.
    pub(crate) fn find(&mut self, channel: &[u8], id: &str, now: Duration) -> Option<usize> {
        while self.by_age.front().is_some_and(|(since, _)| *since + AGE <= now) {
            self.forget_oldest();
        }
        self.known.get(&key(channel, id)).copied()
    }

    pub(crate) fn note(&mut self, channel: &[u8], id: &str, reached: usize, now: Duration) {
        let id = key(channel, id);
        if self.known.insert(id.clone(), reached).is_none() {
            self.by_age.push_back((now, id));
        }
        if self.by_age.len() > MOST {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.by_age.pop_front() {
            self.known.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_for_a_minute() {
        let mut repeats = Repeats::default();
        let second = Duration::from_secs(1);
        assert_eq!(repeats.find(b"c", "a", second), None);
        repeats.note(b"c", "a", 3, second);
        assert_eq!(repeats.find(b"c", "a", second * 60), Some(3));
        assert_eq!(repeats.find(b"d", "a", second * 60), None, "said elsewhere");
        assert_eq!(repeats.find(b"c", "a", second * 61), None);
        assert!(repeats.known.is_empty());
    }

    #[test]
    fn so_many_are_known_and_no_more() {
        let mut repeats = Repeats::default();
        for n in 0..MOST + 5 {
            repeats.note(b"c", &n.to_string(), n, Duration::ZERO);
        }
        assert_eq!((repeats.known.len(), repeats.by_age.len()), (MOST, MOST));
        assert_eq!(repeats.find(b"c", "4", Duration::ZERO), None);
        assert_eq!(repeats.find(b"c", "5", Duration::ZERO), Some(5));
    }
}
