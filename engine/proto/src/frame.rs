//! How a frame looks on the wire (RFC 6455, section 5.2): reading a client's header, writing a server's frame.

use crate::copy::append;
use crate::error::Violation;

/// Longest payload of a control frame (section 5.5).
pub const MAX_CONTROL_BYTES: usize = 125;
/// Longest header of a client's frame: two bytes, eight of length, four of masking key.
pub const MAX_HEADER_BYTES: usize = 14;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
/// Values of the 7-bit length that announce a longer one.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// What a message is: text or binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

/// What a frame is for (section 11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// A further fragment of the message begun before.
    Continuation,
    /// A text message or its first fragment.
    Text,
    /// A binary message or its first fragment.
    Binary,
    /// The closing handshake.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
}

impl Opcode {
    /// The four bits on the wire.
    pub const fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xa,
        }
    }

    /// The opcode of four bits, unless they are reserved.
    pub fn from_bits(bits: u8) -> Result<Self, Violation> {
        Ok(match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xa => Opcode::Pong,
            reserved => return Err(Violation::ReservedOpcode(reserved)),
        })
    }

    /// Close, ping and pong.
    pub const fn is_control(self) -> bool {
        self.bits() & 0x8 != 0
    }
}

impl From<Kind> for Opcode {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        }
    }
}

/// The header of a client's frame, found sound by itself; what it means in a connection is not judged here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The last fragment of its message.
    pub fin: bool,
    /// RSV1, RSV2 and RSV3 as the bits 0x40, 0x20 and 0x10.
    pub reserved: u8,
    /// What the frame is for.
    pub opcode: Opcode,
    /// Bytes of payload.
    pub len: u64,
    /// The masking key.
    pub key: [u8; 4],
    /// Bytes of the header itself.
    pub size: usize,
}

/// Reads the header at the beginning of `bytes`. None: it is not all there. What is wrong in the bytes that are
/// there is told at once.
#[inline]
pub fn parse_header(bytes: &[u8]) -> Result<Option<Header>, Violation> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let fin = first & FIN != 0;
    let opcode = Opcode::from_bits(first & OPCODE)?;
    if opcode.is_control() && !fin {
        return Err(Violation::FragmentedControl);
    }
    let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
    if second & MASKED == 0 {
        return Err(Violation::Unmasked);
    }
    let (len, rest, length_bytes) = match second & LENGTH {
        LENGTH_16 | LENGTH_64 if opcode.is_control() => return Err(Violation::LongControl),
        LENGTH_16 => match rest.split_first_chunk() {
            None => return Ok(None),
            Some((&bytes, rest)) => (u64::from(u16::from_be_bytes(bytes)), rest, 2),
        },
        LENGTH_64 => match rest.split_first_chunk() {
            None => return Ok(None),
            Some((&bytes, rest)) => (u64::from_be_bytes(bytes), rest, 8),
        },
        short => (u64::from(short), rest, 0),
    };
    let shortest = match length_bytes {
        2 => 126,
        8 => 1 << 16,
        _ => 0,
    };
    if len < shortest || len >> 63 != 0 {
        return Err(Violation::LengthEncoding);
    }
    let Some(&key) = rest.first_chunk() else { return Ok(None) };
    Ok(Some(Header { fin, reserved: first & RESERVED, opcode, len, key, size: 2 + length_bytes + 4 }))
}

