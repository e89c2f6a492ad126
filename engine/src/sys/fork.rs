//! What fork(2) leaves to be done: a forked child closes its copies of the engine's sockets at once, or a connection
//! that its parent closes would stay open for the peer as long as the child lives. And how such a child hands a socket
//! to its parent.

use socket2::Socket;
use std::cell::UnsafeCell;
use std::io;
use std::mem::{self, ManuallyDrop};
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Once, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Descriptors from here on are not closed in a child. No system allows so many of its own accord.
const MAX_DESCRIPTORS: usize = 1 << 20;

/// A bit for each descriptor that is [`Kept`].
static KEPT: [AtomicU64; MAX_DESCRIPTORS / 64] = [const { AtomicU64::new(0) }; MAX_DESCRIPTORS / 64];
/// The words of it that have ever been used.
static USED_WORDS: AtomicUsize = AtomicUsize::new(0);
/// Read while a descriptor is made and noted, or forgotten and closed; written during a fork.
static GATE: RwLock<()> = RwLock::new(());
/// The gate while a thread forks.
static FORKING: Forking = Forking(UnsafeCell::new(None));
/// How many forks lie between this process and the first one that watched.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Not a thread's own: a process may fork when those of its thread have gone.
struct Forking(UnsafeCell<Option<RwLockWriteGuard<'static, ()>>>);

// SAFETY: only handlers of a fork use it, and only while they hold the gate, so one thread at a time.
unsafe impl Sync for Forking {}

/// Tells a process from its forked children: the number is another in each generation.
#[inline]
pub(crate) fn generation() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// From now on forked children close their copies of what is [`Kept`].
pub(crate) fn watch() {
    extern "C" fn before() {
        let gate = GATE.write().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: this thread holds the gate.
        unsafe { *FORKING.0.get() = Some(gate) };
    }
    extern "C" fn in_parent() {
        // SAFETY: this thread holds the gate since `before`. It is let go when the guard is out of its place.
        drop(unsafe { (*FORKING.0.get()).take() });
    }
    extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
        close_kept();
        in_parent();
    }
    static ONCE: Once = Once::new();
    // SAFETY: the handlers run in the thread that forks. The one for the child takes no lock, allocates nothing and
    // closes only what is marked, under the gate that its parent's thread took.
    ONCE.call_once(|| unsafe {
        libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child));
    });
}

/// No fork happens while this is held. Whoever holds it makes descriptors and [`Kept`]s of them, and drops none.
pub(crate) fn gate() -> RwLockReadGuard<'static, ()> {
    GATE.read().unwrap_or_else(PoisonError::into_inner)
}

/// A descriptor of the engine that forked children do not keep.
#[derive(Debug)]
pub(crate) struct Kept<T: AsRawFd>(ManuallyDrop<T>);

impl<T: AsRawFd> Kept<T> {
    /// Only under the [`gate`], together with what made the descriptor.
    pub(crate) fn new(descriptor: T) -> Self {
        mark(descriptor.as_raw_fd());
        Kept(ManuallyDrop::new(descriptor))
    }

    /// The same descriptor as another type; it is closed when `convert` fails.
    pub(crate) fn convert<U: AsRawFd>(
        mut self,
        convert: impl FnOnce(T) -> io::Result<U>,
    ) -> io::Result<Kept<U>> {
        let _gate = gate();
        let fd = self.as_raw_fd();
        // SAFETY: `self` is forgotten, so what is taken out of it is not dropped a second time.
        let inner = unsafe { ManuallyDrop::take(&mut self.0) };
        mem::forget(self);
        unmark(fd);
        convert(inner).map(Kept::new)
    }
}

impl<T: AsRawFd> Deref for Kept<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: AsRawFd> DerefMut for Kept<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: AsRawFd> Drop for Kept<T> {
    fn drop(&mut self) {
        let _gate = gate();
        unmark(self.as_raw_fd());
        // SAFETY: nobody uses it after this.
        unsafe { ManuallyDrop::drop(&mut self.0) };
    }
}

fn word_and_bit(fd: RawFd) -> Option<(usize, &'static AtomicU64, u64)> {
    let index = usize::try_from(fd).ok()?;
    Some((index / 64, KEPT.get(index / 64)?, 1 << (index % 64)))
}

