//! A forked child's side: its stream to the server's process.

use super::wire::{self, ANSWER_BYTES, Answer, Request};
use crate::error::SendError;
use crate::sys::fork;
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixDatagram;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Up to here data goes along with the request in one system call.
const SMALL: usize = 16 * 1024;
/// A stream that ends without an answer is made anew so often. The way tells whether the server is gone.
const ATTEMPTS: usize = 3;

/// The server's process, as its children see it.
pub(crate) struct Parent {
    way: UnixDatagram,
    children: Generation,
}

/// The stream of one process. Its own child has another: a thread may hold this one's lock when that is forked.
#[derive(Default)]
struct Generation {
    stream: Mutex<Option<fork::Kept<Socket>>>,
    next: OnceLock<Box<Generation>>,
}

impl Parent {
    pub(crate) fn new(way: UnixDatagram) -> Self {
        Parent { way, children: Generation::default() }
    }

    /// Has the server's process do it, and waits for the answer: as long as that takes to get to it, not for peers.
    pub(crate) fn ask(&self, request: &Request<'_>) -> Answer {
        let this = (0..fork::generation()).fold(&self.children, |one, _| one.next.get_or_init(Box::default));
        let mut stream = this.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let mut attempt = 1;
        loop {
            let socket = match stream.take().map_or_else(|| self.connect(), Ok) {
                Ok(socket) => stream.insert(socket),
                Err(error) => return Err(failure(&error)),
            };
            match ask(socket, request) {
                Ok(answer) => return answer,
                Err(error) if attempt == ATTEMPTS => {
                    *stream = None;
                    return Err(SendError::NoWay { errno: error.raw_os_error().unwrap_or(libc::EMFILE) });
                }
                Err(_) => *stream = None,
            }
            attempt += 1;
        }
    }

    fn connect(&self) -> io::Result<fork::Kept<Socket>> {
        let gate = fork::gate();
        let (near, far) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
        let near = fork::Kept::new(near);
        drop(gate);
        fork::send_socket(&self.way, &far).map(|()| near)
    }
}

/// The way ends with the server: the first to use it then is refused, later ones are not connected. Anything else is want
/// of descriptors or memory.
fn failure(error: &io::Error) -> SendError {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::NotConnected => SendError::NoServer,
        _ => SendError::NoWay { errno: error.raw_os_error().unwrap_or(0) },
    }
}

fn ask(socket: &mut Socket, request: &Request<'_>) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    let mut data = request.encode(&mut bytes);
    if data.len() <= SMALL {
        bytes.extend_from_slice(std::mem::take(&mut data));
    }
    send_all(socket, &bytes)?;
    send_all(socket, data)?;
    let mut answer = [0; ANSWER_BYTES];
    socket.read_exact(&mut answer)?;
    Ok(wire::decode_answer(&answer))
}

/// Not `write_all`: that would end a program by SIGPIPE.
fn send_all(socket: &Socket, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match socket.send_with_flags(bytes, libc::MSG_NOSIGNAL) {
            Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
