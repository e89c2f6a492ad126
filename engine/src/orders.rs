//! What hosts have the engine do with connections, in the server's own process: each goes to the mailbox of the
//! thread that has the connection, or to all of them.

use crate::children::Request;
use crate::envelope::Audience;
use crate::error::SendError;
use crate::event::ConnId;
use crate::history::{Replay, Since};
use crate::link::Shared;
use crate::mailbox::{Frame, Mailbox, distinct};
use crate::notice::Notice;
use crate::presence::MAX_LABEL_BYTES;
use std::borrow::Cow;
use wsengine_proto::Kind;

/// The longest name of a topic.
pub const MAX_TOPIC_BYTES: usize = 256;

pub(crate) fn check_topic(name: &str) -> Result<(), SendError> {
    match name.len() {
        1..=MAX_TOPIC_BYTES => Ok(()),
        len => Err(SendError::BadTopic { len, max: MAX_TOPIC_BYTES }),
    }
}

impl Shared {
    /// Can this be a message at all? To be asked before the others.
    #[inline]
    pub(crate) fn check(&self, kind: Kind, data: &[u8]) -> Result<(), SendError> {
        let max = self.settings.send_queue_bytes;
        if data.len() > max {
            return Err(SendError::TooBig { len: data.len(), max });
        }
        if kind == Kind::Text && !wsengine_proto::utf8::is_valid(data) {
            return Err(SendError::NotUtf8);
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn send(&self, conn: ConnId, kind: Kind, data: &[u8]) -> Result<(), SendError> {
        self.mailbox(conn)?.send(conn, &Frame::new(kind, data, &self.buffers))
    }

    #[inline]
    pub(crate) fn broadcast(&self, kind: Kind, data: &[u8], except: &[ConnId]) -> Result<usize, SendError> {
        if self.is_plain {
            return self.deliver_to_all(kind, data, except);
        }
        self.to_audience(Audience::All, kind, data, except)
    }

    #[inline]
    pub(crate) fn publish(
        &self,
        kind: Kind,
        topic: &str,
        data: &[u8],
        except: &[ConnId],
    ) -> Result<usize, SendError> {
        if self.is_plain {
            return self.deliver_sealed(topic, kind, data, except);
        }
        self.to_audience(Audience::Topic(topic), kind, data, except)
    }

    /// By the backplane if there is one, so that it reaches other nodes as well.
    fn to_audience(
        &self,
        audience: Audience<'_>,
        kind: Kind,
        data: &[u8],
        except: &[ConnId],
    ) -> Result<usize, SendError> {
        if let Some(sent) = self.by_backplane(audience, kind, data, except) {
            return sent;
        }
        if let Audience::Topic(topic) = audience
            && let Some(sent) = self.publish_kept(topic, kind, data, except)
        {
            return sent;
        }
        self.deliver(audience, kind, data, except)
    }

    /// Does the engine tell the members of a topic more than is published? Then all that they get there is an envelope:
    /// nobody can pass a message for its word.
    #[inline]
    pub(crate) fn tells_more(&self, topic: &str) -> bool {
        self.history.rule(topic).is_some() || self.presence.has(topic)
    }

    /// Gives a message to this node's own connections, and says to how many.
    pub(crate) fn deliver(
        &self,
        audience: Audience<'_>,
        kind: Kind,
        data: &[u8],
        except: &[ConnId],
    ) -> Result<usize, SendError> {
        match audience {
            Audience::Topic(topic) if self.tells_more(topic) => {
                self.deliver_sealed(topic, kind, &Notice::plain(topic).seal(data), except)
            }
            Audience::Topic(topic) => self.deliver_sealed(topic, kind, data, except),
            Audience::All => self.deliver_to_all(kind, data, except),
            Audience::Conn(conn) if except.contains(&conn) => Ok(0),
            Audience::Conn(conn) => match self.send(conn, kind, data) {
                Ok(()) => Ok(1),
                // It is not there: nobody was reached.
                Err(SendError::Gone) => Ok(0),
                Err(error) => Err(error),
            },
        }
    }

    #[inline]
    fn deliver_to_all(&self, kind: Kind, data: &[u8], except: &[ConnId]) -> Result<usize, SendError> {
        let frame = Frame::new(kind, data, &self.buffers);
        self.to_many(|mailbox| mailbox.broadcast(&frame, except))
    }

    /// Gives the members of a topic what is ready for them.
    #[inline]
    pub(crate) fn deliver_sealed(
        &self,
        topic: &str,
        kind: Kind,
        data: &[u8],
        except: &[ConnId],
    ) -> Result<usize, SendError> {
        let frame = Frame::new(kind, data, &self.buffers);
        self.to_many(|mailbox| mailbox.send_to_topic(topic, &frame, except))
    }

    /// Gives a message to those of `to` alone who are of its audience, and says for how many it was queued.
    pub(crate) fn deliver_to(
        &self,
        audience: Audience<'_>,
        kind: Kind,
        data: &[u8],
        to: &[ConnId],
    ) -> Result<usize, SendError> {
        let data = match audience {
            Audience::Topic(topic) if self.tells_more(topic) => Cow::Owned(Notice::plain(topic).seal(data)),
            _ => Cow::Borrowed(data),
        };
        let frame = Frame::new(kind, &data, &self.buffers);
        let mut reached = 0;
        for conn in distinct(to.to_vec()) {
            let Ok(mailbox) = self.mailbox(conn) else { continue };
            let is_meant = match audience {
                Audience::All => true,
                Audience::Topic(topic) => mailbox.is_member(conn, topic) == Ok(true),
                Audience::Conn(one) => one == conn,
            };
            match if is_meant { mailbox.send(conn, &frame) } else { Err(SendError::Gone) } {
                Ok(()) => reached += 1,
                Err(SendError::Stopped) => return Err(SendError::Stopped),
                // Like a broadcast it goes on to the others.
                Err(_) => {}
            }
        }
        Ok(reached)
    }

    /// How many of this node's connections a message would be for.
    pub(crate) fn reach(
        &self,
        audience: Audience<'_>,
        kind: Kind,
        except: &[ConnId],
    ) -> Result<usize, SendError> {
        let is_binary = kind == Kind::Binary;
        match audience {
            Audience::All => self.to_many(|mailbox| mailbox.reach_of_broadcast(is_binary, except)),
            Audience::Topic(topic) => {
                self.to_many(|mailbox| mailbox.reach_of_topic(topic, is_binary, except))
            }
            Audience::Conn(conn) => Ok(usize::from(self.is_open(conn) && !except.contains(&conn))),
        }
    }

    pub(crate) fn subscribe(&self, conn: ConnId, topic: &str) -> Result<bool, SendError> {
        if self.is_coming(conn, topic, None) {
            return Ok(false);
        }
        let is_new = self.mailbox(conn)?.subscribe(conn, topic)?;
        if let Some(backplane) = self.backplane.as_ref().filter(|_| is_new) {
            backplane.ring();
        }
        Ok(is_new)
    }

    /// Can it be subscribed so?
    pub(crate) fn check_subscription(
        &self,
        topic: &str,
        since: Option<&str>,
        label: Option<&str>,
    ) -> Result<(), SendError> {
        check_topic(topic)?;
        if since.is_some() && self.history.rule(topic).is_none() {
            return Err(SendError::NoHistory);
        }
        match label.map(str::len) {
            Some(_) if !self.presence.has(topic) => Err(SendError::NoPresence),
            Some(len) if len > MAX_LABEL_BYTES => Err(SendError::BadLabel { len, max: MAX_LABEL_BYTES }),
            _ => Ok(()),
        }
    }

    /// As [`Shared::subscribe`], for a client that has got as far as `since` and is shown to others by a `label`.
    pub(crate) fn subscribe_with(
        &self,
        conn: ConnId,
        topic: &str,
        since: Option<&str>,
        label: Option<&str>,
    ) -> Result<bool, SendError> {
        let Some(since) = since.map(Since::parse) else {
            let is_coming = self.is_coming(conn, topic, label);
            return if is_coming { Ok(false) } else { self.enter(conn, topic, None, label) };
        };
        let resumed = self.resume_by_backplane(conn, topic, since, label);
        resumed.unwrap_or_else(|| self.resume(conn, topic, since, label))
    }

    /// Makes a connection a member that first gets what it has missed, and who is there.
    pub(crate) fn enter(
        &self,
        conn: ConnId,
        topic: &str,
        replay: Option<Replay<'_>>,
        label: Option<&str>,
    ) -> Result<bool, SendError> {
        let mailbox = self.mailbox(conn)?;
        let enter = |people: Option<&[u8]>, is_labelled| {
            mailbox.subscribe_after(conn, topic, is_labelled, &self.buffers, |room| {
                let mut first = replay.map_or_else(Vec::new, |replay| replay.fit(topic, room));
                first.extend(people.map(|people| (Kind::Text, Cow::Borrowed(people))));
                first
            })
        };
        let is_new = match label {
            None => enter(None, false)?,
            Some(label) => self.presence.join(conn, topic, label, |people| {
                let is_new = enter(Some(&people), !label.is_empty())?;
                if !is_new {
                    self.send(conn, Kind::Text, &people)?;
                }
                Ok(is_new)
            })?,
        };
        if let Some(backplane) = self.backplane.as_ref().filter(|_| is_new) {
            backplane.ring();
        }
        Ok(is_new)
    }

    pub(crate) fn unsubscribe(&self, conn: ConnId, topic: &str) -> Result<bool, SendError> {
        let has_waited = self.forget_resume(conn, topic);
        let mailbox = self.mailbox(conn)?;
        let was_member = match self.presence.has(topic) {
            true => self.presence.leave(conn, topic, || mailbox.unsubscribe(conn, topic))?,
            false => mailbox.unsubscribe(conn, topic)?,
        };
        Ok(has_waited || was_member)
    }

    /// How many of this node's connections a topic has.
    pub(crate) fn members(&self, topic: &str) -> Result<usize, SendError> {
        self.reach(Audience::Topic(topic), Kind::Text, &[])
    }

    pub(crate) fn close(&self, conn: ConnId, code: u16, reason: &str) -> Result<(), SendError> {
        self.mailbox(conn)?.close(conn, code, reason)
    }

    pub(crate) fn is_open(&self, conn: ConnId) -> bool {
        self.mailbox(conn).is_ok_and(|mailbox| mailbox.waiting(conn).is_some())
    }

    /// What a forked child asks for.
    pub(crate) fn carry_out(&self, request: &Request<'_>) -> Result<u64, SendError> {
        match *request {
            Request::Send { conn, kind, data } => self.send(conn, kind, data).map(|()| 0),
            Request::Broadcast { kind, data, except } => {
                self.broadcast(kind, data, except).map(|reached| reached as u64)
            }
            Request::Publish { kind, topic, data, except } => {
                self.publish(kind, topic, data, except).map(|reached| reached as u64)
            }
            Request::Subscribe { conn, topic, since, label } => match (since, label) {
                (None, None) => self.subscribe(conn, topic),
                _ => self.subscribe_with(conn, topic, since, label),
            }
            .map(u64::from),
            Request::Unsubscribe { conn, topic } => self.unsubscribe(conn, topic).map(u64::from),
            Request::Members { topic } => self.members(topic).map(|members| members as u64),
            Request::Close { conn, code, reason } => self.close(conn, code, reason).map(|()| 0),
            Request::IsOpen { conn } => Ok(u64::from(self.is_open(conn))),
        }
    }

    /// Appends something to the mailbox of each thread, and sums up whom it reaches.
    #[inline]
    fn to_many(&self, append: impl Fn(&Mailbox) -> Result<usize, SendError>) -> Result<usize, SendError> {
        self.links.iter().try_fold(0, |reached, link| Ok(reached + append(&link.mailbox)?))
    }

    #[inline]
    pub(crate) fn mailbox(&self, conn: ConnId) -> Result<&Mailbox, SendError> {
        self.links.get(conn.thread()).map(|link| &link.mailbox).ok_or(SendError::Gone)
    }
}
