//! A large message to one of those who send much, such as the answer to one of theirs, is compressed in parts, one in each of
//! its turns, and so are small ones where there are many at once. So the others wait for a part and not for all of them.

use super::Conn;
use crate::encoding::{Part, compressed_frame};
use crate::hub::Hub;
use crate::mailbox::{Commands, Target, Waiting};
use bytes::Bytes;
use std::cell::Cell;
use std::rc::Rc;
use wsengine_proto::frame;

/// So much is compressed in a turn: some dozen microseconds.
const PART_BYTES: usize = 16 * 1024;
/// So much of all connections of a thread may wait for it, in bytes that are not compressed yet. To the host it is in the
/// queue of its connection; but the sum of all queues is what peers do not take, and this waits for us.
const MOST_BYTES: usize = 4 << 20;

/// A message of which not all is compressed.
pub(super) struct Unfinished {
    /// As it lay in the mailbox.
    frame: Bytes,
    taken: usize,
    compressed: Vec<u8>,
    _share: Share,
}

/// What a message takes of [`MOST_BYTES`].
struct Share {
    bytes: usize,
    all: Rc<Cell<usize>>,
}

impl Share {
    fn take(bytes: usize, all: &Rc<Cell<usize>>) -> Option<Share> {
        let sum = all.get() + bytes;
        (sum <= MOST_BYTES).then(|| {
            all.set(sum);
            Share { bytes, all: all.clone() }
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.set(self.all.get() - self.bytes);
    }
}

impl Conn {
    /// Takes a message to compress it in turns, if it is large or others of its batch have taken long. False: it is not for
    /// that.
    pub(super) fn take_for_turns(&mut self, hub: &Hub, commands: &Commands, frames: &[u32]) -> bool {
        let &[index] = frames else { return false };
        let Some(command) = commands.list.get(index as usize) else { return false };
        let frame = commands.frame_bytes(&command.what);
        let (bytes, payload) = (frame.len(), frame::split(frame).map_or(0, |(_, payload)| payload.len()));
        let is_for_it = matches!(command.target, Target::One(_))
            && self.encoding.has_context()
            && hub.is_in_line(self.id.slot())
            && hub.others_are_there()
            && !self.has_unsent()
            // A host that sends one after the other must not keep it from reading.
            && self.had_turn
            // A small one can be compressed without a compressor of its own, until that is there.
            && (payload > PART_BYTES
                || (payload > 0 && self.encoding.has_compressor() && hub.answers_for_long()));
        if !is_for_it {
            return false;
        }
        let Some(share) = Share::take(bytes, &hub.unfinished) else { return false };
        self.had_turn = false;
        self.unfinished = Some(Box::new(Unfinished {
            frame: commands.frame(&command.what),
            taken: 0,
            compressed: Vec::new(),
            _share: share,
        }));
        // There is nothing else in its queue.
        hub.link().mailbox.publish(self.id, Waiting { bytes, messages: 1 });
        self.wake();
        true
    }

    /// There is nothing to compress any more, and all is dealt with that was taken for this connection: the host hears what
    /// waits for the peer.
    pub(super) fn tell_room(&mut self, hub: &mut Hub) {
        hub.link().mailbox.publish(self.id, self.outbox.queue.waiting());
        self.tell_drain(hub);
    }

    /// Compresses a part, and sends the message if that was the last.
    pub(super) fn compress_part(&mut self, hub: &mut Hub) {
        let Some(mut message) = self.unfinished.take() else { return };
        let Some((opcode, payload)) = frame::split(&message.frame) else { return };
        let rest = payload.get(message.taken..).unwrap_or_default();
        let bytes = rest.get(..PART_BYTES).unwrap_or(rest);
        let part = Part { bytes, is_first: message.taken == 0, is_last: bytes.len() == rest.len() };
        let frame = match self.encoding.compress_part(part, &mut message.compressed) {
            Some(false) => {
                message.taken += bytes.len();
                self.unfinished = Some(message);
                return;
            }
            Some(true) => compressed_frame(opcode, &message.compressed),
            None => message.frame.clone(),
        };
        self.send_frames(hub, vec![frame]);
    }

    /// Something else is to be sent: what it was given before goes first.
    #[cold]
    pub(super) fn finish(&mut self, hub: &mut Hub) {
        while self.unfinished.is_some() {
            self.compress_part(hub);
        }
    }
}
