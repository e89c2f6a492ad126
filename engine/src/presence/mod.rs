//! Who is there: the option `presence`.
//!
//! A member of a topic that was subscribed with a label is shown to all of the topic, and hosts may ask who is. Members get the
//! list when they come, and hear of changes a moment later, many in one message (`service.rs`). With a backplane each node
//! tells the others of its own people (`nodes.rs`) and believes them for a minute at most.
//!
//! Locks are taken in this order: backplane, history, presence, mailbox.

mod nodes;
mod service;

pub(crate) use nodes::{To, Word};
pub(crate) use service::Service;

use crate::error::SendError;
use crate::event::ConnId;
use crate::link::Shared;
use crate::notice::{Notice, Person};
use nodes::Nodes;
use service::Bell;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wsengine_proto::Kind;

/// The longest label.
pub(crate) const MAX_LABEL_BYTES: usize = 1024;

/// Who is there, on all topics that have presence.
pub(crate) struct Presence {
    prefixes: Vec<String>,
    /// This node.
    node: Arc<str>,
    state: Mutex<State>,
    gone: Arc<Gone>,
}

#[derive(Default)]
struct State {
    topics: HashMap<Arc<str>, Topic>,
    /// The topics of each of this node's people.
    of: HashMap<ConnId, HashSet<Arc<str>>>,
    /// Topics whose members have not been told everything yet.
    changed: HashSet<Arc<str>>,
    nodes: Nodes,
}

#[derive(Default)]
struct Topic {
    /// Their labels.
    people: BTreeMap<Id, Arc<str>>,
    /// What the members were told last of those who have changed since.
    told: BTreeMap<Id, Option<Arc<str>>>,
}

/// A connection of some node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    node: Arc<str>,
    conn: u64,
}

impl Id {
    fn person<'a>(&self, label: &'a str) -> Person<'a> {
        let node = self.node.get(..8).unwrap_or(&self.node);
        Person { id: format!("{node}-{}", self.conn).into(), label: Cow::Borrowed(label) }
    }
}

/// People whose connections are open no more. Mailboxes say it, and hold their lock meanwhile.
#[derive(Default)]
pub(crate) struct Gone {
    conns: Mutex<Vec<ConnId>>,
    bell: Bell,
}

impl Gone {
    pub(crate) fn note(&self, conn: ConnId) {
        self.conns.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        self.bell.ring();
    }

