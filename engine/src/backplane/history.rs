//! The history of topics where there are several nodes: Redis keeps it, in a stream for each topic, and numbers the messages.
//!
//! Two scripts do it, each in one go. A client that comes back is a member from the moment on at which what it has missed is
//! read: what comes meanwhile is noted ([`Late`]), and it gets that too.

use super::{Backplane, State};
use crate::envelope;
use crate::event::ConnId;
use crate::history::{Position, Replay, Rule, Since};
use crate::link::Shared;
use crate::notice::Notice;
use redis::{Cmd, FromRedisValue, ParsingError, Value};
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use wsengine_proto::Kind;

/// Numbers a message, keeps it and publishes it with its position. When Redis has no memory left it is published without.
/// Offsets are the first halves of the entries' ids. What is too old goes, and all goes when nothing new comes for so long.
pub(super) const PUBLISH: &str = r#"
local key, channel, messages, age, fresh, kind, head, data = KEYS[1], unpack(ARGV)
local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
local epoch, offset = fresh, 1
if last then
  epoch, offset = last[2][2], tonumber(string.match(last[1], '^%d+')) + 1
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local offset = string.format('%d', offset)
local added = redis.pcall('XADD', key, 'MAXLEN', messages, offset .. '-0', 'e', epoch, 't', string.format('%d', now),
  'k', kind, 'd', data)
if type(added) == 'table' then
  return redis.call('PUBLISH', channel, '\1' .. head .. '}\n' .. data)
end
redis.call('PEXPIRE', key, age)
while true do
  local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
  if first[2][4] + age > now then break end
  redis.call('XDEL', key, first[1])
end
return redis.call('PUBLISH', channel, '\1' .. head .. ',"at":"' .. epoch .. ':' .. offset .. '"}\n' .. data)
"#;

/// What a client gets that comes back: nothing if nothing is kept; else the epoch, the first and the last offset, and what
/// follows the one it says, each with its offset, its age in milliseconds, its kind and the message.
pub(super) const READ: &str = r#"
local key, since, offset = KEYS[1], unpack(ARGV)
local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
if not first then return {} end
local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
local epoch, newest = last[2][2], string.match(last[1], '^%d+')
local from = '-'
if since == epoch and tonumber(offset) <= tonumber(newest) then from = string.format('%d', offset + 1) .. '-0' end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local messages = {}
for i, entry in ipairs(redis.call('XRANGE', key, from, '+')) do
  local fields = entry[2]
  messages[i] = { string.match(entry[1], '^%d+'), string.format('%d', now - fields[4]), fields[6], fields[8] }
end
return { epoch, string.match(first[1], '^%d+'), newest, messages }
"#;

const TEXT: &str = "t";
const BINARY: &str = "b";

/// The names by which Redis knows the scripts.
pub(super) struct Scripts {
    pub(super) publish: String,
    pub(super) read: String,
}

/// A message that is to be kept, on its way to Redis.
pub(super) struct Kept {
    key: String,
    channel: String,
    rule: Rule,
    kind: Kind,
    /// The line of JSON of its envelope, without its end.
    head: Vec<u8>,
    data: Vec<u8>,
}

/// Somebody who comes back.
pub(super) struct Resume {
    pub(super) conn: ConnId,
    pub(super) topic: Arc<str>,
    pub(super) since: Since,
    pub(super) label: Option<Box<str>>,
}

/// What has come on topics to which somebody comes back, since it was asked what is kept.
pub(super) type Late = HashMap<Arc<str>, Vec<(Position, Kind, Vec<u8>)>>;

fn key(app: &str, topic: &str) -> String {
    format!("wse:{app}:history:{topic}")
}

impl Kept {
    pub(super) fn new(
        backplane: &Backplane,
        topic: &str,
        rule: &Rule,
        kind: Kind,
        data: &[u8],
        except: &[ConnId],
    ) -> Self {
        let mut head = envelope::head(kind, except, &backplane.node);
        head.pop();
        Kept {
            key: key(&backplane.app, topic),
            channel: envelope::channel(&backplane.app, envelope::Audience::Topic(topic)),
            rule: rule.clone(),
            kind,
            head,
            data: data.to_vec(),
        }
    }

