//! What happens when all queues together are too large (`total_queue_bytes`): the largest give way first, on whichever
//! thread they are.

use super::Hub;
use crate::link::Link;
use crate::mailbox::Relief;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The largest are looked for so often at most.
const BETWEEN_RELIEFS: Duration = Duration::from_millis(10);
/// By this part of the limit the queues may be larger while another thread makes room.
const OVERDRAFT: usize = 8;

impl Hub {
    /// Have all queues together room for so many bytes more?
    pub(crate) fn queues_have_room(&self, bytes: usize) -> bool {
        self.queued_with(bytes) <= self.shared.settings.total_queue_bytes
    }

    fn queued_with(&self, bytes: usize) -> usize {
        self.shared.queued_bytes.load(Ordering::Relaxed).saturating_add(bytes)
    }

    /// A connection's queue has become so large.
    pub(crate) fn note_queue(&self, bytes: usize) {
        let largest = &self.link().largest_queue;
        if bytes > largest.load(Ordering::Relaxed) {
            largest.store(bytes, Ordering::Relaxed);
        }
    }

    /// Makes room: queues larger than a connection's own give way, until an eighth of all is free, and other threads that
    /// have such are asked to do the same. Looking at all connections for each message would stall the thread, so it is
    /// done now and then; an eighth lasts until then.
    #[cold]
    pub(crate) fn relieve(&mut self, relief: Relief) {
        if self.now < self.next_relief || self.queues_have_room(relief.bytes) {
            return;
        }
        self.next_relief = self.now + BETWEEN_RELIEFS;
        self.give_way(relief);
        // It is out of its slot, so it was not seen.
        self.note_queue(relief.own);
        if !self.queues_have_room(relief.bytes) {
            self.others_with_larger(relief.own).for_each(|link| link.mailbox.relieve(relief));
        }
    }

    /// May a connection go on because another thread, which has larger queues, is making room?
    pub(crate) fn others_give_way(&self, relief: Relief) -> bool {
        let limit = self.shared.settings.total_queue_bytes;
        self.queued_with(relief.bytes) <= limit.saturating_add(limit / OVERDRAFT)
            && self.others_with_larger(relief.own).next().is_some()
    }

    fn others_with_larger(&self, own: usize) -> impl Iterator<Item = &Link> {
        let others = self.shared.links.iter().enumerate().filter(|(thread, _)| *thread != self.thread);
        others.map(|(_, link)| link).filter(move |link| link.largest_queue.load(Ordering::Relaxed) > own)
    }

    /// Of this thread's queues the largest go, as long as they are larger than a connection's own.
    #[cold]
    pub(crate) fn give_way(&mut self, relief: Relief) {
        let queues = self.slots.iter().filter_map(|slot| slot.conn.as_ref());
        let queues = queues.map(|conn| (conn.queued(), conn.id.slot()));
        let mut larger: Vec<(usize, u32)> =
            queues.clone().filter(|(queued, _)| *queued > relief.own).collect();
        let rest = queues.map(|(queued, _)| queued).filter(|queued| *queued <= relief.own).max();
        larger.sort_unstable_by(|a, b| b.cmp(a));
        let enough = relief.bytes + self.shared.settings.total_queue_bytes / 8;
        let mut stays = rest.unwrap_or(0);
        for (queued, slot) in larger {
            if self.queues_have_room(enough) {
                stays = queued;
                break;
            }
            if let Some(mut conn) = self.take(slot) {
                conn.give_way(self);
                stays = stays.max(conn.queued());
                self.put_back(conn);
            }
        }
        self.link().largest_queue.store(stays, Ordering::Relaxed);
    }
}
