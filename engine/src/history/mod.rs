//! What topics have said lately, so that a client that comes back gets what it missed: the option `history`.
//!
//! Each message of such a topic has a position: an epoch, which no other run of numbers has, and an offset in it. Clients are
//! told it with each message ([`Notice`]), and say it when they come back. On one node the messages are kept here (`kept.rs`);
//! with a backplane Redis keeps them (`backplane/history.rs`), and numbers them for all nodes.

mod kept;

use crate::error::SendError;
use crate::event::ConnId;
use crate::link::Shared;
use crate::mailbox::Room;
use crate::notice::Notice;
use kept::{Kept, Message};
use std::borrow::Cow;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wsengine_proto::Kind;
use wsengine_proto::frame::MAX_HEADER_BYTES;

/// What is kept of topics whose names begin so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) prefix: String,
    pub(crate) messages: usize,
    pub(crate) age: Duration,
}

/// Where a client stands in a topic: after which message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) offset: u64,
}

impl Position {
    /// None: nobody has been told this.
    pub(crate) fn parse(text: &str) -> Option<Position> {
        let (epoch, offset) = text.split_once(':')?;
        let position = Position { epoch: u64::from_str_radix(epoch, 16).ok()?, offset: offset.parse().ok()? };
        (position.to_string() == text).then_some(position)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}:{}", self.epoch, self.offset)
    }
}

/// How far a client that comes back has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// It is new: it gets all there is, and misses nothing.
    Start,
    At(Position),
    /// What it says means nothing.
    Unknown,
}

impl Since {
    pub(crate) fn parse(text: &str) -> Since {
        match text {
            "" => Since::Start,
            text => Position::parse(text).map_or(Since::Unknown, Since::At),
        }
    }

    /// From which on a client gets messages of this epoch, when those from `first` are there and `next` is the next one; and
    /// whether some before them are missing.
    pub(crate) fn from(self, epoch: u64, first: u64, next: u64) -> (u64, bool) {
        match self {
            Since::Start => (first, false),
            Since::At(position) if position.epoch == epoch && position.offset < next => {
                let wanted = position.offset + 1;
                (wanted.max(first), wanted < first)
            }
            Since::At(_) | Since::Unknown => (first, true),
        }
    }
}

/// What a client is sent when it comes back.
pub(crate) struct Replay<'a> {
    /// After which message the first one comes. None: there was none, or Redis is away and nobody knows.
    pub(crate) from: Option<Position>,
    /// Some that it has missed are not there.
    pub(crate) gap: bool,
    /// As clients get them, the oldest first.
    pub(crate) messages: Vec<(Kind, Cow<'a, [u8]>)>,
}

impl<'a> Replay<'a> {
    /// Nothing is there.
    pub(crate) fn of_nothing(since: Since) -> Self {
        Replay { from: None, gap: since != Since::Start, messages: Vec::new() }
    }

    /// Nothing is known.
    pub(crate) fn unknown() -> Self {
        Replay::of_nothing(Since::Unknown)
    }

    /// What goes to a client that has so much room: how things stand, then the messages, in half of it, for more will come. The
    /// oldest that do not fit are left out, and missing.
    pub(crate) fn fit(mut self, topic: &str, room: Room) -> Vec<(Kind, Cow<'a, [u8]>)> {
        let mut bytes = 0;
        let fitting = self.messages.iter().rev().take(room.messages / 2).take_while(|(_, data)| {
            bytes += data.len() + MAX_HEADER_BYTES;
            bytes <= room.bytes / 2
        });
        let too_many = self.messages.len() - fitting.count();
        if let Some(from) = self.from.as_mut().filter(|_| too_many > 0) {
            from.offset += too_many as u64;
            self.gap = true;
        }
        let messages = self.messages.into_iter().skip(too_many);
        let messages: Vec<_> = messages.filter(|(kind, _)| *kind == Kind::Text || !room.text_only).collect();
        let notice = Notice::resumed(topic, self.from, self.gap, messages.len());
        let mut all = vec![(Kind::Text, Cow::Owned(notice.seal(&[])))];
        all.extend(messages);
        all
    }
}

/// The option, and what one node keeps by itself.
pub(crate) struct History {
    rules: Vec<Rule>,
    kept: Mutex<Kept>,
}

