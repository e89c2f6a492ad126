//! The thread that tells members who has come and left: a moment after the change, so that many at once are one message, and a
//! topic with many members does not send each of them a message for each.

use crate::link::Shared;
use crate::sys;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What changes within this time is told together.
const PAUSE: Duration = Duration::from_millis(100);
/// How often it is looked whether other nodes are still heard of.
const LOOK: Duration = Duration::from_secs(5);

/// Wakes the thread.
#[derive(Default)]
pub(super) struct Bell {
    state: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Rung {
    #[default]
    No,
    Yes,
    /// It has to end.
    Over,
}

impl Bell {
    pub(super) fn ring(&self) {
        self.set(Rung::Yes);
    }

    fn set(&self, rung: Rung) {
        let mut state = self.lock();
        if *state == Rung::No || rung == Rung::Over {
            *state = rung;
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Waits until it rings, or for so long.
    fn wait(&self, time: Duration) -> Rung {
        let waited = self.changed.wait_timeout_while(self.lock(), time, |state| *state == Rung::No);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Lets it be rung again after so long. False: it is over.
    fn rest(&self, time: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), time, |state| *state != Rung::Over);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let goes_on = *state != Rung::Over;
        if goes_on {
            *state = Rung::No;
        }
        goes_on
    }

    fn lock(&self) -> MutexGuard<'_, Rung> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread.
pub(crate) struct Service {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// None: there is no presence.
    pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<Option<Service>> {
        if !shared.presence.is_on() {
            return Ok(None);
        }
        let own = shared.clone();
        let builder = std::thread::Builder::new().name("wsengine-people".into());
        let thread = sys::with_signals_blocked(|| builder.spawn(move || serve(&own)))?;
        Ok(Some(Service { shared: shared.clone(), thread: Some(thread) }))
    }

    /// Waits for its end. Only in the server's own process.
    pub(crate) fn end(&mut self) {
        self.shared.presence.gone.bell.set(Rung::Over);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(shared: &Shared) {
    let bell = &shared.presence.gone.bell;
    let mut looked = shared.now();
    loop {
        match bell.wait(LOOK) {
            Rung::Over => return,
            Rung::Yes if !bell.rest(PAUSE) => return,
            Rung::Yes | Rung::No => {}
        }
        // However much it rings.
        let now = shared.now();
        if now >= looked + LOOK {
            looked = now;
            shared.presence.forget_silent_nodes(now);
        }
        shared.announce();
        if let Some(backplane) = &shared.backplane {
            backplane.ring();
        }
    }
}
