//! The header of a frame against a reader that is written out from RFC 6455, section 5.2, and what we write ourselves.

use wsengine_proto::frame::{self, Opcode};

pub(crate) fn run(data: &[u8]) {
    let parsed = frame::parse_header(data);
    match naive(data) {
        Naive::Wrong => assert!(parsed.is_err(), "{parsed:?}"),
        // What is wrong with an incomplete header may be said at once.
        Naive::Incomplete => assert!(!matches!(parsed, Ok(Some(_))), "{parsed:?}"),
        Naive::Header { fin, reserved, opcode, len, key, size } => {
            let header = parsed.expect("a sound header").expect("a whole header");
            assert_eq!(header.fin, fin);
            assert_eq!(header.reserved, reserved);
            assert_eq!(Ok(header.opcode), Opcode::from_bits(opcode));
            assert_eq!((header.len, header.key, header.size), (len, key, size));
            for end in 0..size {
                assert_eq!(frame::parse_header(&data[..end]), Ok(None), "after {end} bytes");
            }
        }
    }
    let mut out = Vec::new();
    frame::put(&mut out, Opcode::Binary, data);
    assert_eq!(frame::split(&out), Some((Opcode::Binary, data)));
    crate::common::server_frames(&out);
}

enum Naive {
    Incomplete,
    Wrong,
    Header { fin: bool, reserved: u8, opcode: u8, len: u64, key: [u8; 4], size: usize },
}

fn naive(data: &[u8]) -> Naive {
    if data.len() < 2 {
        return Naive::Incomplete;
    }
    let (fin, reserved, opcode) = (data[0] >> 7 == 1, data[0] & 0x70, data[0] & 0x0f);
    let (masked, short) = (data[1] >> 7 == 1, data[1] & 0x7f);
    let control = opcode >= 8;
    if matches!(opcode, 3..=7 | 11..=15) || !masked || (control && (!fin || short > 125)) {
        return Naive::Wrong;
    }
    let extended = [0, 2, 8][usize::from(short == 126) + 2 * usize::from(short == 127)];
    if data.len() < 2 + extended {
        return Naive::Incomplete;
    }
    let len = match extended {
        0 => u64::from(short),
        _ => data[2..2 + extended].iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
    };
    if (extended == 2 && len < 126) || (extended == 8 && (len < 65_536 || len >> 63 == 1)) {
        return Naive::Wrong;
    }
    let size = 2 + extended + 4;
    match data.get(2 + extended..size) {
        None => Naive::Incomplete,
        Some(key) => Naive::Header { fin, reserved, opcode, len, key: key.try_into().unwrap(), size },
    }
}
