//! What a connection sends: written directly where the socket takes it, else queued under the caps.

use super::{Conn, Phase};
use crate::config::SlowConsumer;
use crate::deliver::{self, Piece};
use crate::hub::Hub;
use crate::mailbox::{Commands, Relief, What};
use crate::stream::Stream;
use bytes::Bytes;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::AsyncWrite;
use wsengine_proto::State;
use wsengine_proto::close::code;

/// Frames per write from the outbox.
const SLICES: usize = 64;

impl Conn {
    /// Carries out commands of the host: messages in `frames`, already joined to `pieces`, and perhaps an ending.
    #[inline]
    pub(crate) fn carry_out(&mut self, hub: &mut Hub, commands: &Commands, frames: &[u32], pieces: &[Piece]) {
        let last = frames.last().and_then(|&last| commands.list.get(last as usize));
        let ending = last.map(|command| &command.what).filter(|what| what.is_ending());
        let frames = frames.get(..frames.len() - usize::from(ending.is_some())).unwrap_or_default();
        let is_unfinished = !frames.is_empty() && self.unfinished.is_some();
        if is_unfinished {
            // It may be the end of this connection that there is no room for it.
            self.finish(hub);
        }
        let holding = matches!(self.phase, Phase::Holding { .. });
        if *self.protocol.state() != State::Open && !holding {
            // A close frame is the last thing we send; the host hears of the end by its event.
            if let Some(What::Abort) = ending {
                self.cut(hub, code::ABNORMAL, "");
            }
            return;
        }
        if !frames.is_empty() {
            self.send_messages(hub, commands, frames, pieces);
        }
        if is_unfinished {
            self.tell_room(hub);
        }
        if holding && ending.is_some() {
            return self.release(hub);
        }
        match ending {
            Some(What::Close { code, reason }) => {
                let reason = std::str::from_utf8(commands.bytes(reason)).unwrap_or_default();
                self.close(hub, *code, reason);
            }
            Some(What::Abort) => self.cut(hub, code::ABNORMAL, ""),
            _ => {}
        }
    }

    #[inline]
    fn send_messages(&mut self, hub: &mut Hub, commands: &Commands, frames: &[u32], pieces: &[Piece]) {
        if self.encoding.changes(commands, frames, hub.shared.settings.compression_threshold_bytes) {
            return self.send_encoded(hub, commands, frames);
        }
        let bytes: usize = pieces.iter().map(|piece| commands.piece_len(piece)).sum();
        let write = |stream: &mut Stream, waker: &Waker| deliver::write(stream, waker, commands, pieces);
        let Some(written) = self.write_now(write) else { return };
        if written == bytes {
            return self.count_sent(hub, frames.len(), bytes);
        }
        let frames = frames.iter().filter_map(|&frame| commands.list.get(frame as usize));
        let frames = frames.map(|command| {
            let len = commands.frame_bytes(&command.what).len();
            (len, || commands.frame(&command.what))
        });
        self.queue_messages(hub, frames, written);
    }

    /// The same for a connection whose messages do not go out as they lie in the mailbox.
    fn send_encoded(&mut self, hub: &mut Hub, commands: &Commands, frames: &[u32]) {
        if self.take_for_turns(hub, commands, frames) {
            return;
        }
        let threshold = hub.shared.settings.compression_threshold_bytes;
        let mut encoded = Vec::with_capacity(frames.len());
        for &index in frames {
            let frame = hub.encoder.encode(&mut self.encoding, commands, index, threshold);
            match frame.is_empty() {
                false => encoded.push(frame),
                true => hub.link().counters.messages_dropped.add(1),
            }
        }
        self.send_frames(hub, encoded);
    }

    /// Sends what is encoded.
    pub(super) fn send_frames(&mut self, hub: &mut Hub, frames: Vec<Bytes>) {
        let bytes: usize = frames.iter().map(Bytes::len).sum();
        let write = |stream: &mut Stream, waker: &Waker| deliver::write_frames(stream, waker, &frames);
        let Some(written) = self.write_now(write) else { return };
        if written == bytes {
            return self.count_sent(hub, frames.len(), bytes);
        }
        let frames = frames.into_iter().map(|frame| (frame.len(), || frame));
        self.queue_messages(hub, frames, written);
    }

    /// Writes unless something waits already, and says how many bytes the socket took. None: it is broken.
    #[inline]
    fn write_now(&mut self, write: impl FnOnce(&mut Stream, &Waker) -> io::Result<usize>) -> Option<usize> {
        if self.has_unsent() {
            return Some(0);
        }
        match write(&mut self.stream, &self.waker) {
            Ok(taken) => Some(taken),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(0),
            Err(_) => {
                self.broken();
                None
            }
        }
    }

