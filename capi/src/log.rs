//! Log lines on their way to a C function.

use crate::boundary::call;
use std::cell::Cell;
use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};
use tracing::Level;
use wsengine::log;

/// Takes a log line without a line end; level: 1 error, 2 warning, 3 info, 4 debug, 5 trace. Called from any thread,
/// also from several at once, and maybe in the middle of a wsengine function; must return soon, and normally: neither by
/// longjmp() nor by an exception. Functions of wsengine
/// that it calls do nothing and answer WSENGINE_ERR_BUSY or NULL, but for wsengine_wakeup() and those that only give a
/// text or a version. line is gone when it returns.
pub type wsengine_log_fn =
    Option<unsafe extern "C" fn(level: c_int, line: *const c_char, user_data: *mut c_void)>;

/// Sends the log lines of all servers of the process to function, with user_data as it is; NULL ends that, and it
/// is how it begins. The option log_level of the server started last says how much is logged. When it returns, the
/// function set before is not called any more; so it waits for one that is running. A forked child sets its own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_set_log(function: wsengine_log_fn, user_data: *mut c_void) -> c_int {
    call(|| {
        let user_data = UserData(user_data);
        log::set_sink(function.map(|function| -> log::Sink {
            Box::new(move |level, line| {
                let line = CString::new(line.replace('\0', "\\0")).unwrap_or_default();
                speaking(|| {
                    // SAFETY: by the header's contract the function takes these and may be called from any thread.
                    unsafe { function(number(level), line.as_ptr(), user_data.pointer()) };
                });
            })
        }));
        Ok(0)
    })
}

/// How many threads are inside a log function: hardly ever one, and quicker to ask than a thread's own.
static SPEAKERS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SPEAKING: Cell<bool> = const { Cell::new(false) };
}

/// Is this thread inside a log function?
#[inline]
pub(crate) fn is_speaking() -> bool {
    SPEAKERS.load(Ordering::Relaxed) > 0 && is_speaker()
}

/// Out of the way: the compiler would look up the thread's local before it knows whether it needs it, and in a library that
/// is a call.
#[cold]
#[inline(never)]
fn is_speaker() -> bool {
    // A thread that is ending, whose locals are gone, runs destructors.
    SPEAKING.try_with(Cell::get).unwrap_or(false)
}

fn speaking(function: impl FnOnce()) {
    let set = |speaking| SPEAKING.try_with(|cell| cell.set(speaking)).unwrap_or(());
    SPEAKERS.fetch_add(1, Ordering::Relaxed);
    set(true);
    function();
    set(false);
    SPEAKERS.fetch_sub(1, Ordering::Relaxed);
}

/// A pointer that is only handed back.
#[derive(Clone, Copy)]
struct UserData(*mut c_void);

impl UserData {
    fn pointer(self) -> *mut c_void {
        self.0
    }
}

// SAFETY: never dereferenced here; the header says that the function gets it on any thread.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

fn number(level: Level) -> c_int {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}
