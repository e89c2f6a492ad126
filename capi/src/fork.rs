//! Tells a forked child from its parent. A child has the memory of the parent's server but none of its threads, and
//! its descriptors are shared: whatever it called would hang or disturb the parent.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many forks lie between this process and the first one.
static DEPTH: AtomicU32 = AtomicU32::new(0);

/// A process, to be compared later with the one that runs then.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    /// The one that runs now. A counter and not getpid(): that is a system call on each wsengine_send().
    pub(crate) fn current() -> Self {
        Process(DEPTH.load(Ordering::Relaxed))
    }

    /// Makes forks be counted from now on.
    pub(crate) fn watch() {
        static WATCHED: Once = Once::new();
        WATCHED.call_once(|| {
            // SAFETY: the handler only touches an atomic. libc ties it to this library: after dlclose() it is gone.
            // It can fail for want of memory only, and then a child is not told that it is one.
            unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        });
    }
}

unsafe extern "C" fn in_child() {
    DEPTH.fetch_add(1, Ordering::Relaxed);
}
