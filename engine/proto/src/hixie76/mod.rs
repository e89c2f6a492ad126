//! The protocol of 2010, server side: draft-hixie-thewebsocketprotocol-76, which is also
//! draft-ietf-hybi-thewebsocketprotocol-00. Sections named here are the latter's.
//!
//! Its handshake ends with eight bytes after the head. A frame is a text between two bytes, the second of
//! which is in no UTF-8, or a closing handshake that says nothing: there are no binary messages, pings or
//! close codes.

mod connection;
mod opening;

pub use connection::Hixie76;
pub use opening::{BODY_BYTES, Opening, answer, is_hixie76};

/// Stand before and after a text (section 5.3). The other way round they are the closing handshake.
const TEXT_BEGIN: u8 = 0x00;
const TEXT_END: u8 = 0xff;

/// Appends a text message. `text` is UTF-8, else it would not end where it ends.
pub fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(TEXT_BEGIN);
    out.extend_from_slice(text);
    out.push(TEXT_END);
}
