//! The few system calls for which neither std nor tokio has a safe form. The engine's only unsafe code.
#![allow(unsafe_code)]

pub(crate) mod fork;

use socket2::{SockAddr, Socket};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::ptr;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, ReadBuf};

/// A descriptor that is readable after [`EventFd::signal`] until [`EventFd::clear`] (eventfd(2)).
#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked before it is used.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        Ok(EventFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes it readable. Async-signal-safe: one write(2), which can only fail when the counter is full, and then
    /// the descriptor is readable anyway. Leaves errno as it was.
    pub(crate) fn signal(&self) {
        let one: u64 = 1;
        // SAFETY: `one` is eight bytes that live through the call; errno's address is the calling thread's own.
        unsafe {
            let errno = *libc::__errno_location();
            libc::write(self.0.as_raw_fd(), ptr::from_ref(&one).cast(), size_of::<u64>());
            *libc::__errno_location() = errno;
        }
    }

    /// Makes it not readable.
    pub(crate) fn clear(&self) {
        let mut count: u64 = 0;
        // SAFETY: `count` is eight bytes that live through the call. EAGAIN means it was clear already.
        unsafe { libc::read(self.0.as_raw_fd(), ptr::from_mut(&mut count).cast(), size_of::<u64>()) };
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    Readable,
    Timeout,
    /// A signal came, or `interrupted` said that one had come before.
    Interrupted,
}

/// Waits until `fd` is readable. All signals are blocked while `interrupted` is asked and let through only within
/// the wait itself (ppoll(2)), so that none slips in between.
pub(crate) fn wait_readable(fd: RawFd, timeout: Option<Duration>, interrupted: impl Fn() -> bool) -> Waited {
    let before = block_all_signals();
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let result = if interrupted() {
        Waited::Interrupted
    } else {
        let timeout = timeout.map(|timeout| libc::timespec {
            tv_sec: timeout.as_secs().min(i32::MAX as u64) as libc::time_t,
            tv_nsec: libc::c_long::from(timeout.subsec_nanos() as i32),
        });
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: one pollfd, a timespec that is null or lives through the call, a mask from pthread_sigmask.
        match unsafe { libc::ppoll(&mut poll, 1, timeout, &before) } {
            0 => Waited::Timeout,
            ready if ready > 0 => Waited::Readable,
            _ => Waited::Interrupted,
        }
    };
    set_signal_mask(&before);
    result
}

/// Runs `spawn` with all signals blocked, so that threads started in it never take one: a new thread inherits the
/// mask of the one that starts it.
pub(crate) fn with_signals_blocked<T>(spawn: impl FnOnce() -> T) -> T {
    let before = block_all_signals();
    let result = spawn();
    set_signal_mask(&before);
    result
}

fn block_all_signals() -> libc::sigset_t {
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the set, pthread_sigmask the old mask; with SIG_BLOCK neither can fail.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    }
}

fn set_signal_mask(mask: &libc::sigset_t) {
    // SAFETY: a mask that pthread_sigmask gave.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, ptr::null_mut()) };
}

/// Descriptors from here on are out of the reach of select(2), whose sets end at 1,024, with room to spare.
const ABOVE_SELECT: RawFd = 2_048;

/// Moves a socket or a file to a high descriptor, so that the host's own select() never meets one that is too high
/// because of us. Where the limit of open files forbids it, it stays where it is.
pub(crate) fn move_above_select<T: Into<OwnedFd> + From<OwnedFd>>(socket: T) -> T {
    let fd: OwnedFd = socket.into();
    if fd.as_raw_fd() >= ABOVE_SELECT {
        return fd.into();
    }
    // SAFETY: a descriptor that we own; the new one is checked before it is used and is nobody else's.
    unsafe {
        let high = libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, ABOVE_SELECT);
        if high < 0 { fd.into() } else { OwnedFd::from_raw_fd(high).into() }
    }
}

/// Accepts a connection, with a socket that never blocks and that no program has which this process starts: both at once,
/// by accept4(2).
pub(crate) fn accept(listener: &Socket) -> io::Result<(Socket, SockAddr)> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the address and its length are written by the system, which says so by its success; the descriptor is checked
    // before it is used and is nobody else's.
    unsafe {
        SockAddr::try_init(|address, length| {
            let fd = libc::accept4(listener.as_raw_fd(), address.cast(), length, flags);
            if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(Socket::from_raw_fd(fd)) }
        })
    }
}