    /// Puts what the socket has not taken into the outbox: `written` bytes of these frames are on their way. Each
    /// comes with its length, and how to get it.
    #[cold]
    fn queue_messages<F: FnOnce() -> Bytes>(
        &mut self,
        hub: &mut Hub,
        frames: impl Iterator<Item = (usize, F)>,
        mut written: usize,
    ) {
        if self.outbox.queue.is_empty() {
            self.progress = hub.now;
        }
        let (mut messages, mut bytes) = (0, 0);
        for (len, frame) in frames {
            if written >= len {
                written -= len;
                messages += 1;
                bytes += len;
                continue;
            }
            let begun = std::mem::take(&mut written);
            let fits = begun > 0 || self.has_room(hub, len);
            if !fits && !self.is_spared(hub, len) && !self.make_room(hub, len) {
                if *self.protocol.state() != State::Open {
                    break;
                }
                continue;
            }
            self.outbox.queue.push_message(frame(), begun);
            messages += 1;
            bytes += len;
        }
        self.count_sent(hub, messages, bytes);
        self.publish(hub);
        self.schedule(hub);
        self.wake();
    }

    /// Does anything wait that the peer should have had?
    #[inline]
    pub(super) fn has_unsent(&self) -> bool {
        !self.outbox.queue.is_empty() || (self.stream.holds_back() && !self.is_broken)
    }

    /// Does a frame of `len` bytes fit the queue, and that the sum of all?
    fn has_room(&self, hub: &Hub, len: usize) -> bool {
        self.has_own_room(hub, len) && hub.queues_have_room(self.unpublished() + len)
    }

    fn has_own_room(&self, hub: &Hub, len: usize) -> bool {
        let settings = &hub.shared.settings;
        let waiting = self.outbox.queue.waiting();
        let fits = waiting.bytes == 0 || waiting.bytes + len <= settings.send_queue_bytes;
        fits && waiting.messages < settings.send_queue_messages
    }

    /// What lies in the outbox and is not in the sum of all queues yet.
    fn unpublished(&self) -> usize {
        self.outbox.queue.waiting().bytes.saturating_sub(self.outbox.published.bytes)
    }

    /// Bytes that wait in the outbox.
    pub(crate) fn queued(&self) -> usize {
        self.outbox.queue.waiting().bytes
    }

    /// All queues together are too large and this one is the largest: what waits here is given up by the slow-consumer
    /// policy.
    #[cold]
    pub(crate) fn give_way(&mut self, hub: &mut Hub) {
        if *self.protocol.state() != State::Open {
            // It was closed before, and what is left of its queue is on its way out too slowly.
            self.outbox.queue = Default::default();
            self.publish(hub);
            return self.cut(hub, code::ABNORMAL, "");
        }
        let dropped = self.outbox.queue.drop_messages() + u64::from(self.unfinished.take().is_some());
        self.encoding.forget_context();
        match hub.shared.settings.slow_consumer {
            SlowConsumer::Close => self.close_for_slowness(hub),
            policy => hub.log_full_queue(self.id, policy),
        }
        self.note_dropped(hub, dropped);
        self.publish(hub);
        self.tell_drain(hub);
    }

    fn close_for_slowness(&mut self, hub: &mut Hub) {
        hub.link().counters.slow_closed.add(1);
        hub.log_fault(self.id, code::TRY_AGAIN, "the connection reads too slowly");
        self.close(hub, code::TRY_AGAIN, "the connection reads too slowly");
    }

    fn note_dropped(&mut self, hub: &Hub, dropped: u64) {
        hub.link().counters.messages_dropped.add(dropped);
        self.dropped += dropped;
        self.drain_wanted = true;
    }

    /// Where all queues together are too large, larger ones than this one go first. True: it fits now.
    #[cold]
    fn is_spared(&mut self, hub: &mut Hub, len: usize) -> bool {
        let relief = Relief { own: self.queued() + len, bytes: self.unpublished() + len };
        hub.relieve(relief);
        self.has_room(hub, len) || (self.has_own_room(hub, len) && hub.others_give_way(relief))
    }

    /// The slow-consumer policy for a frame that does not fit. True: it fits now.
    #[cold]
    fn make_room(&mut self, hub: &mut Hub, len: usize) -> bool {
        let policy = hub.shared.settings.slow_consumer;
        if !self.drain_wanted && policy != SlowConsumer::Close {
            hub.log_full_queue(self.id, policy);
        }
        let mut dropped = 0;
        let fits = match policy {
            SlowConsumer::Close => {
                dropped = self.outbox.queue.drop_messages() + 1;
                self.encoding.forget_context();
                self.close_for_slowness(hub);
                false
            }
            SlowConsumer::DropNewest => {
                dropped += 1;
                false
            }
            SlowConsumer::DropOldest => {
                while !self.has_room(hub, len) && self.outbox.queue.drop_oldest() {
                    dropped += 1;
                    self.publish(hub);
                }
                let fits = self.has_room(hub, len);
                dropped += u64::from(!fits);
                fits
            }
        };
        self.note_dropped(hub, dropped);
        fits
    }

