//! How long a socket may take that is no connection yet, and how many there are.

use crate::link::Shared;
use crate::stream::Stream;
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// With as many sockets as [`Shared::max_sockets`] that are no connections yet no more are accepted, and those that
/// do not get on have so long instead of the option `handshake_timeout_ms`: a thousand silent sockets keep nobody
/// out for longer than that, and a burst of handshakes just queues.
const PATIENCE_WHEN_FULL: Duration = Duration::from_secs(1);
/// While the host decides hyper reads nothing: so often we look whether the peer is still there.
const LOOK_WHILE_DECIDING: Duration = Duration::from_millis(250);

/// One of [`Shared::max_sockets`], until it is dropped. It may lie in a mailbox, so it does not hold what mailboxes are in.
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(crate) fn new(shared: &Shared) -> Self {
        shared.handshakes.fetch_add(1, Ordering::Relaxed);
        Counted(shared.handshakes.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How far a socket has come. A request has to arrive whole in time; its answer only has to get on.
pub(crate) struct Progress {
    /// When the socket was accepted; for a later request, when the one before it was there.
    pub(crate) began: Cell<Instant>,
    /// When bytes of an answer were last taken.
    moved: Cell<Instant>,
    /// A request is there. Before, nothing is written but our own refusals.
    pub(crate) answering: Cell<bool>,
    /// The peer has not taken all of it.
    pub(crate) stuck: Cell<bool>,
    /// The host is asked, which has a deadline of its own.
    pub(crate) deciding: Cell<bool>,
    /// The peer left meanwhile.
    gone: Cell<bool>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Progress {
            began: Cell::new(now),
            moved: Cell::new(now),
            answering: Cell::new(false),
            stuck: Cell::new(false),
            deciding: Cell::new(false),
            gone: Cell::new(false),
        }
    }

    pub(crate) fn answers(&self) {
        if self.answering.replace(true) {
            self.began.set(Instant::now());
        }
        self.moved.set(Instant::now());
    }

    /// Goes on with `work` as long as the peer gets on; None when it does not.
    pub(crate) async fn watch<T>(&self, shared: &Shared, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let mut look = pin!(sleep_until(self.look_again(shared)));
        std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            while look.as_mut().poll(cx).is_ready() {
                if self.is_too_slow(shared) {
                    return Poll::Ready(None);
                }
                look.as_mut().reset(self.look_again(shared));
            }
            Poll::Pending
        })
        .await
    }

    fn is_too_slow(&self, shared: &Shared) -> bool {
        if self.deciding.get() {
            return self.gone.get();
        }
        let timeout = shared.settings.handshake_timeout;
        // Who is served a file keeps others from theirs.
        let full =
            shared.places_are_wanted() || (self.answering.get() && shared.files.available_permits() == 0);
        self.since().elapsed() >= timeout
            || (full
                && (self.moved.get().elapsed() >= PATIENCE_WHEN_FULL
                    || self.began.get().elapsed() >= timeout))
    }

    fn look_again(&self, shared: &Shared) -> Instant {
        match self.deciding.get() {
            true => Instant::now() + LOOK_WHILE_DECIDING,
            false => {
                let soon = Instant::now() + PATIENCE_WHEN_FULL;
                (self.since() + shared.settings.handshake_timeout).min(soon)
            }
        }
    }

    fn since(&self) -> Instant {
        if self.answering.get() { self.moved.get() } else { self.began.get() }
    }
}

/// The socket as hyper sees it.
pub(crate) struct Watched {
    pub(crate) stream: Stream,
    pub(crate) progress: Rc<Progress>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.progress.answering.get() {
            // hyper's own answer to what is no request: a bare status. Ours says why.
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.progress.stuck.set(written.is_pending());
        if let Poll::Ready(Ok(_)) = written {
            self.progress.moved.set(Instant::now());
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes whenever it is polled, and a look polls it.
        if self.progress.deciding.get() && self.stream.has_hung_up() {
            self.progress.gone.set(true);
        }
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        // TLS has taken all, and holds it.
        self.progress.stuck.set(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