    pub(super) fn cost(&self) -> usize {
        self.key.len() + self.channel.len() + self.head.len() + self.data.len() + size_of::<Self>()
    }

    pub(super) fn command(&self, scripts: &Scripts) -> Cmd {
        let fresh = RandomState::new().hash_one(std::process::id());
        let mut command = redis::cmd("EVALSHA");
        command.arg(&scripts.publish).arg(1).arg(&self.key).arg(&self.channel);
        command.arg(self.rule.messages).arg(self.rule.age.as_millis() as u64).arg(format!("{fresh:016x}"));
        command.arg(if self.kind == Kind::Text { TEXT } else { BINARY }).arg(&self.head).arg(&self.data);
        command
    }

    /// Without Redis it is a message like others: its channel and its payload.
    pub(super) fn into_plain(mut self) -> (String, Vec<u8>) {
        self.head.extend_from_slice(b"}\n");
        (self.channel, [&[envelope::ENVELOPE], &self.head[..], &self.data].concat())
    }
}

impl Resume {
    pub(super) fn cost(&self) -> usize {
        size_of::<Self>() + self.topic.len() + self.label.as_ref().map_or(0, |label| label.len())
    }

    pub(super) fn command(&self, backplane: &Backplane, scripts: &Scripts) -> Cmd {
        let (epoch, offset) = match self.since {
            Since::At(position) => (format!("{:016x}", position.epoch), position.offset),
            Since::Start | Since::Unknown => (String::new(), 0),
        };
        let mut command = redis::cmd("EVALSHA");
        command.arg(&scripts.read).arg(1).arg(key(&backplane.app, &self.topic)).arg(epoch).arg(offset);
        command
    }

