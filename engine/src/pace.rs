//! Who sends much, and how much of that may be done at once: little while others are there, who wait for it, and more while
//! those who send much are among themselves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Who has sent so much at once, or in a window of time, sends much. Bytes of work: in a window these are some 2,000 small
/// messages a second. A message of 64 KiB now and then is not much.
const MUCH: usize = 72 * 1024;
/// So short that a flood is known as one while few have waited for it, and so long that a burst of a page's first words, or
/// of a reply to each of some events, is no flood.
const WINDOW: Duration = Duration::from_millis(100);
/// Who has sent less than this in a window sends little: some 300 small messages a second. Those between are neither waited
/// for nor kept waiting.
const LITTLE: usize = 9 * 1024;
/// So many pieces in a window, of all connections of a thread, are few: a hundredth of its time.
const FEW_PIECES: usize = 256;
/// Who sends bursts has turns with little between them, and at the end of each: so many may come. But the first
/// word after so long a silence is the last for which they count.
const LITTLE_AFTER_MUCH: u8 = 16;
const FORGOTTEN: Duration = Duration::from_secs(1);
/// Somebody who sends little is there for so long after they have said something.
const REMEMBERED: Duration = Duration::from_secs(1);
/// That is noted again after so long: the threads share the note.
const NOTED_EVERY: Duration = Duration::from_millis(100);

/// What those who send much may have done before others come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// What one of them may read in its turn, in bytes.
    pub(crate) turn: usize,
    /// For so long the host, and then the I/O thread with the answers, is kept busy by a batch of theirs.
    pub(crate) batch: Duration,
    /// But a batch may always hold fewer events than this, of fewer bytes, however long the last one took: it may have been
    /// for another reason.
    pub(crate) least_events: usize,
    pub(crate) least_bytes: usize,
}

impl Pace {
    pub(crate) const ALONE: Pace =
        Pace { turn: MUCH, batch: Duration::from_micros(500), least_events: 64, least_bytes: 256 * 1024 };
    pub(crate) const BESIDE_OTHERS: Pace =
        Pace { turn: 12 * 1024, batch: Duration::from_micros(40), least_events: 6, least_bytes: 64 * 1024 };
}

/// What one connection has sent of late.
#[derive(Default)]
pub(crate) struct Sent {
    /// Since it last had nothing more to say.
    at_once: usize,
    /// Turns until it is no more held for one that sends much at once.
    bursts: u8,
    /// In the window that ends then, in microseconds; 0: it has never said anything.
    in_window: usize,
    until: u64,
    /// In the last one before it, if it had said something then.
    before: Option<usize>,
    /// That one ended when this one began.
    follows: bool,
}

impl Sent {
    /// It has had a turn, with so much work, in bytes. `is_all`: for now it has nothing more to say.
    #[inline]
    pub(crate) fn add(&mut self, work: usize, is_all: bool, now: Duration) {
        if work > 0 {
            self.count(work, micros(now));
        }
        self.at_once += work;
        if self.at_once >= MUCH {
            self.bursts = LITTLE_AFTER_MUCH;
        } else if is_all {
            self.bursts = self.bursts.saturating_sub(1);
        }
        if is_all {
            self.at_once = 0;
        }
    }

    #[inline]
    fn count(&mut self, work: usize, now: u64) {
        if now >= self.until {
            let window = micros(WINDOW);
            self.before = (self.until > 0).then_some(self.in_window);
            self.follows = now < self.until + window;
            if now >= self.until + micros(FORGOTTEN) {
                self.bursts = 0;
            }
            (self.in_window, self.until) = (0, now + window);
        }
        self.in_window += work;
    }

    /// Has it sent something in a window before this one?
    #[inline]
    pub(crate) fn is_known(&self) -> bool {
        self.before.is_some()
    }

    /// Does it send more at once than others should wait for?
    #[inline]
    pub(crate) fn is_burst(&self) -> bool {
        self.bursts > 0
    }

    /// Does it send much in a time?
    #[inline]
    pub(crate) fn is_much(&self) -> bool {
        self.in_window >= MUCH || (self.follows && self.before.is_some_and(|before| before >= MUCH))
    }

    /// Is it known that it sends little, for a whole window at the least?
    #[inline]
    pub(crate) fn is_little(&self) -> bool {
        self.in_window < LITTLE && self.before.is_some_and(|before| before < LITTLE)
    }
}

/// How many turns of a thread's connections have read just a piece of a message of late, or a ping. They take as long as any
/// other, and a peer may send each byte by itself: a hundred of them kept all others waiting.
#[derive(Default)]
pub(crate) struct Pieces {
    in_window: usize,
    until: Duration,
    before: usize,
}

impl Pieces {
    /// As so much work one counts, and what is larger is none: with 180 of them a second a connection sends much.
    pub(crate) const BYTES: usize = 4 * 1024;

    /// With three in a window one sends much, however many there are in all: one that answers a ping, or whose message comes in
    /// three packets, shall not stand in line for the pieces of others.
    const MOST: usize = MUCH / 3;

