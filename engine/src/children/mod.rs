//! Forked children of the host's process: the server's threads are not in them, so what they ask for travels to the
//! process that has it.
//!
//! Before the fork there is a pair of sockets, the way, one end of which every child inherits. A child that asks for
//! the first time makes a pair of its own and sends one end along the way (`parent.rs`). From then on it has a stream
//! to the server's process for itself: requests and answers (`wire.rs`), in order, of any size; and if it dies in the
//! middle of one, nothing of that happens. A thread of the server's process does what is asked (`service.rs`), as any
//! thread of the host would.

mod parent;
mod service;
mod wire;

use crate::link::Shared;
use crate::sys::{self, fork};
use parent::Parent;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

pub(crate) use wire::Request;

/// What the server's process has for its children.
pub(crate) struct Children {
    /// Used in the children only.
    pub(crate) parent: Parent,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Children {
    /// Starts to serve them, on a thread of its own.
    pub(crate) fn serve(shared: Arc<Shared>) -> io::Result<Children> {
        let gate = fork::gate();
        let (near, far) = UnixDatagram::pair()?;
        let near = fork::Kept::new(sys::move_above_select(near));
        drop(gate);
        near.set_nonblocking(true)?;
        let (stop, stopped) = oneshot::channel();
        let thread = service::start(shared, near, stopped)?;
        Ok(Children { parent: Parent::new(far), stop: Some(stop), thread: Some(thread) })
    }

    /// Serves them no more. Only in the server's own process.
    pub(crate) fn end(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// Gives the thread up, which is not there in a child.
    pub(crate) fn forget(&mut self) {
        std::mem::forget(self.thread.take());
    }
}
