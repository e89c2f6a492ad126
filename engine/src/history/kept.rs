//! The messages that one node keeps in its memory: the last of each topic, as long as they are young enough and all together
//! are not too large.

use super::{Position, Replay, Rule, Since};
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use wsengine_proto::Kind;

/// What a topic takes besides its name, and a message besides its bytes: as measured, with the allocator's waste.
const LOG_BYTES: usize = 240;
const MESSAGE_BYTES: usize = size_of::<Message>() + size_of::<Age>() + 40;

pub(super) struct Kept {
    logs: HashMap<Arc<str>, Log>,
    /// For each rule, what it keeps, by age. What was dropped before its time stays in there for a while.
    ages: Vec<Ages>,
    bytes: usize,
    max_bytes: usize,
    next_epoch: u64,
}

/// The messages of a topic.
struct Log {
    epoch: u64,
    /// The offset of the next message.
    next: u64,
    messages: VecDeque<Message>,
}

/// A message as clients get it.
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) data: Vec<u8>,
}

#[derive(Default)]
struct Ages {
    queue: VecDeque<Age>,
    /// How many messages and topics there really are.
    living: usize,
}

/// Since when there is a message, or a topic without any.
struct Age {
    since: Duration,
    topic: Arc<str>,
    epoch: u64,
    /// 0: the topic. Its numbers are remembered for a while, so that those who have missed nothing know it.
    offset: u64,
}

impl Log {
    fn first(&self) -> u64 {
        self.next - self.messages.len() as u64
    }

    /// Is this about something that there is?
    fn has(&self, age: &Age) -> bool {
        self.epoch == age.epoch
            && if age.offset == 0 { self.messages.is_empty() } else { age.offset >= self.first() }
    }
}

