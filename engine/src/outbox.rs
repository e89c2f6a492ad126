//! What a connection's socket has not taken yet. Most connections never have anything here: frames are written
//! directly, and only what the socket refuses is kept.

use crate::mailbox::Waiting;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::IoSlice;

/// Frames that wait, in order; the first may be sent in part.
#[derive(Default)]
pub(crate) struct Outbox {
    frames: VecDeque<Queued>,
    /// Bytes of all frames that are still to be sent.
    bytes: usize,
    /// Frames that carry messages.
    messages: usize,
    first_begun: bool,
}

struct Queued {
    bytes: Bytes,
    is_message: bool,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// What waits. A frame of control is in the bytes, not in the messages.
    pub(crate) fn waiting(&self) -> Waiting {
        Waiting { bytes: self.bytes, messages: self.messages }
    }

    /// Appends a frame that carries a message, of which `sent` bytes are sent already.
    pub(crate) fn push_message(&mut self, mut frame: Bytes, sent: usize) {
        self.first_begun |= self.is_empty() && sent > 0;
        frame.advance(sent);
        self.messages += 1;
        self.push(Queued { bytes: frame, is_message: true });
    }

    /// Appends frames of control, of which `sent` bytes are sent already. Nothing ever drops them.
    pub(crate) fn push_control(&mut self, frames: &[u8], sent: usize) {
        self.first_begun |= self.is_empty() && sent > 0;
        let rest = frames.get(sent..).unwrap_or_default();
        if !rest.is_empty() {
            self.push(Queued { bytes: Bytes::copy_from_slice(rest), is_message: false });
        }
    }

    /// Removes the oldest message of which nothing was sent yet; false if there is none.
    pub(crate) fn drop_oldest(&mut self) -> bool {
        let first = usize::from(self.first_begun);
        let found = self.frames.iter().skip(first).position(|frame| frame.is_message);
        let Some(frame) = found.and_then(|at| self.frames.remove(first + at)) else { return false };
        self.bytes -= frame.bytes.len();
        self.messages -= 1;
        true
    }

    /// Removes all messages of which nothing was sent yet, and says how many.
    pub(crate) fn drop_messages(&mut self) -> u64 {
        let mut dropped = 0;
        while self.drop_oldest() {
            dropped += 1;
        }
        dropped
    }

    /// Fills `slices` with what is next to be written and says how many it filled.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled = slices.iter_mut().zip(&self.frames);
        filled.map(|(slice, frame)| *slice = IoSlice::new(&frame.bytes)).count()
    }

    /// Removes `written` bytes from the front.
    pub(crate) fn advance(&mut self, mut written: usize) {
        self.bytes -= written.min(self.bytes);
        while let Some(first) = self.frames.front_mut() {
            if written < first.bytes.len() {
                first.bytes.advance(written);
                self.first_begun |= written > 0;
                return;
            }
            written -= first.bytes.len();
            self.messages -= usize::from(first.is_message);
            self.first_begun = false;
            self.frames.pop_front();
        }
        self.frames = VecDeque::new();
    }

    fn push(&mut self, frame: Queued) {
        self.bytes += frame.bytes.len();
        self.frames.push_back(frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(messages: &[&'static str]) -> Outbox {
        let mut outbox = Outbox::default();
        messages.iter().for_each(|text| outbox.push_message(Bytes::from_static(text.as_bytes()), 0));
        outbox
    }

    fn content(outbox: &Outbox) -> String {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = outbox.slices(&mut slices);
        slices[..filled].iter().map(|slice| String::from_utf8_lossy(slice)).collect()
    }

    #[test]
    fn bytes_leave_in_order() {
        let mut outbox = outbox(&["one", "two", "three"]);
        assert_eq!(outbox.waiting(), Waiting { bytes: 11, messages: 3 });
        outbox.advance(4);
        assert_eq!(content(&outbox), "wothree");
        assert_eq!(outbox.waiting(), Waiting { bytes: 7, messages: 2 });
        outbox.advance(7);
        assert!(outbox.is_empty());
        assert_eq!(outbox.waiting(), Waiting::default());
    }

    #[test]
    fn a_message_that_has_begun_is_never_dropped() {
        let mut outbox = outbox(&["one", "two", "three"]);
        outbox.advance(1);
        assert!(outbox.drop_oldest());
        assert_eq!(content(&outbox), "nethree");
        assert_eq!(outbox.drop_messages(), 1);
        assert_eq!(content(&outbox), "ne");
        assert!(!outbox.drop_oldest());

        let mut outbox = Outbox::default();
        outbox.push_message(Bytes::from_static(b"begun"), 2);
        assert!(!outbox.drop_oldest());
        assert_eq!(content(&outbox), "gun");
    }

    #[test]
    fn frames_of_control_are_never_dropped() {
        let mut outbox = outbox(&["one"]);
        outbox.push_control(b"pong", 0);
        outbox.push_message(Bytes::from_static(b"two"), 0);
        assert_eq!(outbox.waiting(), Waiting { bytes: 10, messages: 2 });
        assert_eq!(outbox.drop_messages(), 2);
        assert_eq!(content(&outbox), "pong");
    }
}
