//! What a thread of our own takes before it can be started.

use std::io;

/// A thread does not start where there is not so much for it, two thirds of it its stack: the C library and the runtime end
/// the process when they lack memory at their start.
const THREAD_BYTES: usize = 3 << 20;

/// Is there memory for one more?
pub(crate) fn memory_for_one() -> io::Result<()> {
    let mut memory = Vec::<u8>::new();
    if memory.try_reserve_exact(THREAD_BYTES).is_err() {
        return Err(io::Error::from_raw_os_error(libc::ENOMEM));
    }
    // Seen by nobody, it would not be asked for.
    drop(std::hint::black_box(memory));
    Ok(())
}
