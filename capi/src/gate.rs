//! Who is inside a handle. wsengine_free() closes the gate and waits until the calls that are under way have left;
//! those that come later find it closed.

use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Handles that were freed keep their memory, which is small, until so many others were freed after them: a thread that
/// comes too late is told so, instead of reading what is somebody else's.
const REMEMBERED: usize = 1024;

/// Counts the calls inside; the highest bit says that it is closed.
pub(crate) struct Gate(AtomicU32);

const CLOSED: u32 = 1 << 31;

impl Gate {
    pub(crate) const fn new() -> Self {
        Gate(AtomicU32::new(0))
    }

    /// None: it is closed. Async-signal-safe, as leaving is.
    #[inline]
    pub(crate) fn enter(&self) -> Option<Inside<'_>> {
        let inside = Inside(self);
        (self.0.fetch_add(1, Ordering::Acquire) & CLOSED == 0).then_some(inside)
    }

    /// Lets nobody in any more. False: it was closed before.
    pub(crate) fn close(&self) -> bool {
        self.0.fetch_or(CLOSED, Ordering::AcqRel) & CLOSED == 0
    }

    /// Has everybody left, after it was closed?
    pub(crate) fn is_deserted(&self) -> bool {
        self.0.load(Ordering::Acquire) == CLOSED
    }
}

/// A call that is inside until this is dropped.
pub(crate) struct Inside<'a>(&'a Gate);

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Release);
    }
}

/// The last handles that were freed.
pub(crate) struct Graveyard<T>(Mutex<VecDeque<NonNull<T>>>);

// SAFETY: it only keeps what the pointers point to, for others to look at, and frees it.
unsafe impl<T: Send + Sync> Sync for Graveyard<T> {}

impl<T> Graveyard<T> {
    pub(crate) const fn new() -> Self {
        Graveyard(Mutex::new(VecDeque::new()))
    }

    /// Takes a handle, and frees the memory of the one that has been here longest if there are too many.
    ///
    /// # Safety
    /// It is a box that was leaked, and nobody else frees it.
    pub(crate) unsafe fn bury(&self, handle: NonNull<T>) {
        // Not to be waited for: a process may have been forked while a thread of its parent had it. Then the handle is
        // remembered for good.
        let Ok(mut buried) = self.0.try_lock() else { return };
        buried.push_back(handle);
        if buried.len() > REMEMBERED
            && let Some(oldest) = buried.pop_front()
        {
            // SAFETY: the caller's promise. Who still uses it after so long has no excuse.
            drop(unsafe { Box::from_raw(oldest.as_ptr()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_inside_may_finish_and_nobody_comes_in_after() {
        let gate = Gate::new();
        let inside = gate.enter();
        assert!(inside.is_some());
        assert!(gate.close());
        assert!(!gate.is_deserted());
        assert!(gate.enter().is_none());
        drop(inside);
        assert!(gate.is_deserted());
        assert!(gate.enter().is_none());
        assert!(gate.is_deserted());
        assert!(!gate.close(), "closed twice");
    }

    #[test]
    fn the_last_handles_are_remembered() {
        let graveyard = Graveyard::new();
        let number = std::sync::Arc::new(());
        for _ in 0..REMEMBERED + 10 {
            let handle = NonNull::from(Box::leak(Box::new(number.clone())));
            // SAFETY: a leaked box.
            unsafe { graveyard.bury(handle) };
        }
        assert_eq!(std::sync::Arc::strong_count(&number), REMEMBERED + 1);
    }
}
