//! Inflating against miniz_oxide, deflating against inflating.

use crate::input::Input;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
use wsengine_proto::deflate::{Deflater, Inflater};

const MAX: usize = 1 << 16;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    if input.flag() {
        there_and_back(input.byte(), input.rest());
    } else {
        any_bytes(input.rest());
    }
}

/// RFC 7692, section 7.2.2: the four bytes that a sender leaves out are put back.
fn any_bytes(payload: &[u8]) {
    let mut ours = Vec::new();
    let outcome = Inflater::default().inflate(payload, MAX, &mut ours);
    assert!(ours.len() <= MAX + 1, "{} bytes", ours.len());

    let mut theirs = vec![0; MAX + 1];
    let stream = [payload, &[0, 0, 0xff, 0xff]].concat();
    let flags =
        inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF | inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
    let (status, _, len) = decompress(&mut DecompressorOxide::new(), &stream, &mut theirs, 0, flags);
    match status {
        TINFLStatus::NeedsMoreInput if len <= MAX => {
            // Empty blocks without end are refused by us alone.
            if outcome.is_ok() {
                assert_eq!(ours, &theirs[..len]);
            }
        }
        TINFLStatus::Done => {
            // A stream that ends, which a message may (section 7.2.3.4); what follows is judged in different ways.
            if outcome.is_ok() {
                assert_eq!(&ours[..len.min(ours.len())], &theirs[..len.min(ours.len())]);
            }
        }
        TINFLStatus::HasMoreOutput => assert!(outcome.is_err(), "larger than the limit"),
        // It fails at the first code that cannot be, the other when all codes of a block are there, which the end of the
        // message may come before.
        _ => assert!(outcome.is_err() || theirs[..len].starts_with(&ours), "it is no deflate: {status:?}"),
    }
}

fn there_and_back(window: u8, payload: &[u8]) {
    let mut deflater = Deflater::new(9 + window % 7);
    let mut inflater = Inflater::default();
    for part in payload.chunks(1 + payload.len() / 3) {
        let mut wire = Vec::new();
        if !deflater.deflate(part, &mut wire) {
            return;
        }
        let mut back = Vec::new();
        inflater.inflate(&wire, part.len(), &mut back).expect("what we have deflated");
        assert_eq!(back, part);
    }
}
