//! Events on their way from one I/O thread to the host.
//!
//! The I/O thread appends to a batch, the host takes the whole batch by a swap: one lock each, no copy. A batch
//! that has reached its share of `event_queue_events` or `event_queue_bytes` takes no more messages, only what
//! cannot wait: opens, closes and the like. At twice its share no more sockets are accepted.
//!
//! Where more comes than the host can take, or than the I/O thread can answer, a long queue helps nobody and makes
//! everybody wait. So those who send much fill a batch only with what each of the two does in the time that
//! [`crate::pace`] gives them.

use crate::event::{ConnId, Event, EventBody, Request};
use crate::pace::Pace;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wsengine_proto::copy::append;
use wsengine_proto::{Kind, Payload};

/// A payload that was collected in a buffer of its own is handed over with it from this size on; a smaller one is
/// copied to the others.
const OWN_BUFFER_BYTES: usize = 16 * 1024;
/// A used batch keeps as much of its buffer for the next round as those of late have needed, but this much at most.
const KEPT_BYTES: usize = 4 << 20;
/// When answers took too long, and there were none since that counted, it is forgotten after so long.
const MEMORY: Duration = Duration::from_millis(20);
/// Those who send much fill an eighth of a batch at most: the answers keep the I/O thread busy, too.
const SHARE_OF_MUCH: usize = 8;
/// The queue of one I/O thread.
pub(crate) struct Inbox {
    batch: Mutex<Batch>,
    most: Room,
    most_of_much: Room,
    /// So many commands, thus about as many answers, the I/O thread carries out in a millisecond.
    answerable: AtomicUsize,
    /// When that was last so few that it counted, in microseconds.
    slow_at: AtomicU64,
}

/// What a batch holds.
#[derive(Clone, Copy)]
struct Room {
    events: usize,
    bytes: usize,
}

impl Inbox {
    /// Half of the share is for the batch that fills, half for the one in the host's hands.
    pub(crate) fn new(event_queue_events: usize, event_queue_bytes: usize, threads: usize) -> Self {
        let [events, bytes] = [event_queue_events, event_queue_bytes].map(|most| (most / threads / 2).max(1));
        let most_of_much =
            Room { events: (events / SHARE_OF_MUCH).max(1), bytes: (bytes / SHARE_OF_MUCH).max(1) };
        Inbox {
            batch: Mutex::default(),
            most: Room { events, bytes },
            most_of_much,
            answerable: AtomicUsize::new(usize::MAX),
            slow_at: AtomicU64::new(0),
        }
    }

