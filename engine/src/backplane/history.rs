//! The history of topics where there are several nodes: Redis keeps it, in a stream for each topic, and numbers the messages.
//!
//! Two scripts do it, each in one go. A client that comes back is a member from the moment on at which what it has missed is
//! read: what comes meanwhile is noted ([`Late`]), and it gets that too.
//!
//! An epoch ends where messages may be missing: when Redis is another one or was started again (it may have forgotten the
//! last), and when a node has published without it. Each entry has the mark of its time, which is made of the two.

use super::State;
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

/// Numbers a message, keeps it and publishes it with its position. When Redis has no memory left it is published without, and
/// the stream goes: it has a hole. Where not even that is possible nothing is done, and that is said. Offsets are the first halves of the entries' ids. What is too old goes, a hundred at a
/// time, and all goes when nothing new comes for so long.
pub(super) const PUBLISH: &str = r#"
local key, times = KEYS[1], KEYS[2]
local channel, messages, age, fresh, run, kind, head, data = unpack(ARGV)
local mark = run .. ':' .. (redis.call('GET', times) or '')
local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
local epoch, offset = fresh, 1
if last then
  offset = tonumber(string.match(last[1], '^%d+')) + 1
  if last[2][4] == mark then epoch = last[2][2] end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local offset = string.format('%d', offset)
local added = redis.pcall('XADD', key, 'MAXLEN', messages, offset .. '-0', 'e', epoch, 'm', mark,
  't', string.format('%d', now), 'k', kind, 'd', data)
if type(added) == 'table' then
  local gone = redis.pcall('DEL', key)
  if type(gone) == 'table' then return gone end
  return redis.call('PUBLISH', channel, '\1' .. head .. '}\n' .. data)
end
redis.call('PEXPIRE', key, age)
local count = 1
while true do
  local old, entries = {}, redis.call('XRANGE', key, '-', '+', 'COUNT', count)
  for i, entry in ipairs(entries) do
    if entry[2][6] + age > now then break end
    old[i] = entry[1]
  end
  if old[1] then redis.call('XDEL', key, unpack(old)) end
  if #old < count or count > 64 then break end
  count = count * 2
end
return redis.call('PUBLISH', channel, '\1' .. head .. ',"at":"' .. epoch .. ':' .. offset .. '"}\n' .. data)
"#;

