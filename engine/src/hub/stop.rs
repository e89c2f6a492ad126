//! The stop: ends connections, and the handshakes that are under way.

use super::{Hub, with};
use crate::mailbox::Stop;
use std::task::Waker;
use std::time::Duration;
use wsengine_proto::close::code;

/// Handshakes that are under way when the server stops have so long to come to their end; then their connections are
/// closed as the others are.
const HANDSHAKES_AT_STOP: Duration = Duration::from_millis(250);

impl Hub {
    /// Begins the stop, or hastens it.
    pub(crate) fn stop(&mut self, stop: Stop) {
        let began = self.stopping.replace(stop).is_none();
        if began {
            // A client whose connection the system has accepted shall not find it reset: a restart would hurt it.
            let grace = stop.drain.min(HANDSHAKES_AT_STOP);
            tokio::task::spawn_local(async move {
                tokio::time::sleep(grace).await;
                with(Hub::end_handshakes);
            });
            self.for_each(|hub, conn| conn.stop(hub, stop.code));
        }
        if stop.drain.is_zero() {
            self.end_handshakes();
        }
        tokio::task::spawn_local(async move {
            tokio::time::sleep(stop.drain).await;
            with(|hub| hub.for_each(|hub, conn| conn.cut(hub, code::ABNORMAL, "")));
        });
        self.wake_root();
    }

    fn end_handshakes(&mut self) {
        self.handshakes.abort();
        self.wake_root();
    }

    /// Is there nothing left to do after a stop?
    pub(crate) fn is_finished(&self) -> bool {
        self.stopping.is_some() && self.open == 0 && self.handshakes.is_empty()
    }

    pub(crate) fn set_root(&mut self, waker: &Waker) {
        self.root.get_or_insert_with(|| waker.clone());
        self.link().mailbox.set_waker(waker);
    }

    pub(crate) fn wake_root(&self) {
        if let Some(root) = &self.root {
            root.wake_by_ref();
        }
    }
}