    /// Notes one, and says how much it costs: more where there are many, whoever sends them.
    #[inline]
    pub(crate) fn cost(&mut self, now: Duration) -> usize {
        if now >= self.until {
            self.before = if now < self.until + WINDOW { self.in_window } else { 0 };
            (self.in_window, self.until) = (0, now + WINDOW);
        }
        self.in_window += 1;
        let times = (self.in_window.max(self.before) / FEW_PIECES).max(1);
        Self::MOST.min(Self::BYTES * times)
    }
}

/// When somebody who sends little has last said something, on any thread, in microseconds; 0: never.
#[derive(Default)]
pub(crate) struct Others(AtomicU64);

impl Others {
    /// One of them says something.
    #[inline]
    pub(crate) fn speak(&self, now: Duration) {
        let now = micros(now);
        if now >= self.0.load(Ordering::Relaxed) + micros(NOTED_EVERY) {
            self.0.store(now, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn are_there(&self, now: Duration) -> bool {
        let spoke = self.0.load(Ordering::Relaxed);
        spoke > 0 && micros(now) < spoke + micros(REMEMBERED)
    }

    /// The pace of those who send much.
    #[inline]
    pub(crate) fn pace(&self, now: Duration) -> &'static Pace {
        if self.are_there(now) { &Pace::BESIDE_OTHERS } else { &Pace::ALONE }
    }
}

fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_send_much_hurry_while_others_are_there() {
        let others = Others::default();
        let second = Duration::from_secs(1);
        assert_eq!(others.pace(Duration::ZERO), &Pace::ALONE);
        others.speak(second);
        assert_eq!(others.pace(second), &Pace::BESIDE_OTHERS);
        others.speak(second + NOTED_EVERY / 2);
        assert_eq!(others.pace(second + REMEMBERED - Duration::from_micros(1)), &Pace::BESIDE_OTHERS);
        assert_eq!(others.pace(second + REMEMBERED), &Pace::ALONE, "what came soon after was not noted");
        others.speak(2 * second);
        others.speak(2 * second + NOTED_EVERY);
        assert_eq!(others.pace(3 * second + NOTED_EVERY / 2), &Pace::BESIDE_OTHERS);
    }

    #[test]
    fn pieces_cost_more_while_there_are_many() {
        let mut pieces = Pieces::default();
        let begin = Duration::from_secs(1);
        let costs: Vec<_> = (0..3 * FEW_PIECES).map(|_| pieces.cost(begin)).collect();
        assert!(costs[..2 * FEW_PIECES - 1].iter().all(|cost| *cost == Pieces::BYTES));
        assert_eq!(costs.last(), Some(&(3 * Pieces::BYTES)));
        assert_eq!(pieces.cost(begin + WINDOW), 3 * Pieces::BYTES, "the window before this one had as many");
        assert_eq!(pieces.cost(begin + 2 * WINDOW), Pieces::BYTES);
        let of_a_flood = (0..100 * FEW_PIECES).map(|_| pieces.cost(begin + 3 * WINDOW)).max();
        assert_eq!(of_a_flood, Some(MUCH / 3), "who sends two is not held for one who sends much");
        assert_eq!(pieces.cost(begin + 10 * WINDOW), Pieces::BYTES);
    }

    /// Adds work at a time in milliseconds; says what is known then: does it send much, is it known to send little?
    fn add(sent: &mut Sent, work: usize, ms: u64) -> (bool, bool) {
        sent.add(work, true, Duration::from_millis(ms));
        (sent.is_much(), sent.is_little())
    }

    #[test]
    fn who_sends_much_does_so_until_a_window_passes_with_little() {
        let mut sent = Sent::default();
        assert_eq!(add(&mut sent, MUCH - 1, 1_000), (false, false), "nothing is known of it");
        assert_eq!(add(&mut sent, 1, 1_099), (true, false));
        assert_eq!(add(&mut sent, 1, 1_100), (true, false), "the next window");
        assert_eq!(add(&mut sent, 1, 1_200), (false, true));
        assert_eq!(add(&mut sent, LITTLE - 2, 1_298), (false, true));
        assert_eq!(add(&mut sent, 1, 1_299), (false, false), "neither");
        assert_eq!(add(&mut sent, MUCH, 1_299), (true, false));
        assert_eq!(add(&mut sent, 1, 1_500), (false, false), "a window without anything lies between");
        assert_eq!(add(&mut sent, 0, 1_600), (false, false), "that is no word of it");
        assert_eq!(add(&mut sent, 1, 9_000), (false, true));
    }

    #[test]
    fn bursts_are_remembered_for_some_turns() {
        let mut sent = Sent::default();
        let now = Duration::from_secs(1);
        sent.add(MUCH / 2, false, now);
        assert!(!sent.is_burst());
        sent.add(MUCH / 2, true, now);
        assert!(sent.is_burst(), "two turns, and nothing between them");
        for _ in 1..LITTLE_AFTER_MUCH {
            sent.add(MUCH / 2, true, now);
            assert!(sent.is_burst());
        }
        sent.add(MUCH / 2, true, now);
        assert!(!sent.is_burst());
        sent.add(MUCH, true, now);
        sent.add(1, true, now + WINDOW + FORGOTTEN / 2);
        assert!(sent.is_burst());
        sent.add(1, true, now + 3 * FORGOTTEN);
        assert!(!sent.is_burst(), "that was long ago");
    }
}