/// Appends the header of an unfragmented server frame: no mask, the length in its shortest form. A control frame
/// carries at most [`MAX_CONTROL_BYTES`]; that is the caller's care.
#[inline]
pub fn put_header(out: &mut Vec<u8>, opcode: Opcode, len: usize) {
    let first = FIN | opcode.bits();
    if len < usize::from(LENGTH_16) {
        out.extend_from_slice(&[first, len as u8]);
    } else if let Ok(len) = u16::try_from(len) {
        let [high, low] = len.to_be_bytes();
        out.extend_from_slice(&[first, LENGTH_16, high, low]);
    } else {
        out.extend_from_slice(&[first, LENGTH_64]);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
}

/// Appends a whole unfragmented server frame.
#[inline]
pub fn put(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    put_header(out, opcode, payload.len());
    append(out, payload);
}

/// Takes apart a frame as [`put`] makes it; None for anything else.
pub fn split(frame: &[u8]) -> Option<(Opcode, &[u8])> {
    let (&first, rest) = frame.split_first()?;
    let (&second, rest) = rest.split_first()?;
    let payload = match second {
        LENGTH_16 => rest.get(2..),
        LENGTH_64 => rest.get(8..),
        _ => Some(rest),
    };
    Some((Opcode::from_bits(first & OPCODE).ok()?, payload?))
}

/// Appends a close frame. `reason` beyond what a control frame holds is cut.
pub fn put_close(out: &mut Vec<u8>, code: Option<u16>, reason: &str) {
    let Some(code) = code else { return put_header(out, Opcode::Close, 0) };
    let reason = crate::close::truncate_reason(reason);
    put_header(out, Opcode::Close, 2 + reason.len());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_section_5_7() {
        let mut out = Vec::new();
        put(&mut out, Opcode::Text, b"Hello");
        assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);

        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let header = parse_header(&masked).unwrap().unwrap();
        assert_eq!((header.fin, header.opcode, header.len, header.size), (true, Opcode::Text, 5, 6));
        assert_eq!(header.key, [0x37, 0xfa, 0x21, 0x3d]);

        let mut out = Vec::new();
        put_header(&mut out, Opcode::Binary, 256);
        assert_eq!(out, [0x82, 0x7e, 0x01, 0x00]);
        let mut out = Vec::new();
        put_header(&mut out, Opcode::Binary, 65_536);
        assert_eq!(out, [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn lengths_at_their_borders() {
        for len in [0u64, 1, 125, 126, 127, 65_535, 65_536, 1 << 40] {
            let mut out = Vec::new();
            put_header(&mut out, Opcode::Binary, len as usize);
            out[1] |= MASKED;
            out.extend_from_slice(&[1, 2, 3, 4]);
            for cut in 0..out.len() {
                assert_eq!(parse_header(&out[..cut]), Ok(None), "{len} cut at {cut}");
            }
            let header = parse_header(&out).unwrap().unwrap();
            assert_eq!((header.len, header.size), (len, out.len()));
        }
    }

    #[test]
    fn lengths_in_more_bytes_than_needed_are_refused() {
        assert_eq!(parse_header(&[0x82, 0xfe, 0, 125, 0, 0, 0, 0]), Err(Violation::LengthEncoding));
        let long = |len: u64| [&[0x82, 0xff][..], &len.to_be_bytes(), &[0; 4]].concat();
        assert_eq!(parse_header(&long(65_535)), Err(Violation::LengthEncoding));
        assert_eq!(parse_header(&long(1 << 63)), Err(Violation::LengthEncoding));
    }

    #[test]
    fn what_is_wrong_is_told_before_the_rest_is_there() {
        assert_eq!(parse_header(&[0x83]), Err(Violation::ReservedOpcode(3)));
        assert_eq!(parse_header(&[0x09]), Err(Violation::FragmentedControl));
        assert_eq!(parse_header(&[0x81, 0x05]), Err(Violation::Unmasked));
        assert_eq!(parse_header(&[0x89, 0xfe]), Err(Violation::LongControl));
    }

    #[test]
    fn a_frame_of_ours_comes_apart() {
        for len in [0, 125, 126, 65_535, 65_536] {
            let mut frame = Vec::new();
            put(&mut frame, Opcode::Text, &vec![b'x'; len]);
            assert_eq!(split(&frame), Some((Opcode::Text, &vec![b'x'; len][..])), "{len}");
        }
        assert_eq!(split(&[0x81]), None);
    }

    #[test]
    fn a_close_frame_holds_what_fits() {
        let mut out = Vec::new();
        put_close(&mut out, None, "ignored");
        assert_eq!(out, [0x88, 0]);
        out.clear();
        put_close(&mut out, Some(1000), &"x".repeat(200));
        assert_eq!((out[1], out.len()), (125, 127));
    }
}