    /// What it gets: of what Redis says, and of what has come since.
    pub(super) fn replay<'l>(
        &self,
        answer: Value,
        rule: &Rule,
        late: &'l Late,
    ) -> Result<Replay<'l>, ParsingError> {
        let (epoch, first, last, entries) = match answer {
            Value::Array(parts) if parts.is_empty() => (String::new(), 1, 0, Vec::new()),
            answer => <(String, u64, u64, Vec<(u64, u64, String, Vec<u8>)>)>::from_redis_value(answer)?,
        };
        let epoch = u64::from_str_radix(&epoch, 16).ok();
        let stamp = |offset, data: &[u8]| {
            let position = Position { epoch: epoch.unwrap_or_default(), offset };
            Notice::at(&self.topic, position).seal(data)
        };
        let kind = |kind: &str| if kind == TEXT { Kind::Text } else { Kind::Binary };
        let any_too_old =
            entries.iter().filter(|(_, age, ..)| u128::from(*age) >= rule.age.as_millis()).count();
        let first = match entries.get(any_too_old) {
            Some((offset, ..)) if any_too_old > 0 => *offset,
            None if any_too_old > 0 => last + 1,
            _ => first,
        };
        let mut replay = match epoch {
            None => Replay::of_nothing(self.since),
            Some(epoch) => {
                let (from, gap) = self.since.from(epoch, first, last + 1);
                Replay { from: Some(Position { epoch, offset: from - 1 }), gap, messages: Vec::new() }
            }
        };
        let young = entries.into_iter().skip(any_too_old);
        let young = young.map(|(offset, _, of, data)| (kind(&of), Cow::Owned(stamp(offset, &data))));
        replay.messages.extend(young);
        for (position, kind, message) in late.get(&self.topic).into_iter().flatten() {
            if epoch != Some(position.epoch) || position.offset > last {
                replay.from.get_or_insert(Position { offset: position.offset - 1, ..*position });
                replay.messages.push((*kind, Cow::Borrowed(message)));
            }
        }
        Ok(replay)
    }

    /// Makes it a member, unless the host has taken that back meanwhile.
    pub(super) fn finish(self, shared: &Shared, state: &mut State, replay: Replay<'_>) {
        if !state.resuming.remove(&(self.conn, self.topic.clone())) {
            return;
        }
        let entered = shared.enter(self.conn, &self.topic, Some(replay), self.label.as_deref());
        if let Err(error) = entered {
            tracing::debug!(conn = %self.conn, topic = %self.topic, %error, "nobody comes back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn rule() -> Rule {
        Rule { prefix: String::new(), messages: 10, age: Duration::from_secs(60) }
    }

    fn entry(offset: u64, age: u64, data: &str) -> Value {
        let text = |text: &str| Value::BulkString(text.into());
        Value::Array(vec![text(&offset.to_string()), text(&age.to_string()), text(TEXT), text(data)])
    }

    fn answer(first: u64, last: u64, entries: Vec<Value>) -> Value {
        let text = |text: &str| Value::BulkString(text.into());
        let (first, last) = (first.to_string(), last.to_string());
        Value::Array(vec![text("00000000000000ee"), text(&first), text(&last), Value::Array(entries)])
    }

    fn at(offset: u64) -> Position {
        Position { epoch: 0xee, offset }
    }

    /// The position before, whether there is a gap, and what follows.
    fn told(since: Since, answer: Value, late: &Late) -> (Option<u64>, bool, Vec<String>) {
        let resume = Resume { conn: ConnId::from_u64(1), topic: "t".into(), since, label: None };
        let replay = resume.replay(answer, &rule(), late).unwrap();
        let text = |(_, data): (_, Cow<'_, [u8]>)| {
            String::from_utf8(data.into_owned()).unwrap().split_once('\n').unwrap().1.to_owned()
        };
        (replay.from.map(|from| from.offset), replay.gap, replay.messages.into_iter().map(text).collect())
    }

    #[test]
    fn who_comes_back_gets_what_redis_has_and_what_came_meanwhile() {
        let message = |offset: u64, text: &str| {
            (at(offset), Kind::Text, Notice::at("t", at(offset)).seal(text.as_bytes()))
        };
        let late = Late::from([("t".into(), vec![message(4, "d"), message(5, "e")])]);
        let entries = || vec![entry(3, 0, "c"), entry(4, 0, "d")];
        let found = told(Since::At(at(2)), answer(1, 4, entries()), &late);
        assert_eq!(found, (Some(2), false, vec!["c".into(), "d".into(), "e".into()]));
        let found = told(Since::Start, Value::Array(Vec::new()), &late);
        assert_eq!(found, (Some(3), false, vec!["d".into(), "e".into()]), "the first ones of their topic");
    }

    #[test]
    fn a_gap_is_told() {
        let none = Late::new();
        let entries = || vec![entry(3, 0, "c")];
        assert_eq!(told(Since::At(at(1)), answer(3, 3, entries()), &none), (Some(2), true, vec!["c".into()]));
        assert_eq!(told(Since::Start, answer(3, 3, entries()), &none), (Some(2), false, vec!["c".into()]));
        assert_eq!(told(Since::Unknown, Value::Array(Vec::new()), &none), (None, true, vec![]));
        assert_eq!(told(Since::Start, Value::Array(Vec::new()), &none), (None, false, vec![]));
    }

    #[test]
    fn what_is_too_old_is_not_told() {
        let none = Late::new();
        let entries = || vec![entry(2, 60_000, "b"), entry(3, 59_999, "c")];
        assert_eq!(told(Since::At(at(1)), answer(1, 3, entries()), &none), (Some(2), true, vec!["c".into()]));
        let old = vec![entry(3, 70_000, "c")];
        assert_eq!(told(Since::At(at(2)), answer(1, 3, old), &none), (Some(3), true, vec![]));
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_an_error() {
        let resume =
            Resume { conn: ConnId::from_u64(1), topic: "t".into(), since: Since::Start, label: None };
        for answer in [Value::Nil, Value::Array(vec![Value::Okay]), Value::BulkString(b"x".to_vec())] {
            assert!(resume.replay(answer, &rule(), &Late::new()).is_err());
        }
    }
}
