//! What goes over the wire in a run: the same message again and again, each answered by itself.

use std::io;

use crate::cli::Message;
use crate::deflate::{self, Compression};
use crate::frame::{self, RSV1};
use crate::report::{Report, Value};

pub(crate) struct Exchange {
    /// The client's frame, as often in a row as one write may send.
    pub(crate) requests: Vec<u8>,
    /// The length of one of them.
    pub(crate) request_len: usize,
    /// The server's frame with the same message, not compressed; empty when no answer is expected.
    pub(crate) reply: Vec<u8>,
    pub(crate) reply_header_len: usize,
    compression: Compression,
}

impl Exchange {
    /// A message that is sent at most `burst` times in one write.
    pub(crate) fn new(message: &Message, burst: usize) -> io::Result<Self> {
        match message.compression() {
            Compression::Off => Ok(Self::plain(message.opcode(), message.size, burst)),
            Compression::Deflate => Self::deflated(message.opcode(), message.size, burst),
        }
    }

    /// Of `size` bytes.
    pub(crate) fn plain(opcode: u8, size: usize, burst: usize) -> Self {
        let payload: Vec<u8> = (b'a'..=b'z').cycle().take(size).collect();
        let request = frame::from_client(opcode, &payload);
        Self::of(request, burst, opcode, &payload, Compression::Off)
    }

    /// Of `size` bytes before it is compressed.
    pub(crate) fn deflated(opcode: u8, size: usize, burst: usize) -> io::Result<Self> {
        let payload = records(size);
        let request = frame::from_client(opcode | RSV1, &deflate::compress(&payload)?);
        Ok(Self::of(request, burst, opcode, &payload, Compression::Deflate))
    }

    fn of(request: Vec<u8>, burst: usize, opcode: u8, payload: &[u8], compression: Compression) -> Self {
        let header = frame::header(opcode, payload.len());
        Self {
            requests: request.repeat(burst),
            request_len: request.len(),
            reply_header_len: header.len(),
            reply: [&header, payload].concat(),
            compression,
        }
    }

    /// Nothing is sent and nothing is expected.
    pub(crate) fn silent() -> Self {
        let compression = Compression::Off;
        Self { requests: Vec::new(), request_len: 1, reply: Vec::new(), reply_header_len: 0, compression }
    }

    /// May a reply with this header and payload length be a compressed one? A server decides that by message.
    pub(crate) fn is_compressed(&self, header: &[u8], payload_len: usize) -> bool {
        let opcode = self.reply.first().map_or(0, |first| first & frame::OPCODE);
        self.compression == Compression::Deflate && header == frame::header(opcode | RSV1, payload_len)
    }

    /// Adds how long a message is, by itself and on the wire.
    pub(crate) fn report(&self, report: &mut Report) {
        report.add("size", Value::Integer((self.reply.len() - self.reply_header_len) as u64));
        report.add("request_bytes", Value::Integer(self.request_len as u64));
    }
}

/// Text as servers send it, where the names are always the same and the values are not: letters in turn would
/// compress to nothing.
fn records(size: usize) -> Vec<u8> {
    const NAMES: [&str; 8] = ["Ada", "Berta", "Carlos", "Dmitri", "Edith", "Farid", "Gudrun", "Haruki"];
    let mut text = String::new();
    let mut random = 1;
    while text.len() < size {
        // MINSTD of Park and Miller: the same numbers in every run.
        random = random * 48_271 % 0x7fff_ffff_u64;
        let (name, price, cents) = (NAMES[random as usize % NAMES.len()], random % 9_973, random / 97 % 100);
        text += &format!(r#"{{"id":{random},"user":"{name}","price":{price}.{cents:02},"open":true}},"#);
    }
    text.truncate(size);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::TEXT;

    #[test]
    fn an_exchange_repeats_the_request_and_knows_the_reply() {
        let exchange = Exchange::plain(TEXT, 3, 2);
        assert_eq!(exchange.request_len, 9);
        assert_eq!(exchange.requests, frame::from_client(TEXT, b"abc").repeat(2));
        assert_eq!(exchange.reply, b"\x81\x03abc");
        assert_eq!(exchange.reply_header_len, 2);
    }

    #[test]
    fn a_compressed_request_is_marked_and_as_small_as_text_gets() {
        let exchange = Exchange::deflated(TEXT, 1_024, 2).unwrap();
        assert_eq!(exchange.requests[0], 0xc1);
        assert_eq!(exchange.requests.len(), 2 * exchange.request_len);
        assert_eq!(exchange.reply.len(), 4 + 1_024);
        assert!((256..512).contains(&exchange.request_len), "{}", exchange.request_len);
    }

    #[test]
    fn only_who_compresses_may_be_answered_so() {
        let header = frame::header(TEXT | RSV1, 400);
        assert!(Exchange::deflated(TEXT, 1_024, 1).unwrap().is_compressed(&header, 400));
        assert!(!Exchange::deflated(TEXT, 1_024, 1).unwrap().is_compressed(&header, 401));
        assert!(!Exchange::deflated(frame::BINARY, 1_024, 1).unwrap().is_compressed(&header, 400));
        assert!(!Exchange::plain(TEXT, 1_024, 1).is_compressed(&header, 400));
    }

    #[test]
    fn records_are_text_of_any_length() {
        for size in [0, 1, 1_000, 70_000] {
            let text = records(size);
            assert_eq!(text.len(), size);
            assert!(text.is_ascii());
        }
        assert!(records(200).starts_with(b"{\"id\":48271,\"user\":\"Haruki\","));
    }
}
