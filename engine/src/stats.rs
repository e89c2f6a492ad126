//! Counters. Each I/O thread counts for itself, without contention; a reading sums them up.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What one I/O thread has counted since the server started.
        #[derive(Default)]
        #[repr(align(64))]
        pub(crate) struct Counters {
            $($(#[doc = $doc])+ pub(crate) $name: Counter,)+
        }

        /// What has happened since the server started, and how things stand.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            /// Open connections.
            pub connections: u64,
            /// Handshakes under way, and transfers of files.
            pub handshakes: u64,
            /// Events that have not been polled.
            pub events_pending: u64,
            /// Bytes that wait to be sent to slow connections.
            pub queued_bytes: u64,
            /// Subscriptions of open connections to topics.
            pub subscriptions: u64,
            /// Messages given to the backplane.
            pub backplane_sent: u64,
            /// Messages that came from it, this node's own included.
            pub backplane_received: u64,
            /// Those of them that were not understood.
            pub backplane_ignored: u64,
            /// What the history that is kept here takes.
            pub history_bytes: u64,
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Stats {
            /// Every value with its name, for tables and for languages without structs.
            pub fn entries(&self) -> Vec<(&'static str, u64)> {
                vec![
                    ("connections", self.connections),
                    ("handshakes", self.handshakes),
                    ("events_pending", self.events_pending),
                    ("queued_bytes", self.queued_bytes),
                    ("subscriptions", self.subscriptions),
                    ("backplane_sent", self.backplane_sent),
                    ("backplane_received", self.backplane_received),
                    ("backplane_ignored", self.backplane_ignored),
                    ("history_bytes", self.history_bytes),
                    $((stringify!($name), self.$name),)+
                ]
            }

            pub(crate) fn add(&mut self, counters: &Counters) {
                $(self.$name += counters.$name.value();)+
            }
        }
    };
}

counters! {
    /// Connections that were opened.
    opened,
    /// Connections that were closed.
    closed,
    /// Handshakes that were refused or took too long, and files that were refused or not taken.
    refused,
    /// Requests that were answered by a file, or by a status that says there is none.
    http_requests,
    /// Messages received.
    messages_in,
    /// Bytes of payload received.
    bytes_in,
    /// Messages given to a socket or to a send queue, one for each recipient.
    messages_out,
    /// Bytes of these messages on the wire.
    bytes_out,
    /// Messages that the slow-consumer policy left out, or threw away when it closed the connection. Those that were
    /// in a send queue before are among the messages out as well.
    messages_dropped,
    /// Connections that were closed because they read too slowly.
    slow_closed,
    /// Connections that were closed for a breach of the protocol or of a limit.
    violations,
    /// Peers that did not answer a ping.
    dead_peers,
    /// How often a connection had to wait because events were not polled fast enough.
    read_pauses,
    /// Connections that were closed because they sent no message for too long.
    idle_closed,
    /// Connections that were cut because they did not answer a close frame in time.
    close_timeouts,
}

/// A number that one thread counts up and any thread reads.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Only one thread may write, hence no read-modify-write.
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