impl Kept {
    pub(super) fn new(rules: usize, max_bytes: usize) -> Self {
        Kept {
            logs: HashMap::new(),
            ages: (0..rules).map(|_| Ages::default()).collect(),
            bytes: 0,
            max_bytes,
            next_epoch: RandomState::new().hash_one(std::process::id()),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The position of the next message of a topic. `number` is that of its rule.
    pub(super) fn next(&mut self, number: usize, rule: &Rule, topic: &str, now: Duration) -> Position {
        self.expire(number, rule, now);
        let new = Position { epoch: self.next_epoch, offset: 1 };
        self.logs.get(topic).map_or(new, |log| Position { epoch: log.epoch, offset: log.next })
    }

    /// Keeps the message of the position that [`Kept::next`] gave.
    pub(super) fn keep(&mut self, number: usize, rule: &Rule, topic: &str, message: Message, now: Duration) {
        let Some(ages) = self.ages.get_mut(number) else { return };
        let name = match self.logs.get_key_value(topic) {
            Some((name, _)) => name.clone(),
            None => {
                self.bytes += LOG_BYTES + topic.len();
                ages.living += 1;
                topic.into()
            }
        };
        let log = self.logs.entry(name.clone()).or_insert_with(|| {
            let epoch = self.next_epoch;
            self.next_epoch = epoch.wrapping_add(1);
            Log { epoch, next: 1, messages: VecDeque::new() }
        });
        ages.queue.push_back(Age { since: now, topic: name, epoch: log.epoch, offset: log.next });
        self.bytes += message.data.len() + MESSAGE_BYTES;
        log.next += 1;
        log.messages.push_back(message);
        let is_full = log.messages.len() > rule.messages;
        match if is_full { log.messages.pop_front() } else { None } {
            Some(oldest) => self.bytes -= oldest.data.len() + MESSAGE_BYTES,
            None => ages.living += 1,
        }
        self.fit(now);
        self.sweep(number);
    }

    /// What a client gets that comes back.
    pub(super) fn replay(
        &mut self,
        number: usize,
        rule: &Rule,
        topic: &str,
        since: Since,
        now: Duration,
    ) -> Replay<'_> {
        self.expire(number, rule, now);
        let Some(log) = self.logs.get(topic) else { return Replay::of_nothing(since) };
        let (from, gap) = since.from(log.epoch, log.first(), log.next);
        let messages = log.messages.iter().skip((from - log.first()) as usize);
        Replay {
            from: Some(Position { epoch: log.epoch, offset: from - 1 }),
            gap,
            messages: messages.map(|message| (message.kind, Cow::Borrowed(&message.data[..]))).collect(),
        }
    }

    /// Forgets what is too old.
    fn expire(&mut self, number: usize, rule: &Rule, now: Duration) {
        while self.oldest(number).is_some_and(|since| since + rule.age <= now) {
            self.drop_oldest(number, now);
        }
    }

    /// Forgets the oldest while all is too large.
    fn fit(&mut self, now: Duration) {
        while self.bytes > self.max_bytes {
            let oldest = (0..self.ages.len()).filter_map(|number| Some((self.oldest(number)?, number))).min();
            let Some((_, number)) = oldest else { return };
            self.drop_oldest(number, now);
        }
    }

    fn oldest(&self, number: usize) -> Option<Duration> {
        self.ages.get(number)?.queue.front().map(|age| age.since)
    }

    fn drop_oldest(&mut self, number: usize, now: Duration) {
        let Some(ages) = self.ages.get_mut(number) else { return };
        let Some(age) = ages.queue.pop_front() else { return };
        let Some(log) = self.logs.get_mut(&age.topic).filter(|log| log.has(&age)) else { return };
        if age.offset == 0 {
            ages.living -= 1;
            self.bytes -= LOG_BYTES + age.topic.len();
            self.logs.remove(&age.topic);
            return;
        }
        if let Some(message) = log.messages.pop_front() {
            ages.living -= 1;
            self.bytes -= message.data.len() + MESSAGE_BYTES;
        }
        if log.messages.is_empty() {
            ages.queue.push_back(Age { since: now, offset: 0, ..age });
        }
    }

    /// Gives back what entries of dropped messages take, when they are the most.
    fn sweep(&mut self, number: usize) {
        let Some(ages) = self.ages.get_mut(number) else { return };
        if ages.queue.len() > 2 * ages.living + 64 {
            ages.queue.retain(|age| self.logs.get(&age.topic).is_some_and(|log| log.has(age)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn rule(messages: usize, seconds: u64) -> Rule {
        Rule { prefix: String::new(), messages, age: Duration::from_secs(seconds) }
    }

    fn publish(kept: &mut Kept, rule: &Rule, topic: &str, data: &str, now: Duration) -> Position {
        let position = kept.next(0, rule, topic, now);
        kept.keep(0, rule, topic, Message { kind: Kind::Text, data: data.into() }, now);
        position
    }

    fn replay(
        kept: &mut Kept,
        rule: &Rule,
        topic: &str,
        since: Since,
        now: Duration,
    ) -> (Vec<String>, bool, Option<Position>) {
        let replay = kept.replay(0, rule, topic, since, now);
        let texts = replay.messages.iter().map(|(_, data)| String::from_utf8(data.to_vec()).unwrap());
        (texts.collect(), replay.gap, replay.from)
    }

    #[test]
    fn the_last_messages_are_kept_and_no_more() {
        let (mut kept, rule, now) = (Kept::new(1, 1 << 20), rule(2, 60), Duration::ZERO);
        let positions = ["a", "b", "c"].map(|data| publish(&mut kept, &rule, "t", data, now));
        let texts = |since| replay(&mut kept, &rule, "t", since, now);
        let [first, second, third] = positions.map(Since::At);
        let all = [Since::Start, first, second, third, Since::Unknown].map(texts);
        let told: Vec<_> =
            all.iter().map(|(texts, gap, from)| (texts.join(""), *gap, from.unwrap().offset)).collect();
        let expected = [("bc", false, 1), ("bc", false, 1), ("c", false, 2), ("", false, 3), ("bc", true, 1)];
        assert_eq!(told, expected.map(|(texts, gap, from)| (texts.to_owned(), gap, from)));
    }

    #[test]
    fn what_is_old_is_forgotten_but_who_has_missed_nothing_is_told_so() {
        let (mut kept, rule) = (Kept::new(1, 1 << 20), rule(10, 60));
        let second = Duration::from_secs(1);
        let position = publish(&mut kept, &rule, "t", "a", second);
        let at = |kept: &mut Kept, seconds| replay(kept, &rule, "t", Since::At(position), second * seconds);
        assert_eq!(at(&mut kept, 60), (Vec::new(), false, Some(position)));
        assert_eq!(
            at(&mut kept, 62),
            (Vec::new(), false, Some(position)),
            "it is forgotten, its number is not"
        );
        let (_, gap, _) = at(&mut kept, 130);
        assert!(gap, "nobody can know that any more");
        assert_eq!(replay(&mut kept, &rule, "t", Since::Start, second * 130).0, [""; 0]);
    }

    #[test]
    fn all_together_are_never_too_large() {
        let (mut kept, rule) = (Kept::new(1, 10_000), rule(1_000, 60));
        let old = publish(&mut kept, &rule, "old", "x", Duration::ZERO);
        for n in 0..1_000 {
            publish(
                &mut kept,
                &rule,
                &format!("topic{}", n % 50),
                &"y".repeat(n % 400),
                Duration::from_secs(1),
            );
            assert!(kept.bytes() <= 10_000);
        }
        assert!(replay(&mut kept, &rule, "old", Since::At(old), Duration::from_secs(1)).1);
        publish(&mut kept, &rule, "t", &"z".repeat(20_000), Duration::from_secs(2));
        assert!(kept.bytes() <= 10_000);
    }

    #[test]
    fn who_asks_for_a_topic_of_no_message_costs_nothing() {
        let (mut kept, rule) = (Kept::new(1, 10_000), rule(1_000, 60));
        assert_eq!(replay(&mut kept, &rule, "t", Since::Start, DAY), (Vec::new(), false, None));
        assert_eq!(replay(&mut kept, &rule, "t", Since::Unknown, DAY), (Vec::new(), true, None));
        assert_eq!((kept.bytes(), kept.logs.len()), (0, 0));
    }

    #[test]
    fn a_busy_topic_leaves_nothing_behind_an_old_message_of_another() {
        let (mut kept, rule) = (Kept::new(1, 1 << 20), rule(5, 3_600));
        publish(&mut kept, &rule, "quiet", "x", Duration::ZERO);
        for _ in 0..10_000 {
            publish(&mut kept, &rule, "busy", "y", Duration::from_secs(1));
        }
        assert!(kept.ages[0].queue.len() < 100, "{}", kept.ages[0].queue.len());
        assert_eq!(replay(&mut kept, &rule, "quiet", Since::Start, Duration::from_secs(1)).0, ["x"]);
    }

    proptest! {
        /// Against a model that keeps everything: what is replayed is the end of what was published, no older and no more than
        /// allowed, and without a gap it is all that was published since.
        #[test]
        fn a_replay_is_what_was_missed_or_says_that_it_is_not(
            steps in prop::collection::vec((0u8..3, 0usize..4, 0u64..30, 0u64..12), 1..200),
            messages in 1usize..6, max_bytes in 600usize..4_000,
        ) {
            let rule = rule(messages, 60);
            let mut kept = Kept::new(1, max_bytes);
            let mut said: HashMap<usize, Vec<(Position, Duration)>> = HashMap::new();
            let mut now = DAY;
            for (what, topic, seconds, back) in steps {
                now += Duration::from_secs(if what == 2 { seconds } else { 0 });
                let name = topic.to_string();
                let list = said.entry(topic).or_default();
                if what == 0 {
                    let data = list.len().to_string();
                    let position = publish(&mut kept, &rule, &name, &data, now);
                    if let Some((last, _)) = list.last() {
                        prop_assert!(last.epoch != position.epoch || position.offset == last.offset + 1);
                    }
                    list.push((position, now));
                } else {
                    let seen = list.len().checked_sub(1 + back as usize);
                    let since = seen.map_or(Since::Start, |seen| Since::At(list[seen].0));
                    let (texts, gap, _) = replay(&mut kept, &rule, &name, since, now);
                    let texts: Vec<usize> = texts.iter().map(|text| text.parse().unwrap()).collect();
                    let end: Vec<usize> = (list.len() - texts.len()..list.len()).collect();
                    prop_assert_eq!(&texts, &end);
                    prop_assert!(texts.len() <= messages);
                    prop_assert!(texts.iter().all(|n| list[*n].1 + rule.age > now));
                    if let (Some(seen), false) = (seen, gap) {
                        prop_assert_eq!(texts, (seen + 1..list.len()).collect::<Vec<_>>());
                    }
                }
                prop_assert!(kept.bytes() <= max_bytes);
            }
            for days in 1..3 {
                let _ = kept.next(0, &rule, "last", now + DAY * days);
            }
            prop_assert_eq!((kept.logs.len(), kept.bytes(), kept.ages[0].living), (0, 0, 0));
        }
    }
}
