//! Ctrl-C and SIGTERM for scripts that have no handlers of their own: the clients are told that the server goes
//! away, then the process dies by the signal as it would have done without us, whatever PHP is doing.
//!
//! The handler only wakes a thread, and that stops the server. A handler that the script sets later replaces ours.

use libc::{c_int, sighandler_t};
use std::fs::File;
use std::io::{Error, Read, Result, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{ptr, thread};
use wsengine::Server;

const SIGNALS: [c_int; 2] = [libc::SIGINT, libc::SIGTERM];
/// Clients have this long to answer; whoever pressed Ctrl-C waits for it.
const DRAIN: Duration = Duration::from_millis(500);
/// The engine's threads need a moment more to end.
const GRACE: Duration = Duration::from_millis(200);
/// RFC 6455 7.4.1: the endpoint goes away.
const GOING_AWAY: u16 = 1001;

/// The signal that has come, 0 before.
static RECEIVED: AtomicI32 = AtomicI32::new(0);
/// What the handler writes to, -1 without a watch.
static WAKE: AtomicI32 = AtomicI32::new(-1);
/// The process that the watch is for: a forked child has the handler but not the thread.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// The thread that waits for a signal, and the handlers that wake it.
pub(crate) struct Watch {
    thread: JoinHandle<()>,
    wake: File,
}

impl Watch {
    /// Takes over those signals whose disposition is the default. None when there are none.
    ///
    /// # Errors
    /// The system has no descriptor or no thread left.
    pub(crate) fn start(server: &Arc<Server>) -> Result<Option<Watch>> {
        RECEIVED.store(0, Ordering::Release);
        let ours: Vec<c_int> =
            SIGNALS.into_iter().filter(|signal| handler(*signal) == libc::SIG_DFL).collect();
        if ours.is_empty() {
            return Ok(None);
        }
        let wake = event_fd()?;
        let mut woken = wake.try_clone()?;
        let server = server.clone();
        let wait = move || {
            let mut count = [0; 8];
            let _ = woken.read(&mut count);
            let signal = RECEIVED.load(Ordering::Acquire);
            if signal != 0 {
                server.stop_with(GOING_AWAY, Some(DRAIN));
                let begin = Instant::now();
                while !server.is_stopped() && begin.elapsed() < DRAIN + GRACE {
                    thread::sleep(Duration::from_millis(1));
                }
                die_by(signal);
            }
        };
        let thread =
            with_signals_blocked(|| thread::Builder::new().name("wsengine-signal".into()).spawn(wait))?;
        OWNER.store(process_id(), Ordering::Release);
        WAKE.store(wake.as_raw_fd(), Ordering::Release);
        for signal in ours {
            set_handler(signal, on_signal as extern "C" fn(c_int) as sighandler_t);
        }
        Ok(Some(Watch { thread, wake }))
    }

    /// Gives the signals back. Does not return if one has come.
    pub(crate) fn end(mut self) {
        forget();
        if received() {
            wait_for_death();
        }
        WAKE.store(-1, Ordering::Release);
        let _ = self.wake.write_all(&1u64.to_ne_bytes());
        let _ = self.thread.join();
    }
}

/// Has a signal come that ends the process?
#[inline]
pub(crate) fn received() -> bool {
    RECEIVED.load(Ordering::Relaxed) != 0
}

/// Holds the script until its process dies, so that it does not mistake the stopping server for its own doing.
pub(crate) fn wait_for_death() -> ! {
    loop {
        // SAFETY: takes nothing and may be called at any time.
        unsafe { libc::pause() };
    }
}

/// Sets those signals back to their default that are still ours. Also in a forked child, where it takes no lock.
pub(crate) fn forget() {
    for signal in SIGNALS {
        if handler(signal) == on_signal as extern "C" fn(c_int) as sighandler_t {
            set_handler(signal, libc::SIG_DFL);
        }
    }
}

/// Runs within the script's thread at any moment: only what signal-safety(7) allows. A second signal does not wait
/// for the first, and a forked child dies as if we were not there.
extern "C" fn on_signal(signal: c_int) {
    if OWNER.load(Ordering::Acquire) != process_id() || RECEIVED.swap(signal, Ordering::AcqRel) != 0 {
        die_by(signal);
        return;
    }
    let one = 1u64;
    // SAFETY: eight bytes that live through the call, and errno is the thread's own. An event descriptor takes
    // them unless its counter is full, and then the thread is awake anyway.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(WAKE.load(Ordering::Acquire), ptr::from_ref(&one).cast(), size_of::<u64>());
        *libc::__errno_location() = errno;
    }
}

/// Ends the process by `signal`, past the layer of handlers that PHP has of its own.
fn die_by(signal: c_int) {
    // SAFETY: sets of signals on the stack, initialised before use; all calls are async-signal-safe.
    unsafe {
        let mut only = MaybeUninit::uninit();
        libc::sigemptyset(only.as_mut_ptr());
        libc::sigaddset(only.as_mut_ptr(), signal);
        libc::signal(signal, libc::SIG_DFL);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, only.as_ptr(), ptr::null_mut());
        libc::kill(process_id(), signal);
    }
}

fn handler(signal: c_int) -> sighandler_t {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    sigaction(signal, ptr::null(), action.as_mut_ptr());
    // SAFETY: all zeros is a valid action, and the call has written to it.
    unsafe { action.assume_init() }.sa_sigaction
}

fn set_handler(signal: c_int, handler: sighandler_t) {
    // SAFETY: all zeros is a valid action: no flags and an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_RESTART;
    sigaction(signal, &action, ptr::null_mut());
}

/// PHP's own `zend_sigaction`, where it has one: with it PHP catches these signals itself from the start, and only
/// it knows which of them a script has a handler for.
fn sigaction(signal: c_int, new: *const libc::sigaction, old: *mut libc::sigaction) {
    type Sigaction = unsafe extern "C" fn(c_int, *const libc::sigaction, *mut libc::sigaction);
    // Looked up once, before any fork: dlsym takes a lock.
    static OF_PHP: OnceLock<Option<Sigaction>> = OnceLock::new();
    // SAFETY: PHP declares the function with this type, and an Option of it is null where there is none.
    let of_php = OF_PHP.get_or_init(|| unsafe {
        std::mem::transmute(libc::dlsym(libc::RTLD_DEFAULT, c"zend_sigaction".as_ptr()))
    });
    // SAFETY: null or valid actions, as both functions want them.
    unsafe {
        match of_php {
            Some(of_php) => of_php(signal, new, old),
            None => drop(libc::sigaction(signal, new, old)),
        }
    }
}

fn event_fd() -> Result<File> {
    // SAFETY: no pointers; the result is checked, new and nobody else's.
    unsafe {
        let fd = libc::eventfd(0, libc::EFD_CLOEXEC);
        if fd < 0 { Err(Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd).into()) }
    }
}

/// A thread inherits the mask of the one that starts it.
fn with_signals_blocked<T>(spawn: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the first set, pthread_sigmask the second; neither fails with these arguments.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr());
    }
    let result = spawn();
    // SAFETY: the mask that was there before.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    result
}

fn process_id() -> i32 {
    // SAFETY: takes nothing, cannot fail, is async-signal-safe.
    unsafe { libc::getpid() }
}
