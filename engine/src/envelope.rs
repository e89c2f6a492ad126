//! What channels and payloads mean, those of pushes and those of the backplane.
//!
//! The channel says to whom a message goes: `wse:APP:all` to all connections, `wse:APP:topic:NAME` to the members of a
//! topic, `wse:APP:conn:ID` to one of this node. The payload is the message, text if it is UTF-8 and binary otherwise; or
//! an envelope, if it begins with the byte 1: one line of JSON, and after it the message.
//!
//! Nothing of it is ever executed or made into an object of the host's.

use crate::event::ConnId;
use crate::history::Position;
use crate::presence::Word;
use crate::repeats::MAX_ID_BYTES;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt::Display;
use wsengine_proto::{Kind, utf8};

/// What an envelope begins with. No text does: it is a control character.
pub(crate) const ENVELOPE: u8 = 1;
/// The line of JSON of somebody who pushes.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Whom a channel stands for; those of nodes are in [`channel_of_nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience<'a> {
    All,
    Topic(&'a str),
    Conn(ConnId),
}

/// The line of JSON of an envelope.
#[derive(Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Head<'a> {
    /// Without it the message is text if it can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    op: Option<Op>,
    /// Who alone gets it.
    #[serde(default, deserialize_with = "some_ids", skip_serializing)]
    to: Option<Vec<ConnId>>,
    /// By which it is known when it comes again.
    #[serde(default, deserialize_with = "id", skip_serializing)]
    id: Option<Cow<'a, str>>,
    /// Who is left out.
    #[serde(
        default,
        deserialize_with = "ids",
        serialize_with = "numbers",
        skip_serializing_if = "Vec::is_empty"
    )]
    except: Vec<ConnId>,
    /// Whose connections these are, or who speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Cow<'a, str>>,
    /// The position of a message that is kept.
    #[serde(default, deserialize_with = "position", skip_serializing)]
    at: Option<Position>,
    /// What nodes say to each other of their people; no message follows.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    presence: Option<Word<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Text,
    Binary,
}

/// A message of a payload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) kind: Kind,
    pub(crate) data: &'a [u8],
    pub(crate) except: Vec<ConnId>,
    /// Those of the audience who alone get it, if it says so.
    pub(crate) to: Option<Vec<ConnId>>,
    pub(crate) id: Option<Cow<'a, str>>,
    /// The node whose connections these are, if it says so.
    pub(crate) node: Option<Cow<'a, str>>,
    pub(crate) at: Option<Position>,
    /// It is no message, but a word of a node to others.
    pub(crate) word: Option<Word<'a>>,
}

impl<'a> Message<'a> {
    fn bare(data: &'a [u8]) -> Self {
        let kind = kind_of(data);
        Message { kind, data, except: Vec::new(), to: None, id: None, node: None, at: None, word: None }
    }
}

fn say(error: impl Display) -> String {
    error.to_string()
}

/// Whom a channel stands for, or in words why for nobody.
pub(crate) fn audience<'a>(app: &str, channel: &'a [u8]) -> Result<Audience<'a>, String> {
    let said = std::str::from_utf8(channel).ok();
    let own = said.and_then(|channel| channel.strip_prefix("wse:")?.strip_prefix(app)?.strip_prefix(':'));
    let audience = own.and_then(|own| match own.split_once(':') {
        None => (own == "all").then_some(Audience::All),
        Some(("topic", name)) => Some(Audience::Topic(name)),
        Some(("conn", id)) => Some(Audience::Conn(conn_id(id)?)),
        Some(_) => None,
    });
    match audience {
        Some(Audience::Topic(name)) => {
            crate::orders::check_topic(name).map_err(say).map(|()| Audience::Topic(name))
        }
        Some(audience) => Ok(audience),
        None => Err(format!(
            "channel \"{}\" means nobody; a channel is wse:{app}:all, wse:{app}:topic:NAME or wse:{app}:conn:ID",
            String::from_utf8_lossy(channel.get(..100).unwrap_or(channel))
        )),
    }
}

