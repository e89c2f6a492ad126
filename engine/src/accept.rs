//! Accepting connections.
//!
//! Only the first I/O thread accepts and deals the sockets out in turn, so that all threads get equally many and
//! an address that another program has is refused by the system instead of being shared with it.

use crate::http;
use crate::hub;
use crate::link::Shared;
use crate::listen::{Listener, Speaks};
use crate::peer::Peer;
use crate::progress::Counted;
use crate::sockets::{Listening, Socket};
use crate::spare::Spare;
use crate::sys;
use crate::sys::fork::{self, Kept};
use socket2::{SockAddr, Socket as Unregistered};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sockets in a row before others have their turn: each takes some 20 microseconds.
const ACCEPTED_PER_TURN: u32 = 2;
/// With too many sockets that are no connections yet, too many handshakes of TLS, or a host that does not poll, the next look
/// comes after so long.
const BREATH: Duration = Duration::from_millis(5);
/// When accepting fails for want of descriptors or memory, the next try comes after so long.
const PAUSE: Duration = Duration::from_millis(100);
/// The host and the log hear of such a failure at most so often.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// A socket that was accepted, on its way to the thread that will serve it.
pub(crate) struct Accepted {
    pub(crate) socket: Kept<Unregistered>,
    pub(crate) peer: Peer,
    pub(crate) speaks: Speaks,
    pub(crate) counted: Counted,
}

/// Accepts for ever.
pub(crate) async fn accept(listener: Listener, mut spare: Spare, shared: Arc<Shared>) {
    let speaks = listener.speaks;
    let listener = match Listening::register(listener) {
        Ok(listener) => listener,
        Err(error) => return report(&error, &mut None),
    };
    let (mut turn, mut accepted) = (0, 0);
    let mut reported = None;
    loop {
        listener.knock().await;
        // A storm of connections must not keep the thread from all else, nor from those that it has accepted.
        if accepted == 0 {
            hub::turn(hub::Load::Heavy).await;
        }
        // Between this and the next socket nobody else accepts one.
        let tls = shared.tls.as_ref().filter(|_| speaks.tls);
        if shared.has_all_sockets()
            || tls.is_some_and(|tls| tls.is_busy(shared.links.len()))
            || shared.links.iter().any(|link| !link.inbox.has_room_to_open())
        {
            tokio::time::sleep(BREATH).await;
            accepted = 0;
            continue;
        }
        accepted = (accepted + 1) % ACCEPTED_PER_TURN;
        match listener.accept() {
            // The next one comes with a turn.
            None => accepted = 0,
            Some(Ok((socket, peer))) => {
                turn = (turn + 1) % shared.links.len();
                let peer = peer.as_socket().map_or(Peer::Unix, Peer::Socket);
                let counted = Counted::new(&shared);
                let accepted = Accepted { socket, peer, speaks, counted };
                match shared.links.get(turn) {
                    Some(link) if turn > 0 => link.mailbox.adopt(accepted),
                    _ => begin(accepted, &shared),
                }
            }
            Some(Err(error)) if is_about_the_peer(&error) => {}
            Some(Err(error)) => {
                accepted = 0;
                report(&error, &mut reported);
                if lacks_descriptors(&error) && spare.lend(&listener.listener) {
                    hub::with(|hub| hub.link().counters.refused.add(1));
                }
                tokio::time::sleep(PAUSE).await;
                spare.take_back(speaks);
            }
        }
    }
}

pub(crate) fn accept_one(listener: &Unregistered) -> io::Result<(Kept<Unregistered>, SockAddr)> {
    let _gate = fork::gate();
    sys::accept(listener).map(|(socket, peer)| (Kept::new(sys::move_above_select(socket)), peer))
}

/// Starts the task that serves a socket on this thread.
pub(crate) fn begin(accepted: Accepted, shared: &Arc<Shared>) {
    let Accepted { socket, peer, speaks, counted } = accepted;
    let socket = match Socket::register(socket) {
        Ok(socket) => socket,
        Err(error) => {
            hub::with(|hub| hub.count_failed(&peer, &error, "a socket cannot be watched"));
            return;
        }
    };
    // Kilobytes, which would be moved with each thing that it is put into.
    let handshake = Box::pin(http::serve(socket, peer, speaks, counted, shared.clone()));
    hub::with(|hub| hub.begin_handshake(handshake));
}

/// The peer went away before it was accepted, or its packet was at fault (accept(2) passes such errors on).
fn is_about_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | TimedOut)
}

/// The process has no descriptor left, or the system.
fn lacks_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
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
