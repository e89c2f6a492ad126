//! An I/O thread: a tokio runtime of its own, its hub, and the root task that keeps it going until the stop.

use crate::accept;
use crate::aside;
use crate::hub::{self, Hub};
use crate::link::Shared;
use crate::listen::Listener;
use crate::sockets;
use crate::spare::Spare;
use crate::systemd;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::time::{Instant, sleep_until};

/// Threads for reading files; they end when there is nothing to do.
const FILE_THREADS: usize = 2;
/// How long a stop waits for a read from a file.
const FILE_PATIENCE: Duration = Duration::from_millis(200);

/// Runs one I/O thread until the server has stopped. `ready` is told when it works, or why it cannot.
pub(crate) fn run(
    shared: Arc<Shared>,
    thread: usize,
    listeners: Vec<Listener>,
    ready: impl FnOnce(io::Result<()>),
) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        // What was done aside is on its way at once, also while there is always something else to do.
        .global_queue_interval(1)
        .max_blocking_threads(FILE_THREADS)
        .thread_name("wsengine-files")
        .on_thread_park(|| hub::with(Hub::before_park).unwrap_or(()))
        .on_thread_unpark(|| hub::with(Hub::after_unpark).unwrap_or(()))
        .build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return ready(Err(error)),
    };
    let opened = runtime.block_on(async { sockets::open() });
    let hub = match opened.and_then(|()| Hub::new(shared.clone(), thread)) {
        Ok(hub) => hub,
        Err(error) => return ready(Err(error)),
    };
    let running = Running(shared.clone());
    hub::set(Some(hub));
    // All descriptors are open when the server has started.
    let listeners: Vec<_> = listeners.into_iter().map(|listener| (listener, Spare::take())).collect();
    ready(Ok(()));
    runtime.block_on(async {
        let accepting: Vec<_> = listeners
            .into_iter()
            .map(|(listener, spare)| {
                tokio::task::spawn_local(accept::accept(listener, spare, shared.clone()))
            })
            .collect();
        if let Some(ready) = hub::with(|hub| hub.ready.clone()) {
            tokio::task::spawn_local(hub::rounds(ready));
        }
        tokio::task::spawn_local(timers(shared.clone()));
        if thread == 0 {
            tokio::task::spawn_local(watchdog(shared.clone()));
        }
        root(&shared, || accepting.iter().for_each(|task| task.abort())).await;
    });
    hub::set(None);
    sockets::close();
    // Not longer: a read from a disk that does not answer would keep the stop waiting for ever.
    runtime.shutdown_timeout(FILE_PATIENCE);
    // Now nobody waits for what is done aside.
    aside::close();
    drop(running);
}

/// Says when the thread has ended, even if by a panic: the host would wait for it for ever.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.wake.notify();
    }
}

/// Takes over sockets that another thread has accepted, and ends when the server has stopped.
async fn root(shared: &Arc<Shared>, stop_accepting: impl Fn()) {
    poll_fn(|cx| {
        let sockets = hub::with(|hub| {
            hub.set_root(cx.waker());
            if hub.stopping.is_some() {
                stop_accepting();
            }
            std::mem::take(&mut hub.sockets)
        });
        for accepted in sockets.unwrap_or_default() {
            accept::begin(accepted, shared);
        }
        match hub::with(|hub| hub.is_finished()) {
            Some(false) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    })
    .await;
}

/// Tells systemd that we are alive, twice in the time that it waits for it; but only if the host is, too: a script that is
/// stuck is what a watchdog is for.
async fn watchdog(shared: Arc<Shared>) {
    let Some(interval) = shared.notify.as_ref().and_then(|notify| notify.watchdog) else { return };
    loop {
        tokio::time::sleep(interval / 2).await;
        if shared.host_is_alive() {
            shared.tell_systemd(systemd::ALIVE);
        }
    }
}

/// Runs the timers of the hub.
async fn timers(shared: Arc<Shared>) {
    loop {
        // The process may have been stopped, or its machine: then all deadlines are over, but the peers have said and taken
        // something meanwhile. The sockets are looked at first.
        tokio::task::yield_now().await;
        let next = hub::with(Hub::run_timers).flatten();
        let mut sleep = pin!(next.map(|next| sleep_until(Instant::from_std(shared.started + next))));
        poll_fn(|cx| {
            let earlier = hub::with(|hub| hub.timers.has_earlier(next, cx.waker())).unwrap_or(false);
            match sleep.as_mut().as_pin_mut() {
                _ if earlier => Poll::Ready(()),
                Some(sleep) => sleep.poll(cx),
                None => Poll::Pending,
            }
        })
        .await;
    }
}
