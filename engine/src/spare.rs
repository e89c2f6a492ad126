//! A descriptor that is held back for the time when there is no other: with it a client hears so, instead of waiting for an
//! answer that nobody can give.

use crate::accept::accept_one;
use crate::listen::{Listener, Speaks};
use crate::sys::fork::{self, Kept};
use socket2::Socket;
use std::fs::File;
use std::mem::MaybeUninit;

/// As the refusals of a handshake are written (RFC 9110, section 15.6.4).
const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Connection: close\r\nContent-Length: 30\r\n\r\nthe server has no descriptors\n";

/// What most requests fit in.
const REQUEST_BYTES: usize = 4096;

pub(crate) enum Spare {
    Held(#[expect(dead_code, reason = "it is there to be dropped")] Kept<File>),
    /// A client has it, and sends its request.
    Lent(Kept<Socket>),
    /// Somebody else took it.
    Gone,
}

impl Spare {
    /// Takes a descriptor, if there is one.
    pub(crate) fn take() -> Self {
        let _gate = fork::gate();
        File::open("/dev/null").map_or(Spare::Gone, |file| Spare::Held(Kept::new(file)))
    }

    /// Accepts the next client by the descriptor that is held. False: it has to wait.
    pub(crate) fn lend(&mut self, listener: &Listener) -> bool {
        if !matches!(self, Spare::Held(_)) {
            return false;
        }
        *self = Spare::Gone;
        if let Ok((client, _)) = accept_one(&listener.socket) {
            *self = Spare::Lent(client);
        }
        matches!(self, Spare::Lent(_))
    }

    /// Tells the client why it is refused, if it has been accepted so, and takes the descriptor for the next one. Its request
    /// is read first: closing a socket with unread bytes makes the system throw away what was sent.
    pub(crate) fn take_back(&mut self, speaks: Speaks) {
        if let Spare::Lent(client) = self
            && !speaks.tls
        {
            let _ = client.recv_with_flags(&mut [MaybeUninit::uninit(); REQUEST_BYTES], libc::MSG_DONTWAIT);
            let _ = client.send_with_flags(ANSWER, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
        }
        if !matches!(self, Spare::Held(_)) {
            // First its descriptor has to be free.
            *self = Spare::Gone;
            *self = Spare::take();
        }
    }
}
