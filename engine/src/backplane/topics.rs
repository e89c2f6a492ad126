//! Which topics this node wants from Redis: those that have members here.
//!
//! Each I/O thread's mailbox tells when a topic gets its first member there and when it loses its last ([`News`]).

use std::collections::HashMap;
use std::sync::Arc;

/// What a mailbox has to tell since it was asked last: which topics have members there now and had none, or the other way
/// round. What came and went meanwhile is no news, so there are never more than topics.
#[derive(Default)]
pub(crate) struct News {
    changed: HashMap<Arc<str>, bool>,
}

impl News {
    /// A topic has its first member.
    pub(crate) fn created(&mut self, name: &Arc<str>) {
        self.note(name, true);
    }

    /// A topic has lost its last one.
    pub(crate) fn ended(&mut self, name: &Arc<str>) {
        self.note(name, false);
    }

    /// The two alternate.
    fn note(&mut self, name: &Arc<str>, has_members: bool) {
        if self.changed.remove(name).is_none() {
            self.changed.insert(name.clone(), has_members);
        }
    }
}

/// The topics that are wanted, and how far Redis knows.
#[derive(Default)]
pub(super) struct Topics {
    known: HashMap<Arc<str>, Topic>,
    /// Those whose state in Redis may be another than wanted.
    changed: Vec<Arc<str>>,
    /// For how many each is wanted who are no members yet.
    held: HashMap<Arc<str>, usize>,
}

#[derive(Default)]
struct Topic {
    /// How many I/O threads have members of it, and how many wait to become such.
    threads: usize,
    is_subscribed: bool,
}

/// What Redis has to be told.
#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) subscribe: Vec<Arc<str>>,
    pub(super) unsubscribe: Vec<Arc<str>>,
}

impl Topics {
    /// These are wanted whether they have members or not.
    pub(super) fn always(names: &[String]) -> Self {
        let mut topics = Topics::default();
        names
            .iter()
            .filter(|name| !name.is_empty())
            .for_each(|name| topics.count(name.as_str().into(), true));
        topics
    }

    /// Takes in what a mailbox tells.
    pub(super) fn learn(&mut self, news: News) {
        for (name, has_members) in news.changed {
            self.count(name, has_members);
        }
    }

    /// A topic is wanted for somebody who will be a member.
    pub(super) fn hold(&mut self, name: &Arc<str>) {
        *self.held.entry(name.clone()).or_default() += 1;
        self.count(name.clone(), true);
    }

    /// One that was waited for has become a member, or has not.
    pub(super) fn release(&mut self, name: &Arc<str>) {
        if let Some(held) = self.held.get_mut(name) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(name);
            }
            self.count(name.clone(), false);
        }
    }

    fn count(&mut self, name: Arc<str>, is_more: bool) {
        let topic = self.known.entry(name.clone()).or_default();
        match is_more {
            true => topic.threads += 1,
            false => topic.threads = topic.threads.saturating_sub(1),
        }
        if topic.is_subscribed != (topic.threads > 0) {
            self.changed.push(name);
        } else if topic.threads == 0 {
            self.known.remove(&name);
        }
    }

    /// What has changed since it was asked last; it counts as done.
    pub(super) fn changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        for name in std::mem::take(&mut self.changed) {
            // It may have come and gone again.
            let Some(topic) = self.known.get_mut(&name) else { continue };
            let is_wanted = topic.threads > 0;
            if topic.is_subscribed != is_wanted {
                topic.is_subscribed = is_wanted;
                match is_wanted {
                    true => changes.subscribe.push(name),
                    false => {
                        self.known.remove(&name);
                        changes.unsubscribe.push(name);
                    }
                }
            }
        }
        changes
    }

    /// Redis knows nothing any more, and nobody waits for it.
    pub(super) fn forget(&mut self) {
        for (name, held) in std::mem::take(&mut self.held) {
            (0..held).for_each(|_| self.count(name.clone(), false));
        }
        self.known.retain(|_, topic| topic.threads > 0);
        self.known.values_mut().for_each(|topic| topic.is_subscribed = false);
        self.changed = self.known.keys().cloned().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn news(list: &[(&str, bool)]) -> News {
        let mut news = News::default();
        list.iter().for_each(|(name, created)| news.note(&Arc::from(*name), *created));
        news
    }

    fn names(list: &[Arc<str>]) -> Vec<&str> {
        list.iter().map(|name| &**name).collect()
    }

    #[test]
    fn a_topic_is_wanted_while_any_thread_has_members() {
        let mut topics = Topics::default();
        topics.learn(news(&[("a", true)]));
        topics.learn(news(&[("a", true)]));
        assert_eq!(names(&topics.changes().subscribe), ["a"]);
        topics.learn(news(&[("a", false)]));
        assert_eq!(topics.changes(), Changes::default());
        topics.learn(news(&[("a", false)]));
        assert_eq!(names(&topics.changes().unsubscribe), ["a"]);
        assert!(topics.known.is_empty());
    }

    #[test]
    fn one_that_comes_and_goes_at_once_is_no_change() {
        let mut topics = Topics::default();
        let both = news(&[("a", true), ("a", false)]);
        assert!(both.changed.is_empty());
        topics.learn(both);
        topics.learn(news(&[("a", true)]));
        topics.learn(news(&[("a", false)]));
        assert_eq!(topics.changes(), Changes::default());
        assert!(topics.known.is_empty());
    }

    #[test]
    fn after_a_loss_all_are_subscribed_anew() {
        let mut topics = Topics::default();
        topics.learn(news(&[("a", true), ("b", true)]));
        topics.changes();
        topics.learn(news(&[("b", false)]));
        topics.forget();
        assert_eq!(names(&topics.changes().subscribe), ["a"]);
    }

    proptest! {
        /// Redis, as told, has what is wanted, whenever it is told.
        #[test]
        fn redis_has_what_is_wanted(steps in prop::collection::vec((0u8..4, any::<bool>(), any::<bool>()), 0..60)) {
            let (mut topics, mut wanted, mut told) = (Topics::default(), BTreeSet::new(), BTreeSet::new());
            for (topic, created, tell) in steps {
                let name: Arc<str> = topic.to_string().into();
                let changed = if created { wanted.insert(name.clone()) } else { wanted.remove(&name) };
                if changed {
                    topics.learn(news(&[(&name, created)]));
                }
                if tell {
                    let Changes { subscribe, unsubscribe } = topics.changes();
                    for name in subscribe {
                        prop_assert!(told.insert(name));
                    }
                    for name in unsubscribe {
                        prop_assert!(told.remove(&name));
                    }
                    prop_assert_eq!(&told, &wanted);
                    prop_assert_eq!(topics.known.len(), wanted.len());
                }
            }
        }
    }
}
