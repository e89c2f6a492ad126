//! The one place where C and Rust meet: no panic goes out, no NULL goes in, and neither a forked child, nor a log
//! function, nor who comes after wsengine_free() gets any further.

use crate::error::Failure;
use crate::error::wsengine_error::{WSENGINE_ERR_BUSY, WSENGINE_ERR_INTERNAL, WSENGINE_ERR_INVALID};
use crate::log;
use crate::server::{Entered, wsengine_t};
use std::any::Any;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the body of an exported function that returns int.
pub(crate) fn call(body: impl FnOnce() -> Result<c_int, Failure>) -> c_int {
    guard(|code| code, body)
}

/// Runs the body of any exported function; `failed` makes its answer out of the number of an error. After a panic
/// nothing of the body is used again but the server, whose state the engine keeps behind locks and queues of its
/// own: hence `AssertUnwindSafe`.
pub(crate) fn guard<T>(failed: impl FnOnce(c_int) -> T, body: impl FnOnce() -> Result<T, Failure>) -> T {
    if log::is_speaking() {
        // The log's lock is held, and maybe others of the engine.
        return failed(Failure::saying(WSENGINE_ERR_BUSY, c"a log function must not call wsengine").answer());
    }
    let outcome = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = format!("bug in wsengine, please report it: {}", panic_text(&*panic));
        Err(Failure::explained(WSENGINE_ERR_INTERNAL, text))
    });
    outcome.unwrap_or_else(|failure| failed(failure.answer()))
}

/// The server behind a handle, which wsengine_free() leaves alone as long as this is there.
///
/// # Safety
/// The handle is NULL or came from wsengine_start() and its memory is still there.
#[inline]
pub(crate) unsafe fn server<'a>(handle: *const wsengine_t) -> Result<Entered<'a>, Failure> {
    // SAFETY: the caller's promise.
    let handle = unsafe { handle.as_ref() }.ok_or_else(|| null(c"server is NULL"))?;
    handle.enter().map_err(Failure::new)
}

/// The bytes of a message; NULL is none.
///
/// # Safety
/// `data` is NULL or points to `len` bytes that nobody writes to while the slice lives.
pub(crate) unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Result<&'a [u8], Failure> {
    match len {
        0 => Ok(&[]),
        _ if data.is_null() => Err(null(c"data is NULL and len is not 0")),
        _ if isize::try_from(len).is_err() => {
            Err(Failure::saying(WSENGINE_ERR_INVALID, c"len is larger than any object can be"))
        }
        // SAFETY: the caller's promise, and the length was checked.
        _ => Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) }),
    }
}

/// The text of a C string; `what` is the failure when it is NULL.
///
/// # Safety
/// `text` is NULL or ends with a NUL, and nobody writes to it while the slice lives.
pub(crate) unsafe fn text<'a>(text: *const c_char, what: &'static CStr) -> Result<&'a [u8], Failure> {
    if text.is_null() {
        return Err(null(what));
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { CStr::from_ptr(text) }.to_bytes())
}

pub(crate) fn null(what: &'static CStr) -> Failure {
    Failure::saying(WSENGINE_ERR_INVALID, what)
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::wsengine_last_error;

    fn last_error() -> &'static str {
        // SAFETY: the text is static or lives until the next failure of this thread.
        unsafe { CStr::from_ptr(wsengine_last_error()) }.to_str().unwrap()
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let code = call(|| panic!("the {} broke", "thing"));
        assert_eq!(code, WSENGINE_ERR_INTERNAL as c_int);
        assert_eq!(last_error(), "bug in wsengine, please report it: the thing broke");
    }

    #[test]
    fn a_failure_leaves_its_text_for_this_thread_only() {
        assert_eq!(call(|| Err(null(c"it is NULL"))), WSENGINE_ERR_INVALID as c_int);
        assert_eq!(last_error(), "it is NULL");
        std::thread::spawn(|| assert_eq!(last_error(), "")).join().unwrap();
    }

    #[test]
    fn a_nul_in_a_text_is_shown() {
        call(|| Err(Failure::explained(WSENGINE_ERR_INVALID, "a\0b".into())));
        assert_eq!(last_error(), "a\\0b");
    }

    #[test]
    fn no_bytes_need_no_pointer() {
        // SAFETY: NULL is allowed.
        unsafe {
            assert_eq!(bytes(std::ptr::null(), 0).unwrap(), b"");
            assert!(bytes(std::ptr::null(), 1).is_err());
        }
    }
}
