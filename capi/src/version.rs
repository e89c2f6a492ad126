//! The version of the library, to be compared with the one in the header a program was compiled with.

use std::ffi::{CStr, c_char};

const NUMBER: u32 = (part(env!("CARGO_PKG_VERSION_MAJOR")) << 24)
    | (part(env!("CARGO_PKG_VERSION_MINOR")) << 16)
    | (part(env!("CARGO_PKG_VERSION_PATCH")) << 8);

const TEXT: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(text) => text,
    Err(_) => panic!("a version has no NUL"),
};

const fn part(digits: &str) -> u32 {
    match u32::from_str_radix(digits, 10) {
        Ok(number) if number <= 255 => number,
        _ => panic!("each part of the version has a byte in WSENGINE_VERSION_NUMBER"),
    }
}

/// Version of the library in use, as WSENGINE_VERSION_NUMBER of its header.
#[unsafe(no_mangle)]
pub extern "C" fn wsengine_version_number() -> u32 {
    NUMBER
}

/// Version of the library in use, such as "0.1.0"; static.
#[unsafe(no_mangle)]
pub extern "C" fn wsengine_version() -> *const c_char {
    TEXT.as_ptr()
}
