//! What takes a good part of a millisecond in one piece is done by a thread beside the I/O thread, which serves others
//! meanwhile. The thread comes with the first of such work, and gives way where there are not processors enough.

use crate::sys;
use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, TryRecvError};
use std::thread::{self, Builder, JoinHandle};
use tokio::sync::oneshot;

thread_local! {
    static ASIDE: RefCell<Option<Aside>> = const { RefCell::new(None) };
}

type Work = Box<dyn FnOnce() + Send>;

/// Who waits for it.
#[derive(Clone, Copy)]
pub(crate) enum Awaited {
    ByPeer,
    /// Nobody: it comes after all for which a peer waits.
    ByNobody,
}

/// The thread beside this one.
struct Aside {
    /// None: it is to end.
    queues: Option<[mpsc::Sender<Work>; 2]>,
    thread: Option<JoinHandle<()>>,
}

/// Has `work` done beside this I/O thread. Without an outcome it has panicked, which is in the log.
pub(crate) fn run<T: Send + 'static>(
    awaited: Awaited,
    work: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (done, outcome) = oneshot::channel();
    let work: Work = Box::new(move || {
        // Whose peer has gone wants nothing any more.
        if !done.is_closed() {
            drop(done.send(work()));
        }
    });
    let left = ASIDE.with_borrow_mut(|aside| {
        if aside.is_none() {
            *aside = Aside::start().inspect_err(|error| tracing::debug!(%error, "no thread for it")).ok();
        }
        match aside {
            Some(aside) => aside.give(awaited, work),
            None => Some(work),
        }
    });
    if let Some(work) = left {
        work();
    }
    outcome
}

/// Ends the thread, as soon as it has done what it is at.
pub(crate) fn close() {
    ASIDE.take();
}

impl Aside {
    fn start() -> io::Result<Self> {
        let (for_peers, of_peers) = mpsc::channel();
        let (for_nobody, of_nobody) = mpsc::channel();
        let thread = Builder::new()
            .name("wsengine-aside".into())
            .spawn(move || work_through(&[of_peers, of_nobody]))?;
        Ok(Aside { queues: Some([for_peers, for_nobody]), thread: Some(thread) })
    }

    /// Returns what it cannot take.
    fn give(&self, awaited: Awaited, work: Work) -> Option<Work> {
        let Some([for_peers, for_nobody]) = &self.queues else { return Some(work) };
        let queue = match awaited {
            Awaited::ByPeer => for_peers,
            Awaited::ByNobody => for_nobody,
        };
        let refused = queue.send(work).err();
        self.wake();
        refused.map(|refused| refused.0)
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
fn work_through(queues: &[mpsc::Receiver<Work>; 2]) {
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
    fn what_a_peer_waits_for_comes_first_and_what_nobody_wants_is_left_out() {
        let done = Arc::new(Mutex::new(Vec::new()));
        let note = |what: &'static str| {
            let done = done.clone();
            move || {
                done.lock().unwrap().push(what);
                what
            }
        };
        let (go_on, held_up) = mpsc::channel::<()>();
        let first = run(Awaited::ByPeer, move || held_up.recv().is_ok());
        let nobody = run(Awaited::ByNobody, note("for nobody"));
        drop(run(Awaited::ByPeer, note("for one that has gone")));
        let peer = run(Awaited::ByPeer, note("for a peer"));
        go_on.send(()).unwrap();
        assert_eq!(first.blocking_recv(), Ok(true));
        assert_eq!((nobody.blocking_recv(), peer.blocking_recv()), (Ok("for nobody"), Ok("for a peer")));
        assert_eq!(*done.lock().unwrap(), ["for a peer", "for nobody"]);
        close();
    }

    #[test]
    fn a_panic_loses_one_piece_of_work() {
        let lost = run(Awaited::ByPeer, || panic!("in a test"));
        let next = run(Awaited::ByPeer, || 7);
        assert!(lost.blocking_recv().map(|()| unreachable!()).is_err());
        assert_eq!(next.blocking_recv(), Ok(7));
        close();
    }

    #[test]
    fn the_end_waits_for_what_is_begun() {
        let (begun, begins) = mpsc::channel();
        let outcome = run(Awaited::ByPeer, move || {
            begun.send(()).unwrap();
            thread::yield_now();
            7
        });
        begins.recv().unwrap();
        close();
        assert_eq!(outcome.blocking_recv(), Ok(7));
    }
}
