//! What hosts have the engine do with connections, in the server's own process: each goes to the mailbox of the
//! thread that has the connection, or to all of them.

use crate::children::Request;
use crate::error::SendError;
use crate::event::ConnId;
use crate::link::Shared;
use crate::mailbox::{Frame, Mailbox};
use wsengine_proto::Kind;

impl Shared {
    #[inline]
    pub(crate) fn send(&self, conn: ConnId, kind: Kind, data: &[u8]) -> Result<(), SendError> {
        self.mailbox(conn)?.send(conn, &Frame::new(kind, data))
    }

    pub(crate) fn broadcast(&self, kind: Kind, data: &[u8], except: &[ConnId]) -> Result<usize, SendError> {
        let frame = Frame::new(kind, data);
        self.links.iter().enumerate().try_fold(0, |reached, (thread, link)| {
            let except: Vec<ConnId> = except.iter().filter(|conn| conn.thread() == thread).copied().collect();
            Ok(reached + link.mailbox.broadcast(&frame, &except)?)
        })
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
            Request::Close { conn, code, reason } => self.close(conn, code, reason).map(|()| 0),
            Request::IsOpen { conn } => Ok(u64::from(self.is_open(conn))),
        }
    }

    #[inline]
    pub(crate) fn mailbox(&self, conn: ConnId) -> Result<&Mailbox, SendError> {
        self.links.get(conn.thread()).map(|link| &link.mailbox).ok_or(SendError::Gone)
    }
}
