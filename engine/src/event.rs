//! What the host is told of: the events, and the request that opened a connection.
//!
//! For one connection: \[handshake\] open (message | drain)* close, in this order, exactly one close for each open, none lost.

use crate::peer::Peer;
use http::{HeaderMap, header};
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;
use wsengine_proto::Kind;
use wsengine_proto::handshake;

/// Names a connection for the life of the server and is never given again.
///
/// The lowest bits name its I/O thread and its slot there, those above count how often the slot was used. It is
/// greater than 0 and below 2^63, so that it fits a signed 64-bit integer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(u64);

const THREAD_BITS: u32 = 3;
const SLOT_BITS: u32 = 22;
/// Most I/O threads that an id can name.
pub(crate) const MAX_THREADS: usize = 1 << THREAD_BITS;
/// Most connections of one I/O thread that an id can name.
pub(crate) const MAX_SLOTS: usize = 1 << SLOT_BITS;

impl ConnId {
    /// The id of this number; any number is allowed, of most there is no connection.
    pub const fn from_u64(id: u64) -> Self {
        ConnId(id)
    }

    /// The id as a number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    pub(crate) fn new(thread: usize, slot: u32, generation: u64) -> Self {
        let slot_and_thread = u64::from(slot) << THREAD_BITS | thread as u64;
        ConnId((generation << (SLOT_BITS + THREAD_BITS) | slot_and_thread) & (u64::MAX >> 1))
    }

    /// Its I/O thread and its slot there. Both are small, for arrays of what a host keeps for each connection: no other
    /// connection has this place from its open event to its close event, but one that comes later may.
    pub fn place(self) -> (usize, usize) {
        (self.thread(), self.slot() as usize)
    }

    pub(crate) fn thread(self) -> usize {
        (self.0 & (MAX_THREADS as u64 - 1)) as usize
    }

    pub(crate) fn slot(self) -> u32 {
        (self.0 >> THREAD_BITS) as u32 & (MAX_SLOTS as u32 - 1)
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnId({})", self.0)
    }
}

/// Something that happened. Borrows from the poller's batch: copy what is needed later.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// The connection it happened to; none for the server itself.
    pub conn: Option<ConnId>,
    /// When, since the server started.
    pub time: Duration,
    /// What happened.
    pub body: EventBody<'a>,
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum EventBody<'a> {
    /// A client asks to connect and the host decides, by [`crate::Server::accept`] or [`crate::Server::reject`]; with
    /// the option `handshake_events` only.
    Handshake(&'a Request),
    /// The opening handshake succeeded.
    Open(&'a Request),
    /// A whole message arrived.
    Message {
        /// Text (valid UTF-8) or binary.
        kind: Kind,
        /// The payload.
        data: &'a [u8],
    },
    /// The send queue, full before, is below half: sending works again.
    Drain {
        /// Messages that were dropped for this connection since it was full, by the slow-consumer policy.
        dropped: u64,
    },
    /// The connection has ended; its last event.
    Close {
        /// The code of the close frame that came first, the peer's or ours; 1005 when it had none, 1006 when
        /// there was no close frame.
        code: u16,
        /// The reason beside the code.
        reason: &'a str,
        /// Both sides sent a close frame.
        clean: bool,
    },
    /// Trouble that belongs to no connection, such as no descriptors left. The server goes on.
    Error {
        /// The system's error number, 0 if it has none.
        errno: i32,
        /// What happened, in words.
        message: &'a str,
    },
    /// The backplane is there, or is lost; only with the option `backplane`. While it is lost this node serves its own
    /// connections alone.
    Backplane {
        /// It is there.
        up: bool,
        /// It was lost before, so messages of other nodes may have been missed.
        gap: bool,
        /// Why it is lost, in words; empty when it is there.
        reason: &'a str,
    },
    /// The server has stopped; its last event.
    Stopped,
}

/// The request that opened a connection.
#[derive(Debug, Clone)]
pub struct Request {
    /// The path, percent-encoded as it came, without the query.
    pub path: String,
    /// What stood after the question mark; empty without.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// Who sent it, also when it came through trusted proxies.
    pub peer: Peer,
    /// The subprotocol that was agreed on; none yet while the host decides.
    pub subprotocol: Option<String>,
    /// Did it come by TLS?
    pub tls: bool,
}

impl Request {
    /// The page's origin as the browser tells it (RFC 6455, section 10.2; in version 8 by another header); None for
    /// clients that are no browsers.
    pub fn origin(&self) -> Option<&str> {
        let origin = self.headers.get(header::ORIGIN);
        origin.or_else(|| self.headers.get(handshake::SEC_WEBSOCKET_ORIGIN))?.to_str().ok()
    }

    /// The subprotocols that the client offers, in its order of preference.
    pub fn offered_subprotocols(&self) -> impl Iterator<Item = &str> {
        handshake::offered_subprotocols(&self.headers)
    }

    /// The value of a header, its name in any case; one that came several times is one value, as RFC 9110 5.3 joins
    /// them (RFC 6265 5.4 for cookies).
    pub fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?.as_bytes();
        let mut rest = values.peekable();
        if rest.peek().is_none() {
            return Some(Cow::Borrowed(first));
        }
        let separator: &[u8] = if name.eq_ignore_ascii_case("cookie") { b"; " } else { b", " };
        let joined =
            rest.fold(first.to_vec(), |joined, value| [&joined, separator, value.as_bytes()].concat());
        Some(Cow::Owned(joined))
    }

    /// The cookies in the order in which they came, their values as they stand there (RFC 6265, section 4.2.1), but
    /// without the quotes around one.
    pub fn cookies(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let lines = self.headers.get_all(header::COOKIE).iter();
        lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).filter_map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            let (name, value) = pair.split_at_checked(equals)?;
            let value = value.get(1..)?.trim_ascii();
            let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
            Some((name.trim_ascii(), bare.unwrap_or(value))).filter(|(name, _)| !name.is_empty())
        })
    }

    /// What it costs in an inbox, in bytes.
    pub(crate) fn cost(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 64).sum();
        size_of::<Self>() + self.path.len() + self.query.len() + headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_gives_back_what_it_was_made_of() {
        let id = ConnId::new(3, 4_000_000, 17);
        assert_eq!((id.thread(), id.slot()), (3, 4_000_000));
        assert_ne!(id, ConnId::new(3, 4_000_000, 18));
    }

    #[test]
    fn cookies_come_apart() {
        let mut headers = HeaderMap::new();
        headers.append("cookie", "a=1; b=\"two\";c==3;=x;bare; d=".parse().unwrap());
        headers.append("cookie", "a=4".parse().unwrap());
        let peer = Peer::Unix;
        let (path, query) = (String::new(), String::new());
        let request = Request { path, query, headers, peer, subprotocol: None, tls: false };
        let cookies: Vec<_> = request
            .cookies()
            .map(|(n, v)| [n, v].map(|text| String::from_utf8(text.to_vec()).unwrap()))
            .collect();
        let expected = [["a", "1"], ["b", "two"], ["c", "=3"], ["d", ""], ["a", "4"]];
        assert_eq!(cookies, expected.map(|pair| pair.map(str::to_owned)));
    }

    #[test]
    fn ids_fit_a_signed_integer() {
        let id = ConnId::new(MAX_THREADS - 1, MAX_SLOTS as u32 - 1, u64::MAX);
        assert!(i64::try_from(id.as_u64()).is_ok());
    }
}