fn conn_id(text: &str) -> Option<ConnId> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id > 0).map(ConnId::from_u64)
}

/// The channel that stands for an audience.
pub(crate) fn channel(app: &str, audience: Audience<'_>) -> String {
    match audience {
        Audience::All => format!("wse:{app}:all"),
        Audience::Topic(name) => format!("wse:{app}:topic:{name}"),
        Audience::Conn(conn) => format!("wse:{app}:conn:{conn}"),
    }
}

/// The message of a payload, or in words why there is none. `max_head` bounds the line of JSON.
pub(crate) fn open(payload: &[u8], max_head: usize) -> Result<Message<'_>, String> {
    let Some((&ENVELOPE, envelope)) = payload.split_first() else {
        return Ok(Message::bare(payload));
    };
    let end = envelope.iter().take(max_head).position(|byte| *byte == b'\n');
    let Some((head, rest)) = end.and_then(|end| envelope.split_at_checked(end)) else {
        return Err(format!(
            "the payload begins with the byte 1, but no line of JSON of at most {max_head} bytes follows"
        ));
    };
    let data = rest.get(1..).unwrap_or_default();
    let Head { op, to, id, except, node, at, presence: word } =
        serde_json::from_slice(head).map_err(|error| format!("the JSON of the envelope: {error}"))?;
    let kind = match op {
        None => kind_of(data),
        Some(Op::Text) => Kind::Text,
        Some(Op::Binary) => Kind::Binary,
    };
    Ok(Message { kind, data, except, to, id, node, at, word })
}

/// The payload that holds a message, of which [`open`] makes the same again. `except` are connections of this `node`.
pub(crate) fn seal(kind: Kind, data: &[u8], except: &[ConnId], node: &str) -> Vec<u8> {
    if except.is_empty() && data.first() != Some(&ENVELOPE) && kind_of(data) == kind {
        return data.to_vec();
    }
    [&[ENVELOPE], &head(kind, except, node)[..], b"\n", data].concat()
}

/// The line of JSON of such a payload.
pub(crate) fn head(kind: Kind, except: &[ConnId], node: &str) -> Vec<u8> {
    let op = Some(if kind == Kind::Text { Op::Text } else { Op::Binary });
    let node = (!except.is_empty()).then_some(Cow::Borrowed(node));
    serde_json::to_vec(&Head { op, except: except.to_vec(), node, ..Head::default() }).unwrap_or_default()
}

/// The payload that holds what a node says to others.
pub(crate) fn seal_word(word: &Word<'_>, node: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Said<'a> {
        node: &'a str,
        presence: &'a Word<'a>,
    }
    let head = serde_json::to_vec(&Said { node, presence: word }).unwrap_or_default();
    [&[ENVELOPE], &head[..], b"\n"].concat()
}

/// Whom nodes speak to, with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nodes<'a> {
    All,
    One(&'a str),
    /// Those with members of a topic.
    Topic(&'a str),
}

/// Where they do. Pages need not be allowed to speak there.
pub(crate) fn channel_of_nodes(app: &str, to: Nodes<'_>) -> String {
    match to {
        Nodes::All => format!("wse:{app}:nodes"),
        Nodes::One(node) => format!("wse:{app}:nodes:one:{node}"),
        Nodes::Topic(topic) => format!("wse:{app}:nodes:topic:{topic}"),
    }
}

/// Whom such a channel stands for; None: it is another one.
pub(crate) fn nodes<'a>(app: &str, channel: &'a [u8]) -> Option<Nodes<'a>> {
    let own =
        std::str::from_utf8(channel).ok()?.strip_prefix("wse:")?.strip_prefix(app)?.strip_prefix(":nodes")?;
    match own.strip_prefix(':').map(|rest| rest.split_once(':')) {
        None => own.is_empty().then_some(Nodes::All),
        Some(Some(("one", node))) => Some(Nodes::One(node)),
        Some(Some(("topic", name))) => Some(Nodes::Topic(name)),
        Some(_) => None,
    }
}

