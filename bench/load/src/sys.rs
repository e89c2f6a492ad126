//! The system calls that the standard library lacks: the only unsafe code of this crate.

use std::io;
use std::mem;
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, SystemTime};

use libc::{c_int, c_void, socklen_t};

/// Events taken by one `epoll_wait`.
const BATCH: usize = 1_024;

/// An edge-triggered epoll set whose members are known by their index.
pub(crate) struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor is new and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; BATCH] })
    }

    /// Reports `index` from now on when `stream` becomes readable or writable.
    pub(crate) fn add(&self, stream: &TcpStream, index: usize) -> io::Result<()> {
        let events = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET) as u32;
        let mut event = libc::epoll_event { events, u64: index as u64 };
        // SAFETY: `event` lives during the call, both descriptors are open.
        check(unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, stream.as_raw_fd(), &mut event)
        })?;
        Ok(())
    }

    /// Waits and replaces `ready` by the indices of the members that are; none after the timeout.
    pub(crate) fn wait(&mut self, ready: &mut Vec<usize>, timeout: Duration) -> io::Result<()> {
        ready.clear();
        let timeout = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the buffer is valid for BATCH events and lives during the call.
        let count = check(unsafe {
            libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), BATCH as c_int, timeout)
        });
        let count = match count {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            other => other?,
        };
        ready.extend(self.events.iter().take(count as usize).map(|event| event.u64 as usize));
        Ok(())
    }
}

/// A socket that is being connected; it becomes writable when it is.
pub(crate) fn connect_nonblocking(address: SocketAddrV4) -> io::Result<TcpStream> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers are passed.
    let fd = check(unsafe { libc::socket(libc::AF_INET, kind, 0) })?;
    // SAFETY: the descriptor is new, a TCP socket and nobody else's.
    let stream = unsafe { TcpStream::from_raw_fd(fd) };
    let to = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    };
    // SAFETY: `to` is a whole sockaddr_in and its size is given.
    let connected =
        check(unsafe { libc::connect(fd, (&raw const to).cast(), mem::size_of_val(&to) as socklen_t) });
    match connected {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(stream),
    }
}

/// Makes closing the stream send RST, so that no port is held in TIME_WAIT.
pub(crate) fn reset_on_close(stream: &TcpStream) -> io::Result<()> {
    set_option(stream, libc::SO_LINGER, &libc::linger { l_onoff: 1, l_linger: 0 })
}

/// From now on the kernel notes when bytes arrive, see [`arrival`].
pub(crate) fn stamp_arrivals(stream: &TcpStream) -> io::Result<()> {
    set_option(stream, libc::SO_TIMESTAMPNS, &c_int::from(true))
}

fn set_option<T>(stream: &TcpStream, option: c_int, value: &T) -> io::Result<()> {
    let (value, len) = ((&raw const *value).cast::<c_void>(), mem::size_of::<T>() as socklen_t);
    // SAFETY: the value lives during the call and its size is given; the kernel only reads it.
    check(unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, option, value, len) })?;
    Ok(())
}

/// When the bytes arrived that are still to be read, the last of them that the kernel has joined. None: there are none, or
/// nobody has noted it.
pub(crate) fn arrival(stream: &TcpStream) -> Option<SystemTime> {
    /// Room for one note, aligned as its header wants it.
    const WORDS: usize = 8;
    let (mut byte, mut control) = (0_u8, [0_u64; WORDS]);
    let mut bytes = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: an all-zero msghdr is a valid one.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut bytes, 1);
    (message.msg_control, message.msg_controllen) =
        ((&raw mut control).cast(), mem::size_of_val(&control) as _);
    // SAFETY: what the message points to lives during the call and has the sizes that it says.
    let peeked =
        unsafe { libc::recvmsg(stream.as_raw_fd(), &mut message, libc::MSG_PEEK | libc::MSG_DONTWAIT) };
    if peeked <= 0 {
        return None;
    }
    // SAFETY: the kernel has filled the message.
    let note = unsafe { libc::CMSG_FIRSTHDR(&message) };
    // SAFETY: it is NULL or a whole header in the buffer.
    let kind = unsafe { note.as_ref() }.map(|note| (note.cmsg_level, note.cmsg_type))?;
    if kind != (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
        return None;
    }
    // SAFETY: such a note is a timespec, which need not be aligned.
    let time: libc::timespec = unsafe { libc::CMSG_DATA(note).cast::<libc::timespec>().read_unaligned() };
    Some(SystemTime::UNIX_EPOCH + Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// Binds the calling thread to one CPU.
pub(crate) fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::other(format!("no CPU {cpu}")));
    }
    // SAFETY: an all-zero cpu_set_t is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `cpu` was checked to be inside the set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is a whole cpu_set_t and its size is given; 0 is the calling thread.
    check(unsafe { libc::sched_setaffinity(0, mem::size_of_val(&set), &set) })
        .map_err(|error| io::Error::other(format!("cannot run on CPU {cpu}: {error}")))?;
    Ok(())
}

/// Raises the soft limit of open descriptors to the hard one.
pub(crate) fn raise_descriptor_limit() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a whole rlimit that lives during the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(())
}

/// CPU time this process has used, user and system.
pub(crate) fn own_cpu_time() -> Duration {
    // SAFETY: an all-zero rusage is a valid one.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: `usage` is a whole rusage that lives during the call.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let duration = |time: libc::timeval| {
        Duration::new(time.tv_sec as u64, 0) + Duration::from_micros(time.tv_usec as u64)
    };
    duration(usage.ru_utime) + duration(usage.ru_stime)
}

/// The unit of the CPU times in `/proc`.
pub(crate) fn clock_ticks_per_second() -> u64 {
    // SAFETY: no pointers are passed.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).unwrap_or(100).max(1)
}

fn check(result: c_int) -> io::Result<RawFd> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn a_nonblocking_connect_becomes_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let std::net::SocketAddr::V4(address) = listener.local_addr().unwrap() else { unreachable!() };
        let stream = connect_nonblocking(address).unwrap();
        let mut epoll = Epoll::new().unwrap();
        epoll.add(&stream, 7).unwrap();
        let mut ready = Vec::new();
        epoll.wait(&mut ready, Duration::from_secs(5)).unwrap();
        assert_eq!(ready, [7]);
        assert!(stream.peer_addr().is_ok());
    }

    #[test]
    fn the_kernel_says_when_bytes_arrived() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        stamp_arrivals(&stream).unwrap();
        assert_eq!(arrival(&stream), None, "nothing has come");
        // The kernel begins to note it a while after it was asked to.
        for _ in 0..1_000 {
            let before = SystemTime::now();
            peer.write_all(b"x").unwrap();
            stream.peek(&mut [0]).unwrap();
            let after = SystemTime::now();
            std::thread::sleep(Duration::from_millis(10));
            if let Some(arrival) = arrival(&stream) {
                return assert!(before <= arrival && arrival <= after, "{before:?}, {arrival:?}, {after:?}");
            }
            stream.read_exact(&mut [0]).unwrap();
        }
        panic!("the kernel says nothing");
    }

    #[test]
    fn a_cpu_that_is_none_is_named() {
        assert!(pin_to_cpu(1_000_000).unwrap_err().to_string().contains("1000000"));
    }
}