    /// A send was refused; an event tells when there is room. There may be already: all that was sent before has been dealt
    /// with. The host may be awake before the batch counts as done, so it hears first what waits.
    pub(crate) fn want_drain(&mut self, hub: &mut Hub) {
        self.drain_wanted = true;
        if self.unfinished.is_none() {
            hub.link().mailbox.publish(self.id, self.outbox.queue.waiting());
        }
        self.tell_drain(hub);
    }

    pub(super) fn tell_drain(&mut self, hub: &mut Hub) {
        let settings = &hub.shared.settings;
        let waiting = self.outbox.queue.waiting();
        // What is compressed in turns counts as well, and tells of the room when it is done.
        let below_half = self.unfinished.is_none()
            && waiting.bytes <= settings.send_queue_bytes / 2
            && waiting.messages <= settings.send_queue_messages / 2;
        if self.drain_wanted && below_half && *self.protocol.state() == State::Open {
            self.drain_wanted = false;
            let dropped = std::mem::take(&mut self.dropped);
            hub.link().inbox.lock().drain(self.id, hub.now, dropped);
            hub.announce();
        }
    }

    /// Sends frames of control and leaves `frames` empty.
    pub(super) fn send_control(&mut self, hub: &mut Hub, frames: &mut Vec<u8>) {
        if frames.is_empty() {
            return;
        }
        if self.unfinished.is_some() {
            let was_open = *self.protocol.state() == State::Open;
            self.finish(hub);
            self.tell_room(hub);
            if was_open && *self.protocol.state() != State::Open {
                // There was no room for it: a close frame is on its way, and nothing comes behind that.
                return frames.clear();
            }
        }
        if matches!(self.protocol.state(), State::Closed(_)) {
            self.stream.hold_for_end();
        }
        let written = match !self.has_unsent() {
            true => self.stream.try_write(&self.waker, frames),
            false => Ok(0),
        };
        match written {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => self.broken(),
            written => {
                let written = written.unwrap_or(0);
                if written < frames.len() {
                    if self.outbox.queue.is_empty() {
                        self.progress = hub.now;
                    }
                    self.outbox.queue.push_control(frames, written);
                    self.publish(hub);
                    self.schedule(hub);
                    self.wake();
                }
            }
        }
        if self.stream.holds_back() {
            self.holds_back(hub);
        }
        frames.clear();
    }

    /// What TLS holds back has its time from now on.
    fn holds_back(&mut self, hub: &mut Hub) {
        self.progress = hub.now;
        self.schedule(hub);
    }

    /// Writes from the outbox until it is empty or the socket takes no more; then the socket wakes the task.
    pub(super) fn flush(&mut self, hub: &mut Hub, cx: &mut Context<'_>) {
        if !self.has_unsent() || self.phase == Phase::Over {
            return;
        }
        while !self.outbox.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = self.outbox.queue.slices(&mut slices);
            let slices = slices.get(..filled).unwrap_or_default();
            match Pin::new(&mut self.stream).poll_write_vectored(cx, slices) {
                Poll::Pending => break,
                Poll::Ready(Ok(written)) => {
                    self.outbox.queue.advance(written);
                    self.progress = hub.now;
                }
                Poll::Ready(Err(_)) => {
                    self.broken();
                    break;
                }
            }
        }
        if self.stream.holds_back() {
            let before = self.stream.written();
            let outcome = Pin::new(&mut self.stream).poll_flush(cx);
            if self.stream.written() > before {
                self.progress = hub.now;
            }
            if let Poll::Ready(Err(_)) = outcome {
                self.broken();
            }
        }
        self.publish(hub);
        self.tell_drain(hub);
    }

    /// Tells hosts, and the sum over all connections, what lies in the outbox now.
    pub(super) fn publish(&mut self, hub: &Hub) {
        let waiting = self.outbox.queue.waiting();
        let before = std::mem::replace(&mut self.outbox.published, waiting);
        if waiting == before {
            return;
        }
        self.seat.count_queue(waiting.bytes);
        hub.note_queue(waiting.bytes);
        hub.link().mailbox.publish(self.id, waiting);
    }

    /// Counts what was given to the socket or to the send queue. Under TLS some of it may wait for the socket yet.
    #[inline]
    fn count_sent(&mut self, hub: &mut Hub, messages: usize, bytes: usize) {
        let counters = &hub.link().counters;
        counters.messages_out.add(messages as u64);
        counters.bytes_out.add(bytes as u64);
        if self.stream.holds_back() {
            self.holds_back(hub);
        }
    }
}