fn kind_of(data: &[u8]) -> Kind {
    if utf8::validate(data).is_some() { Kind::Text } else { Kind::Binary }
}

fn numbers<S: Serializer>(ids: &[ConnId], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(ids.iter().map(|id| id.as_u64()))
}

fn some_ids<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<ConnId>>, D::Error> {
    ids(from).map(Some)
}

fn id<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    let id = Cow::<str>::deserialize(from)?;
    let wrong =
        || serde::de::Error::custom(format!("id has {} bytes, allowed are 1 to {MAX_ID_BYTES}", id.len()));
    if (1..=MAX_ID_BYTES).contains(&id.len()) { Ok(Some(id)) } else { Err(wrong()) }
}

fn position<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Position>, D::Error> {
    let text = Cow::<str>::deserialize(from)?;
    let none = || serde::de::Error::custom("at holds what is no position");
    Position::parse(&text).ok_or_else(none).map(Some)
}

/// Connections as numbers, or as strings for languages whose numbers are too small for them.
fn ids<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ConnId>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Number(u64),
        Text(String),
    }
    let ids = Vec::<Id>::deserialize(from)?;
    let id = |id: Id| match id {
        Id::Number(number) => (number > 0).then_some(ConnId::from_u64(number)),
        Id::Text(text) => conn_id(&text),
    };
    ids.into_iter()
        .map(|given| {
            id(given).ok_or_else(|| serde::de::Error::custom("there is what is no connection's number"))
        })
        .collect()
}

