//! What takes a good part of a millisecond in one piece is done by a thread beside the I/O thread, which serves others
//! meanwhile. The thread comes with the first of such work, and gives way where there are not processors enough.

use crate::sys;
use crate::threads;
use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, TryRecvError, TrySendError};
use std::thread::{self, Builder, JoinHandle};
use tokio::sync::oneshot;

thread_local! {
    static ASIDE: RefCell<Option<Aside>> = const { RefCell::new(None) };
}

type Work = Box<dyn FnOnce() + Send>;

/// Which work comes first.
#[derive(Clone, Copy)]
pub(crate) enum Rank {
    /// A peer waits for it and has waited before: what was done for it shall not be in vain.
    GoesOn,
    /// A peer waits for it.
    Begins,
    /// Nobody waits for it.
    Unawaited,
}

/// Of what nobody waits for so much may wait; the rest is not done.
const MOST_UNAWAITED: usize = 1024;

/// The thread beside this one.
struct Aside {
    /// None: it is to end.
    queues: Option<Queues>,
    thread: Option<JoinHandle<()>>,
}

struct Queues {
    goes_on: mpsc::Sender<Work>,
    begins: mpsc::Sender<Work>,
    unawaited: mpsc::SyncSender<Work>,
}

/// Has `work` done beside this I/O thread. Without an outcome it has panicked, which is in the log, or nobody waits for it and
/// there was too much.
pub(crate) fn run<T: Send + 'static>(
    rank: Rank,
    work: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (done, outcome) = oneshot::channel();
    let work: Work = Box::new(move || {
        // Whose peer has gone wants nothing any more.
        if !done.is_closed() {
            drop(done.send(work()));
        }
    });
    let refused = ASIDE.with_borrow_mut(|aside| {
        if aside.is_none() {
            *aside = Aside::start().inspect_err(|error| tracing::debug!(%error, "no thread for it")).ok();
        }
        match aside {
            Some(aside) => aside.give(rank, work),
            None => Some(work),
        }
    });
    match (rank, refused) {
        (Rank::GoesOn | Rank::Begins, Some(work)) => work(),
        (_, refused) => drop(refused),
    }
    outcome
}

/// Ends the thread, as soon as it has done what it is at.
pub(crate) fn close() {
    ASIDE.take();
}

impl Aside {
    fn start() -> io::Result<Self> {
        threads::memory_for_one()?;
        let (goes_on, of_first) = mpsc::channel();
        let (begins, of_second) = mpsc::channel();
        let (unawaited, of_third) = mpsc::sync_channel(MOST_UNAWAITED);
        let thread = Builder::new()
            .name("wsengine-aside".into())
            .spawn(move || work_through(&[of_first, of_second, of_third]))?;
        Ok(Aside { queues: Some(Queues { goes_on, begins, unawaited }), thread: Some(thread) })
    }

    /// Returns what it does not take.
    fn give(&self, rank: Rank, work: Work) -> Option<Work> {
        let Some(queues) = &self.queues else { return Some(work) };
        let refused = match rank {
            Rank::GoesOn => queues.goes_on.send(work).err().map(|refused| refused.0),
            Rank::Begins => queues.begins.send(work).err().map(|refused| refused.0),
            Rank::Unawaited => queues.unawaited.try_send(work).err().map(|refused| match refused {
                TrySendError::Full(work) | TrySendError::Disconnected(work) => work,
            }),
        };
        self.wake();
        refused
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.queues = None;
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Does what comes, until nobody can give anything any more. What has not been begun by then nobody wants.
fn work_through(queues: &[mpsc::Receiver<Work>; 3]) {
    sys::be_nice();
    loop {
        let taken = queues
            .iter()
            .map(mpsc::Receiver::try_recv)
            .find(|taken| !matches!(taken, Err(TryRecvError::Empty)));
        match taken {
            Some(Ok(work)) => {
                if catch_unwind(AssertUnwindSafe(work)).is_err() {
                    tracing::error!("internal error, please report it; what a connection waits for is lost");
                }
                // Whoever has waited for this processor meanwhile waits for one piece and not for all.
                thread::yield_now();
            }
            Some(Err(_)) => return,
            None => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn what_goes_on_comes_first_and_what_nobody_wants_is_left_out() {
        let done = Arc::new(Mutex::new(Vec::new()));
        let note = |what: &'static str| {
            let done = done.clone();
            move || {
                done.lock().unwrap().push(what);
                what
            }
        };
        let (go_on, held_up) = mpsc::channel::<()>();
        let first = run(Rank::Begins, move || held_up.recv().is_ok());
        let unawaited = run(Rank::Unawaited, note("unawaited"));
        drop(run(Rank::GoesOn, note("for one that has gone")));
        let begins = run(Rank::Begins, note("begins"));
        let goes_on = run(Rank::GoesOn, note("goes on"));
        let rest: Vec<_> = (0..MOST_UNAWAITED).map(|_| run(Rank::Unawaited, || ())).collect();
        go_on.send(()).unwrap();
        assert_eq!(first.blocking_recv(), Ok(true));
        for (outcome, what) in [(unawaited, "unawaited"), (begins, "begins"), (goes_on, "goes on")] {
            assert_eq!(outcome.blocking_recv(), Ok(what));
        }
        assert_eq!(*done.lock().unwrap(), ["goes on", "begins", "unawaited"]);
        let done = rest.into_iter().filter_map(|outcome| outcome.blocking_recv().ok()).count();
        assert_eq!(done, MOST_UNAWAITED - 1, "one was too much");
        close();
    }

    #[test]
    fn a_panic_loses_one_piece_of_work() {
        let lost = run(Rank::Begins, || panic!("in a test"));
        let next = run(Rank::Begins, || 7);
        assert!(lost.blocking_recv().map(|()| unreachable!()).is_err());
        assert_eq!(next.blocking_recv(), Ok(7));
        close();
    }

    #[test]
    fn the_end_waits_for_what_is_begun() {
        let (begun, begins) = mpsc::channel();
        let outcome = run(Rank::Begins, move || {
            begun.send(()).unwrap();
            thread::yield_now();
            7
        });
        begins.recv().unwrap();
        close();
        assert_eq!(outcome.blocking_recv(), Ok(7));
    }
}
