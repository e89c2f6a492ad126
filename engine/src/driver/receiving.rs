//! What a connection receives: bytes from its socket, or from what TLS makes of it, through the protocol to the inbox.

use super::{Conn, Phase, Turn};
use crate::encoding::Encoding;
use crate::event::ConnId;
use crate::hub::{self, Hub};
use crate::inbox::{Batch, Inbox};
use crate::pace::Pace;
use crate::stream::InVain;
use std::io;
use std::sync::MutexGuard;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::ReadBuf;
use wsengine_proto::copy::append;
use wsengine_proto::{Kind, Payload, Sink};

/// What a message costs besides its payload, in bytes that could be read and written meanwhile.
const MESSAGE_COST: usize = 256;
/// What a frame costs that ends no message, though it may be empty.
const FRAME_COST: usize = 24;
/// What a record of TLS costs that gives no data.
const RECORD_COST: usize = 512;
/// While the inbox is full reads are this small: control frames are still answered, and a connection keeps at
/// most so much that it cannot deliver.
const READ_BYTES_WHEN_FULL: usize = 4 * 1024;
/// How much more work compressed messages are than others; so are the answers to them.
const WEIGHT_OF_DEFLATE: usize = 8;

impl Conn {
    /// One read into the buffer that all connections of the thread share.
    pub(super) fn read(&mut self, hub: &mut Hub, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<()> {
        let mut buffer = std::mem::take(&mut hub.read_buffer);
        let is_full = hub.is_paused() && !hub.link().inbox.takes_from(hub.pace_of(self.id.slot()));
        let most = if is_full { READ_BYTES_WHEN_FULL } else { buffer.len() };
        let window = turn.share.min(most);
        let mut read = ReadBuf::new(buffer.get_mut(..window).unwrap_or_default());
        let (outcome, in_vain) = self.stream.poll_data(cx, &mut read);
        self.count_vain(hub, &outcome, in_vain, turn);
        match &outcome {
            Poll::Pending => {}
            Poll::Ready(Ok(())) if !read.filled().is_empty() => self.receive(hub, read.filled_mut(), turn),
            Poll::Ready(_) => self.protocol.end_of_stream(),
        }
        hub.read_buffer = buffer;
        outcome.map(|_| ())
    }

    /// Counts what a read has done for nothing.
    #[inline]
    pub(super) fn count_vain<T>(
        &self,
        hub: &mut Hub,
        outcome: &Poll<io::Result<T>>,
        in_vain: InVain,
        turn: &mut Turn,
    ) {
        let work = RECORD_COST * in_vain.records;
        turn.has_read |= in_vain.has_read;
        turn.has_stopped = outcome.is_pending() && self.stream.has_stopped();
        turn.work += work;
        hub.worked(work);
    }

    /// Hands bytes to the protocol, its messages to the inbox, its replies to the socket.
    pub(super) fn receive(&mut self, hub: &mut Hub, bytes: &mut [u8], turn: &mut Turn) {
        #[cfg(test)]
        super::tests::panic_if_asked(bytes);
        let mut replies = std::mem::take(&mut hub.replies);
        let mut scratch = std::mem::take(&mut hub.scratch);
        let weight = self.weight();
        let shared = &hub.shared;
        let link = hub.link();
        let mut delivery = Delivery {
            inbox: &link.inbox,
            batch: None,
            conn: self.id,
            now: hub.now,
            frames: 0,
            messages: 0,
            bytes: 0,
            weight,
            pace: hub.pace_of(self.id.slot()),
            // Twice what is read: so much are small messages, and those of one read are better not parted. Where they are
            // compressed the answers to so many would take too long.
            most: if weight == 1 { 2 * turn.left() } else { turn.left() },
        };
        let limits = &shared.settings.limits;
        let progress =
            self.protocol.receive(hub.now, limits, bytes, &mut replies, &mut scratch, &mut delivery);
        let Delivery { messages, bytes: payload, .. } = delivery;
        let has_turn = delivery.has_turn();
        let work = delivery.cost().max(weight * progress.consumed);
        drop(delivery);
        if messages > 0 {
            (self.has_spoken, self.speaks) = (true, true);
            link.counters.messages_in.add(messages as u64);
            link.counters.bytes_in.add(payload as u64);
            match hub.is_in_line(self.id.slot()) {
                true => hub.announce(),
                false => hub.announce_promptly(),
            }
        }
        debug_assert!(!progress.blocked || progress.consumed < bytes.len(), "it would never go on");
        turn.work += work;
        turn.has_read |= !progress.blocked;
        turn.has_message |= messages > 0;
        hub.worked(work);
        if progress.blocked {
            self.leftover.clear();
            append(&mut self.leftover, bytes.get(progress.consumed..).unwrap_or_default());
            // At the end of its turn it goes on by itself.
            if has_turn {
                self.paused = true;
                hub.pause(self.id.slot());
                // The host may be asleep with a full inbox that it was never told of.
                hub.announce();
            }
        }
        if self.has_spoken && !replies.is_empty() && self.is_breach() {
            self.hold(hub, &replies);
            replies.clear();
        } else {
            self.send_control(hub, &mut replies);
        }
        hub.replies = replies;
        hub.scratch = scratch;
    }

    /// What its turns are.
    pub(super) fn load(&self) -> hub::Load {
        let is_compressed = matches!(self.encoding, Encoding::Deflate(_));
        // To free what is discarded takes the system as long.
        let is_heavy = is_compressed || matches!(self.phase, Phase::Lingering { .. } | Phase::Over);
        if is_heavy { hub::Load::Heavy } else { hub::Load::Light }
    }

    /// How much work its messages are.
    fn weight(&self) -> usize {
        if matches!(self.encoding, Encoding::Deflate(_)) { WEIGHT_OF_DEFLATE } else { 1 }
    }
}

/// Brings the messages of one read to the inbox under one lock.
struct Delivery<'a> {
    inbox: &'a Inbox,
    batch: Option<MutexGuard<'a, Batch>>,
    conn: ConnId,
    now: Duration,
    frames: usize,
    messages: usize,
    bytes: usize,
    weight: usize,
    /// If it stands in line.
    pace: Option<&'static Pace>,
    /// Other connections have their turn when what came has cost so much.
    most: usize,
}