    /// May connections open? The events of those that come and go have to be bounded too: a host that does not poll
    /// would pay for each. They have as much room again as messages.
    pub(crate) fn has_room_to_open(&self) -> bool {
        let batch = self.lock();
        batch.records.len() < 2 * self.most.events && batch.bytes < 2 * self.most.bytes
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the batch room for one more message? If not it is marked, and taking it tells the I/O thread. Those who send
    /// much, at this `pace`, find no room where others do: what the host can take in time is theirs.
    #[inline]
    pub(crate) fn has_room(&self, batch: &mut Batch, pace: Option<&Pace>) -> bool {
        let room = self.room(batch, pace);
        batch.full |= !room;
        room
    }

    /// Would a message find room now?
    pub(crate) fn takes_from(&self, pace: Option<&Pace>) -> bool {
        self.room(&self.lock(), pace)
    }

    /// The I/O thread has carried out so many commands for single connections in this time. The dearest of late count:
    /// after them it takes some dozen cheaper batches until twice as many events are let in, or a while without any.
    pub(crate) fn answered(&self, commands: usize, taken: Duration, now: Duration) {
        let before = self.answerable.load(Ordering::Relaxed);
        let shortest = Pace::BESIDE_OTHERS.batch;
        if taken > shortest || commands >= in_time(before, shortest) / 2 {
            let more = before.saturating_add(before / 32 + 1);
            self.answerable.store(in_a_millisecond(commands, taken).min(more), Ordering::Relaxed);
            self.slow_at.store(now.as_micros() as u64, Ordering::Relaxed);
        }
    }

    /// Forgets how long answers took if that was a while ago.
    #[inline]
    pub(crate) fn forget(&self, now: Duration) {
        if self.answerable.load(Ordering::Relaxed) != usize::MAX
            && now > Duration::from_micros(self.slow_at.load(Ordering::Relaxed)) + MEMORY
        {
            self.answerable.store(usize::MAX, Ordering::Relaxed);
        }
    }

    #[inline]
    fn room(&self, batch: &Batch, pace: Option<&Pace>) -> bool {
        let is_within = |events, bytes| batch.records.len() < events && batch.bytes < bytes;
        let Some(pace) = pace else { return is_within(self.most.events, self.most.bytes) };
        let speed = batch.speed.min(self.answerable.load(Ordering::Relaxed));
        is_within(self.most_of_much.events, self.most_of_much.bytes)
            && (batch.records.len() < in_time(speed, pace.batch)
                || is_within(pace.least_events, pace.least_bytes))
    }
}

/// Events in their order, their payloads beside them.
pub(crate) struct Batch {
    records: Vec<Record>,
    /// So many events the host has dealt with in a millisecond when it had this batch before.
    speed: usize,
    /// Small payloads and close reasons, one after the other.
    arena: Vec<u8>,
    /// What of it was used of late.
    usual: usize,
    large: Vec<Vec<u8>>,
    requests: Vec<Request>,
    /// What the events cost, for the limit.
    bytes: usize,
    /// A message had to wait because of this batch.
    full: bool,
    /// Connections that want to know when the host has dealt with all that is here.
    fences: Vec<ConnId>,
}

impl Default for Batch {
    fn default() -> Self {
        Batch {
            records: Vec::new(),
            speed: usize::MAX,
            arena: Vec::new(),
            usual: 0,
            large: Vec::new(),
            requests: Vec::new(),
            bytes: 0,
            full: false,
            fences: Vec::new(),
        }
    }
}

struct Record {
    conn: u64,
    time: Duration,
    what: What,
}

/// An event without its payload.
enum What {
    Handshake { request: usize },
    Open { request: usize },
    Message { kind: Kind, at: usize, len: usize },
    LargeMessage { kind: Kind, index: usize },
    Drain { dropped: u64 },
    Close { code: u16, clean: bool, at: usize, len: usize },
    Error { errno: i32, at: usize, len: usize },
    Backplane { up: bool, gap: bool, at: usize, len: usize },
}

impl Batch {
    pub(crate) fn has_events(&self) -> bool {
        !self.records.is_empty()
    }

    /// Is there nothing for the host to take, fences included?
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.fences.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Was a message kept waiting by this batch? Asked once, when it is taken.
    pub(crate) fn was_full(&self) -> bool {
        self.full
    }

    /// Asks to tell the connection when the host has dealt with this batch.
    pub(crate) fn fence(&mut self, conn: ConnId) {
        self.fences.push(conn);
    }

    /// The connections that are to be told so now.
    pub(crate) fn take_fences(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.fences)
    }

    pub(crate) fn handshake(&mut self, conn: ConnId, time: Duration, request: Request) {
        let request = self.store_request(request);
        self.push(conn, time, What::Handshake { request });
    }

    pub(crate) fn open(&mut self, conn: ConnId, time: Duration, request: Request) {
        let request = self.store_request(request);
        self.push(conn, time, What::Open { request });
    }

    #[inline]
    pub(crate) fn message(&mut self, conn: ConnId, time: Duration, kind: Kind, payload: Payload<'_>) {
        let what = match payload {
            Payload::Owned(data) if data.len() >= OWN_BUFFER_BYTES => {
                self.bytes += data.capacity();
                self.large.push(data);
                What::LargeMessage { kind, index: self.large.len() - 1 }
            }
            payload => {
                let (at, len) = self.store(payload.as_bytes());
                What::Message { kind, at, len }
            }
        };
        self.push(conn, time, what);
    }

