//! The client's side of the opening handshake (RFC 6455 section 4.1), with the key of the RFC's own example:
//! the load is the same whatever the key, and the right answer is known beforehand.

use std::io::{self, Read, Write};

use crate::deflate::{self, Compression};
use crate::stream::{Stream, ready};
use crate::target::Target;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A response head longer than this is not one.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// A connection whose handshake is under way.
pub(crate) struct Opening {
    pub(crate) stream: Stream,
    compression: Compression,
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
    pub(crate) fn start(target: &Target) -> io::Result<Self> {
        Ok(Self::on(target.start_connecting()?, target))
    }

    fn on(stream: Stream, target: &Target) -> Self {
        let (compression, request) = (target.compression, request(target));
        Self { stream, compression, request, sent: 0, response: Vec::new() }
    }

    /// Sends and receives what the socket lets through.
    pub(crate) fn advance(&mut self) -> io::Result<Progress> {
        while self.sent < self.request.len() {
            match ready(self.stream.write(&self.request[self.sent..]))? {
                Some(count) => self.sent += count,
                None => return Ok(Progress::Pending),
            }
        }
        ready(self.stream.flush())?;
        let mut buffer = [0; 1_024];
        loop {
            match ready(self.stream.read(&mut buffer))? {
                None => return Ok(Progress::Pending),
                Some(0) => return Err(refused("the server closed the connection", &self.response)),
                Some(count) => self.response.extend_from_slice(&buffer[..count]),
            }
            if let Some(end) = head_end(&self.response) {
                check(&self.response[..end], self.compression)?;
                return Ok(Progress::Open(self.response.split_off(end)));
            }
            if self.response.len() > MAX_HEAD_BYTES {
                return Err(refused("a response without end", &self.response));
            }
        }
    }
}

/// Opens one connection and waits for it; returns the bytes that came after the response, too.
pub(crate) fn open(target: &Target) -> io::Result<(Stream, Vec<u8>)> {
    let mut opening = Opening::on(target.connect()?, target);
    loop {
        if let Progress::Open(rest) = opening.advance()? {
            return Ok((opening.stream, rest));
        }
    }
}

fn request(target: &Target) -> Vec<u8> {
    let address = target.address;
    let offer = match target.compression {
        Compression::Off => String::new(),
        Compression::Deflate => format!("Sec-WebSocket-Extensions: {}\r\n", deflate::OFFER),
    };
    format!(
        "GET / HTTP/1.1\r\n\
         Host: {address}\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\n\
         {offer}\
         Sec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|start| start + 4)
}

/// Status 101, the right `Sec-WebSocket-Accept`, and the extension if it was offered.
fn check(head: &[u8], compression: Compression) -> io::Result<()> {
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err(refused("the handshake was refused", head));
    }
    let text = String::from_utf8_lossy(head);
    if header(&text, "sec-websocket-accept") != Some(ACCEPT) {
        return Err(refused("a wrong Sec-WebSocket-Accept", head));
    }
    let answer = header(&text, "sec-websocket-extensions").unwrap_or_default();
    if compression == Compression::Deflate && !deflate::is_agreed(answer) {
        return Err(io::Error::other(format!(
            "the server does not agree to {:?}: its Sec-WebSocket-Extensions is {answer:?}",
            deflate::OFFER
        )));
    }
    Ok(())
}

/// The value of the first header of this name, which is in lower case.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn refused(what: &str, head: &[u8]) -> io::Error {
    let head = String::from_utf8_lossy(head);
    let status = head.lines().next().unwrap_or_default();
    io::Error::other(format!("{what} in the handshake (response: {status:?})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::tests::plain;
    use crate::tls;
    use std::net::TcpListener;

    /// Serves one connection with the response and tells what `open` made of it.
    fn open_against(response: &str, compression: Compression) -> io::Result<Vec<u8>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let target = Target { compression, ..plain(&listener) };
        let response = response.to_owned();
        let mut request = request(&target);
        let server = std::thread::spawn(move || -> io::Result<()> {
            let (mut stream, _) = listener.accept()?;
            stream.read_exact(&mut request)?;
            stream.write_all(response.as_bytes())
        });
        let opened = open(&target).map(|(_, rest)| rest);
        server.join().unwrap()?;
        opened
    }

    #[test]
    fn bytes_after_the_response_are_kept() {
        let response =
            format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept:{ACCEPT} \r\n\r\nrest");
        assert_eq!(open_against(&response, Compression::Off).unwrap(), b"rest");
    }

    #[test]
    fn anything_else_is_an_error_that_shows_the_status() {
        let wrong_accept = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n";
        for response in ["HTTP/1.1 503 Service Unavailable\r\n\r\n", wrong_accept, "HTTP/1.1 101"] {
            let error = open_against(response, Compression::Off).unwrap_err().to_string();
            assert!(error.contains(response.lines().next().unwrap()), "{error}");
        }
    }

    #[test]
    fn a_server_that_does_not_compress_as_asked_is_an_error() {
        let head = format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {ACCEPT}\r\n");
        let context = format!("{head}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
        for (response, said) in [(format!("{head}\r\n"), "\"\""), (context, "\"permessage-deflate\"")] {
            let error = open_against(&response, Compression::Deflate).unwrap_err().to_string();
            assert!(error.starts_with("the server does not agree to ") && error.ends_with(said), "{error}");
        }
        let agreed = format!("{head}sec-websocket-extensions: {}\r\n\r\nrest", deflate::OFFER);
        assert_eq!(open_against(&agreed, Compression::Deflate).unwrap(), b"rest");
    }

    #[test]
    fn a_handshake_by_tls_waits_for_nothing() {
        let listener = tls::tests::Listener::new();
        let mut opening = Opening::start(&listener.target).unwrap();
        let mut request = request(&listener.target);
        let server = std::thread::spawn(move || {
            let mut stream = listener.accept();
            stream.read_exact(&mut request).unwrap();
            let accept =
                format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n");
            stream.write_all(accept.as_bytes()).unwrap();
            stream
        });
        let rest = loop {
            match opening.advance().unwrap() {
                Progress::Pending => std::thread::yield_now(),
                Progress::Open(rest) => break rest,
            }
        };
        assert!(rest.is_empty());
        server.join().unwrap();
    }
}
