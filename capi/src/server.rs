//! A server's life: start, where it listens, stop, free.

use crate::boundary::{call, guard, null, server};
use crate::config::wsengine_config_t;
use crate::error::Failure;
use crate::error::wsengine_error::{self, WSENGINE_ERR_FORKED, WSENGINE_ERR_INVALID, WSENGINE_ERR_STOPPED};
use crate::gate::{Gate, Graveyard, Inside};
use crate::user_data::Places;
use std::cell::UnsafeCell;
use std::ffi::{CString, c_char, c_int};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use wsengine::Server;

/// A running server. Made by wsengine_start(), ended by wsengine_free().
pub struct wsengine_t {
    gate: Gate,
    /// None once it is freed.
    running: UnsafeCell<Option<Running>>,
}

// SAFETY: what is in it is Sync, and it is changed only by wsengine_free() when the gate is closed and nobody inside.
unsafe impl Sync for wsengine_t {}

static FREED: Graveyard<wsengine_t> = Graveyard::new();

/// How often wsengine_free() looks whether the calls that are under way have ended.
const LOOK_AGAIN: Duration = Duration::from_micros(100);

/// What is behind the handle.
pub(crate) struct Running {
    pub(crate) engine: Server,
    addresses: Vec<CString>,
    polled: Mutex<Polled>,
}

/// What the events that were polled last point to; only the thread that polls comes here.
#[derive(Default)]
pub(crate) struct Polled {
    /// Request targets and the like.
    pub(crate) texts: Vec<CString>,
    pub(crate) places: Places,
}

/// A server that is not freed before this is dropped.
pub(crate) struct Entered<'a> {
    running: &'a Running,
    _inside: Inside<'a>,
}

impl Deref for Entered<'_> {
    type Target = Running;

    #[inline]
    fn deref(&self) -> &Running {
        self.running
    }
}

/// Starts a server on threads of its own and returns once it listens; *out is the new server. config stays yours.
/// On failure *out is NULL and nothing is left running; wsengine_last_error() names the option, the address or what the
/// system lacks. WSENGINE_ERR_INVALID: options that do not go together, or a file that cannot be used; WSENGINE_ERR_IO: an
/// address that cannot be had; WSENGINE_ERR_NOMEM. Two things are of the whole process, also when it fails: the soft limit
/// of open files, and how much is logged (option log_level). Call it after daemon() or fork(), never before.
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

/// Port of the first TCP address; 0 without one.
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
/// what polled events point to. Needs no wsengine_stop() before; without it nobody gets a CLOSE event any more. NULL is
/// allowed. Calls of other threads that are under way are waited for: a poll returns 0 at once. But whoever polls must have
/// done with its events: stop the server and poll to STOPPED, or join that thread, before. Calls that come later are a
/// mistake; they answer WSENGINE_ERR_STOPPED as long as fewer than 1,024 other servers were freed meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_free(server: *mut wsengine_t) {
    let free = || {
        let Some(pointer) = NonNull::new(server) else { return Ok(()) };
        // SAFETY: by the header's contract it came from wsengine_start().
        let handle = unsafe { pointer.as_ref() };
        if !handle.gate.close() {
            return Err(Failure::saying(WSENGINE_ERR_INVALID, c"the server was freed before"));
        }
        // SAFETY: nobody changes it but this call, below.
        let running = unsafe { &*handle.running.get() }.as_ref();
        if running.is_none_or(|running| running.engine.is_in_child()) {
            // Its threads live in the parent only: there is nobody to join, and nobody to wait for.
            return Ok(());
        }
        while !handle.gate.is_deserted() {
            running.inspect(|running| running.engine.wakeup());
            thread::sleep(LOOK_AGAIN);
        }
        // SAFETY: nobody is inside and nobody comes in any more.
        drop(unsafe { (*handle.running.get()).take() });
        // SAFETY: it came from wsengine_start(), and the gate is closed once only.
        unsafe { FREED.bury(pointer) };
        Ok(())
    };
    guard(|_| (), free);
}

impl wsengine_t {
    fn start(config: &wsengine_config_t) -> Result<Self, Failure> {
        let engine = Server::start(&config.options)?;
        let addresses = engine.addresses().iter();
        let addresses = addresses.map(|text| CString::new(text.as_str()).unwrap_or_default()).collect();
        let running = Running { addresses, polled: Mutex::default(), engine };
        Ok(wsengine_t { gate: Gate::new(), running: UnsafeCell::new(Some(running)) })
    }

    /// Async-signal-safe.
    #[inline]
    pub(crate) fn enter(&self) -> Result<Entered<'_>, wsengine_error> {
        let inside = self.gate.enter().ok_or(WSENGINE_ERR_STOPPED)?;
        // SAFETY: nobody changes it while somebody is inside.
        let running = unsafe { &*self.running.get() }.as_ref().ok_or(WSENGINE_ERR_STOPPED)?;
        if running.engine.is_in_child() {
            return Err(WSENGINE_ERR_FORKED);
        }
        Ok(Entered { running, _inside: inside })
    }
}

impl Running {
    pub(crate) fn polled(&self) -> MutexGuard<'_, Polled> {
        self.polled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A time as C gives it: below 0 is none.
pub(crate) fn millis(timeout_ms: c_int) -> Option<Duration> {
    u64::try_from(timeout_ms).ok().map(Duration::from_millis)
}
