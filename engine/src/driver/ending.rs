//! How a connection ends: by a close from either side, a breach, a cut, or because its socket broke.

use super::{Conn, Phase, Turn};
use crate::hub::Hub;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;
use wsengine_proto::State;
use wsengine_proto::close::code;

/// After a breach of the protocol the host has so long to answer the messages before it; then the close frame goes
/// out without the answers.
const HOLD: Duration = Duration::from_millis(250);
/// When the server stops, a connection that has said all lingers no longer than this.
const LINGER_AT_STOP: Duration = Duration::from_millis(250);
/// What a peer may still send after the end before its connection is cut.
const LINGER_BYTES: usize = 1 << 20;

impl Conn {
    /// Starts the closing handshake.
    pub(crate) fn close(&mut self, hub: &mut Hub, code: u16, reason: &str) {
        let mut frame = Vec::new();
        self.protocol.close(hub.now, code, reason, &mut frame);
        hub.link().mailbox.closing(self.id);
        self.send_control(hub, &mut frame);
        self.schedule(hub);
    }

    /// The server stops: starts the closing handshake, or hastens what comes after it.
    pub(crate) fn stop(&mut self, hub: &mut Hub, code: u16) {
        if let Phase::Lingering { until, read } = self.phase {
            self.phase = Phase::Lingering { until: until.min(hub.now + LINGER_AT_STOP), read };
        }
        self.close(hub, code, "");
    }

    /// Ends at once.
    pub(crate) fn cut(&mut self, hub: &mut Hub, code: u16, reason: &str) {
        match code {
            // What a close frame of ours said stays.
            code::ABNORMAL => self.protocol.end_of_stream(),
            _ => self.protocol.end(code, reason, false),
        }
        if matches!(self.phase, Phase::Live | Phase::Holding { .. }) {
            self.tell_end(hub);
        }
        self.phase = Phase::Over;
        self.wake();
    }

    /// The socket does not work any more.
    pub(super) fn broken(&mut self) {
        self.protocol.end_of_stream();
        // It would be tried again and again while the connection is held.
        self.outbox.queue = Default::default();
        self.is_broken = true;
        if !matches!(self.phase, Phase::Live | Phase::Holding { .. }) {
            self.phase = Phase::Over;
        }
        self.wake();
    }

    /// When the protocol has come to its end the host is told, once, and the socket is on its way out.
    pub(super) fn notice_end(&mut self, hub: &mut Hub) {
        if self.phase == Phase::Live && matches!(self.protocol.state(), State::Closed(_)) {
            self.tell_end(hub);
        }
    }

    fn tell_end(&mut self, hub: &mut Hub) {
        let State::Closed(ending) = self.protocol.state() else { return };
        hub.tell_close(self.id, ending.code, &ending.reason, ending.clean);
        if !ending.clean && matches!(ending.code, code::PROTOCOL_ERROR | 1007..=1009) {
            hub.link().counters.violations.add(1);
            hub.log_fault(self.id, ending.code, &ending.reason);
        }
        self.phase = match ending.code {
            code::ABNORMAL => Phase::Over,
            _ => Phase::Flushing { until: hub.now + hub.shared.settings.limits.close_timeout },
        };
        self.leftover = Vec::new();
        self.schedule(hub);
    }

    /// Did the peer break the rules, and has it not been told yet?
    pub(super) fn is_breach(&self) -> bool {
        matches!(self.protocol.state(), State::Closed(ending) if !ending.clean && ending.code != code::ABNORMAL)
    }

    /// Holds the close frame for a breach until the host has answered the messages before it: those were sound, and
    /// a peer may rely on the answers.
    pub(super) fn hold(&mut self, hub: &mut Hub, frames: &[u8]) {
        self.held = frames.to_vec();
        self.phase = Phase::Holding { until: hub.now + HOLD };
        hub.link().inbox.lock().fence(self.id);
        hub.announce();
        self.schedule(hub);
    }

    /// The host has answered, or had its time.
    pub(super) fn release(&mut self, hub: &mut Hub) {
        let mut frames = std::mem::take(&mut self.held);
        self.send_control(hub, &mut frames);
        self.tell_end(hub);
        self.wake();
    }

    /// When all is written our side of the stream is shut.
    pub(super) fn shut(&mut self, hub: &mut Hub, cx: &mut Context<'_>) -> Poll<()> {
        if !self.outbox.queue.is_empty() {
            return Poll::Pending;
        }
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {
                let close_timeout = hub.shared.settings.limits.close_timeout;
                let linger = if hub.stopping.is_some() { LINGER_AT_STOP } else { close_timeout };
                let until = hub.now + linger.min(close_timeout);
                self.phase = Phase::Lingering { until, read: 0 };
                self.schedule(hub);
            }
            Poll::Ready(Err(_)) => self.phase = Phase::Over,
        }
        Poll::Ready(())
    }

    /// Reads and forgets until the peer has closed as well.
    pub(super) fn linger(&mut self, hub: &mut Hub, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<()> {
        let worth = self.stream.worth_of_discarded();
        let mut buffer = std::mem::take(&mut hub.read_buffer);
        let most = (worth * turn.left()).min(buffer.len());
        let (outcome, in_vain) = self.stream.poll_discard(cx, buffer.get_mut(..most).unwrap_or_default());
        hub.read_buffer = buffer;
        self.count_vain(hub, &outcome, in_vain, turn);
        let Poll::Ready(taken) = outcome else { return Poll::Pending };
        let taken = taken.unwrap_or(0);
        turn.work += taken / worth;
        if let Phase::Lingering { until, read } = self.phase {
            let read = read + taken;
            let over = taken == 0 || read > LINGER_BYTES;
            self.phase = if over { Phase::Over } else { Phase::Lingering { until, read } };
        }
        Poll::Ready(())
    }
}
