//! A place for each connection where the host keeps a pointer of its own: user_data in wsengine_event_t.
//!
//! It is reached by arrays, since it is looked up for each event, and never moves, since the host writes to it.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::AtomicPtr;
use wsengine::{ConnId, Event, EventBody};

/// Places that are made at once.
const CHUNK: usize = 256;

/// Of all connections of a server; only the thread that polls has it.
#[derive(Default)]
pub(crate) struct Places {
    /// By I/O thread, then by the slot there.
    threads: Vec<Vec<Box<[Place; CHUNK]>>>,
    /// Numbers the polls.
    poll: u64,
}

#[derive(Default)]
struct Place {
    /// The host's, which reads and writes it as it likes. We never follow it.
    pointer: AtomicPtr<c_void>,
    /// The poll that gave out the close of a connection that had this place.
    closed: u64,
}

impl Places {
    /// Another poll begins: the host has dealt with what it got from those before.
    pub(crate) fn next_poll(&mut self) {
        self.poll += 1;
    }

    /// May the event be given out in this poll? Not the open of a connection whose place the host may still read, for
    /// the close of the one that had it before has been given out in this very poll.
    #[inline]
    pub(crate) fn is_free_for(&mut self, event: &Event<'_>) -> bool {
        match (event.conn, &event.body) {
            (Some(conn), EventBody::Open(_)) => self.place(conn).closed != self.poll,
            _ => true,
        }
    }

    /// The place of the event's connection. None is given with a handshake: nobody would be told to free what it points to
    /// if the connection never opened.
    #[inline]
    pub(crate) fn of(&mut self, event: &Event<'_>) -> *mut *mut c_void {
        let Some(conn) = event.conn else { return ptr::null_mut() };
        if matches!(event.body, EventBody::Handshake(_)) {
            return ptr::null_mut();
        }
        let poll = self.poll;
        let place = self.place(conn);
        match event.body {
            EventBody::Open(_) => *place.pointer.get_mut() = ptr::null_mut(),
            EventBody::Close { .. } => place.closed = poll,
            _ => {}
        }
        place.pointer.as_ptr()
    }

    #[inline]
    fn place(&mut self, conn: ConnId) -> &mut Place {
        let (thread, slot) = conn.place();
        if self.threads.len() <= thread {
            self.threads.resize_with(thread + 1, Vec::new);
        }
        let chunks = &mut self.threads[thread];
        while chunks.len() <= slot / CHUNK {
            chunks.push(Box::new(std::array::from_fn(|_| Place::default())));
        }
        &mut chunks[slot / CHUNK][slot % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn close(conn: ConnId) -> Event<'static> {
        let body = EventBody::Close { code: 1000, reason: "", clean: true };
        Event { conn: Some(conn), time: Duration::ZERO, body }
    }

    #[test]
    fn a_place_stays_where_it_is_while_others_are_made() {
        let mut places = Places::default();
        let first = places.of(&close(ConnId::from_u64(8)));
        for slot in 0..10_000 {
            places.of(&close(ConnId::from_u64((slot << 3) | (slot % 4))));
        }
        assert_eq!(places.of(&close(ConnId::from_u64(8))), first);
        assert_ne!(places.of(&close(ConnId::from_u64(16))), first);
    }

    #[test]
    fn what_belongs_to_no_connection_has_no_place() {
        let stopped = Event { conn: None, time: Duration::ZERO, body: EventBody::Stopped };
        assert!(Places::default().of(&stopped).is_null());
    }
}
