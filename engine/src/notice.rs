//! What clients of topics with history or presence are told besides messages: an envelope as those of `envelope.rs`, the byte
//! 1, one line of JSON, and after it the message, or nothing.

use crate::envelope::ENVELOPE;
use crate::history::Position;
use serde::{Serialize, Serializer};
use std::borrow::Cow;

/// The line of JSON.
#[derive(Default, Serialize)]
pub(crate) struct Notice<'a> {
    topic: &'a str,
    /// The position of the message that follows; without one, that of the last one before.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    at: Option<Position>,
    /// Some that came before are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<bool>,
    /// So many messages come next that are no news to others.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<usize>,
    /// All who are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    present: Option<&'a [Person<'a>]>,
    /// Who has come since, or has another label, and who has left.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    joined: &'a [Person<'a>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    left: &'a [Person<'a>],
}

/// Somebody on a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Person<'a> {
    /// Names the connection on all nodes.
    pub id: Cow<'a, str>,
    /// What the host has said of it.
    pub label: Cow<'a, str>,
}

/// People as clients see them: a list in JSON.
pub fn people_to_json(people: &[Person<'_>]) -> String {
    // It is made of texts.
    serde_json::to_string(people).unwrap_or_default()
}

impl<'a> Notice<'a> {
    /// Goes with a message that has no position.
    pub(crate) fn plain(topic: &'a str) -> Self {
        Notice { topic, ..Notice::default() }
    }

    /// Goes with a message.
    pub(crate) fn at(topic: &'a str, position: Position) -> Self {
        Notice { topic, at: Some(position), ..Notice::default() }
    }

    /// Goes before what is replayed.
    pub(crate) fn resumed(topic: &'a str, from: Option<Position>, gap: bool, replay: usize) -> Self {
        Notice { topic, at: from, gap: Some(gap), replay: Some(replay), ..Notice::default() }
    }

    pub(crate) fn present(topic: &'a str, people: &'a [Person<'a>]) -> Self {
        Notice { topic, present: Some(people), ..Notice::default() }
    }

    pub(crate) fn changed(topic: &'a str, joined: &'a [Person<'a>], left: &'a [Person<'a>]) -> Self {
        Notice { topic, joined, left, ..Notice::default() }
    }

    /// With the message that it goes with.
    pub(crate) fn seal(&self, message: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(64 + self.topic.len() + message.len());
        sealed.push(ENVELOPE);
        // It is made of texts and numbers, and a Vec takes all.
        let _ = serde_json::to_writer(&mut sealed, self);
        sealed.push(b'\n');
        sealed.extend_from_slice(message);
        sealed
    }
}

fn text<S: Serializer>(position: &Option<Position>, to: S) -> Result<S::Ok, S::Error> {
    match position {
        Some(position) => to.collect_str(position),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(notice: Notice<'_>, message: &str) -> String {
        String::from_utf8(notice.seal(message.as_bytes())).unwrap()
    }

    #[test]
    fn each_is_one_line_before_the_message() {
        let position = Position { epoch: 1, offset: 7 };
        assert_eq!(
            sealed(Notice::at("a\n\"b\"", position), "hi"),
            "\x01{\"topic\":\"a\\n\\\"b\\\"\",\"at\":\"0000000000000001:7\"}\nhi"
        );
        assert_eq!(
            sealed(Notice::resumed("t", Some(position), false, 2), ""),
            "\x01{\"topic\":\"t\",\"at\":\"0000000000000001:7\",\"gap\":false,\"replay\":2}\n"
        );
        assert_eq!(
            sealed(Notice::resumed("t", None, true, 0), ""),
            "\x01{\"topic\":\"t\",\"gap\":true,\"replay\":0}\n"
        );
    }

    #[test]
    fn people_have_an_id_and_a_label() {
        let people = [Person { id: "n-1".into(), label: "Ann".into() }];
        assert_eq!(
            sealed(Notice::present("t", &people), ""),
            "\x01{\"topic\":\"t\",\"present\":[{\"id\":\"n-1\",\"label\":\"Ann\"}]}\n"
        );
        assert_eq!(sealed(Notice::present("t", &[]), ""), "\x01{\"topic\":\"t\",\"present\":[]}\n");
        assert_eq!(
            sealed(Notice::changed("t", &people, &[]), ""),
            "\x01{\"topic\":\"t\",\"joined\":[{\"id\":\"n-1\",\"label\":\"Ann\"}]}\n"
        );
    }
}
