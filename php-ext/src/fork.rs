//! A forked child has the memory of its parent but none of its threads: the parent's server is not in it, and what
//! would stop or free that server there would disturb the parent. So the child forgets it.

use crate::exception::Failure;
use crate::{server, signal};
use std::sync::Once;
use std::sync::atomic::{AtomicI32, Ordering};

/// The process whose server this one has forgotten; 0 when it has not.
static PARENT: AtomicI32 = AtomicI32::new(0);

/// Has every process that is forked from now on forget the server of this one.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    // SAFETY: the handler keeps to what is allowed in a child with threads in its parent: no locks, no allocation.
    ONCE.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    });
}

/// Why there is no server to use, if it is because of a fork.
pub(crate) fn failure(function: &str) -> Option<Failure> {
    let parent = PARENT.load(Ordering::Relaxed);
    (parent != 0).then(|| {
        let child = std::process::id();
        Failure::Fork(format!(
            "{function}(): the server runs in process {parent}, and this is its forked child {child}; use it there, \
             or start another one here with ws_server_start()"
        ))
    })
}

/// This process has a server of its own now.
pub(crate) fn started() {
    PARENT.store(0, Ordering::Relaxed);
}

extern "C" fn in_child() {
    if let Some(parent) = server::forget() {
        PARENT.store(parent, Ordering::Relaxed);
        signal::forget();
    }
}