impl Delivery<'_> {
    #[inline]
    fn cost(&self) -> usize {
        let fragments = self.frames.saturating_sub(self.messages);
        self.weight * (self.bytes + self.messages * MESSAGE_COST) + fragments * FRAME_COST
    }

    /// May it go on for now? A kilobyte on the wire may be a hundred messages, or become a megabyte.
    #[inline]
    fn has_turn(&self) -> bool {
        self.cost() < self.most
    }

    #[inline]
    fn is_room_there(&mut self) -> bool {
        let has_turn = self.has_turn();
        let batch = self.batch.get_or_insert_with(|| self.inbox.lock());
        has_turn && self.inbox.has_room(batch, self.pace)
    }
}

impl Sink for Delivery<'_> {
    #[inline]
    fn has_room(&mut self) -> bool {
        let has_room = self.is_room_there();
        // One that has to wait was no work: its peer would be held for one who sends little.
        self.frames += usize::from(has_room);
        has_room
    }

    fn has_room_at_end(&mut self) -> bool {
        let has_room = self.is_room_there();
        // Until it is inflated the host is let in. Nobody else takes room, and another batch is an empty one.
        self.batch = None;
        has_room
    }

    #[inline]
    fn message(&mut self, kind: Kind, payload: Payload<'_>) {
        self.messages += 1;
        self.bytes += payload.as_bytes().len();
        let batch = self.batch.get_or_insert_with(|| self.inbox.lock());
        batch.message(self.conn, self.now, kind, payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(inbox: &Inbox, weight: usize) -> Delivery<'_> {
        let conn = ConnId::from_u64(1);
        let (batch, pace, now, most) = (None, None, Duration::ZERO, 10 * FRAME_COST);
        Delivery { inbox, batch, conn, now, frames: 0, messages: 0, bytes: 0, weight, pace, most }
    }

    #[test]
    fn a_frame_counts_though_it_is_empty() {
        let inbox = Inbox::new(100, 100_000, 1);
        let mut flood = delivery(&inbox, 1);
        let taken = (0..100).filter(|_| flood.has_room()).count();
        assert_eq!((taken, flood.cost()), (10, 10 * FRAME_COST), "and then others have their turn");
        let mut message = delivery(&inbox, 1);
        drop(flood);
        assert!(message.has_room());
        message.message(Kind::Text, Payload::Borrowed(b"12345"));
        assert_eq!(message.cost(), MESSAGE_COST + 5, "its frame is in that");
    }

    /// Or its peer was held for one who sends little, with 200 that flood the server.
    #[test]
    fn a_frame_that_has_to_wait_is_no_work() {
        let inbox = Inbox::new(2, 100_000, 1);
        inbox.lock().message(ConnId::from_u64(1), Duration::ZERO, Kind::Text, Payload::Borrowed(b""));
        let mut delivery = delivery(&inbox, 1);
        assert!(!delivery.has_room());
        assert_eq!(delivery.cost(), 0);
    }
}
