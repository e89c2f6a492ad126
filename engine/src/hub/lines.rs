//! What is counted and logged of peers that are refused, ended or made to wait: a few lines a second of each kind.

use super::Hub;
use crate::config::SlowConsumer;
use crate::event::ConnId;
use crate::peer::Peer;
use crate::throttle::Throttle;
use std::io;
use tracing::{Level, enabled, error, info};

#[derive(Default)]
pub(super) struct Lines {
    refusals: Throttle,
    endings: Throttle,
    full_queues: Throttle,
    waits: Throttle,
}

impl Hub {
    /// A socket that is no connection is refused, or ended where it was told no status.
    pub(crate) fn count_refused(&mut self, peer: &Peer, status: Option<u16>, reason: &str) {
        self.link().counters.refused.add(1);
        if enabled!(Level::INFO)
            && let Some(left_out) = self.lines.refusals.line(self.now)
        {
            info!(%peer, status, reason, left_out, "refused");
        }
    }

    /// The same for an error of the system.
    pub(crate) fn count_failed(&mut self, peer: &Peer, error: &io::Error, what: &str) {
        self.link().counters.refused.add(1);
        if let Some(left_out) = self.lines.refusals.line(self.now) {
            error!(%peer, %error, left_out, "{what}");
        }
    }

    /// A connection ends for what its peer did.
    pub(crate) fn log_fault(&mut self, id: ConnId, code: u16, reason: &str) {
        if enabled!(Level::INFO)
            && let Some(left_out) = self.lines.endings.line(self.now)
        {
            info!(conn = %id, code, reason, left_out, "a breach or a limit ends a connection");
        }
    }

    /// Messages to a connection are left out from now on.
    pub(crate) fn log_full_queue(&mut self, id: ConnId, policy: SlowConsumer) {
        if enabled!(Level::INFO)
            && let Some(left_out) = self.lines.full_queues.line(self.now)
        {
            let slow_consumer = policy.name();
            info!(conn = %id, slow_consumer, left_out, "a send queue is full: messages are left out");
        }
    }

    /// The inbox is full, and the first connection waits for the host.
    pub(super) fn log_wait(&mut self) {
        if enabled!(Level::INFO)
            && let Some(left_out) = self.lines.waits.line(self.now)
        {
            info!(left_out, "events are not polled fast enough: connections wait");
        }
    }
}