    fn take(&self) -> Vec<ConnId> {
        std::mem::take(&mut self.conns.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Presence {
    pub(crate) fn new(prefixes: &[String], node: &str) -> Self {
        Presence {
            prefixes: prefixes.to_vec(),
            node: node.into(),
            state: Mutex::default(),
            gone: Arc::default(),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        !self.prefixes.is_empty()
    }

    pub(crate) fn has(&self, topic: &str) -> bool {
        self.prefixes.iter().any(|prefix| topic.starts_with(prefix))
    }

    /// Where the mailboxes say who is gone.
    pub(crate) fn gone(&self) -> Option<Arc<Gone>> {
        self.is_on().then(|| self.gone.clone())
    }

    /// Makes somebody a member by `enter`, which is given what it has to send first: all who are there then. Without a label
    /// it looks on unseen.
    pub(crate) fn join(
        &self,
        conn: ConnId,
        topic: &str,
        label: &str,
        enter: impl FnOnce(Vec<u8>) -> Result<bool, SendError>,
    ) -> Result<bool, SendError> {
        let mut state = self.lock();
        let topic: Arc<str> = topic.into();
        let id = self.own(conn);
        let mut people = state.people(&topic);
        let own = id.person(label);
        people.retain(|person| person.id != own.id);
        if !label.is_empty() {
            people.push(own);
        }
        let is_new = enter(Notice::present(&topic, &people).seal(&[]))?;
        drop(people);
        if label.is_empty() {
            self.hide(&mut state, conn, &topic);
        } else {
            state.of.entry(conn).or_default().insert(topic.clone());
            state.set(&self.node, &topic, id, Some(label.into()));
        }
        drop(state);
        self.gone.bell.ring();
        Ok(is_new)
    }

    /// Ends a membership by `leave`, which says whether there was one.
    pub(crate) fn leave(
        &self,
        conn: ConnId,
        topic: &str,
        leave: impl FnOnce() -> Result<bool, SendError>,
    ) -> Result<bool, SendError> {
        let mut state = self.lock();
        let was_member = leave()?;
        self.hide(&mut state, conn, topic);
        drop(state);
        self.gone.bell.ring();
        Ok(was_member)
    }

    /// Shows somebody no more.
    fn hide(&self, state: &mut State, conn: ConnId, topic: &str) {
        let Some(topics) = state.of.get_mut(&conn) else { return };
        let Some(topic) = topics.take(topic) else { return };
        if topics.is_empty() {
            state.of.remove(&conn);
        }
        state.set(&self.node, &topic, self.own(conn), None);
    }

    /// Who is there, those of this node's topics.
    pub(crate) fn of(&self, topic: &str) -> Vec<Person<'static>> {
        let owned = |person: Person<'_>| Person {
            id: Cow::Owned(person.id.into_owned()),
            label: Cow::Owned(person.label.into_owned()),
        };
        self.lock().people(topic).into_iter().map(owned).collect()
    }

    /// The state as it is: whoever is open no more is not there any more.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for conn in self.gone.take() {
            for topic in state.of.remove(&conn).unwrap_or_default() {
                state.set(&self.node, &topic, self.own(conn), None);
            }
        }
        state
    }

    fn own(&self, conn: ConnId) -> Id {
        Id { node: self.node.clone(), conn: conn.as_u64() }
    }
}

impl State {
    fn people(&self, topic: &str) -> Vec<Person<'_>> {
        let people = self.topics.get(topic).map(|topic| &topic.people);
        people.into_iter().flatten().map(|(id, label)| id.person(label)).collect()
    }

    /// Somebody is there with this label, or is not there. What is new is told later: to the members, and if it is about somebody
    /// of this `own` node to the others.
    fn set(&mut self, own: &Arc<str>, name: &Arc<str>, id: Id, label: Option<Arc<str>>) {
        let topic = self.topics.entry(name.clone()).or_default();
        let before = match &label {
            Some(label) => topic.people.insert(id.clone(), label.clone()),
            None => topic.people.remove(&id),
        };
        if before != label {
            self.changed.insert(name.clone());
            if id.node == *own {
                self.nodes.changed(name, id.conn);
            }
            topic.told.entry(id).or_insert(before);
        } else if topic.people.is_empty() && topic.told.is_empty() {
            self.topics.remove(name);
        }
    }
}

