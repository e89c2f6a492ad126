//! The two ways in which threads wake each other, in every order of their steps, by a model of threads (loom): nothing that
//! was brought is slept over. A wake-up that is lost would be a deadlock, which loom tells.

#[allow(dead_code)] // A part of it.
#[path = "../src/wake.rs"]
mod wake;

/// Those of the engine's modules that `wake` uses.
mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering};
}

mod sys {
    use loom::sync::{Condvar, Mutex};

    /// eventfd(2) as far as it matters here.
    pub(crate) struct EventFd {
        readable: Mutex<bool>,
        changed: Condvar,
    }

    impl EventFd {
        pub(crate) fn new() -> std::io::Result<Self> {
            Ok(EventFd { readable: Mutex::new(false), changed: Condvar::new() })
        }

        pub(crate) fn signal(&self) {
            *self.readable.lock().unwrap() = true;
            self.changed.notify_one();
        }

        pub(crate) fn clear(&self) {
            *self.readable.lock().unwrap() = false;
        }

        /// As poll(2) does.
        pub(crate) fn wait(&self) {
            let mut readable = self.readable.lock().unwrap();
            while !*readable {
                readable = self.changed.wait(readable).unwrap();
            }
        }
    }
}

use loom::sync::{Arc, Mutex};
use loom::thread;
use wake::{HostWake, Sleeper};

/// Every order in which no thread is put aside more than so often: all of them would take days.
fn in_every_order(work: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(work);
}

/// A queue, as inbox and mailbox are: a lock around what was brought.
type Queue = Mutex<usize>;

fn bring(queue: &Queue) {
    *queue.lock().unwrap() += 1;
}

fn take(queue: &Queue) -> usize {
    std::mem::take(&mut *queue.lock().unwrap())
}

/// Two threads that bring an event each, and then what `more` says.
fn bringers(shared: &Arc<(Queue, HostWake)>, interrupt: bool) -> [thread::JoinHandle<()>; 2] {
    [false, interrupt].map(|interrupt| {
        let shared = shared.clone();
        thread::spawn(move || {
            bring(&shared.0);
            shared.1.notify();
            if interrupt {
                shared.1.interrupt();
            }
        })
    })
}

/// [`wsengine::Poller::wait`], as far as it concerns waking.
fn poll(queue: &Queue, wake: &HostWake) -> usize {
    let mut taken = take(queue);
    while taken == 0 {
        wake.arm();
        taken = take(queue);
        if taken == 0 {
            wake.event().wait();
        }
        wake.disarm();
        wake.event().clear();
        taken += take(queue);
    }
    taken
}

#[test]
fn a_host_that_polls_sleeps_over_no_event() {
    in_every_order(|| {
        let shared = Arc::new((Queue::new(0), HostWake::new().unwrap()));
        let bringers = bringers(&shared, false);
        let mut taken = 0;
        while taken < 2 {
            taken += poll(&shared.0, &shared.1);
        }
        bringers.into_iter().for_each(|bringer| bringer.join().unwrap());
    });
}

#[test]
fn a_host_with_a_loop_of_its_own_sleeps_over_no_event_and_no_wake_up() {
    in_every_order(|| {
        let shared = Arc::new((Queue::new(0), HostWake::new().unwrap()));
        let (queue, wake) = (&shared.0, &shared.1);
        wake.export();
        let bringers = bringers(&shared, true);
        let (mut taken, mut woken) = (0, false);
        while taken < 2 || !woken {
            wake.event().wait();
            taken += take(queue);
            woken |= wake.take_interrupt();
            wake.settle(|| *queue.lock().unwrap() > 0);
        }
        bringers.into_iter().for_each(|bringer| bringer.join().unwrap());
    });
}

#[test]
fn a_thread_that_parks_sleeps_over_no_command() {
    in_every_order(|| {
        let shared = Arc::new((Queue::new(0), Sleeper::default()));
        let parked = thread::current();
        let hosts = [(); 2].map(|()| {
            let (shared, parked) = (shared.clone(), parked.clone());
            thread::spawn(move || {
                bring(&shared.0);
                if shared.1.is_to_be_woken() {
                    parked.unpark();
                }
            })
        });
        let (queue, sleeper) = (&shared.0, &shared.1);
        let mut taken = 0;
        while taken < 2 {
            sleeper.lie_down();
            match take(queue) {
                0 => thread::park(),
                some => taken += some,
            }
            sleeper.get_up();
        }
        hosts.into_iter().for_each(|host| host.join().unwrap());
    });
}
