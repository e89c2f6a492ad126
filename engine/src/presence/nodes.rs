//! What nodes tell each other of their people: by messages on the channels of topics and on their own.
//!
//! A node tells of changes; all it has on a topic it tells when it has found Redis (again), and when somebody asks. One that
//! is not heard of any more is gone, and its people with it.

use super::{Id, MAX_LABEL_BYTES, Presence, State};
use crate::envelope;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// How often a node says that it lives.
const ALIVE: Duration = Duration::from_secs(15);
/// One that has not been heard of for so long is gone.
const SILENCE: Duration = Duration::from_secs(50);
/// So many others are believed.
const MOST_NODES: usize = 4_096;
/// The length of a node's name.
const NODE_BYTES: usize = 32;

/// What one node says to others.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Word<'a> {
    /// It lives.
    Alive,
    /// None of its people is there any more.
    Bye,
    /// Who else is on this topic?
    Who { topic: Cow<'a, str> },
    /// All of its people on a topic.
    Here { topic: Cow<'a, str>, people: Vec<(u64, Cow<'a, str>)> },
    /// Some have come, or have another label, and some have left.
    Changed {
        topic: Cow<'a, str>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        joined: Vec<(u64, Cow<'a, str>)>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<u64>,
    },
}

/// Whom a word is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum To {
    /// All nodes.
    Nodes,
    Node(Arc<str>),
    /// All nodes with members of a topic.
    Topic(Arc<str>),
}

/// What is known of other nodes, and what they have to be told.
#[derive(Default)]
pub(super) struct Nodes {
    /// There are others that could hear it.
    is_up: bool,
    /// When each was heard of last.
    heard: HashMap<Arc<str>, Duration>,
    /// When they were told that this one lives.
    said_alive: Option<Duration>,
    /// Topics of which this node hears everything.
    followed: HashSet<Arc<str>>,
    /// Topics to ask about: one node, or all.
    to_ask: BTreeSet<(Option<Arc<str>>, Arc<str>)>,
    /// Topics to tell all about: one node, or all.
    to_tell: BTreeSet<(Option<Arc<str>>, Arc<str>)>,
    /// Own people that have changed.
    changed: BTreeMap<Arc<str>, BTreeSet<u64>>,
}

impl Word<'_> {
    /// As it goes over the backplane.
    pub(crate) fn seal(&self, node: &str) -> Vec<u8> {
        envelope::seal_word(self, node)
    }
}

impl Nodes {
    /// Somebody of this node has changed.
    pub(super) fn changed(&mut self, topic: &Arc<str>, conn: u64) {
        if self.is_up {
            self.changed.entry(topic.clone()).or_default().insert(conn);
        }
    }
}

impl Presence {
    /// Other nodes can be spoken to, from now on: they forget what they know of this one, and are told it anew.
    pub(crate) fn up(&self) {
        let mut state = self.lock();
        let own = state.of.values().flatten().cloned().map(|topic| (None, topic)).collect();
        let nodes = &mut state.nodes;
        nodes.is_up = true;
        nodes.said_alive = None;
        nodes.to_tell = own;
        nodes.changed.clear();
    }

    /// They cannot. What was known of them is believed for a while.
    pub(crate) fn down(&self) {
        let nodes = &mut self.lock().nodes;
        nodes.is_up = false;
        nodes.followed.clear();
        nodes.to_ask.clear();
        nodes.to_tell.clear();
        nodes.changed.clear();
    }

    /// This node hears what is said of these topics from now on, and not of those.
    pub(crate) fn follow(&self, topics: &[Arc<str>], no_more: &[Arc<str>]) {
        if !self.is_on() {
            return;
        }
        let mut state = self.lock();
        for topic in topics.iter().filter(|topic| self.has(topic)) {
            state.nodes.followed.insert(topic.clone());
            state.nodes.to_ask.insert((None, topic.clone()));
            // Those whose people are known from before may have none any more, and then they do not hear what is said there.
            let State { topics, nodes, .. } = &mut *state;
            let known = topics.get(topic).into_iter().flat_map(|known| known.people.keys());
            let others =
                known.filter(|id| id.node != self.node).map(|id| (Some(id.node.clone()), topic.clone()));
            nodes.to_ask.extend(others);
        }
        for topic in no_more {
            if state.nodes.followed.remove(topic) {
                self.forget(&mut state, topic, |id| id.node != self.node);
            }
        }
    }

