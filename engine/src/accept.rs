//! Listening sockets: making them, and accepting from them.
//!
//! Only the first I/O thread accepts and deals the sockets out in turn, so that all threads get equally many and
//! an address that another program has is refused by the system instead of being shared with it.

use crate::error::Error;
use crate::http;
use crate::hub;
use crate::link::Shared;
use crate::sys;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Connections that may wait to be accepted; the system may allow fewer (net.core.somaxconn).
const BACKLOG: i32 = 4_096;
/// With too many sockets that are no connections yet, or a host that does not poll, the next look comes after so
/// long.
const BREATH: Duration = Duration::from_millis(5);
/// When accepting fails for want of descriptors or memory, the next try comes after so long.
const PAUSE: Duration = Duration::from_millis(100);
/// The host and the log hear of such a failure at most so often.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Listens on all addresses of the option `listen`, or on none.
pub(crate) fn listen(addresses: &[String]) -> Result<Vec<TcpListener>, Error> {
    let mut listeners = Vec::new();
    for address in addresses {
        let bind = |source| Error::Bind { address: address.clone(), source };
        let mut port = None;
        for mut resolved in address.to_socket_addrs().map_err(bind)? {
            // A name with several addresses has one port, also when the system picks it.
            if resolved.port() == 0 {
                resolved.set_port(port.unwrap_or(0));
            }
            let taken_by_v4 =
                |l: &TcpListener| l.local_addr().is_ok_and(|l| l.is_ipv4() && l.port() == resolved.port());
            match listen_on(resolved, listeners.iter().any(taken_by_v4)) {
                Ok(listener) => {
                    port = Some(listener.local_addr().map_err(bind)?.port());
                    listeners.push(listener);
                }
                // A name such as localhost may have an IPv6 address on a machine without IPv6.
                Err(error) if port.is_some() && error.kind() == io::ErrorKind::AddrNotAvailable => {}
                Err(error) => return Err(bind(error)),
            }
        }
    }
    Ok(listeners)
}

/// [::] takes IPv4 connections as well, unless `only_v6` says that the port is taken there by ourselves.
fn listen_on(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Without it the port of a server that has just stopped would stay taken for a minute.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(sys::move_above_select(TcpListener::from(socket)))
}

/// Accepts for ever.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let listener = match sys::watch_listener(listener) {
        Ok(listener) => listener,
        Err(error) => return report(&error, &mut None),
    };
    let mut turn = 0;
    let mut reported = None;
    loop {
        let Ok(mut ready) = listener.readable().await else { return };
        let full = shared.handshakes.load(Ordering::Relaxed) >= shared.max_sockets;
        if full || shared.links.iter().any(|link| !link.inbox.has_room_to_open()) {
            tokio::time::sleep(BREATH).await;
            continue;
        }
        // A storm of connections must not keep the thread from all else.
        tokio::task::coop::consume_budget().await;
        match ready.try_io(|listener| listener.get_ref().accept()) {
            Err(_would_block) => {}
            Ok(Ok((socket, peer))) => {
                turn = (turn + 1) % shared.links.len();
                match shared.links.get(turn) {
                    Some(link) if turn > 0 => link.mailbox.adopt(socket, peer),
                    _ => begin(socket, peer, &shared),
                }
            }
            Ok(Err(error)) if is_about_the_peer(&error) => {}
            Ok(Err(error)) => {
                report(&error, &mut reported);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Starts the task that serves a socket on this thread.
pub(crate) fn begin(socket: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) {
    let socket = sys::move_above_select(socket);
    let prepared = socket.set_nonblocking(true).and_then(|()| socket.set_nodelay(true));
    let Ok(stream) = prepared.and_then(|()| tokio::net::TcpStream::from_std(socket)) else { return };
    let shared = shared.clone();
    hub::with(|hub| {
        hub.handshake_begins(|serial| {
            let task = async move {
                http::serve(stream, peer, shared).await;
                hub::with(|hub| hub.handshake_ends(serial));
            };
            tokio::task::spawn_local(task).abort_handle()
        });
    });
}

/// The peer went away before it was accepted, or its packet was at fault (accept(2) passes such errors on).
fn is_about_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | TimedOut)
}

fn report(error: &io::Error, last: &mut Option<Instant>) {
    if last.is_some_and(|last| last.elapsed() < REPORT_EVERY) {
        return;
    }
    *last = Some(Instant::now());
    let message = format!("connections cannot be accepted: {error}");
    tracing::error!("{message}");
    hub::with(|hub| {
        hub.link().inbox.lock().error(hub.now, error.raw_os_error().unwrap_or(0), &message);
        hub.announce();
    });
}