/// Has tokio watch a set of sockets for changes.
pub(crate) fn watch(set: mio::Poll) -> io::Result<AsyncFd<mio::Poll>> {
    // SAFETY: a Poll owns its descriptor and gives the same one as long as it lives.
    let watched = unsafe { AsyncFd::register_with_interest(set, Interest::READABLE) };
    watched.map_err(io::Error::from)
}

/// Reads what is there into the unfilled part of a buffer, and says how much it was.
pub(crate) fn receive(socket: &Socket, buffer: &mut ReadBuf<'_>) -> io::Result<usize> {
    // SAFETY: recv(2) writes bytes and takes none away, so nothing becomes uninitialized; the first `read` are written.
    unsafe {
        let read = socket.recv(buffer.unfilled_mut())?;
        buffer.assume_init(read);
        buffer.advance(read);
        Ok(read)
    }
}

/// Takes what is there, as much as the buffer has room for. TCP copies nothing then (tcp(7)), a unix socket does.
pub(crate) fn discard(socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: recv(2) writes bytes, and no more than the buffer has.
    let taken =
        unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_TRUNC) };
    usize::try_from(taken).map_err(|_| io::Error::last_os_error())
}

/// The first byte that is there, which stays there; None at the end.
pub(crate) fn peek_first(socket: &Socket) -> io::Result<Option<u8>> {
    let mut first = [MaybeUninit::uninit()];
    let peeked = socket.peek(&mut first)?;
    // SAFETY: it was written if one byte was.
    Ok((peeked > 0).then(|| unsafe { first[0].assume_init() }))
}

/// A copy of a descriptor that belongs to somebody else and should be a socket.
pub(crate) fn duplicate_socket(fd: RawFd) -> io::Result<Socket> {
    // SAFETY: fcntl(2) looks at the number only and fails if nothing is open there; the copy is new, checked, and
    // nobody else's. What is not a socket fails at the first call that needs one.
    unsafe {
        let copy = libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3);
        if copy < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(copy).into()) }
    }
}

/// The number of a user, given by it or by name.
pub(crate) fn user_id(user: &str) -> io::Result<u32> {
    look_up(user, "user", |name, buffer| {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = ptr::null_mut();
        // SAFETY: the name ends with a zero, the buffer has the length given, and the entry is only read if found.
        unsafe {
            let (at, len) = (buffer.as_mut_ptr().cast(), buffer.len());
            libc::getpwnam_r(name.as_ptr(), entry.as_mut_ptr(), at, len, &mut found);
            found.as_ref().map(|entry| entry.pw_uid)
        }
    })
}

/// The number of a group, given by it or by name.
pub(crate) fn group_id(group: &str) -> io::Result<u32> {
    look_up(group, "group", |name, buffer| {
        let mut entry = MaybeUninit::<libc::group>::uninit();
        let mut found = ptr::null_mut();
        // SAFETY: as for users.
        unsafe {
            let (at, len) = (buffer.as_mut_ptr().cast(), buffer.len());
            libc::getgrnam_r(name.as_ptr(), entry.as_mut_ptr(), at, len, &mut found);
            found.as_ref().map(|entry| entry.gr_gid)
        }
    })
}

/// What the entry of a user or of a group may need: a group names its members.
const ENTRY_BYTES: usize = 256 * 1024;

fn look_up(name: &str, what: &str, by_name: impl FnOnce(&CStr, &mut [u8]) -> Option<u32>) -> io::Result<u32> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let found = CString::new(name).ok().and_then(|name| by_name(&name, &mut vec![0; ENTRY_BYTES]));
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no {what} {name:?}")))
}

/// Has the peer of a socket closed its side, or is the connection broken?
pub(crate) fn has_hung_up(socket: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: one pollfd that lives through the call, of a descriptor that is open; it does not wait.
    unsafe { libc::poll(&mut poll, 1, 0) > 0 }
}

