//! What a connection does when time has passed: pings, and the ends of those who answer nothing, say nothing or take nothing.

use super::{Conn, Phase};
use crate::hub::Hub;
use crate::timers::Tick;
use std::task::Context;
use std::time::Duration;
use wsengine_proto::State;
use wsengine_proto::close::code;

/// An entry in the timers stays there when its connection has ended: for no longer than this.
const LONGEST_ENTRY: Duration = Duration::from_secs(60);

impl Conn {
    /// An entry in the timers has come up.
    pub(crate) fn on_timer(&mut self, hub: &mut Hub, tick: Tick) {
        if self.entry != Some(tick) {
            return;
        }
        self.entry = None;
        match self.phase {
            Phase::Live => self.live_timer(hub),
            Phase::Holding { until } if hub.now >= until => self.release(hub),
            Phase::Flushing { until } | Phase::Lingering { until, .. } if hub.now >= until => {
                self.phase = Phase::Over;
                self.wake();
            }
            _ => {}
        }
        self.schedule(hub);
    }

    fn live_timer(&mut self, hub: &mut Hub) {
        // It may wait for its turn, or the process was stopped, and the answer is there.
        if self.protocol.is_overdue(hub.now, &hub.shared.settings.limits) && self.has_unread() {
            self.is_accused = true;
            return self.wake();
        }
        self.keep_time(hub);
    }

    /// Is there something that its next turn reads?
    fn has_unread(&mut self) -> bool {
        self.stream.notice_unread() || !self.leftover.is_empty() || self.ticket.is_some()
    }

    pub(super) fn keep_time(&mut self, hub: &mut Hub) {
        if matches!(self.protocol.state(), State::Closed(_)) {
            return self.wake();
        }
        let was_open = *self.protocol.state() == State::Open;
        let mut frames = Vec::new();
        self.protocol.on_deadline(hub.now, &hub.shared.settings.limits, &mut frames);
        match self.protocol.state() {
            State::Closed(ending) => {
                match was_open {
                    true => {
                        hub.link().counters.dead_peers.add(1);
                        hub.log_fault(self.id, ending.code, "no answer to a ping");
                    }
                    false => {
                        hub.link().counters.close_timeouts.add(1);
                        hub.log_fault(self.id, ending.code, "no answer to a close frame");
                    }
                }
                return self.wake();
            }
            State::Closing if was_open => {
                hub.link().counters.idle_closed.add(1);
                hub.log_fault(self.id, code::GOING_AWAY, "no message for too long");
                hub.link().mailbox.closing(self.id);
            }
            State::Closing | State::Open => {}
        }
        self.send_control(hub, &mut frames);
        if self.is_stalled(hub) {
            // After a stop of the process it may take something again, and was only not asked.
            let waker = self.waker.clone();
            self.flush(hub, &mut Context::from_waker(&waker));
        }
        if self.is_stalled(hub) {
            hub.link().counters.slow_closed.add(1);
            hub.log_fault(self.id, code::TRY_AGAIN, "the connection takes nothing");
            self.cut(hub, code::TRY_AGAIN, "the connection takes nothing");
        }
    }

    fn is_stalled(&self, hub: &Hub) -> bool {
        self.has_unsent() && hub.now >= self.progress + hub.shared.settings.write_stall
    }

    /// Enters the next deadline in the timers.
    pub(crate) fn schedule(&mut self, hub: &mut Hub) {
        let settings = &hub.shared.settings;
        let deadline = match self.phase {
            // It is over, and would come up again before its turn.
            Phase::Live if self.is_accused => None,
            Phase::Live => {
                let stall = self.has_unsent().then(|| self.progress + settings.write_stall);
                // A pong makes the next ping due before the end of the wait for it, and nobody enters that: so look
                // at least as often as pings are due.
                let interval = settings.limits.ping_interval;
                let look = if interval.is_zero() { Duration::MAX } else { hub.now + interval };
                let protocol = self.protocol.deadline(&settings.limits).map(|deadline| deadline.min(look));
                [stall, protocol].into_iter().flatten().min()
            }
            Phase::Holding { until } | Phase::Flushing { until } | Phase::Lingering { until, .. } => {
                Some(until)
            }
            Phase::Over => None,
        };
        let deadline = deadline.map(|deadline| deadline.min(hub.now + LONGEST_ENTRY));
        hub.timers.schedule(self.id.slot(), deadline, &mut self.entry);
    }
}
