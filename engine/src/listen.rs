//! Listening sockets: made as the option `listen` says, or inherited.

use crate::config::{Listen, Place, UnixPlace};
use crate::error::Error;
use crate::sys::{self, fork};
use crate::systemd;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Connections that may wait to be accepted; the system may allow fewer (net.core.somaxconn).
const BACKLOG: i32 = 4_096;

/// A socket that listens.
pub(crate) struct Listener {
    pub(crate) socket: fork::Kept<Socket>,
    pub(crate) speaks: Speaks,
    /// Other processes have it, too.
    pub(crate) is_shared: bool,
    /// The unix socket's name, which goes with it.
    _name: Option<Name>,
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// What is spoken on a listener's connections beside WebSocket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speaks {
    pub(crate) tls: bool,
    pub(crate) proxy: bool,
}

impl Listener {
    /// Where it really listens, such as `127.0.0.1:8080`, `tls://[::1]:8443` or `unix:/run/chat.sock`.
    pub(crate) fn address(&self) -> String {
        let address = self.socket.local_addr().ok();
        match (self.socket_address(), address.as_ref().and_then(SockAddr::as_pathname)) {
            (Some(address), _) if self.speaks.tls => format!("tls://{address}"),
            (Some(address), _) => address.to_string(),
            (None, path) => {
                let tls = if self.speaks.tls { "?tls" } else { "" };
                format!("unix:{}{tls}", path.unwrap_or(Path::new("")).display())
            }
        }
    }

    /// The address if it is one of TCP.
    pub(crate) fn socket_address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket()
    }
}

/// Listens everywhere, or nowhere.
pub(crate) fn open(places: &[Listen]) -> Result<Vec<Listener>, Error> {
    let mut listeners = Vec::new();
    for listen in places {
        let bind = |source| Error::Bind { address: listen.to_string(), source };
        let is_shared = matches!(listen.place, Place::Inherited(_) | Place::Systemd);
        let add = |(socket, name)| Listener { socket, speaks: speaks(listen), is_shared, _name: name };
        match &listen.place {
            Place::Tcp(address) => {
                let only_v6 = places.iter().any(|other| is_v4_beside(other, address));
                tcp(address, listen, only_v6, &mut listeners).map_err(bind)?;
            }
            Place::Unix(place) => listeners.push(add(unix(place).map_err(bind)?)),
            Place::Inherited(fd) => listeners.push(add((keep(|| inherited(*fd)).map_err(bind)?, None))),
            Place::Systemd => {
                for fd in systemd::sockets().map_err(bind)? {
                    listeners.push(add((keep(|| inherited(fd)).map_err(bind)?, None)));
                }
            }
        }
    }
    Ok(listeners)
}

fn speaks(listen: &Listen) -> Speaks {
    Speaks { tls: listen.tls, proxy: listen.proxy }
}

/// Makes a socket that no forked child has.
fn keep(make: impl FnOnce() -> io::Result<Socket>) -> io::Result<fork::Kept<Socket>> {
    let _gate = fork::gate();
    make().map(|socket| fork::Kept::new(sys::move_above_select(socket)))
}

/// Is this a place of IPv4 with the port of an address?
fn is_v4_beside(listen: &Listen, address: &str) -> bool {
    let port = |address: &str| address.rsplit_once(':').map(|(_, port)| port.to_owned());
    match &listen.place {
        Place::Tcp(other) => {
            !other.starts_with('[') && !other.ends_with(":0") && port(other) == port(address)
        }
        _ => false,
    }
}

/// A name may have several addresses.
fn tcp(address: &str, listen: &Listen, only_v6: bool, listeners: &mut Vec<Listener>) -> io::Result<()> {
    let mut port = None;
    for mut resolved in address.to_socket_addrs()? {
        // They have one port, also when the system picks it.
        if resolved.port() == 0 {
            resolved.set_port(port.unwrap_or(0));
        }
        let taken_by_v4 =
            |l: &Listener| l.socket_address().is_some_and(|l| l.is_ipv4() && l.port() == resolved.port());
        let only_v6 = only_v6 || listeners.iter().any(taken_by_v4);
        match keep(|| listen_on(resolved, only_v6, listen.reuse_port)) {
            Ok(socket) => {
                let speaks = speaks(listen);
                let listener = Listener { socket, speaks, is_shared: false, _name: None };
                port = listener.socket_address().map(|address| address.port());
                listeners.push(listener);
            }
            // A name such as localhost may have an IPv6 address on a machine without IPv6.
            Err(error) if port.is_some() && error.kind() == io::ErrorKind::AddrNotAvailable => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// [::] takes IPv4 connections as well, unless `only_v6` says that the port is taken there by ourselves.
fn listen_on(address: SocketAddr, only_v6: bool, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Without it the port of a server that has just stopped would stay taken for a minute.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn unix(place: &UnixPlace) -> io::Result<(fork::Kept<Socket>, Option<Name>)> {
    let owner = place.owner.as_deref().map(sys::user_id).transpose()?;
    let group = place.group.as_deref().map(sys::group_id).transpose()?;
    let socket = keep(|| Socket::new(Domain::UNIX, Type::STREAM, None))?;
    socket.set_nonblocking(true)?;
    let address = SockAddr::unix(&place.path)?;
    if let Err(error) = socket.bind(&address) {
        if error.kind() != io::ErrorKind::AddrInUse || !is_left_over(&place.path, &address) {
            return Err(error);
        }
        std::fs::remove_file(&place.path)?;
        socket.bind(&address)?;
    }
    let name = Name::new(&place.path)?;
    // Before it listens nobody can connect, so nobody gets in by the mode it is born with.
    chown(&place.path, owner, group)?;
    std::fs::set_permissions(&place.path, std::fs::Permissions::from_mode(place.mode))?;
    socket.listen(BACKLOG)?;
    Ok((socket, Some(name)))
}

/// Is it a socket that nobody listens on, of a server that was killed?
fn is_left_over(path: &Path, address: &SockAddr) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(address)
    };
    is_socket && refused().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// The name of a unix socket in the file system. It is removed with the socket, unless another has taken it since
/// or this is a fork of the process that made it.
struct Name {
    path: PathBuf,
    file: (u64, u64),
    process: u32,
}

impl Name {
    fn new(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        Ok(Name { file: identity(&path)?, path, process: std::process::id() })
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if self.process == std::process::id() && identity(&self.path).is_ok_and(|file| file == self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// A copy of a descriptor that must be a listening socket; the original stays open for whoever comes after us.
fn inherited(fd: RawFd) -> io::Result<Socket> {
    let socket = sys::duplicate_socket(fd)?;
    let listens = socket.r#type().ok() == Some(Type::STREAM) && socket.is_listener().unwrap_or(false);
    if !listens {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("descriptor {fd} is no listening socket"),
        ));
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}
