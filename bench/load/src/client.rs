//! One open connection: sends requests as the socket takes them, counts the replies, answers pings.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::exchange::Exchange;
use crate::frame;
use crate::handshake;
use crate::replies::{Received, Replies};
use crate::stream::{Stream, ready};
use crate::target::Target;

/// The size of the buffer that [`Client::receive`] wants: large, so that one read empties the socket.
pub(crate) const BUFFER_BYTES: usize = 256 * 1024;

pub(crate) struct Client {
    stream: Stream,
    replies: Replies,
    /// Bytes of requests still to be written.
    owed: usize,
    /// Where in `Exchange::requests` the next of them is.
    position: usize,
    /// Pongs to be written, between two requests.
    pongs: VecDeque<u8>,
}

impl Client {
    /// Connects and upgrades, one step after another.
    pub(crate) fn open(target: &Target, exchange: &Exchange) -> io::Result<Self> {
        let (stream, rest) = handshake::open(target)?;
        Self::upgraded(stream, &rest, exchange)
    }

    /// Takes over a stream after the opening handshake, with the bytes that came after it.
    pub(crate) fn upgraded(stream: Stream, rest: &[u8], exchange: &Exchange) -> io::Result<Self> {
        stream.socket().set_nodelay(true)?;
        stream.socket().set_nonblocking(true)?;
        let (replies, pongs) = (Replies::default(), VecDeque::new());
        let mut client = Self { stream, replies, owed: 0, position: 0, pongs };
        client.take(rest, exchange)?;
        Ok(client)
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        self.stream.socket()
    }

    /// Adds requests to be written; [`Client::flush`] writes them.
    pub(crate) fn queue(&mut self, requests: usize, exchange: &Exchange) {
        self.owed += requests * exchange.request_len;
    }

    /// Writes until nothing is owed or the socket is full.
    pub(crate) fn flush(&mut self, exchange: &Exchange) -> io::Result<()> {
        loop {
            let between_requests = self.position.is_multiple_of(exchange.request_len);
            let (pongs, _) = self.pongs.as_slices();
            let written = if between_requests && !pongs.is_empty() {
                ready(self.stream.write(pongs))?.map(|count| drop(self.pongs.drain(..count)))
            } else if self.owed > 0 {
                let end = exchange.requests.len().min(self.position + self.owed);
                let piece = &exchange.requests[self.position..end];
                ready(self.stream.write(piece))?.map(|count| {
                    self.owed -= count;
                    self.position = (self.position + count) % exchange.requests.len();
                })
            } else {
                // Under TLS what was written may not be under way yet.
                return ready(self.stream.flush()).map(|_| ());
            };
            if written.is_none() {
                return Ok(());
            }
        }
    }

    /// Reads until the socket is empty; returns the number of replies that were completed.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], exchange: &Exchange) -> io::Result<usize> {
        let mut replies = 0;
        loop {
            match ready(self.stream.read(buffer))? {
                None => return Ok(replies),
                Some(0) => return Err(io::Error::other("the server closed the connection")),
                Some(count) => {
                    replies += self.take(&buffer[..count], exchange)?;
                    if self.stream.is_emptied_by(count, buffer.len()) {
                        return Ok(replies);
                    }
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8], exchange: &Exchange) -> io::Result<usize> {
        let mut count = 0;
        let mut failure = None;
        let mut pong = None;
        self.replies.take(bytes, exchange, |received| match received {
            Received::Reply => count += 1,
            Received::Ping(payload) => pong = Some(payload),
            Received::Close(payload) => {
                failure = Some(format!("the server closed with {}", reason(&payload)))
            }
            Received::WrongPayload => failure = Some("a reply differs from what was sent".into()),
            Received::Unexpected if exchange.reply.is_empty() => {}
            Received::Unexpected => failure = Some("a frame that is not the reply to what was sent".into()),
        });
        if let Some(failure) = failure {
            return Err(io::Error::other(failure));
        }
        // Section 5.5.3: of several pings only the last needs an answer.
        if let Some(payload) = pong {
            self.pongs.extend(frame::from_client(frame::PONG, &payload));
            self.flush(exchange)?;
        }
        Ok(count)
    }
}

/// A close frame's payload in words.
fn reason(payload: &[u8]) -> String {
    match payload {
        [high, low, text @ ..] => {
            format!("code {} {:?}", u16::from_be_bytes([*high, *low]), String::from_utf8_lossy(text))
        }
        _ => "no code".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Epoll;
    use crate::target::tests::plain;
    use crate::tls;
    use std::net::TcpListener;
    use std::time::Duration;

    fn pair(exchange: &Exchange) -> (Client, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = plain(&listener).connect().unwrap();
        let (server, _) = listener.accept().unwrap();
        (Client::upgraded(stream, &[], exchange).unwrap(), server)
    }

    #[test]
    fn more_requests_than_the_buffer_repeats_are_written() {
        let exchange = Exchange::plain(frame::TEXT, 10, 4);
        let (mut client, mut server) = pair(&exchange);
        client.queue(6, &exchange);
        client.flush(&exchange).unwrap();
        client.queue(3, &exchange);
        client.flush(&exchange).unwrap();
        let mut bytes = vec![0; 9 * exchange.request_len];
        server.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, frame::from_client(frame::TEXT, b"abcdefghij").repeat(9));
    }

    #[test]
    fn a_ping_is_answered_between_two_requests() {
        let exchange = Exchange::plain(frame::TEXT, 2, 1);
        let (mut client, mut server) = pair(&exchange);
        let ping = [&frame::header(frame::PING, 3)[..], b"you"].concat();
        client.take(&[&exchange.reply[..], &ping].concat(), &exchange).unwrap();
        client.queue(1, &exchange);
        client.flush(&exchange).unwrap();
        let expected = [frame::from_client(frame::PONG, b"you"), exchange.requests.clone()].concat();
        let mut bytes = vec![0; expected.len()];
        server.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_close_is_an_error_that_names_the_code() {
        let exchange = Exchange::silent();
        let (mut client, _server) = pair(&exchange);
        let error = client.take(b"\x88\x05\x03\xe9bye", &exchange).unwrap_err();
        assert_eq!(error.to_string(), "the server closed with code 1001 \"bye\"");
    }

    #[test]
    fn an_event_is_enough_for_all_that_came_by_tls() {
        const REPLIES: usize = 2_000;
        let exchange = Exchange::plain(frame::TEXT, 1_000, 1);
        let (stream, mut server) = tls::tests::pair();
        let replies = exchange.reply.repeat(REPLIES);
        let server = std::thread::spawn(move || {
            server.write_all(&replies).unwrap();
            server
        });
        let mut client = Client::upgraded(stream, &[], &exchange).unwrap();
        let mut epoll = Epoll::new().unwrap();
        epoll.add(client.socket(), 0).unwrap();
        let (mut ready, mut received) = (Vec::new(), 0);
        // A buffer that one record of TLS fills several times.
        let mut buffer = vec![0; 700];
        while received < REPLIES {
            epoll.wait(&mut ready, Duration::from_secs(10)).unwrap();
            assert_eq!(ready, [0], "after {received} replies");
            received += client.receive(&mut buffer, &exchange).unwrap();
        }
        server.join().unwrap();
    }
}
