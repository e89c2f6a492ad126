//! The tasks that work on handshakes.

use super::{Hub, Load, with};
use crate::sys;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::task::AbortHandle;

/// What a step costs, in bytes that could be read meanwhile.
const WORK_OF_STEP: usize = 64 * 1024;
/// After so many handshakes, when they are over, what the allocator holds of them is given back.
const HANDSHAKES_PER_TRIM: u32 = 256;
const TRIM_AFTER: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Handshakes {
    tasks: HashMap<u64, AbortHandle>,
    serial: u64,
    since_trim: u32,
}

impl Handshakes {
    /// Is there nothing under way?
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Ends all.
    pub(super) fn abort(&mut self) {
        std::mem::take(&mut self.tasks).into_values().for_each(|task| task.abort());
    }

    /// One has become a connection.
    pub(super) fn succeeded(&mut self) {
        self.since_trim += 1;
        if self.since_trim == HANDSHAKES_PER_TRIM {
            tokio::task::spawn_local(trim_when_quiet());
        }
    }
}

impl Hub {
    /// Starts the task of a handshake.
    pub(crate) fn begin_handshake(&mut self, handshake: impl Future<Output = ()> + 'static) {
        self.handshakes.serial += 1;
        let serial = self.handshakes.serial;
        let task = tokio::task::spawn_local(async move {
            in_turn(handshake).await;
            with(|hub| hub.end_handshake(serial));
        });
        self.handshakes.tasks.insert(serial, task.abort_handle());
    }

    fn end_handshake(&mut self, serial: u64) {
        self.handshakes.tasks.remove(&serial);
        if self.stopping.is_some() {
            self.wake_root();
        }
    }
}

async fn in_turn(handshake: impl Future<Output = ()>) {
    let mut handshake = pin!(handshake);
    let mut ticket = None;
    poll_fn(|cx| {
        let may_go_on = with(|hub| {
            let may_go_on = hub.take_turn(Load::Heavy, &mut ticket, cx);
            if may_go_on {
                hub.polled(WORK_OF_STEP);
            }
            may_go_on
        });
        if may_go_on == Some(true) { handshake.as_mut().poll(cx) } else { Poll::Pending }
    })
    .await;
}

/// Gives memory back when a burst of handshakes is over. On a thread of its own: it takes milliseconds.
async fn trim_when_quiet() {
    let mut seen = 0;
    loop {
        tokio::time::sleep(TRIM_AFTER).await;
        let Some(count) = with(|hub| hub.handshakes.since_trim) else { return };
        if count == seen {
            break;
        }
        seen = count;
    }
    with(|hub| hub.handshakes.since_trim = 0);
    tokio::task::spawn_blocking(sys::trim_memory);
}