impl History {
    pub(crate) fn new(mut rules: Vec<Rule>, max_bytes: usize) -> Self {
        // The first that fits is the one that counts.
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.prefix.len()));
        let kept = Mutex::new(Kept::new(rules.len(), max_bytes));
        History { rules, kept }
    }

    /// What is kept of a topic.
    #[inline]
    pub(crate) fn rule(&self, topic: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| topic.starts_with(&rule.prefix))
    }

    pub(crate) fn is_on(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Bytes that are kept here.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn numbered(&self, topic: &str) -> Option<(usize, &Rule)> {
        self.rules.iter().enumerate().find(|(_, rule)| topic.starts_with(&rule.prefix))
    }
}

impl Shared {
    /// Gives a message to the members of a topic, and keeps it. None: nothing is kept of it here.
    ///
    /// The lock is held meanwhile: who comes back gets each message once, either from what is kept or as a member.
    pub(crate) fn publish_kept(
        &self,
        topic: &str,
        kind: Kind,
        data: &[u8],
        except: &[ConnId],
    ) -> Option<Result<usize, SendError>> {
        let (number, rule) = self.history.numbered(topic).filter(|_| self.backplane.is_none())?;
        let now = self.now();
        let mut kept = self.history.lock();
        let position = kept.next(number, rule, topic, now);
        let message = Notice::at(topic, position).seal(data);
        let reached = self.deliver_sealed(topic, kind, &message, except);
        if reached.is_ok() {
            kept.keep(number, rule, topic, Message { kind, data: message }, now);
        }
        Some(reached)
    }

    /// Makes a connection a member that first gets what it has missed.
    pub(crate) fn resume(
        &self,
        conn: ConnId,
        topic: &str,
        since: Since,
        label: Option<&str>,
    ) -> Result<bool, SendError> {
        let numbered = self.history.numbered(topic).filter(|_| self.backplane.is_none());
        let Some((number, rule)) = numbered else {
            return self.enter(conn, topic, Some(Replay::unknown()), label);
        };
        let mut kept = self.history.lock();
        let replay = kept.replay(number, rule, topic, since, self.now());
        self.enter(conn, topic, Some(replay), label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let position = Position { epoch: 0xab, offset: 17 };
        assert_eq!(position.to_string(), "00000000000000ab:17");
        assert_eq!(Position::parse("00000000000000ab:17"), Some(position));
        for bad in
            ["", ":", "ab:17", "00000000000000ab", "00000000000000ab:+1", "00000000000000AB:1", "0:1:2"]
        {
            assert_eq!(Position::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn who_comes_back_gets_what_follows_or_hears_of_a_gap() {
        let at = |epoch, offset| Since::At(Position { epoch, offset });
        assert_eq!(at(1, 9).from(1, 5, 10), (10, false), "it has missed nothing");
        assert_eq!(at(1, 6).from(1, 5, 10), (7, false));
        assert_eq!(at(1, 4).from(1, 5, 10), (5, false));
        assert_eq!(at(1, 3).from(1, 5, 10), (5, true), "the message 4 is not there any more");
        assert_eq!(at(1, 10).from(1, 5, 10), (5, true), "there has been no such message");
        assert_eq!(at(2, 6).from(1, 5, 10), (5, true));
        assert_eq!(Since::Unknown.from(1, 5, 10), (5, true));
        assert_eq!(Since::Start.from(1, 5, 10), (5, false));
    }

    #[test]
    fn what_does_not_fit_is_missing_and_the_client_hears_of_it() {
        let messages =
            || vec![b"one", b"two", b"six"].into_iter().map(|data| (Kind::Text, Cow::Borrowed(&data[..])));
        let replay = || Replay {
            from: Some(Position { epoch: 1, offset: 7 }),
            gap: false,
            messages: messages().collect(),
        };
        let sent = |bytes, messages| {
            let room = Room { bytes, messages, text_only: false };
            let all = replay()
                .fit("t", room)
                .into_iter()
                .map(|(_, data)| String::from_utf8(data.into_owned()).unwrap());
            all.collect::<Vec<_>>()
        };
        let notice = |offset, gap, replay| {
            format!(
                "\x01{{\"topic\":\"t\",\"at\":\"0000000000000001:{offset}\",\"gap\":{gap},\"replay\":{replay}}}\n"
            )
        };
        let all = 2 * 3 * (3 + MAX_HEADER_BYTES);
        assert_eq!(sent(all, 6), [&*notice(7, false, 3), "one", "two", "six"]);
        assert_eq!(sent(all - 2, 6), [&*notice(8, true, 2), "two", "six"]);
        assert_eq!(sent(1_000, 2), [&*notice(9, true, 1), "six"]);
        assert_eq!(sent(0, 0), [notice(10, true, 0)]);
    }
}
