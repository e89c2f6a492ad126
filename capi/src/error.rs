//! Errors as C sees them: a number that is the function's answer, and a text that waits for wsengine_last_error().

use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::io;
use wsengine::{Error, SendError};

/// Answers of functions that return int: 0 or more is success, below 0 an error. The numbers never change; later
/// versions may add some, so treat an unknown negative number as an error too.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum wsengine_error {
    /// Success.
    WSENGINE_OK = 0,
    /// A NULL pointer, an unknown option or kind, a value that is not allowed.
    WSENGINE_ERR_INVALID = -1,
    /// Out of descriptors or threads, or of the system's memory for them. When malloc() itself fails the process ends.
    WSENGINE_ERR_NOMEM = -2,
    /// The operating system refused something else, such as an address to listen on.
    WSENGINE_ERR_IO = -3,
    /// The connection is closed, is closing or never existed. Normal: a peer may leave at any time.
    WSENGINE_ERR_NOT_CONNECTED = -4,
    /// The send queue of the connection is full; nothing was queued. Try again after WSENGINE_EVENT_DRAIN.
    WSENGINE_ERR_WOULD_BLOCK = -5,
    /// The message alone is larger than the option send_queue_bytes.
    WSENGINE_ERR_TOO_BIG = -6,
    /// A text message or close reason that is not UTF-8.
    WSENGINE_ERR_UTF8 = -7,
    /// The server is stopping or has stopped, or was freed.
    WSENGINE_ERR_STOPPED = -8,
    /// Another thread is polling this server, or a log function has called.
    WSENGINE_ERR_BUSY = -9,
    /// This process is a fork of the one that called wsengine_start().
    WSENGINE_ERR_FORKED = -10,
    /// A handshake cannot be decided on: it was before, or the time is over.
    WSENGINE_ERR_DECIDED = -11,
    /// The connection cannot do that: a binary message for a client of draft-76.
    WSENGINE_ERR_UNSUPPORTED = -12,
    /// A bug inside wsengine was caught before it reached your program; free the server.
    WSENGINE_ERR_INTERNAL = -13,
}

use wsengine_error::*;

/// Short text for an error number; static, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn wsengine_strerror(code: c_int) -> *const c_char {
    ALL.iter().find(|error| **error as c_int == code).map_or(c"unknown error", |error| error.text()).as_ptr()
}

/// What the last failing call of this thread found wrong, in words; never NULL, empty before the first.
/// Valid until the next failing call of this thread. Success does not clear it.
#[unsafe(no_mangle)]
pub extern "C" fn wsengine_last_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// Why a call failed.
#[derive(Debug)]
pub(crate) struct Failure {
    code: wsengine_error,
    /// Borrowed where a failure is part of normal life: a broadcast loop over peers that leave allocates nothing.
    text: Cow<'static, CStr>,
}

impl Failure {
    /// With the general text of its code.
    pub(crate) fn new(code: wsengine_error) -> Self {
        Failure { code, text: Cow::Borrowed(code.text()) }
    }

    pub(crate) fn saying(code: wsengine_error, text: &'static CStr) -> Self {
        Failure { code, text: Cow::Borrowed(text) }
    }

    pub(crate) fn explained(code: wsengine_error, text: String) -> Self {
        // The value of an option may hold what came from anywhere, but C cannot hold a NUL.
        let text = CString::new(text.replace('\0', "\\0")).unwrap_or_default();
        Failure { code, text: Cow::Owned(text) }
    }

    /// Leaves the text to wsengine_last_error() and gives the number for the caller.
    pub(crate) fn answer(self) -> c_int {
        // A thread that is ending has no last error any more; the number alone is enough then.
        let _ = LAST.try_with(|last| *last.borrow_mut() = self.text);
        self.code as c_int
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Config(_) => WSENGINE_ERR_INVALID,
            Error::Bind { source, .. } | Error::Io { source, .. } => system(source),
        };
        Failure::explained(code, error.to_string())
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Gone => Failure::new(WSENGINE_ERR_NOT_CONNECTED),
            SendError::QueueFull => Failure::new(WSENGINE_ERR_WOULD_BLOCK),
            SendError::Stopped => Failure::new(WSENGINE_ERR_STOPPED),
            SendError::NoServer | SendError::InChild => Failure::new(WSENGINE_ERR_FORKED),
            SendError::NotUtf8 => Failure::saying(
                WSENGINE_ERR_UTF8,
                c"text must be valid UTF-8; send other bytes as WSENGINE_BINARY",
            ),
            SendError::TooBig { .. } => Failure::explained(WSENGINE_ERR_TOO_BIG, error.to_string()),
            SendError::NoWay { .. } => Failure::explained(WSENGINE_ERR_IO, error.to_string()),
            SendError::TextOnly => Failure::explained(WSENGINE_ERR_UNSUPPORTED, error.to_string()),
            SendError::BadTopic { .. }
            | SendError::BadLabel { .. }
            | SendError::NoHistory
            | SendError::NoPresence => Failure::explained(WSENGINE_ERR_INVALID, error.to_string()),
            SendError::BadClose(text) | SendError::BadDecision { text, .. } => {
                Failure::explained(WSENGINE_ERR_INVALID, text)
            }
        }
    }
}

impl wsengine_error {
    fn text(self) -> &'static CStr {
        match self {
            WSENGINE_OK => c"success",
            WSENGINE_ERR_INVALID => c"invalid argument",
            WSENGINE_ERR_NOMEM => c"out of memory, descriptors or threads",
            WSENGINE_ERR_IO => c"system error",
            WSENGINE_ERR_NOT_CONNECTED => c"the connection is closed",
            WSENGINE_ERR_WOULD_BLOCK => c"the send queue of the connection is full",
            WSENGINE_ERR_TOO_BIG => c"the message is too big",
            WSENGINE_ERR_UTF8 => c"text must be valid UTF-8",
            WSENGINE_ERR_STOPPED => c"the server is stopping, has stopped or was freed",
            WSENGINE_ERR_BUSY => c"another thread is polling this server",
            WSENGINE_ERR_FORKED => c"a forked process cannot use the server of its parent",
            WSENGINE_ERR_DECIDED => c"the handshake was decided on before, or its time is over",
            WSENGINE_ERR_UNSUPPORTED => c"the connection cannot do that",
            WSENGINE_ERR_INTERNAL => c"internal error in wsengine",
        }
    }
}

const ALL: [wsengine_error; 14] = [
    WSENGINE_OK,
    WSENGINE_ERR_INVALID,
    WSENGINE_ERR_NOMEM,
    WSENGINE_ERR_IO,
    WSENGINE_ERR_NOT_CONNECTED,
    WSENGINE_ERR_WOULD_BLOCK,
    WSENGINE_ERR_TOO_BIG,
    WSENGINE_ERR_UTF8,
    WSENGINE_ERR_STOPPED,
    WSENGINE_ERR_BUSY,
    WSENGINE_ERR_FORKED,
    WSENGINE_ERR_DECIDED,
    WSENGINE_ERR_UNSUPPORTED,
    WSENGINE_ERR_INTERNAL,
];

thread_local! {
    static LAST: RefCell<Cow<'static, CStr>> = const { RefCell::new(Cow::Borrowed(c"")) };
}

/// Did the system lack something, or say no?
fn system(error: &io::Error) -> wsengine_error {
    match error.raw_os_error() {
        Some(libc::ENOMEM | libc::ENOBUFS | libc::EMFILE | libc::ENFILE | libc::EAGAIN) => WSENGINE_ERR_NOMEM,
        _ => WSENGINE_ERR_IO,
    }
}