    pub(crate) fn drain(&mut self, conn: ConnId, time: Duration, dropped: u64) {
        self.push(conn, time, What::Drain { dropped });
    }

    pub(crate) fn close(&mut self, conn: ConnId, time: Duration, code: u16, reason: &str, clean: bool) {
        let (at, len) = self.store(reason.as_bytes());
        self.push(conn, time, What::Close { code, clean, at, len });
    }

    pub(crate) fn error(&mut self, time: Duration, errno: i32, message: &str) {
        let (at, len) = self.store(message.as_bytes());
        self.push(ConnId::from_u64(0), time, What::Error { errno, at, len });
    }

    pub(crate) fn backplane(&mut self, time: Duration, up: bool, gap: bool, reason: &str) {
        let (at, len) = self.store(reason.as_bytes());
        self.push(ConnId::from_u64(0), time, What::Backplane { up, gap, at, len });
    }

    /// The event at `index`; the host goes through a batch from 0 on.
    #[inline]
    pub(crate) fn event(&self, index: usize) -> Option<Event<'_>> {
        let record = self.records.get(index)?;
        let bytes = |at: usize, len: usize| self.arena.get(at..at + len).unwrap_or_default();
        let text = |at, len| std::str::from_utf8(bytes(at, len)).unwrap_or_default();
        let body = match record.what {
            What::Message { kind, at, len } => EventBody::Message { kind, data: bytes(at, len) },
            What::LargeMessage { kind, index } => {
                EventBody::Message { kind, data: self.large.get(index).map_or(&[], Vec::as_slice) }
            }
            What::Handshake { request } => EventBody::Handshake(self.requests.get(request)?),
            What::Open { request } => EventBody::Open(self.requests.get(request)?),
            What::Drain { dropped } => EventBody::Drain { dropped },
            What::Close { code, clean, at, len } => EventBody::Close { code, reason: text(at, len), clean },
            What::Error { errno, at, len } => EventBody::Error { errno, message: text(at, len) },
            What::Backplane { up, gap, at, len } => EventBody::Backplane { up, gap, reason: text(at, len) },
        };
        let conn = (record.conn != 0).then_some(ConnId::from_u64(record.conn));
        Some(Event { conn, time: record.time, body })
    }

    /// The host has dealt with it in this time, and more was there.
    pub(crate) fn dealt_with(&mut self, taken: Duration) {
        self.speed = in_a_millisecond(self.len(), taken);
    }

    /// Makes it ready to be filled again.
    pub(crate) fn clear(&mut self) {
        self.records.clear();
        self.usual = self.arena.len().max(self.usual - self.usual / 16).min(KEPT_BYTES);
        self.arena.clear();
        if self.arena.capacity() > KEPT_BYTES.min(8 * self.usual) {
            self.arena.shrink_to(KEPT_BYTES.min(2 * self.usual));
        }
        self.records.shrink_to(KEPT_BYTES / size_of::<Record>());
        self.large.clear();
        self.requests.clear();
        self.bytes = 0;
        self.full = false;
    }

    fn store_request(&mut self, request: Request) -> usize {
        self.bytes += request.cost();
        self.requests.push(request);
        self.requests.len() - 1
    }

    #[inline]
    fn store(&mut self, bytes: &[u8]) -> (usize, usize) {
        let at = self.arena.len();
        append(&mut self.arena, bytes);
        self.bytes += bytes.len();
        (at, bytes.len())
    }

    #[inline]
    fn push(&mut self, conn: ConnId, time: Duration, what: What) {
        self.bytes += size_of::<Record>();
        self.records.push(Record { conn: conn.as_u64(), time, what });
    }
}

/// How many can be dealt with in a millisecond if so many took so long. One always can.
fn in_a_millisecond(count: usize, taken: Duration) -> usize {
    let many = count as u128 * 1_000_000 / taken.as_nanos().max(1);
    usize::try_from(many).unwrap_or(usize::MAX).max(1)
}

