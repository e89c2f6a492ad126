//! The thread of the backplane: a session with Redis, and when it is lost the next one.

use super::Mode;
use super::place::Place;
use super::session::{self, Lost};
use super::topics::Topics;
use crate::link::Shared;
use crate::sys;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::watch;

/// How long the thread waits before it tries again: longer each time, and never the same for all nodes.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// While Redis is away for the same reason, the log says so every now and then.
const BETWEEN_LINES: Duration = Duration::from_secs(60);

/// The thread.
pub(crate) struct Service {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts it; Redis need not be there yet. None: there is no backplane.
    pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<Option<Service>> {
        let Some(url) = &shared.settings.backplane else { return Ok(None) };
        let unknown = || io::Error::other("the option \"backplane\" names no Redis");
        let place = Place::parse(&url.0).ok_or_else(unknown)?;
        let (stop, stopped) = watch::channel(false);
        let (ready, started) = mpsc::channel();
        let shared = shared.clone();
        let run = move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return ready.send(Err(error)).unwrap_or(()),
            };
            ready.send(Ok(())).unwrap_or(());
            runtime.block_on(serve(&shared, &place, stopped));
            // A name that is being looked up would keep the stop waiting.
            runtime.shutdown_background();
        };
        let builder = std::thread::Builder::new().name("wsengine-redis".into());
        let thread = sys::with_signals_blocked(|| builder.spawn(run))?;
        started.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended at its start")))?;
        Ok(Some(Service { stop, thread: Some(thread) }))
    }

    /// What was published before goes out; then it ends.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for its end. Only in the server's own process.
    pub(crate) fn end(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(shared: &Arc<Shared>, place: &Place, mut stopped: watch::Receiver<bool>) {
    let Some(backplane) = &shared.backplane else { return };
    let mut topics = Topics::always(&shared.settings.presence);
    let mut failures = Failures::default();
    let mut tries = 0;
    while !*stopped.borrow() {
        for link in &shared.links {
            topics.learn(link.mailbox.take_news());
        }
        topics.forget();
        let mut was_up = false;
        let up = || {
            was_up = true;
            tell(shared, true, failures.any, "");
        };
        let outcome = session::run(shared, place, &mut topics, up, &stopped).await;
        shared.go_alone(&mut backplane.lock());
        if let Err(Lost(why)) = outcome {
            if was_up || !failures.any {
                tell(shared, false, false, &why);
            }
            failures.log(&why, shared.now());
            tries = if was_up { 0 } else { tries + 1 };
            tokio::select! {
                () = tokio::time::sleep(wait(tries)) => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        }
    }
    let stop = match backplane.lock().mode {
        Mode::Stopping(stop) => stop,
        Mode::Alone | Mode::Joined => return,
    };
    for link in &shared.links {
        link.mailbox.stop(stop);
    }
}

/// What was said of losses.
#[derive(Default)]
struct Failures {
    /// The host has heard of one.
    any: bool,
    last: String,
    logged: Duration,
}

impl Failures {
    /// The same line is not logged again and again.
    fn log(&mut self, why: &str, now: Duration) {
        if !self.any || self.last != why || now >= self.logged + BETWEEN_LINES {
            tracing::warn!(why, "the backplane is lost; this node goes on by itself");
            self.last = why.to_owned();
            self.logged = now;
        }
        self.any = true;
    }
}

/// From half of it to all of it.
fn wait(tries: u32) -> Duration {
    let most = FIRST_WAIT.saturating_mul(1 << tries.min(10)).min(LONGEST_WAIT);
    let share = RandomState::new().hash_one(tries) as u32;
    most / 2 + (most / 2).mul_f64(f64::from(share) / f64::from(u32::MAX))
}

/// Tells the host.
fn tell(shared: &Shared, up: bool, gap: bool, why: &str) {
    if up {
        tracing::info!(gap, "the backplane is there");
    }
    if let Some(link) = shared.links.first() {
        link.inbox.lock().backplane(shared.now(), up, gap, why);
        shared.wake.notify();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_differ() {
        assert!((25..=50).contains(&wait(0).as_millis()));
        assert!((400..=800).contains(&wait(4).as_millis()));
        for tries in [5, 60, u32::MAX] {
            assert!((500..=1_000).contains(&wait(tries).as_millis()));
        }
        let waits: std::collections::HashSet<_> = (0..20).map(|_| wait(9)).collect();
        assert!(waits.len() > 10);
    }
}