fn mark(fd: RawFd) {
    if let Some((index, word, bit)) = word_and_bit(fd) {
        word.fetch_or(bit, Ordering::Relaxed);
        USED_WORDS.fetch_max(index + 1, Ordering::Relaxed);
    }
}

fn unmark(fd: RawFd) {
    if let Some((_, word, bit)) = word_and_bit(fd) {
        word.fetch_and(!bit, Ordering::Relaxed);
    }
}

/// Closes what is marked, neighbours by one call. To close a copy does not take the socket out of the parent's epoll.
fn close_kept() {
    let mut run: Option<(usize, usize)> = None;
    for (index, word) in KEPT.iter().enumerate().take(USED_WORDS.swap(0, Ordering::Relaxed)) {
        let mut bits = word.swap(0, Ordering::Relaxed);
        while bits != 0 {
            let fd = index * 64 + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            run = match run {
                Some((first, last)) if last + 1 == fd => Some((first, fd)),
                Some((first, last)) => {
                    close_all(first, last);
                    Some((fd, fd))
                }
                None => Some((fd, fd)),
            };
        }
    }
    if let Some((first, last)) = run {
        close_all(first, last);
    }
}

fn close_all(first: usize, last: usize) {
    // SAFETY: numbers only, and the descriptors are copies of the engine's own that nothing in this process uses.
    unsafe {
        // Linux has had close_range(2) since 5.9.
        if libc::syscall(libc::SYS_close_range, first, last, 0usize) != 0 {
            for fd in first..=last {
                libc::close(fd as RawFd);
            }
        }
    }
}

/// Room for the one descriptor that a message carries, aligned as cmsg(3) wants it.
#[repr(align(8))]
struct Control([u8; 64]);

/// Sends a copy of a socket over a pair of sockets, with one byte, for a message needs one.
pub(crate) fn send_socket(over: &UnixDatagram, socket: &Socket) -> io::Result<()> {
    let mut byte = [0u8];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = Control([0; 64]);
    let mut message = message(&mut part, &mut control);
    // SAFETY: the buffer has room for a header and one descriptor and is aligned for it; all that the message points
    // to lives through the calls.
    unsafe {
        message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(socket.as_raw_fd());
        while libc::sendmsg(over.as_raw_fd(), &message, libc::MSG_NOSIGNAL) < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Receives such a socket.
pub(crate) fn receive_socket(over: RawFd) -> io::Result<Socket> {
    let mut byte = [0u8];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = Control([0; 64]);
    let mut message = message(&mut part, &mut control);
    // SAFETY: as above; what is received is read only where the system says that it is there, and a descriptor that
    // came is nobody else's.
    unsafe {
        if libc::recvmsg(over, &mut message, libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT) < 0 {
            return Err(io::Error::last_os_error());
        }
        let header = libc::CMSG_FIRSTHDR(&message);
        if header.is_null() || (*header).cmsg_type != libc::SCM_RIGHTS {
            return Err(io::Error::other("a message without a socket"));
        }
        let fd = libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned();
        Ok(OwnedFd::from_raw_fd(fd).into())
    }
}

fn message(part: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    // SAFETY: numbers and pointers, for each of which 0 is a value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = ptr::from_mut(part);
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Type};

    #[test]
    fn a_socket_travels() {
        let (child, parent) = UnixDatagram::pair().unwrap();
        let (near, far) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        send_socket(&child, &far).unwrap();
        drop(far);
        let far = receive_socket(parent.as_raw_fd()).unwrap();
        near.send(b"through").unwrap();
        let mut bytes = [std::mem::MaybeUninit::uninit(); 16];
        assert_eq!(far.recv(&mut bytes).unwrap(), 7);
        assert_eq!(receive_socket(parent.as_raw_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_is_kept_is_marked_until_it_is_closed() {
        let marked =
            |fd| word_and_bit(fd).is_some_and(|(_, word, bit)| word.load(Ordering::Relaxed) & bit != 0);
        let (socket, _other) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        let gate = gate();
        let kept = Kept::new(socket);
        drop(gate);
        let fd = kept.as_raw_fd();
        assert!(marked(fd));
        let kept = kept.convert(|socket| Ok(OwnedFd::from(socket))).unwrap();
        assert!(marked(fd));
        drop(kept);
        // Another test may have been given the number since, but none of those makes a Kept of a low one.
        assert!(!marked(fd));
    }
}
