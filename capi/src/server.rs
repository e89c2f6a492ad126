//! A server's life: start, where it listens, stop, free.

use crate::boundary::{call, guard, null, server};
use crate::config::wsengine_config_t;
use crate::error::Failure;
use crate::fork::Process;
use std::ffi::{CString, c_char, c_int};
use std::sync::Mutex;
use std::time::Duration;
use wsengine::Server;

/// A running server. Made by wsengine_start(), ended by wsengine_free().
pub struct wsengine_t {
    pub(crate) engine: Server,
    /// Texts made for the events that were polled last, such as request targets; only the poller touches them.
    pub(crate) texts: Mutex<Vec<CString>>,
    addresses: Vec<CString>,
    process: Process,
}

/// Starts a server on threads of its own and returns once it listens; *out is the new server. config stays yours.
/// On failure *out is NULL and nothing is left running. Call it after daemon() or fork(), never before.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_start(
    config: *const wsengine_config_t,
    out: *mut *mut wsengine_t,
) -> c_int {
    call(|| {
        // SAFETY: by the header's contract it is NULL or may be written to.
        let out = unsafe { out.as_mut() }.ok_or_else(|| null(c"out is NULL"))?;
        *out = std::ptr::null_mut();
        // SAFETY: by the header's contract the handle is NULL or live.
        let config = unsafe { config.as_ref() }.ok_or_else(|| null(c"config is NULL"))?;
        *out = Box::into_raw(Box::new(wsengine_t::start(config)?));
        Ok(0)
    })
}

/// Port of the first TCP address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_port(server: *const wsengine_t) -> c_int {
    call(|| {
        // SAFETY: the header's contract for handles.
        let server = unsafe { self::server(server) }?;
        Ok(server.engine.port().into())
    })
}

/// The address number index (from 0) that the server listens on, as it really is, such as "127.0.0.1:8080"; NULL
/// when there are no more. Valid until wsengine_free().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_address(server: *const wsengine_t, index: usize) -> *const c_char {
    let address = || {
        // SAFETY: the header's contract for handles.
        let server = unsafe { self::server(server) }?;
        Ok(server.addresses.get(index).map_or(std::ptr::null(), |address| address.as_ptr()))
    };
    guard(|_| std::ptr::null(), address)
}

/// Reads the files of the options tls_cert and tls_key again, for connections from now on; those that are there keep
/// what they have. WSENGINE_ERR_INVALID: something is wrong with the files, wsengine_last_error() says what, and
/// nothing has changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_tls_reload(server: *const wsengine_t) -> c_int {
    call(|| {
        // SAFETY: the header's contract for handles.
        let server = unsafe { self::server(server) }?;
        server.engine.tls_reload()?;
        Ok(0)
    })
}

/// Begins a graceful stop and returns at once: nobody new is let in, what is queued is still sent, each connection
/// gets close code 1001, and what is left after timeout_ms (-1: the option drain_ms) is cut. Go on polling until
/// WSENGINE_EVENT_STOPPED. A second call can only shorten the time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_stop(server: *mut wsengine_t, timeout_ms: c_int) -> c_int {
    call(|| {
        // SAFETY: the header's contract for handles.
        let server = unsafe { self::server(server) }?;
        server.engine.stop(millis(timeout_ms));
        Ok(0)
    })
}

/// Cuts what is still connected, waits for the server's threads to end (milliseconds) and frees everything, also
/// what polled events point to. Needs no wsengine_stop() before. NULL is allowed. No other call may use the server
/// during or after it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_free(server: *mut wsengine_t) {
    let free = || {
        if !server.is_null() {
            // SAFETY: by the header's contract it came from wsengine_start(), is freed once and is not in use.
            let server = unsafe { Box::from_raw(server) };
            if server.is_forked() {
                // Its threads live in the parent only: there is nobody to join.
                std::mem::forget(server);
            }
        }
        Ok(())
    };
    guard(|_| (), free);
}

impl wsengine_t {
    fn start(config: &wsengine_config_t) -> Result<Self, Failure> {
        Process::watch();
        let engine = Server::start(&config.options)?;
        let addresses = engine.addresses().iter();
        Ok(wsengine_t {
            addresses: addresses.map(|text| CString::new(text.as_str()).unwrap_or_default()).collect(),
            texts: Mutex::default(),
            process: Process::current(),
            engine,
        })
    }

    /// Is this process a fork of the one that started the server?
    pub(crate) fn is_forked(&self) -> bool {
        self.process != Process::current()
    }
}

/// A time as C gives it: below 0 is none.
pub(crate) fn millis(timeout_ms: c_int) -> Option<Duration> {
    u64::try_from(timeout_ms).ok().map(Duration::from_millis)
}
