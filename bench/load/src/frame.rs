//! RFC 6455 section 5.2, as far as a load generator needs it: a client's frames, and the header of the
//! server's frame with the same payload.

/// The opcodes that matter here.
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// In one byte with the opcode: the message is compressed (RFC 7692 section 6).
pub(crate) const RSV1: u8 = 0x40;
/// The opcode's share of that byte.
pub(crate) const OPCODE: u8 = 0x0f;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

/// A fixed key: servers must unmask whatever it is, and frames can be built before the run.
const MASKING_KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame: final and masked. The opcode may have [`RSV1`].
pub(crate) fn from_client(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(opcode, payload.len());
    frame[1] |= MASKED;
    frame.extend(MASKING_KEY);
    frame.extend(payload.iter().zip(MASKING_KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// The header of a server's frame: final and not masked, the length in its shortest form. The opcode may have
/// [`RSV1`].
pub(crate) fn header(opcode: u8, length: usize) -> Vec<u8> {
    let mut header = vec![FIN | opcode];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..=125), _) => header.push(length),
        (_, Ok(length)) => {
            header.push(126);
            header.extend(length.to_be_bytes());
        }
        _ => {
            header.push(127);
            header.extend((length as u64).to_be_bytes());
        }
    }
    header
}

/// Opcode and payload length of a server's frame; nothing while the header is not complete.
pub(crate) fn parse_header(header: &[u8]) -> Option<(u8, u64)> {
    let (&first, &second) = (header.first()?, header.get(1)?);
    let length = match second & !MASKED {
        126 => u16::from_be_bytes(header.get(2..4)?.try_into().ok()?).into(),
        127 => u64::from_be_bytes(header.get(2..10)?.try_into().ok()?),
        short => short.into(),
    };
    Some((first & OPCODE, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The masked "Hello" of section 5.7, with our key.
    #[test]
    fn a_client_frame_is_masked() {
        let frame = from_client(TEXT, b"Hello");
        assert_eq!(frame, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    #[test]
    fn lengths_take_their_shortest_form() {
        assert_eq!(header(TEXT, 0), [0x81, 0]);
        assert_eq!(header(TEXT, 125), [0x81, 125]);
        assert_eq!(header(BINARY, 126), [0x82, 126, 0, 126]);
        assert_eq!(header(BINARY, 200), [0x82, 126, 0, 200]);
        assert_eq!(header(BINARY, 65_535), [0x82, 126, 0xff, 0xff]);
        assert_eq!(header(BINARY, 65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_header_is_parsed_once_it_is_whole() {
        for length in [0, 125, 126, 65_535, 65_536, 1 << 30] {
            let header = header(PING, length);
            assert_eq!(parse_header(&header), Some((PING, length as u64)));
            for end in 0..header.len() {
                assert_eq!(parse_header(&header[..end]), None);
            }
        }
    }
}
