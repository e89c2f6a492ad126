//! A forked child's side: its stream to the server's process.

use super::wire::{self, ANSWER_BYTES, Answer, Request};
use crate::error::SendError;
use crate::sys::fork;
use socket2::{Domain, Socket, Type};
use std::io::{self, Read};
use std::os::unix::net::UnixDatagram;
use std::sync::{Mutex, PoisonError};

/// Up to here data goes along with the request in one system call.
const SMALL: usize = 16 * 1024;

/// The server's process, as its children see it.
pub(crate) struct Parent {
    way: UnixDatagram,
    stream: Mutex<Option<Stream>>,
}

/// A stream of this process, or one of the process that it was forked from.
struct Stream {
    socket: Socket,
    generation: u32,
}

impl Parent {
    pub(crate) fn new(way: UnixDatagram) -> Self {
        Parent { way, stream: Mutex::default() }
    }

    /// Has the server's process do it, and waits for the answer: as long as that takes to get to it, not for peers.
    pub(crate) fn ask(&self, request: &Request<'_>) -> Answer {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = self.stream_of_this_process(&mut stream).and_then(|stream| stream.ask(request));
        answer.unwrap_or_else(|_| {
            *stream = None;
            Err(SendError::NoServer)
        })
    }

    fn stream_of_this_process<'a>(&self, stream: &'a mut Option<Stream>) -> io::Result<&'a mut Stream> {
        let generation = fork::generation();
        // One that a child of ours has inherited is still ours.
        let mine = stream.take().filter(|stream| stream.generation == generation);
        let mine = match mine {
            Some(mine) => mine,
            None => {
                let (socket, far) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
                fork::send_socket(&self.way, &far)?;
                Stream { socket, generation }
            }
        };
        Ok(stream.insert(mine))
    }
}

impl Stream {
    fn ask(&mut self, request: &Request<'_>) -> io::Result<Answer> {
        let mut bytes = Vec::new();
        let mut data = request.encode(&mut bytes);
        if data.len() <= SMALL {
            bytes.extend_from_slice(std::mem::take(&mut data));
        }
        self.send_all(&bytes)?;
        self.send_all(data)?;
        let mut answer = [0; ANSWER_BYTES];
        self.socket.read_exact(&mut answer)?;
        Ok(wire::decode_answer(&answer))
    }

    /// Not `write_all`: that would end a program by SIGPIPE.
    fn send_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.socket.send_with_flags(bytes, libc::MSG_NOSIGNAL) {
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