/// Whether the channel is one, and the message of the payload if it has one.
#[cfg(fuzzing)]
pub(crate) fn parse<'a>(app: &str, channel: &[u8], payload: &'a [u8]) -> (bool, Option<(Kind, &'a [u8])>) {
    let message = open(payload, MAX_HEAD_BYTES).ok().map(|message| (message.kind, message.data));
    (audience(app, channel).is_ok(), message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to(channel: &str) -> Result<Audience<'_>, String> {
        audience("shop", channel.as_bytes())
    }

    #[test]
    fn a_channel_says_to_whom() {
        assert_eq!(to("wse:shop:all"), Ok(Audience::All));
        assert_eq!(to("wse:shop:topic:a:b c"), Ok(Audience::Topic("a:b c")));
        assert_eq!(to("wse:shop:conn:17"), Ok(Audience::Conn(ConnId::from_u64(17))));
    }

    #[test]
    fn nodes_have_channels_of_their_own() {
        for to in [Nodes::All, Nodes::One("0a"), Nodes::Topic("a:b c")] {
            let channel = channel_of_nodes("shop", to);
            assert_eq!(nodes("shop", channel.as_bytes()), Some(to));
            assert!(audience("shop", channel.as_bytes()).is_err());
        }
        for other in
            ["wse:shop:all", "wse:shop:nodes:", "wse:shop:nodesx", "wse:shop:nodes:two:x", "wse:sho:nodes"]
        {
            assert_eq!(nodes("shop", other.as_bytes()), None);
        }
    }

    #[test]
    fn what_is_no_channel_is_quoted_with_what_is_one() {
        for bad in [
            "",
            "all",
            "wse:shop",
            "wse:shop:",
            "wse:shop:ALL",
            "wse:shop:conn:0",
            "wse:shop:conn:+1",
            "wse:shopping:all",
        ] {
            let said = to(bad).unwrap_err();
            assert!(
                said.starts_with(&format!("channel \"{bad}\" means nobody; a channel is wse:shop:all")),
                "{said}"
            );
        }
        assert!(audience("shop", b"wse:shop:topic:\xff").is_err());
        assert!(to("wse:shop:topic:").unwrap_err().contains("1 to 256"));
    }

    #[test]
    fn a_bare_payload_is_text_if_it_can_be() {
        assert_eq!(open("grüße".as_bytes(), MAX_HEAD_BYTES), Ok(Message::bare("grüße".as_bytes())));
        assert_eq!(open(b"\xff", MAX_HEAD_BYTES).unwrap().kind, Kind::Binary);
        assert_eq!(open(b"", MAX_HEAD_BYTES).unwrap().kind, Kind::Text);
    }

    #[test]
    fn an_envelope_says_more() {
        let message =
            open(b"\x01{\"op\":\"binary\",\"except\":[1,\"9223372036854775807\"]}\nhello\n", MAX_HEAD_BYTES)
                .unwrap();
        assert_eq!((message.kind, message.data), (Kind::Binary, &b"hello\n"[..]));
        assert_eq!(message.except, [1, i64::MAX as u64].map(ConnId::from_u64));
        assert_eq!(open(b"\x01{}\n", MAX_HEAD_BYTES).unwrap().data, b"");
        let message = open(b"\x01{\"to\":[3],\"id\":\"order \\u0031\"}\n", MAX_HEAD_BYTES).unwrap();
        assert_eq!((message.to, message.id.as_deref()), (Some(vec![ConnId::from_u64(3)]), Some("order 1")));
        assert_eq!(open(b"\x01{\"to\":[]}\n", MAX_HEAD_BYTES).unwrap().to, Some(Vec::new()));
    }

    #[test]
    fn what_is_wrong_with_an_envelope_is_said() {
        for (payload, said) in [
            (&b"\x01"[..], "no line of JSON"),
            (b"\x01{}", "no line of JSON"),
            (b"\x01nothing\n", "the JSON of the envelope"),
            (b"\x01{\"op\":\"close\"}\n", "unknown variant `close`, expected `text` or `binary`"),
            (
                b"\x01{\"for\":[1]}\n",
                "unknown field `for`, expected one of `op`, `to`, `id`, `except`, `node`, `at`, `presence`",
            ),
            (b"\x01{\"to\":[0]}\n", "no connection's number"),
            (b"\x01{\"id\":\"\"}\n", "id has 0 bytes, allowed are 1 to 128"),
            (b"\x01{\"id\":7}\n", "invalid type: integer `7`"),
            (b"\x01{\"at\":\"7\"}\n", "at holds what is no position"),
            (b"\x01{\"except\":[0]}\n", "no connection's number"),
            (b"\x01{\"except\":[\"-1\"]}\n", "no connection's number"),
        ] {
            let error = open(payload, MAX_HEAD_BYTES).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_bare_payload_is_enough_for_most_messages() {
        assert_eq!(seal(Kind::Text, b"hi", &[], "n"), b"hi");
        assert_eq!(seal(Kind::Binary, b"\xff", &[], "n"), b"\xff");
        assert_eq!(seal(Kind::Binary, b"hi", &[], "n"), b"\x01{\"op\":\"binary\"}\nhi");
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_as_the_same(
            text in any::<bool>(), data in ".{0,40}", ids in prop::collection::vec(1u64..1 << 63, 0..4),
        ) {
            let kind = if text { Kind::Text } else { Kind::Binary };
            let except: Vec<_> = ids.into_iter().map(ConnId::from_u64).collect();
            for data in [data.clone().into_bytes(), [b"\x01", data.as_bytes()].concat()] {
                let payload = seal(kind, &data, &except, "node");
                let message = open(&payload, MAX_HEAD_BYTES).unwrap();
                prop_assert_eq!((message.kind, message.data, &message.except), (kind, &data[..], &except));
                prop_assert_eq!(message.node.as_deref(), (!except.is_empty()).then_some("node"));
            }
        }

        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = audience("a", &bytes);
            let _ = open(&bytes, MAX_HEAD_BYTES);
            let _ = open(&[&[ENVELOPE], &bytes[..], b"\n"].concat(), MAX_HEAD_BYTES);
        }
    }
}
