//! UTF-8 that is checked in pieces, and masks, against the plain way.

use crate::input::Input;
use wsengine_proto::mask::unmask;
use wsengine_proto::utf8::{Validator, validate};

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let key = [input.byte(), input.byte(), input.byte(), input.byte()];
    let sizes = [1 + usize::from(input.byte()), 1 + usize::from(input.byte() % 5)];
    let bytes = input.rest();

    let sound = std::str::from_utf8(bytes).is_ok();
    assert_eq!(validate(bytes).is_some(), sound);
    let mut validator = Validator::default();
    let mut left = bytes;
    let mut fits = true;
    for size in sizes.iter().cycle() {
        if left.is_empty() || !fits {
            break;
        }
        let (piece, rest) = left.split_at((*size).min(left.len()));
        fits = validator.feed(piece);
        left = rest;
        let so_far = &bytes[..bytes.len() - left.len()];
        // It says no as soon as no ending could make it sound.
        let hopeless = std::str::from_utf8(so_far).is_err_and(|error| error.error_len().is_some());
        assert_eq!(fits, !hopeless);
    }
    assert_eq!(fits && validator.is_complete(), sound);

    let plain: Vec<u8> = bytes.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
    let mut masked = bytes.to_vec();
    let mut offset = 0;
    for size in sizes.iter().cycle() {
        if offset == masked.len() {
            break;
        }
        let end = (offset + size).min(masked.len());
        unmask(&mut masked[offset..end], key, offset % 4);
        offset = end;
    }
    assert_eq!(masked, plain);
}
