//! permessage-deflate (RFC 7692): agreeing on its parameters, and messages in and out of it.
//!
//! A compressor costs some 300 KiB and an inflater some 40 KiB, so who has no context to keep shares: see
//! [`Scratch`] for what comes in and [`Deflater`] for what goes out.

mod deflater;
mod inbound;
mod inflater;
mod parameters;

pub use deflater::Deflater;
pub use inbound::Scratch;
pub(crate) use inbound::{Inbound, max_wire_bytes};
pub use inflater::Inflater;
pub use parameters::{Parameters, Wanted};

/// The reserved bit of the first frame of a compressed message, RSV1 (section 6).
pub const COMPRESSED: u8 = 0x40;
/// The largest window, in bits: 32 KiB.
pub const MAX_WINDOW_BITS: u8 = 15;
/// The smallest one that can be agreed on.
const MIN_WINDOW_BITS: u8 = 8;
/// What ends a flushed block and is left out on the wire (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