/// How many it is in another time.
#[inline]
fn in_time(in_a_millisecond: usize, time: Duration) -> usize {
    in_a_millisecond.saturating_mul(time.as_micros() as usize) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONN: ConnId = ConnId::from_u64(7);
    const MUCH: Option<&Pace> = Some(&Pace::ALONE);
    const HURRIED: Option<&Pace> = Some(&Pace::BESIDE_OTHERS);

    fn text(batch: &mut Batch, text: &str) {
        batch.message(CONN, Duration::ZERO, Kind::Text, Payload::Borrowed(text.as_bytes()));
    }

    #[test]
    fn events_come_back_in_order_with_their_payloads() {
        let mut batch = Batch::default();
        text(&mut batch, "one");
        batch.message(CONN, Duration::ZERO, Kind::Binary, Payload::Owned(vec![1; OWN_BUFFER_BYTES]));
        batch.message(CONN, Duration::ZERO, Kind::Binary, Payload::Owned(vec![2; 3]));
        batch.close(CONN, Duration::ZERO, 1000, "bye", true);
        batch.error(Duration::ZERO, 24, "no descriptors");

        let data = |index| match batch.event(index).unwrap().body {
            EventBody::Message { data, .. } => data.to_vec(),
            other => panic!("{other:?}"),
        };
        assert_eq!(data(0), b"one");
        assert_eq!(data(1), vec![1; OWN_BUFFER_BYTES]);
        assert_eq!(data(2), vec![2; 3]);
        let close = batch.event(3).unwrap();
        assert_eq!(close.conn, Some(CONN));
        assert!(matches!(close.body, EventBody::Close { code: 1000, reason: "bye", clean: true }));
        let error = batch.event(4).unwrap();
        assert_eq!(error.conn, None);
        assert!(matches!(error.body, EventBody::Error { errno: 24, message: "no descriptors" }));
        assert!(batch.event(5).is_none());
    }

    #[test]
    fn a_batch_is_full_by_events_or_by_bytes_and_says_so() {
        let inbox = Inbox::new(4, 1 << 20, 1);
        let mut batch = inbox.lock();
        text(&mut batch, "one");
        assert!(inbox.has_room(&mut batch, None) && !batch.was_full());
        text(&mut batch, "two");
        assert!(!inbox.has_room(&mut batch, None) && batch.was_full());

        let inbox = Inbox::new(1_000, 2_000, 1);
        let mut batch = inbox.lock();
        text(&mut batch, &"x".repeat(2_000));
        assert!(!inbox.has_room(&mut batch, MUCH));
        batch.clear();
        assert!(inbox.has_room(&mut batch, MUCH) && !batch.was_full());
    }

    #[test]
    fn who_sends_much_fills_a_batch_with_what_can_be_answered_in_time() {
        let inbox = Inbox::new(100_000, 1 << 30, 1);
        let room = |pace| {
            let mut batch = Batch::default();
            (0..)
                .take_while(|_| {
                    let room = inbox.has_room(&mut batch, pace);
                    text(&mut batch, "");
                    room
                })
                .count()
        };
        let [ms, second] = [1, 1_000].map(Duration::from_millis);
        assert_eq!((room(None), room(MUCH)), (50_000, 6_250));
        inbox.answered(10, 10 * ms, second);
        assert_eq!(room(None), 50_000);
        assert_eq!([room(MUCH), room(HURRIED)], [64, 6], "so many always have room");
        inbox.answered(1, Duration::ZERO, second + ms);
        assert_eq!(room(MUCH), 64, "it grows slowly");
        for _ in 0..1_000 {
            inbox.answered(1_000, ms, second + ms);
        }
        assert_eq!([room(MUCH), room(HURRIED)], [500, 40]);
        inbox.forget(second + MEMORY);
        assert_eq!(room(MUCH), 500);
        inbox.forget(second + ms + MEMORY + ms);
        assert_eq!(room(MUCH), 6_250, "one slow batch is not remembered for ever");
    }
}
