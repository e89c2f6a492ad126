//! Reads what the server sends, as cheaply as it can be done: the expected reply is recognised by its
//! header and skipped; only the first one is compared byte for byte, inflated where it is compressed. Any other
//! frame takes the slow way.

use crate::deflate;
use crate::exchange::Exchange;
use crate::frame;

/// What a server's bytes contained.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// The expected reply, whole.
    Reply,
    /// The first reply, with the right header and a wrong payload.
    WrongPayload,
    /// A data frame which is not the expected reply.
    Unexpected,
    /// A ping with its payload.
    Ping(Vec<u8>),
    /// A close frame with its payload.
    Close(Vec<u8>),
}

/// The place in one connection's stream of replies.
#[derive(Default)]
pub(crate) struct Replies {
    /// The header of the first reply, which was compared and is right: all others have it too. Before it, empty.
    reply_header: Vec<u8>,
    /// The length of that reply.
    reply_len: usize,
    /// The header of the frame under way; empty between frames.
    header: Vec<u8>,
    /// The bytes of its payload that are still to come.
    missing: u64,
    /// Its payload, where somebody will look at it.
    payload: Vec<u8>,
}

impl Replies {
    /// Takes the next bytes, whatever their borders.
    pub(crate) fn take(&mut self, mut bytes: &[u8], exchange: &Exchange, mut on: impl FnMut(Received)) {
        while !bytes.is_empty() {
            let between = self.header.is_empty();
            if between
                && self.is_verified()
                && bytes.len() >= self.reply_len
                && bytes.starts_with(&self.reply_header)
            {
                bytes = &bytes[self.reply_len..];
                on(Received::Reply);
            } else {
                bytes = self.take_part(bytes, exchange, &mut on);
            }
        }
    }

    fn is_verified(&self) -> bool {
        !self.reply_header.is_empty()
    }

