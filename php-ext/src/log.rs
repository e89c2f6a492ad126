//! The engine's log lines on the script's standard error, and panics as one line of it.

use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;
use std::panic::PanicHookInfo;

/// Sends what the engine logs to standard error.
pub(crate) fn start() {
    wsengine::log::set_sink(Some(Box::new(|level, text| line(&level.to_string().to_lowercase(), text))));
}

/// Prints a panic as a line; without this it would be several. Only for module startup.
pub(crate) fn print_panics() {
    std::panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        let place = info.location().map_or_else(String::new, |place| format!(" at {place}"));
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let reason = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        line("error", &format!("internal error{place}: {}", reason.unwrap_or("no reason given")));
    }));
}

fn line(level: &str, text: &str) {
    // Whole lines in one write, so that threads do not mix theirs. A closed standard error is nobody's fault. Not by
    // the standard library: a child may be forked while another thread has the lock that it takes.
    let time = wsengine::log::between_forks(time);
    let line = format!("[{time}] wsengine {level}: {text}\n");
    // SAFETY: bytes that live through the call.
    unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
}

/// The local date and time, as `2026-11-21 21:00:00`.
fn time() -> String {
    let mut text: [c_char; 32] = [0; 32];
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: localtime_r fills in the parts or leaves them zero; strftime writes a C string of 19 bytes, or none
    // into a text that is empty.
    unsafe {
        let now = libc::time(std::ptr::null_mut());
        libc::localtime_r(&now, parts.as_mut_ptr());
        libc::strftime(text.as_mut_ptr(), text.len(), c"%Y-%m-%d %H:%M:%S".as_ptr(), parts.as_ptr());
        CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned()
    }
}