    /// What other nodes have to be told now, about so many bytes of it, each with whom it is for.
    pub(crate) fn words(&self, now: Duration, bytes: usize) -> Vec<(To, Vec<u8>)> {
        let mut words = Vec::new();
        if !self.is_on() {
            return words;
        }
        let mut state = self.lock();
        let State { topics, nodes, .. } = &mut *state;
        if !nodes.is_up {
            return words;
        }
        let mut size = 0;
        let mut say = |to: To, word: Word<'_>| {
            let word = word.seal(&self.node);
            size += word.len();
            words.push((to, word));
            size < bytes
        };
        let label = |topic: &Arc<str>, conn: u64| {
            let id = Id { node: self.node.clone(), conn };
            Some((conn, Cow::Borrowed(&**topics.get(topic)?.people.get(&id)?)))
        };
        if nodes.said_alive.is_none_or(|said| now >= said + ALIVE) {
            let word = if nodes.said_alive.is_none() { Word::Bye } else { Word::Alive };
            nodes.said_alive = Some(now);
            say(To::Nodes, word);
        }
        let mut has_room = true;
        while has_room && let Some((whom, topic)) = nodes.to_tell.pop_first() {
            let people = topics.get(&topic).map(|topic| &topic.people).into_iter().flatten();
            let own = people.filter(|(id, _)| id.node == self.node);
            let people = own.map(|(id, label)| (id.conn, Cow::Borrowed(&**label))).collect();
            if whom.is_none() {
                nodes.changed.remove(&topic);
            }
            let to = whom.map_or_else(|| To::Topic(topic.clone()), To::Node);
            has_room = say(to, Word::Here { topic: Cow::Borrowed(&topic), people });
        }
        while has_room && let Some((topic, conns)) = nodes.changed.pop_first() {
            let joined: Vec<_> = conns.iter().filter_map(|conn| label(&topic, *conn)).collect();
            let left = conns.iter().filter(|conn| label(&topic, **conn).is_none()).copied().collect();
            has_room =
                say(To::Topic(topic.clone()), Word::Changed { topic: Cow::Borrowed(&topic), joined, left });
        }
        while has_room && let Some((whom, topic)) = nodes.to_ask.pop_first() {
            let to = whom.map_or_else(|| To::Topic(topic.clone()), To::Node);
            has_room = say(to, Word::Who { topic: Cow::Borrowed(&topic) });
        }
        words
    }

    /// What another node says; or in words why it is none.
    pub(crate) fn hear(&self, node: &str, word: &Word<'_>, now: Duration) -> Result<(), String> {
        if !self.is_on() || *node == *self.node {
            return Ok(());
        }
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if node.len() != NODE_BYTES || !node.bytes().all(is_hex) {
            return Err("the name of its node is none".into());
        }
        let mut state = self.lock();
        if !state.nodes.heard.contains_key(node) && state.nodes.heard.len() >= MOST_NODES {
            return Err("there are too many nodes".into());
        }
        let node: Arc<str> = node.into();
        if let Word::Bye = word {
            self.forget_node(&mut state, &node);
        }
        let is_new = state.nodes.heard.insert(node.clone(), now).is_none();
        if is_new && *word != Word::Bye {
            // It was silent for long, so what it said meanwhile was not believed or not heard.
            let State { nodes: Nodes { followed, to_ask, .. }, .. } = &mut *state;
            to_ask.extend(followed.iter().map(|topic| (Some(node.clone()), topic.clone())));
        }
        let followed = |topic: &Cow<'_, str>| state.nodes.followed.get(&**topic).cloned();
        let fits = |label: &Cow<'_, str>| (1..=MAX_LABEL_BYTES).contains(&label.len());
        match word {
            Word::Alive | Word::Bye => {}
            // Also that nobody is.
            Word::Who { topic } if state.nodes.is_up => {
                let topic =
                    state.topics.get_key_value(&**topic).map_or_else(|| (&**topic).into(), |it| it.0.clone());
                state.nodes.to_tell.insert((Some(node), topic));
            }
            Word::Who { .. } => {}
            Word::Here { topic, people } => {
                let Some(topic) = followed(topic) else { return Ok(()) };
                let there: HashSet<u64> = people.iter().map(|(conn, _)| *conn).collect();
                self.forget(&mut state, &topic, |id| id.node == node && !there.contains(&id.conn));
                for (conn, label) in people.iter().filter(|(_, label)| fits(label)) {
                    let id = Id { node: node.clone(), conn: *conn };
                    state.set(&self.node, &topic, id, Some((**label).into()));
                }
            }
            Word::Changed { topic, joined, left } => {
                let Some(topic) = followed(topic) else { return Ok(()) };
                let joined = joined.iter().filter(|(_, label)| fits(label));
                let joined = joined.map(|(conn, label)| (*conn, Some((**label).into())));
                for (conn, label) in joined.chain(left.iter().map(|conn| (*conn, None))) {
                    state.set(&self.node, &topic, Id { node: node.clone(), conn }, label);
                }
            }
        }
        drop(state);
        self.gone.bell.ring();
        Ok(())
    }

    /// Who has not been heard of for long is gone.
    pub(super) fn forget_silent_nodes(&self, now: Duration) {
        let mut state = self.lock();
        let silent = state.nodes.heard.iter().filter(|(_, heard)| now >= **heard + SILENCE);
        for node in silent.map(|(node, _)| node.clone()).collect::<Vec<_>>() {
            self.forget_node(&mut state, &node);
        }
    }

    fn forget_node(&self, state: &mut State, node: &Arc<str>) {
        if state.nodes.heard.remove(node).is_some() {
            for topic in state.topics.keys().cloned().collect::<Vec<_>>() {
                self.forget(state, &topic, |id| id.node == *node);
            }
        }
    }

    fn forget(&self, state: &mut State, topic: &Arc<str>, who: impl Fn(&Id) -> bool) {
        let people = state.topics.get(topic).map(|topic| &topic.people);
        let those: Vec<Id> =
            people.into_iter().flatten().map(|(id, _)| id).filter(|id| who(id)).cloned().collect();
        for id in those {
            state.set(&self.node, topic, id, None);
        }
    }
}