    /// Advances by one part of a frame (a byte of its header, a stretch of its payload); returns the rest.
    fn take_part<'a>(
        &mut self,
        bytes: &'a [u8],
        exchange: &Exchange,
        on: &mut impl FnMut(Received),
    ) -> &'a [u8] {
        let mut rest = bytes;
        if self.missing == 0 {
            self.header.push(bytes[0]);
            rest = &bytes[1..];
            match frame::parse_header(&self.header) {
                Some((_, length)) => self.missing = length,
                None => return rest,
            }
        }
        let taken = usize::try_from(self.missing).unwrap_or(usize::MAX).min(rest.len());
        let opcode = self.header[0] & frame::OPCODE;
        if opcode >= frame::CLOSE || !self.is_verified() {
            self.payload.extend_from_slice(&rest[..taken]);
        }
        self.missing -= taken as u64;
        if self.missing == 0 {
            self.finish(opcode, exchange, on);
        }
        &rest[taken..]
    }

    fn finish(&mut self, opcode: u8, exchange: &Exchange, on: &mut impl FnMut(Received)) {
        let header = std::mem::take(&mut self.header);
        let payload = std::mem::take(&mut self.payload);
        on(match opcode {
            frame::PING => Received::Ping(payload),
            frame::PONG => return,
            frame::CLOSE => Received::Close(payload),
            _ if self.is_verified() && header == self.reply_header => Received::Reply,
            _ if self.is_verified() => Received::Unexpected,
            _ => self.take_first(header, &payload, exchange),
        });
    }

    fn take_first(&mut self, header: Vec<u8>, payload: &[u8], exchange: &Exchange) -> Received {
        let (plain_header, message) = exchange.reply.split_at(exchange.reply_header_len);
        let is_right = if header == plain_header {
            payload == message
        } else if exchange.is_compressed(&header, payload.len()) {
            deflate::inflates_to(payload, message)
        } else {
            return Received::Unexpected;
        };
        if !is_right {
            return Received::WrongPayload;
        }
        self.reply_len = header.len() + payload.len();
        self.reply_header = header;
        Received::Reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{BINARY, RSV1, TEXT};

    fn received(exchange: &Exchange, bytes: &[u8], chunk: usize) -> Vec<Received> {
        let mut replies = Replies::default();
        let mut all = Vec::new();
        for bytes in bytes.chunks(chunk) {
            replies.take(bytes, exchange, |one| all.push(one));
        }
        all
    }

    #[test]
    fn replies_and_pings_are_told_apart_at_any_chunking() {
        let exchange = Exchange::plain(TEXT, 300, 1);
        let ping = [&frame::header(frame::PING, 2)[..], b"hi"].concat();
        let empty_ping = frame::header(frame::PING, 0);
        let stream =
            [&exchange.reply, &ping, &exchange.reply, &empty_ping, &exchange.reply].map(Vec::as_slice);
        let stream = stream.concat();
        for chunk in 1..stream.len() {
            let expected = [
                Received::Reply,
                Received::Ping(b"hi".to_vec()),
                Received::Reply,
                Received::Ping(Vec::new()),
                Received::Reply,
            ];
            assert_eq!(received(&exchange, &stream, chunk), expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn an_empty_message_is_a_reply_too() {
        let exchange = Exchange::plain(BINARY, 0, 1);
        let stream = exchange.reply.repeat(3);
        for chunk in 1..=stream.len() {
            assert_eq!(received(&exchange, &stream, chunk).len(), 3);
        }
    }

    #[test]
    fn a_wrong_first_payload_is_noticed() {
        let exchange = Exchange::plain(TEXT, 3, 1);
        assert_eq!(received(&exchange, b"\x81\x03abX", 5), [Received::WrongPayload]);
    }

    #[test]
    fn a_wrong_kind_or_length_is_noticed() {
        let exchange = Exchange::plain(TEXT, 3, 1);
        assert_eq!(received(&exchange, b"\x82\x03abc", 5), [Received::Unexpected]);
        assert_eq!(received(&exchange, b"\x81\x02ab", 4), [Received::Unexpected]);
        let late = [&exchange.reply[..], b"\x81\x02ab"].concat();
        assert_eq!(received(&exchange, &late, late.len()), [Received::Reply, Received::Unexpected]);
    }

    /// A server's frame with a compressed message.
    fn compressed(message: &[u8]) -> Vec<u8> {
        let payload = deflate::compress(message).unwrap();
        [frame::header(TEXT | RSV1, payload.len()), payload].concat()
    }

    #[test]
    fn a_compressed_reply_is_inflated_once_and_known_from_then_on() {
        let exchange = Exchange::deflated(TEXT, 1_000, 1).unwrap();
        let message = &exchange.reply[exchange.reply_header_len..];
        let replies = compressed(message).repeat(3);
        for chunk in 1..replies.len() {
            let expected = [Received::Reply, Received::Reply, Received::Reply];
            assert_eq!(received(&exchange, &replies, chunk), expected, "chunks of {chunk}");
        }
        let longer = [&compressed(message)[..], &compressed(&message[1..])].concat();
        assert_eq!(received(&exchange, &longer, longer.len()), [Received::Reply, Received::Unexpected]);
    }

    #[test]
    fn a_server_may_leave_a_message_as_it_is() {
        let exchange = Exchange::deflated(TEXT, 1_000, 1).unwrap();
        let replies = exchange.reply.repeat(2);
        assert_eq!(received(&exchange, &replies, 700), [Received::Reply, Received::Reply]);
    }

    #[test]
    fn a_wrong_compressed_reply_is_noticed() {
        let exchange = Exchange::deflated(TEXT, 3, 1).unwrap();
        for wrong in [compressed(b"abX"), b"\xc1\x02\xff\xff".to_vec()] {
            assert_eq!(received(&exchange, &wrong, wrong.len()), [Received::WrongPayload]);
        }
        let unasked = compressed(b"abc");
        let exchange = Exchange::plain(TEXT, 3, 1);
        assert_eq!(received(&exchange, &unasked, unasked.len()), [Received::Unexpected]);
    }

    #[test]
    fn a_close_carries_its_payload() {
        let exchange = Exchange::silent();
        assert_eq!(received(&exchange, b"\x88\x02\x03\xe9", 1), [Received::Close(vec![3, 0xe9])]);
    }
}
