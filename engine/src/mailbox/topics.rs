//! Topics as hosts see them: the names, and who is subscribed to what, so that each call knows what it has
//! done and whom it reaches.
//!
//! To the I/O thread a topic is a number. The thread has the members of each (`crate::topics`) and follows
//! what is done here by the commands, in their order.

use super::{Frame, Inner, Mailbox, Reach, Room, Target, Waiting, What, left_out};
use crate::backplane::News;
use crate::buffers::Buffers;
use crate::error::SendError;
use crate::event::ConnId;
use crate::presence::Gone;
use crate::sip::Keys;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use wsengine_proto::Kind;

/// Changes of topics alone wake the I/O thread when so much lies in its mailbox: each would cost a system
/// call.
const WAKE_BYTES: usize = 64 * 1024;

/// The topics of one I/O thread.
#[derive(Default)]
pub(super) struct Topics {
    named: HashMap<Arc<str>, Topic, Keys>,
    /// The names by number; None while a number is free.
    names: Vec<Option<Arc<str>>>,
    /// Numbers that no topic has.
    free: Vec<u32>,
    /// The numbers of each connection's topics, in ascending order. One without topics has no entry.
    of: HashMap<ConnId, Vec<u32>>,
    subscriptions: usize,
    /// Which have come and gone, if somebody asks for it.
    news: Option<News>,
    /// Connections of which somebody wants to know when they are open no more, and where that is said.
    labelled: HashSet<ConnId>,
    gone: Option<Arc<Gone>>,
}

/// Beside its name: what a message asks for is in one place.
#[derive(Clone, Copy)]
struct Topic {
    number: u32,
    members: Reach,
}

impl Mailbox {
    /// Makes a connection a member of a topic. False: it was one before.
    pub(crate) fn subscribe(&self, conn: ConnId, name: &str) -> Result<bool, SendError> {
        let change = |topics: &mut Topics, text_only| topics.subscribe(conn, text_only, name);
        self.change(conn, What::Subscribe(conn), change)
    }

    /// The same for one that first gets what `first` makes of the room there is for it; more than that is for the caller to
    /// answer for. `first` is not asked for one that was a member before. `is_labelled`: its end is of interest.
    pub(crate) fn subscribe_after<'a>(
        &self,
        conn: ConnId,
        name: &str,
        is_labelled: bool,
        buffers: &Buffers,
        first: impl FnOnce(Room) -> Vec<(Kind, Cow<'a, [u8]>)>,
    ) -> Result<bool, SendError> {
        let mut guard = self.lock_with_room();
        let inner = &mut *guard;
        if inner.stopping {
            return Err(SendError::Stopped);
        }
        let slot = inner.slots.get_mut(conn.slot() as usize).filter(|slot| slot.has(conn));
        let Some(slot) = slot else { return Err(SendError::Gone) };
        if is_labelled {
            inner.topics.labelled.insert(conn);
        }
        let Some(topic) = inner.topics.subscribe(conn, slot.text_only, name) else { return Ok(false) };
        let waiting = slot.waiting(inner.done);
        let room = Room {
            bytes: self.caps.bytes.saturating_sub(waiting.bytes),
            messages: self.caps.messages.saturating_sub(waiting.messages),
            text_only: slot.text_only,
        };
        for (kind, data) in first(room) {
            let frame = Frame::new(kind, &data, buffers);
            slot.note(inner.batch, Waiting { bytes: frame.wire_len(), messages: 1 });
            inner.commands.push_frame(Target::One(conn), &frame, 1);
        }
        inner.commands.push_change(topic, What::Subscribe(conn));
        drop(guard);
        self.wake();
        Ok(true)
    }

    pub(crate) fn is_member(&self, conn: ConnId, name: &str) -> Result<bool, SendError> {
        let inner = self.lock();
        if inner.stopping {
            return Err(SendError::Stopped);
        }
        if !inner.is_open(conn) {
            return Err(SendError::Gone);
        }
        Ok(inner.topics.find(name).is_some_and(|topic| inner.is_member(conn, topic.number)))
    }

    /// Ends a membership. False: there was none.
    pub(crate) fn unsubscribe(&self, conn: ConnId, name: &str) -> Result<bool, SendError> {
        let change = |topics: &mut Topics, text_only| topics.unsubscribe(conn, text_only, name);
        self.change(conn, What::Unsubscribe(conn), change)
    }

    /// Changes the topics of an open connection, and tells its thread if that made a difference.
    fn change(
        &self,
        conn: ConnId,
        what: What,
        change: impl FnOnce(&mut Topics, bool) -> Option<u32>,
    ) -> Result<bool, SendError> {
        let mut guard = self.lock_with_room();
        let inner = &mut *guard;
        if inner.stopping {
            return Err(SendError::Stopped);
        }
        let slot = inner.slots.get(conn.slot() as usize).filter(|slot| slot.has(conn));
        let Some(slot) = slot else { return Err(SendError::Gone) };
        let Some(topic) = change(&mut inner.topics, slot.text_only) else { return Ok(false) };
        inner.commands.push_change(topic, what);
        // The thread sees it before whatever comes after it, which is soon enough.
        let many = inner.commands.bytes >= WAKE_BYTES;
        drop(guard);
        if many {
            self.wake();
        }
        Ok(true)
    }

