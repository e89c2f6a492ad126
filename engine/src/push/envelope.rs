//! What channels and payloads mean.
//!
//! The channel says to whom a message goes: `wse:APP:all` to all connections, `wse:APP:topic:NAME` to the members of a
//! topic, `wse:APP:conn:ID` to one. The payload is the message, text if it is UTF-8 and binary otherwise; or an envelope, if
//! it begins with the byte 1: one line of JSON, and after it the message.
//!
//! Nothing of it is ever executed or made into an object of the host's.

use crate::error::SendError;
use crate::event::ConnId;
use crate::link::Shared;
use serde::{Deserialize, Deserializer};
use std::fmt::Display;
use wsengine_proto::{Kind, utf8};

/// What an envelope begins with. No text does: it is a control character.
const ENVELOPE: u8 = 1;
/// The line of JSON.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Whom a channel stands for.
#[derive(Debug, PartialEq, Eq)]
enum Audience<'a> {
    All,
    Topic(&'a str),
    Conn(ConnId),
}

/// The line of JSON of an envelope.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    /// Without it the message is text if it can be.
    op: Option<Op>,
    /// Who is left out.
    #[serde(default, deserialize_with = "ids")]
    except: Vec<ConnId>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Text,
    Binary,
}

/// A message of a payload.
#[derive(Debug, PartialEq, Eq)]
struct Message<'a> {
    kind: Kind,
    data: &'a [u8],
    except: Vec<ConnId>,
}

/// Carries a push out, and says how many connections it reaches; or what is wrong with it, in words.
pub(super) fn publish(shared: &Shared, channel: &[u8], payload: &[u8]) -> Result<usize, String> {
    let audience = audience(&shared.settings.app, channel)?;
    let Message { kind, data, except } = open(payload)?;
    shared.check(kind, data).map_err(say)?;
    match audience {
        Audience::All => shared.broadcast(kind, data, &except).map_err(say),
        Audience::Topic(topic) => shared.publish(kind, topic, data, &except).map_err(say),
        Audience::Conn(conn) if except.contains(&conn) => Ok(0),
        Audience::Conn(conn) => match shared.send(conn, kind, data) {
            Ok(()) => Ok(1),
            // It is not there: nobody was reached.
            Err(SendError::Gone) => Ok(0),
            Err(error) => Err(say(error)),
        },
    }
}

fn say(error: impl Display) -> String {
    error.to_string()
}

fn audience<'a>(app: &str, channel: &'a [u8]) -> Result<Audience<'a>, String> {
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

fn open(payload: &[u8]) -> Result<Message<'_>, String> {
    let Some((&ENVELOPE, envelope)) = payload.split_first() else {
        return Ok(Message { kind: kind_of(payload), data: payload, except: Vec::new() });
    };
    let end = envelope.iter().take(MAX_HEAD_BYTES).position(|byte| *byte == b'\n');
    let Some((head, rest)) = end.and_then(|end| envelope.split_at_checked(end)) else {
        return Err(format!(
            "the payload begins with the byte 1, but no line of JSON of at most {MAX_HEAD_BYTES} bytes follows"
        ));
    };
    let data = rest.get(1..).unwrap_or_default();
    let Head { op, except } =
        serde_json::from_slice(head).map_err(|error| format!("the JSON of the envelope: {error}"))?;
    let kind = match op {
        None => kind_of(data),
        Some(Op::Text) => Kind::Text,
        Some(Op::Binary) => Kind::Binary,
    };
    Ok(Message { kind, data, except })
}

fn kind_of(data: &[u8]) -> Kind {
    if utf8::validate(data).is_some() { Kind::Text } else { Kind::Binary }
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
            id(given).ok_or_else(|| serde::de::Error::custom("except holds what is no connection's number"))
        })
        .collect()
}

/// Whether the channel is one, and the message of the payload if it has one.
#[cfg(fuzzing)]
pub(crate) fn parse<'a>(app: &str, channel: &[u8], payload: &'a [u8]) -> (bool, Option<(Kind, &'a [u8])>) {
    let message = open(payload).ok().map(|message| (message.kind, message.data));
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
        let bare = |data| Message { kind: kind_of(data), data, except: Vec::new() };
        assert_eq!(open("grüße".as_bytes()), Ok(bare("grüße".as_bytes())));
        assert_eq!(open(b"\xff").unwrap().kind, Kind::Binary);
        assert_eq!(open(b"").unwrap().kind, Kind::Text);
    }

    #[test]
    fn an_envelope_says_more() {
        let message =
            open(b"\x01{\"op\":\"binary\",\"except\":[1,\"9223372036854775807\"]}\nhello\n").unwrap();
        assert_eq!((message.kind, message.data), (Kind::Binary, &b"hello\n"[..]));
        assert_eq!(message.except, [1, i64::MAX as u64].map(ConnId::from_u64));
        assert_eq!(open(b"\x01{}\n").unwrap().data, b"");
    }

    #[test]
    fn what_is_wrong_with_an_envelope_is_said() {
        for (payload, said) in [
            (&b"\x01"[..], "no line of JSON"),
            (b"\x01{}", "no line of JSON"),
            (b"\x01nothing\n", "the JSON of the envelope"),
            (b"\x01{\"op\":\"close\"}\n", "unknown variant `close`, expected `text` or `binary`"),
            (b"\x01{\"to\":[1]}\n", "unknown field `to`, expected `op` or `except`"),
            (b"\x01{\"except\":[0]}\n", "no connection's number"),
            (b"\x01{\"except\":[\"-1\"]}\n", "no connection's number"),
        ] {
            let error = open(payload).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = audience("a", &bytes);
            let _ = open(&bytes);
            let _ = open(&[&[ENVELOPE], &bytes[..], b"\n"].concat());
        }
    }
}