/// Raises this process's limit of open files as far as it may go, and says what it is then.
pub(crate) fn raise_open_files() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: one rlimit that lives through both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return 1_024;
        }
        if limit.rlim_cur < limit.rlim_max {
            let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raised) == 0 {
                limit = raised;
            }
        }
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

/// Has this thread give way to the others, as nice(1) does for a process. Since Linux 6.12 those with a shorter slice are let in
/// as soon as they wake, so it asks for one that is longer than theirs, and need not be as nice to get as much.
pub(crate) fn be_nice() {
    const NICE: libc::c_int = 10;
    const LESS_NICE: libc::c_int = 5;
    /// The others have 3 ms at the most.
    const SLICE: Duration = Duration::from_millis(4);
    // SAFETY: takes no pointers; 0 is this thread.
    let niceness = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let size = size_of::<libc::sched_attr>() as u32;
    let mut attributes = libc::sched_attr {
        size,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        sched_nice: niceness.max(LESS_NICE),
        sched_priority: 0,
        sched_runtime: SLICE.as_nanos() as u64,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: 0 is this thread, which may always become nicer; the calls read and write as many bytes of the attributes as `size`
    // says. Where one is not allowed or unknown nothing is changed.
    unsafe {
        // A process that runs by other rules keeps them.
        let is_usual = libc::sched_getscheduler(0) == libc::SCHED_OTHER;
        let done = is_usual
            && libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) == 0
            && libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) == 0;
        // Older systems say 0.
        if !done || u128::from(attributes.sched_runtime) != SLICE.as_nanos() {
            libc::setpriority(libc::PRIO_PROCESS, 0, niceness.max(NICE));
        }
    }
}

/// Gives memory that is free but still held by the C allocator back to the system: after a burst of handshakes
/// that is most of what they cost.
pub(crate) fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointers and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Opens for reading what `path` names below `directory`, by openat2(2) of Linux 5.6. Neither `..` nor a
/// symlink leads out of it: that is the error EXDEV.
pub(crate) fn open_beneath(directory: &File, path: &Path, flags: libc::c_int) -> io::Result<File> {
    let path = CString::new(path.as_os_str().as_encoded_bytes())?;
    // SAFETY: three numbers, for each of which 0 is a value.
    let mut how: libc::open_how = unsafe { mem::zeroed() };
    how.flags = (flags | libc::O_RDONLY | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
    // SAFETY: an open descriptor, a string that ends with 0 and an open_how of the size that is given; all live
    // through the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            directory.as_raw_fd(),
            path.as_ptr(),
            ptr::from_ref(&how),
            size_of::<libc::open_how>(),
        )
    };
    match RawFd::try_from(fd) {
        // SAFETY: the descriptor is new and nobody else's.
        Ok(fd) if fd >= 0 => Ok(unsafe { File::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_fd_is_readable_until_it_is_cleared() {
        let event = EventFd::new().unwrap();
        let wait = || wait_readable(event.as_raw_fd(), Some(Duration::ZERO), || false);
        assert_eq!(wait(), Waited::Timeout);
        event.signal();
        event.signal();
        assert_eq!(wait(), Waited::Readable);
        event.clear();
        assert_eq!(wait(), Waited::Timeout);
    }

    #[test]
    fn an_interruption_before_the_wait_ends_it_at_once() {
        let event = EventFd::new().unwrap();
        assert_eq!(wait_readable(event.as_raw_fd(), None, || true), Waited::Interrupted);
    }

    #[test]
    fn an_accepted_socket_never_blocks_and_is_not_inherited() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let peer = std::net::TcpStream::connect(address).unwrap();
        let (socket, from) = accept(&Socket::from(listener)).unwrap();
        assert_eq!(from.as_socket(), Some(peer.local_addr().unwrap()));
        assert!(socket.nonblocking().unwrap());
        // SAFETY: a question about a descriptor of ours.
        assert_eq!(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFD) }, libc::FD_CLOEXEC);
    }

    #[test]
    fn a_socket_moves_and_stays_open() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        if raise_open_files() > ABOVE_SELECT as usize {
            let listener = move_above_select(listener);
            assert!(listener.as_raw_fd() >= ABOVE_SELECT);
            assert_eq!(listener.local_addr().unwrap(), address);
        }
    }
}