impl Shared {
    /// Tells the members of topics who has come and who has left since they were told last.
    fn announce(&self) {
        let mut state = self.presence.lock();
        for name in std::mem::take(&mut state.changed) {
            let Some(topic) = state.topics.get_mut(&name) else { continue };
            let told = std::mem::take(&mut topic.told);
            let (mut joined, mut left) = (Vec::new(), Vec::new());
            for (id, before) in &told {
                match (topic.people.get(id), before) {
                    (Some(label), before) if before.as_ref() != Some(label) => joined.push(id.person(label)),
                    (None, Some(label)) => left.push(id.person(label)),
                    _ => {}
                }
            }
            if !joined.is_empty() || !left.is_empty() {
                let notice = Notice::changed(&name, &joined, &left).seal(&[]);
                // A server that stops has nobody to tell.
                let _ = self.deliver_sealed(&name, Kind::Text, &notice, &[]);
            }
            if topic.people.is_empty() {
                state.topics.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence() -> Presence {
        Presence::new(&["room:".into()], "0123456789abcdef")
    }

    fn conn(n: u64) -> ConnId {
        ConnId::from_u64(n)
    }

    fn said_by(presence: &Presence, node: &str, word: &Word<'_>, now: std::time::Duration) {
        presence.hear(node, word, now).unwrap();
    }

    /// The name of another node.
    fn node(letter: char) -> String {
        std::iter::repeat_n(letter, 32).collect()
    }

    fn there(presence: &Presence, topic: &str) -> Vec<(String, String)> {
        let people = presence.of(topic).into_iter();
        people.map(|person| (person.id.into_owned(), person.label.into_owned())).collect()
    }

    fn pairs(people: &[(&str, &str)]) -> Vec<(String, String)> {
        people.iter().map(|(id, label)| ((*id).to_owned(), (*label).to_owned())).collect()
    }

    #[test]
    fn who_comes_is_there_until_its_end() {
        let presence = presence();
        let mut sent = String::new();
        let enter = |list| {
            sent = String::from_utf8(list).unwrap();
            Ok(true)
        };
        assert_eq!(presence.join(conn(1), "room:a", "Ann", enter), Ok(true));
        assert_eq!(
            sent,
            "\x01{\"topic\":\"room:a\",\"present\":[{\"id\":\"01234567-1\",\"label\":\"Ann\"}]}\n"
        );
        presence.join(conn(2), "room:a", "Bob", |_| Ok(true)).unwrap();
        presence.join(conn(2), "room:b", "Bob", |_| Ok(true)).unwrap();
        presence.join(conn(3), "room:a", "", |_| Ok(true)).unwrap();
        assert_eq!(there(&presence, "room:a"), pairs(&[("01234567-1", "Ann"), ("01234567-2", "Bob")]));
        assert_eq!(presence.leave(conn(1), "room:a", || Ok(true)), Ok(true));
        assert_eq!(presence.leave(conn(1), "room:b", || Ok(false)), Ok(false));
        assert_eq!(there(&presence, "room:a"), pairs(&[("01234567-2", "Bob")]));
        presence.gone.note(conn(2));
        assert_eq!(there(&presence, "room:a"), []);
        assert_eq!(there(&presence, "room:b"), []);
    }

    #[test]
    fn who_is_not_let_in_is_not_there() {
        let presence = presence();
        assert_eq!(presence.join(conn(1), "room:a", "Ann", |_| Err(SendError::Gone)), Err(SendError::Gone));
        assert_eq!(there(&presence, "room:a"), []);
        assert!(presence.lock().topics.is_empty());
    }

    #[test]
    fn another_label_takes_the_place_of_the_first() {
        let presence = presence();
        for label in ["Ann", "Anna"] {
            presence.join(conn(1), "room:a", label, |_| Ok(true)).unwrap();
        }
        assert_eq!(there(&presence, "room:a"), pairs(&[("01234567-1", "Anna")]));
        presence.join(conn(1), "room:a", "", |_| Ok(false)).unwrap();
        assert_eq!(there(&presence, "room:a"), [], "it looks on now");
    }

    fn here(people: &[(u64, &'static str)]) -> Word<'static> {
        Word::Here {
            topic: "room:a".into(),
            people: people.iter().map(|(id, label)| (*id, (*label).into())).collect(),
        }
    }

    #[test]
    fn a_node_that_is_silent_is_gone_within_a_minute_and_its_people_with_it() {
        let (presence, seconds) = (presence(), std::time::Duration::from_secs);
        presence.follow(&["room:a".into()], &[]);
        said_by(&presence, &node('f'), &here(&[(1, "Ann"), (2, "Bob")]), seconds(100));
        said_by(&presence, &node('e'), &here(&[(1, "Eve")]), seconds(100));
        said_by(&presence, &node('e'), &Word::Alive, seconds(115));
        let labels = || there(&presence, "room:a").into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        presence.forget_silent_nodes(seconds(149));
        assert_eq!(labels(), ["Eve", "Ann", "Bob"]);
        presence.forget_silent_nodes(seconds(151));
        assert_eq!(labels(), ["Eve"]);
        said_by(&presence, &node('e'), &here(&[(2, "Eva")]), seconds(152));
        assert_eq!(labels(), ["Eva"]);
        presence.follow(&[], &["room:a".into()]);
        assert_eq!(labels(), [""; 0]);
    }

    /// It was frozen: what it said before was forgotten, so it is asked.
    #[test]
    fn a_node_that_is_heard_of_again_is_asked_who_is_there() {
        let (presence, second) = (presence(), std::time::Duration::from_secs(1));
        presence.up();
        presence.follow(&["room:a".into()], &[]);
        let said = |presence: &Presence| {
            let words = presence.words(second, usize::MAX).into_iter();
            words.map(|(to, word)| (to, String::from_utf8(word).unwrap())).collect::<Vec<_>>()
        };
        let who = "\x01{\"node\":\"0123456789abcdef\",\"presence\":{\"who\":{\"topic\":\"room:a\"}}}\n";
        let bye = "\x01{\"node\":\"0123456789abcdef\",\"presence\":\"bye\"}\n";
        assert_eq!(said(&presence), [(To::Nodes, bye.into()), (To::Topic("room:a".into()), who.into())]);
        said_by(&presence, &node('f'), &Word::Alive, second);
        assert_eq!(said(&presence), [(To::Node(node('f').into()), who.into())]);
        said_by(&presence, &node('f'), &Word::Alive, second);
        assert_eq!(said(&presence), []);
    }

    /// It may have lost its last member there meanwhile, and not hear what is asked on the topic's channel.
    #[test]
    fn after_a_loss_those_whose_people_are_known_are_asked_themselves() {
        let (presence, second) = (presence(), std::time::Duration::from_secs(1));
        let room: [Arc<str>; 1] = ["room:a".into()];
        presence.up();
        presence.follow(&room, &[]);
        said_by(&presence, &node('f'), &here(&[(1, "Bob")]), second);
        presence.down();
        presence.follow(&room, &[]);
        presence.up();
        let asked = presence.words(second, usize::MAX).into_iter().map(|(to, _)| to).collect::<Vec<_>>();
        assert_eq!(asked, [To::Nodes, To::Topic(room[0].clone()), To::Node(node('f').into())]);
    }

    #[test]
    fn who_asks_is_told_of_this_nodes_people() {
        let (presence, second) = (presence(), std::time::Duration::from_secs(1));
        presence.up();
        presence.follow(&["room:a".into()], &[]);
        presence.join(conn(1), "room:a", "Ann", |_| Ok(true)).unwrap();
        said_by(&presence, &node('f'), &here(&[(1, "Bob")]), second);
        let _ = presence.words(second, usize::MAX);
        said_by(&presence, &node('f'), &Word::Who { topic: "room:a".into() }, second);
        said_by(&presence, &node('f'), &Word::Who { topic: "room:b".into() }, second);
        let words = presence.words(second, usize::MAX);
        let none = Word::Here { topic: "room:b".into(), people: Vec::new() };
        let told = [here(&[(1, "Ann")]), none]
            .map(|word| (To::Node(node('f').into()), word.seal("0123456789abcdef")));
        assert_eq!(words, told, "also that nobody is there");
        presence.leave(conn(1), "room:a", || Ok(true)).unwrap();
        let changed = Word::Changed { topic: "room:a".into(), joined: Vec::new(), left: vec![1] };
        let words = presence.words(second, usize::MAX);
        assert_eq!(words, [(To::Topic("room:a".into()), changed.seal("0123456789abcdef"))]);
    }

    #[test]
    fn only_topics_with_such_a_name_have_presence() {
        assert!(presence().has("room:a") && !presence().has("roo"));
        assert!(!Presence::new(&[], "n").has("room:a"));
    }
}
