//! Counters of a server, in a struct that may grow.

use crate::boundary::{call, null, server};
use crate::error::Failure;
use crate::error::wsengine_error::WSENGINE_ERR_INVALID;
use crate::server::wsengine_t;
use std::ffi::c_int;
use wsengine::Stats;

/// How things stand, and what has happened since the start. Later versions add fields at the end: set struct_size
/// to sizeof(wsengine_stats_t), and no more than that is filled.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct wsengine_stats_t {
    /// In: sizeof(wsengine_stats_t). Out: bytes filled.
    pub struct_size: usize,
    /// Open connections.
    pub connections: u64,
    /// Memberships of open connections in topics.
    pub subscriptions: u64,
    /// Handshakes under way, and transfers of files.
    pub handshakes: u64,
    /// Events that have not been polled.
    pub events_pending: u64,
    /// Bytes that wait to be sent to slow connections.
    pub queued_bytes: u64,
    /// Connections that were opened.
    pub opened: u64,
    /// Connections that were closed.
    pub closed: u64,
    /// Handshakes that were refused or took too long, and files that were refused or not taken.
    pub refused: u64,
    /// Requests that were answered by a file, or by a status that says there is none.
    pub http_requests: u64,
    /// Messages received.
    pub messages_in: u64,
    /// Bytes of payload received.
    pub bytes_in: u64,
    /// Messages given to a socket or to a send queue, one for each recipient.
    pub messages_out: u64,
    /// Bytes of these messages on the wire.
    pub bytes_out: u64,
    /// Messages that the option slow_consumer left out.
    pub messages_dropped: u64,
    /// Connections that were closed because they read too slowly.
    pub slow_closed: u64,
    /// Connections that were closed for a breach of the protocol or of a limit.
    pub violations: u64,
    /// Peers that did not answer a ping.
    pub dead_peers: u64,
    /// How often a connection had to wait because events were not polled fast enough.
    pub read_pauses: u64,
    /// Messages given to the backplane.
    pub backplane_sent: u64,
    /// Messages that came from it, this node's own included.
    pub backplane_received: u64,
    /// Those of them that were not understood.
    pub backplane_ignored: u64,
    /// What the history that is kept here takes.
    pub history_bytes: u64,
    /// Connections that were closed because they sent no message for too long.
    pub idle_closed: u64,
    /// Connections that were cut because they did not answer a close frame in time.
    pub close_timeouts: u64,
}

/// Reads the counters; set stats->struct_size before. WSENGINE_ERR_INVALID: it is smaller than the first counter needs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_stats(server: *const wsengine_t, stats: *mut wsengine_stats_t) -> c_int {
    call(|| {
        // SAFETY: the header's contract for handles.
        let server = unsafe { self::server(server) }?;
        if stats.is_null() {
            return Err(null(c"stats is NULL"));
        }
        // SAFETY: by the header's contract the size comes first and is set; a caller of another version may have
        // a smaller or larger struct behind it.
        let size = unsafe { stats.cast::<usize>().read() };
        let size = size.min(size_of::<wsengine_stats_t>());
        if size < size_of::<usize>() + size_of::<u64>() {
            let text = c"struct_size is too small; set it to sizeof(wsengine_stats_t)";
            return Err(Failure::saying(WSENGINE_ERR_INVALID, text));
        }
        let filled = wsengine_stats_t::new(size, &server.engine.stats());
        // SAFETY: the caller's struct has at least `size` bytes; so has `filled`.
        unsafe { std::ptr::copy_nonoverlapping((&raw const filled).cast::<u8>(), stats.cast::<u8>(), size) };
        Ok(0)
    })
}

impl wsengine_stats_t {
    fn new(struct_size: usize, stats: &Stats) -> Self {
        wsengine_stats_t {
            struct_size,
            connections: stats.connections,
            subscriptions: stats.subscriptions,
            handshakes: stats.handshakes,
            events_pending: stats.events_pending,
            queued_bytes: stats.queued_bytes,
            opened: stats.opened,
            closed: stats.closed,
            refused: stats.refused,
            http_requests: stats.http_requests,
            messages_in: stats.messages_in,
            bytes_in: stats.bytes_in,
            messages_out: stats.messages_out,
            bytes_out: stats.bytes_out,
            messages_dropped: stats.messages_dropped,
            slow_closed: stats.slow_closed,
            violations: stats.violations,
            dead_peers: stats.dead_peers,
            read_pauses: stats.read_pauses,
            backplane_sent: stats.backplane_sent,
            backplane_received: stats.backplane_received,
            backplane_ignored: stats.backplane_ignored,
            history_bytes: stats.history_bytes,
            idle_closed: stats.idle_closed,
            close_timeouts: stats.close_timeouts,
        }
    }
}
