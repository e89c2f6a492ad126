//! What systemd tells a service and wants to hear from it, by the environment: sockets that it has opened
//! (sd_listen_fds(3)), that the service is ready or stops, and that it is alive (sd_notify(3), sd_watchdog_enabled(3)).

use std::env;
use std::io;
use std::ops::Range;
use std::os::fd::RawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The first descriptor that it hands over.
const FIRST_FD: RawFd = 3;

pub(crate) const READY: &str = "READY=1";
pub(crate) const STOPPING: &str = "STOPPING=1";
pub(crate) const ALIVE: &str = "WATCHDOG=1";

/// The descriptors that systemd has announced to this very process.
pub(crate) fn sockets() -> io::Result<Range<RawFd>> {
    let count = number("LISTEN_FDS").filter(|_| number("LISTEN_PID") == Some(std::process::id().into()));
    match count.and_then(|count| RawFd::try_from(count).ok()) {
        Some(count) if count > 0 => Ok(FIRST_FD..FIRST_FD + count),
        _ => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "systemd has announced no sockets to this process (LISTEN_FDS and LISTEN_PID)",
        )),
    }
}

/// Whom to tell.
pub(crate) struct Notify {
    socket: UnixDatagram,
    address: SocketAddr,
    /// Without a sign of life for so long it takes us for dead.
    pub(crate) watchdog: Option<Duration>,
}

impl Notify {
    /// None where nobody wants to hear, for the program was started by hand, or nobody can be told.
    pub(crate) fn from_environment() -> Option<Self> {
        let name = env::var("NOTIFY_SOCKET").ok()?;
        let notify = Self::to(&name);
        notify
            .inspect_err(|error| tracing::warn!(%error, NOTIFY_SOCKET = name, "systemd cannot be told"))
            .ok()
    }

    fn to(name: &str) -> io::Result<Self> {
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| ours && *usec > 0).map(Duration::from_micros);
        Ok(Notify { socket, address, watchdog })
    }

    /// That systemd does not listen must not end a server.
    pub(crate) fn say(&self, what: &str) {
        if let Err(error) = self.socket.send_to_addr(what.as_bytes(), &self.address) {
            tracing::warn!(%error, what, "systemd cannot be told");
        }
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}
