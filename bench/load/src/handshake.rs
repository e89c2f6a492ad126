//! The client's side of the opening handshake (RFC 6455 section 4.1), with the key of the RFC's own example:
//! the load is the same whatever the key, and the right answer is known beforehand.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};

use crate::sys;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A response head longer than this is not one.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// A connection whose handshake is under way.
pub(crate) struct Opening {
    pub(crate) stream: TcpStream,
    request: Vec<u8>,
    sent: usize,
    response: Vec<u8>,
}

/// How far a handshake is.
pub(crate) enum Progress {
    /// The socket is not ready for the next step.
    Pending,
    /// The server switched protocols; these bytes came after its response.
    Open(Vec<u8>),
}

impl Opening {
    /// Begins without waiting, not even for TCP: call [`Opening::advance`] whenever the socket is ready.
    pub(crate) fn start(address: SocketAddrV4) -> io::Result<Self> {
        Ok(Self::on(sys::connect_nonblocking(address)?, address))
    }

    fn on(stream: TcpStream, address: SocketAddrV4) -> Self {
        Self { stream, request: request(address), sent: 0, response: Vec::new() }
    }

    /// Sends and receives what the socket lets through.
    pub(crate) fn advance(&mut self) -> io::Result<Progress> {
        while self.sent < self.request.len() {
            match ready((&self.stream).write(&self.request[self.sent..]))? {
                Some(count) => self.sent += count,
                None => return Ok(Progress::Pending),
            }
        }
        let mut buffer = [0; 1_024];
        loop {
            match ready((&self.stream).read(&mut buffer))? {
                None => return Ok(Progress::Pending),
                Some(0) => return Err(refused("the server closed the connection", &self.response)),
                Some(count) => self.response.extend_from_slice(&buffer[..count]),
            }
            if let Some(end) = head_end(&self.response) {
                check(&self.response[..end])?;
                return Ok(Progress::Open(self.response.split_off(end)));
            }
            if self.response.len() > MAX_HEAD_BYTES {
                return Err(refused("a response without end", &self.response));
            }
        }
    }
}

/// Opens one connection and waits for it; returns the bytes that came after the response, too.
pub(crate) fn open(address: SocketAddrV4) -> io::Result<(TcpStream, Vec<u8>)> {
    let stream = TcpStream::connect(address)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot connect to {address}: {error}")))?;
    let mut opening = Opening::on(stream, address);
    loop {
        if let Progress::Open(rest) = opening.advance()? {
            return Ok((opening.stream, rest));
        }
    }
}

/// `None` where a non-blocking socket would have waited.
pub(crate) fn ready(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn request(address: SocketAddrV4) -> Vec<u8> {
    format!(
        "GET / HTTP/1.1\r\n\
         Host: {address}\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|start| start + 4)
}

/// Status 101 and the right `Sec-WebSocket-Accept`.
fn check(head: &[u8]) -> io::Result<()> {
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err(refused("the handshake was refused", head));
    }
    let accepted = String::from_utf8_lossy(head).lines().any(|line| {
        line.split_once(':').is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == ACCEPT
        })
    });
    if accepted { Ok(()) } else { Err(refused("a wrong Sec-WebSocket-Accept", head)) }
}

fn refused(what: &str, head: &[u8]) -> io::Error {
    let head = String::from_utf8_lossy(head);
    let status = head.lines().next().unwrap_or_default();
    io::Error::other(format!("{what} in the handshake (response: {status:?})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{SocketAddr, TcpListener};

    /// Serves one connection with the response and tells what `open` made of it.
    fn open_against(response: &str) -> io::Result<Vec<u8>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let SocketAddr::V4(address) = listener.local_addr()? else { unreachable!() };
        let response = response.to_owned();
        let server = std::thread::spawn(move || -> io::Result<()> {
            let (mut stream, _) = listener.accept()?;
            let mut request = vec![0; super::request(address).len()];
            stream.read_exact(&mut request)?;
            stream.write_all(response.as_bytes())
        });
        let opened = open(address).map(|(_, rest)| rest);
        server.join().unwrap()?;
        opened
    }

    #[test]
    fn bytes_after_the_response_are_kept() {
        let response =
            format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept:{ACCEPT} \r\n\r\nrest");
        assert_eq!(open_against(&response).unwrap(), b"rest");
    }

    #[test]
    fn anything_else_is_an_error_that_shows_the_status() {
        let wrong_accept = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n";
        for response in ["HTTP/1.1 503 Service Unavailable\r\n\r\n", wrong_accept, "HTTP/1.1 101"] {
            let error = open_against(response).unwrap_err().to_string();
            assert!(error.contains(response.lines().next().unwrap()), "{error}");
        }
    }
}