    /// Queues a frame for the members of a topic but `except`.
    pub(crate) fn send_to_topic(
        &self,
        name: &str,
        frame: &Frame<'_>,
        except: &[ConnId],
    ) -> Result<usize, SendError> {
        let inner = self.lock_with_room();
        if inner.stopping {
            return Err(SendError::Stopped);
        }
        let Some(Topic { number, members }) = inner.topics.find(name) else { return Ok(0) };
        let left_out = left_out(except, |conn| inner.is_member(conn, number));
        let target = |except| Target::Topic { topic: number, except };
        Ok(self.push_to_many(inner, frame, members, left_out, target))
    }

    /// How many connections a message to a topic would be for.
    pub(crate) fn reach_of_topic(
        &self,
        name: &str,
        is_binary: bool,
        except: &[ConnId],
    ) -> Result<usize, SendError> {
        let inner = self.lock();
        if inner.stopping {
            return Err(SendError::Stopped);
        }
        let Some(Topic { number, members }) = inner.topics.find(name) else { return Ok(0) };
        let left_out = left_out(except, |conn| inner.is_member(conn, number));
        Ok(inner.reached(members, is_binary, &left_out))
    }

    /// Which topics have come and gone since this was asked last.
    pub(crate) fn take_news(&self) -> News {
        self.lock().topics.news.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// All memberships of open connections.
    pub(crate) fn subscriptions(&self) -> usize {
        self.lock().topics.subscriptions
    }
}

impl Inner {
    /// Asked with those of other threads, too, which are none of ours: that is quickly seen.
    fn is_member(&self, conn: ConnId, topic: u32) -> bool {
        self.is_open(conn) && self.topics.is_member(conn, topic)
    }

    /// A connection that is open no more is a member of nothing.
    pub(super) fn leave_topics(&mut self, conn: ConnId, text_only: bool) {
        for topic in self.topics.of.remove(&conn).unwrap_or_default() {
            self.topics.leave(topic, text_only);
        }
        if self.topics.labelled.remove(&conn)
            && let Some(gone) = &self.topics.gone
        {
            gone.note(conn);
        }
    }
}

impl Topics {
    pub(super) fn new(has_news: bool, gone: Option<Arc<Gone>>) -> Self {
        Topics { news: has_news.then(News::default), gone, ..Topics::default() }
    }

    /// A topic that has members.
    #[inline]
    fn find(&self, name: &str) -> Option<Topic> {
        self.named.get(name).copied()
    }

    fn is_member(&self, conn: ConnId, topic: u32) -> bool {
        self.of.get(&conn).is_some_and(|topics| topics.binary_search(&topic).is_ok())
    }

    /// The topic's number, or None if the connection was a member before.
    fn subscribe(&mut self, conn: ConnId, text_only: bool, name: &str) -> Option<u32> {
        if !self.named.contains_key(name) {
            self.create(name);
        }
        let Topic { number, members } = self.named.get_mut(name)?;
        let topics = self.of.entry(conn).or_default();
        let Err(place) = topics.binary_search(number) else { return None };
        topics.insert(place, *number);
        self.subscriptions += 1;
        members.all += 1;
        members.text_only += u32::from(text_only);
        Some(*number)
    }

    /// The topic's number, or None if the connection was no member.
    fn unsubscribe(&mut self, conn: ConnId, text_only: bool, name: &str) -> Option<u32> {
        let number = self.find(name)?.number;
        let topics = self.of.get_mut(&conn)?;
        topics.remove(topics.binary_search(&number).ok()?);
        if topics.is_empty() {
            self.of.remove(&conn);
        }
        self.leave(number, text_only);
        Some(number)
    }

    /// A topic that is about to have its first member.
    fn create(&mut self, name: &str) {
        let number = self.free.pop().unwrap_or_else(|| {
            self.names.push(None);
            self.names.len() as u32 - 1
        });
        let name: Arc<str> = name.into();
        if let Some(place) = self.names.get_mut(number as usize) {
            *place = Some(name.clone());
        }
        if let Some(news) = &mut self.news {
            news.created(&name);
        }
        self.named.insert(name, Topic { number, members: Reach::default() });
    }

    /// A topic has a member less, and is forgotten with the last one.
    fn leave(&mut self, number: u32, text_only: bool) {
        let Some(place) = self.names.get_mut(number as usize) else { return };
        let Some(Topic { members, .. }) = place.as_ref().and_then(|name| self.named.get_mut(name)) else {
            return;
        };
        self.subscriptions -= 1;
        members.all -= 1;
        members.text_only -= u32::from(text_only);
        if members.all == 0
            && let Some(name) = place.take()
        {
            self.named.remove(&name);
            self.free.push(number);
            if let Some(news) = &mut self.news {
                news.ended(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