/// What clients get that come back: nothing if nothing is kept; else the epoch, the last offset, whether the epoch goes on, and
/// the messages, the latest first: until the one that is said, or as many and as many bytes as are said. Each has its offset,
/// its epoch, its age in milliseconds, its kind and its bytes.
pub(super) const READ: &str = r#"
local key, times = KEYS[1], KEYS[2]
local run, since, offset, messages, bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
if not last then return {} end
local mark = run .. ':' .. (redis.call('GET', times) or '')
local goes_on = last[2][4] == mark and 1 or 0
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if since ~= last[2][2] or offset > tonumber(string.match(last[1], '^%d+')) or goes_on == 0 then since = '' end
local found, size, to, count = {}, 0, '+', 1
while true do
  local entries = redis.call('XREVRANGE', key, to, '-', 'COUNT', count)
  for _, entry in ipairs(entries) do
    local number, fields = string.match(entry[1], '^%d+'), entry[2]
    size = size + #fields[10]
    if #found >= messages or size > bytes or (fields[2] == since and tonumber(number) <= offset) then
      entries = {}
      break
    end
    local age = math.max(0, now - fields[6])
    found[#found + 1] = { number, fields[2], string.format('%d', age), fields[8], fields[10] }
    to = string.format('%d', number - 1)
  end
  if #entries < count then break end
  count = math.min(count * 2, 100)
end
return { last[2][2], string.match(last[1], '^%d+'), goes_on, found }
"#;

const TEXT: &str = "t";
const BINARY: &str = "b";

/// What one read may bring, and all of those that are under way: Redis gives up on a subscriber for which too much waits.
const MAX_READ_BYTES: usize = 1 << 20;
const MAX_READING_BYTES: usize = 4 << 20;

/// What Redis has to be told with each script.
pub(super) struct Scripts {
    /// The names by which it knows them.
    pub(super) publish: String,
    pub(super) read: String,
    /// The name of its run: another one may have forgotten what the last one knew.
    pub(super) run: String,
}

/// A message that is to be kept, on its way to Redis.
pub(super) struct Kept {
    topic: Box<str>,
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
    /// Only the last one of a connection and a topic counts.
    pub(super) ticket: u64,
}

/// What is known of somebody who comes back until he is there.
pub(super) struct Comer {
    pub(super) ticket: u64,
    pub(super) label: Option<Box<str>>,
}

/// What has come on topics to which somebody comes back, since it was asked what is kept.
pub(super) type Late = HashMap<Arc<str>, Newer>;

/// That of one topic.
#[derive(Default)]
pub(super) struct Newer {
    pub(super) messages: Vec<(Position, Kind, Vec<u8>)>,
    /// Something without a position was among it, which only members have got.
    pub(super) has_hole: bool,
}

/// The stream of a topic. No topic's name is empty, so these of ours have other names.
fn key(app: &str, topic: &str) -> String {
    format!("wse:{app}:history:{topic}")
}

/// Something else each time a node has published without Redis.
pub(super) fn times(app: &str) -> String {
    format!("wse:{app}:history")
}

impl Kept {
    pub(super) fn new(
        node: &str,
        topic: &str,
        rule: &Rule,
        kind: Kind,
        data: &[u8],
        except: &[ConnId],
    ) -> Self {
        let mut head = envelope::head(kind, except, node);
        head.pop();
        Kept { topic: topic.into(), rule: rule.clone(), kind, head, data: data.to_vec() }
    }

    /// One of no topic, for nobody, which is forgotten at once: may this node do that?
    pub(super) fn probe(node: &str) -> Self {
        let rule = Rule { prefix: String::new(), messages: 1, age: std::time::Duration::from_millis(1) };
        Kept::new(node, "", &rule, Kind::Text, &[], &[])
    }

    pub(super) fn cost(&self) -> usize {
        self.topic.len() + self.head.len() + self.data.len() + size_of::<Self>()
    }

    pub(super) fn command(&self, app: &str, scripts: &Scripts) -> Cmd {
        let fresh = RandomState::new().hash_one(std::process::id());
        let mut command = redis::cmd("EVALSHA");
        command.arg(&scripts.publish).arg(2).arg(key(app, &self.topic)).arg(times(app));
        command.arg(envelope::channel_of_nodes(app, envelope::Nodes::Topic(&self.topic)));
        command.arg(self.rule.messages).arg(self.rule.age.as_millis() as u64).arg(format!("{fresh:016x}"));
        command.arg(&scripts.run).arg(if self.kind == Kind::Text { TEXT } else { BINARY });
        command.arg(&self.head).arg(&self.data);
        command
    }

    /// Without Redis it is a message like others: its channel and its payload.
    pub(super) fn into_plain(mut self, app: &str) -> (String, Vec<u8>) {
        self.head.extend_from_slice(b"}\n");
        let channel = envelope::channel_of_nodes(app, envelope::Nodes::Topic(&self.topic));
        (channel, [&[envelope::ENVELOPE], &self.head[..], &self.data].concat())
    }
}

/// How many reads may be under way, and what each may bring: what a client can be sent.
pub(super) fn reading(shared: &Shared) -> (usize, usize) {
    let bytes = (shared.settings.send_queue_bytes / 2).clamp(1, MAX_READ_BYTES);
    (MAX_READING_BYTES / bytes, bytes)
}

/// Asks what is kept of a topic, for all who come back to it.
pub(super) fn read(shared: &Shared, app: &str, scripts: &Scripts, topic: &str, comers: &[Resume]) -> Cmd {
    let (epoch, offset) =
        oldest(comers).map_or((String::new(), 0), |oldest| (format!("{:016x}", oldest.epoch), oldest.offset));
    let mut command = redis::cmd("EVALSHA");
    command.arg(&scripts.read).arg(2).arg(key(app, topic)).arg(times(app));
    command.arg(&scripts.run).arg(epoch).arg(offset);
    command.arg(shared.settings.send_queue_messages / 2).arg(reading(shared).1);
    command
}

/// The one that all of them have got to, if they are in one epoch.
fn oldest(comers: &[Resume]) -> Option<Position> {
    let mut positions = comers.iter().map(|comer| match comer.since {
        Since::At(position) => Some(position),
        Since::Start | Since::Unknown => None,
    });
    let first = positions.next()??;
    positions.try_fold(first, |oldest, position| {
        let position = position.filter(|position| position.epoch == oldest.epoch)?;
        Some(Position { offset: oldest.offset.min(position.offset), ..oldest })
    })
}

/// What Redis has kept of a topic.
pub(super) struct Found {
    /// None: nothing.
    newest: Option<Position>,
    /// What comes next is of the same epoch.
    goes_on: bool,
    /// As clients get them, the oldest first; those that are too old are not among them.
    messages: Vec<(Position, Kind, Vec<u8>)>,
}

impl Found {
    pub(super) fn read(answer: Value, topic: &str, rule: &Rule) -> Result<Found, ParsingError> {
        type Entry = (u64, String, u64, String, Vec<u8>);
        let (epoch, newest, goes_on, entries) = match answer {
            Value::Array(parts) if parts.is_empty() => {
                return Ok(Found { newest: None, goes_on: true, messages: Vec::new() });
            }
            answer => <(String, u64, u8, Vec<Entry>)>::from_redis_value(answer)?,
        };
        let epoch_of = |text: &str| {
            u64::from_str_radix(text, 16).map_err(|_| ParsingError::from("an epoch is no number"))
        };
        let is_young = |entry: &Entry| u128::from(entry.2) < rule.age.as_millis();
        let mut messages = Vec::new();
        for (offset, epoch, _, kind, data) in entries.into_iter().take_while(is_young) {
            let position = Position { epoch: epoch_of(&epoch)?, offset };
            let kind = if kind == TEXT { Kind::Text } else { Kind::Binary };
            messages.push((position, kind, Notice::at(topic, position).seal(&data)));
        }
        messages.reverse();
        let newest = Position { epoch: epoch_of(&epoch)?, offset: newest };
        Ok(Found { newest: Some(newest), goes_on: goes_on == 1, messages })
    }

    /// What somebody gets that has got as far as `since`, with what has come meanwhile.
    pub(super) fn replay<'f>(&'f self, since: Since, late: Option<&'f Newer>) -> Replay<'f> {
        let mut replay = Replay::of_nothing(since);
        if let Some(newest) = self.newest {
            let known = match since {
                Since::At(at) if self.goes_on && at.epoch == newest.epoch && at.offset <= newest.offset => {
                    Some(at.offset)
                }
                _ => None,
            };
            let wanted = self.messages.iter().filter(|(at, ..)| known.is_none_or(|known| at.offset > known));
            replay.messages.extend(wanted.map(|(_, kind, data)| (*kind, Cow::Borrowed(&data[..]))));
            let there = replay.messages.len() as u64;
            replay.from = Some(Position { offset: newest.offset - there.min(newest.offset), ..newest });
            replay.gap = match known {
                Some(known) => there < newest.offset - known,
                None => since != Since::Start,
            };
        }
        let Some(late) = late else { return replay };
        replay.gap |= late.has_hole;
        // What came before the newest is among what was found.
        let known = late.messages.iter().position(|(at, ..)| Some(*at) == self.newest);
        for (position, kind, message) in late.messages.iter().skip(known.map_or(0, |known| known + 1)) {
            replay.from.get_or_insert(Position { offset: position.offset - 1, ..*position });
            replay.messages.push((*kind, Cow::Borrowed(message)));
        }
        replay
    }
}

impl Resume {
    pub(super) fn cost(&self) -> usize {
        size_of::<Self>() + self.topic.len()
    }

    /// Makes it a member, unless the host has taken that back meanwhile.
    pub(super) fn finish(self, shared: &Shared, state: &mut State, replay: Replay<'_>) {
        let key = (self.conn, self.topic);
        if state.comers.get(&key).is_none_or(|comer| comer.ticket != self.ticket) {
            return;
        }
        let label = state.comers.remove(&key).and_then(|comer| comer.label);
        let (conn, topic) = key;
        if let Err(error) = shared.enter(conn, &topic, Some(replay), label.as_deref()) {
            tracing::debug!(%conn, %topic, %error, "nobody comes back");
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

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn entry(offset: u64, age: u64, data: &str) -> Value {
        let (offset, age) = (offset.to_string(), age.to_string());
        Value::Array([&offset, "00000000000000ee", &age, TEXT, data].map(text).to_vec())
    }

    /// `entries`: the latest first.
    fn found(newest: u64, goes_on: bool, entries: Vec<Value>) -> Found {
        let parts = [text("00000000000000ee"), text(&newest.to_string()), Value::Int(goes_on.into())];
        let answer = Value::Array([&parts[..], &[Value::Array(entries)]].concat());
        Found::read(answer, "t", &rule()).unwrap()
    }

    fn nothing() -> Found {
        Found::read(Value::Array(Vec::new()), "t", &rule()).unwrap()
    }

    fn at(offset: u64) -> Since {
        Since::At(Position { epoch: 0xee, offset })
    }

    fn message(epoch: u64, offset: u64, text: &str) -> (Position, Kind, Vec<u8>) {
        let position = Position { epoch, offset };
        (position, Kind::Text, Notice::at("t", position).seal(text.as_bytes()))
    }

    /// The position before, whether there is a gap, and what follows.
    fn told(found: &Found, since: Since, late: &[(Position, Kind, Vec<u8>)]) -> (Option<u64>, bool, String) {
        let late = Newer { messages: late.to_vec(), has_hole: false };
        let replay = found.replay(since, Some(&late));
        let text = |(_, data): (_, Cow<'_, [u8]>)| {
            String::from_utf8(data.into_owned()).unwrap().split_once('\n').unwrap().1.to_owned()
        };
        (replay.from.map(|from| from.offset), replay.gap, replay.messages.into_iter().map(text).collect())
    }

    #[test]
    fn who_comes_back_gets_what_redis_has_and_what_came_meanwhile() {
        let late = [message(0xee, 4, "d"), message(0xee, 5, "e")];
        let kept = found(4, true, vec![entry(4, 0, "d"), entry(3, 0, "c")]);
        assert_eq!(told(&kept, at(2), &late), (Some(2), false, "cde".into()));
        assert_eq!(told(&kept, at(3), &late), (Some(3), false, "de".into()));
        assert_eq!(told(&kept, at(4), &[]), (Some(4), false, "".into()));
        assert_eq!(told(&nothing(), Since::Start, &late), (Some(3), false, "de".into()), "the first ones");
        let other = [message(0xff, 5, "e")];
        assert_eq!(told(&kept, at(4), &other), (Some(4), false, "e".into()), "a new epoch has begun");
        let both = [message(0xdd, 3, "c"), message(0xee, 4, "d")];
        assert_eq!(told(&kept, at(4), &both), (Some(4), false, "".into()), "and this one began before");
        let hole = Newer { messages: Vec::new(), has_hole: true };
        assert!(kept.replay(at(4), Some(&hole)).gap, "something had no position");
    }

    #[test]
    fn a_gap_is_told() {
        let kept = || found(3, true, vec![entry(3, 0, "c")]);
        assert_eq!(told(&kept(), at(1), &[]), (Some(2), true, "c".into()), "one is not there any more");
        assert_eq!(told(&kept(), at(2), &[]), (Some(2), false, "c".into()));
        assert_eq!(told(&kept(), at(4), &[]), (Some(2), true, "c".into()), "there was no such message");
        assert_eq!(told(&kept(), Since::Start, &[]), (Some(2), false, "c".into()));
        assert_eq!(told(&kept(), Since::Unknown, &[]), (Some(2), true, "c".into()));
        let broken = found(3, false, vec![entry(3, 0, "c")]);
        assert_eq!(told(&broken, at(3), &[]), (Some(2), true, "c".into()), "some may have been forgotten");
        assert_eq!(told(&broken, Since::Start, &[]), (Some(2), false, "c".into()));
        assert_eq!(told(&nothing(), Since::Unknown, &[]), (None, true, "".into()));
        assert_eq!(told(&nothing(), Since::Start, &[]), (None, false, "".into()));
    }

    #[test]
    fn what_is_too_old_is_not_told() {
        let kept = found(3, true, vec![entry(3, 59_999, "c"), entry(2, 60_000, "b")]);
        assert_eq!(told(&kept, at(1), &[]), (Some(2), true, "c".into()));
        let old = found(3, true, vec![entry(3, 70_000, "c")]);
        assert_eq!(told(&old, at(2), &[]), (Some(3), true, "".into()));
        assert_eq!(told(&old, at(3), &[]), (Some(3), false, "".into()));
    }

    #[test]
    fn one_question_is_enough_for_all_who_come() {
        let comer = |since| Resume { conn: ConnId::from_u64(1), topic: "t".into(), since, ticket: 0 };
        let asked = |sinces: &[Since]| {
            oldest(&sinces.iter().map(|since| comer(*since)).collect::<Vec<_>>()).map(|at| at.offset)
        };
        assert_eq!(asked(&[at(5), at(3), at(4)]), Some(3));
        assert_eq!(asked(&[at(5), Since::Start]), None);
        assert_eq!(asked(&[at(5), Since::At(Position { epoch: 1, offset: 7 })]), None);
        assert_eq!(asked(&[]), None);
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_an_error() {
        let array = |parts: &[Value]| Value::Array(parts.to_vec());
        for answer in [
            Value::Nil,
            array(&[Value::Okay]),
            text("x"),
            array(&[text("x"), text("1"), text("1"), array(&[])]),
        ] {
            assert!(Found::read(answer, "t", &rule()).is_err());
        }
    }
}
