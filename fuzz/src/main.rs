//! All fuzz targets in one program; the environment variable FUZZ_TARGET says which one runs. `make fuzz` builds it and
//! runs each.
#![no_main]

// What the tests of the protocol have: frames of a client, a strict reader of the server's, a connection.
#[path = "../../engine/proto/tests/common/mod.rs"]
mod common;
mod input;
mod targets;

use std::sync::LazyLock;

type Target = fn(&[u8]);

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = targets::ALL.iter().find(|(known, _)| *known == name);
    let names: Vec<&str> = targets::ALL.iter().map(|(name, _)| *name).collect();
    found.unwrap_or_else(|| panic!("FUZZ_TARGET is {name:?}; there are {}", names.join(", "))).1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
