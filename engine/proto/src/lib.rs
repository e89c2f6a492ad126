//! The WebSocket protocol of RFC 6455, server side, as a deterministic state machine.
//!
//! No sockets, no clock, no threads: bytes come in as slices, time comes in as an argument, events go out
//! through a [`Sink`] and bytes to send are appended to a buffer. What drives it is the engine.
//!
//! * [`handshake`] — the opening handshake as a function of a request (RFC 6455, section 4)
//! * [`connection`] — one open connection: frames, messages, control frames, the closing handshake, heartbeat
//! * [`frame`] — how a frame looks on the wire (section 5.2), both ways
//! * [`close`] — close codes and the close frame's payload (sections 5.5.1 and 7.4)
//! * [`protocol`] — either of them behind the same calls
//! * [`deflate`] — compressed messages (RFC 7692)
//! * [`hixie76`] — the protocol of 2010, its handshake and its frames
//! * [`mask`], [`utf8`] — unmasking in place (5.3) and text that may end in the middle of a character (8.1)
//! * [`copy`] — copying large pieces
//! * [`limits`], [`error`] — what a peer may do at most, and what is said to one that did more
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod close;
pub mod connection;
mod control_rate;
pub mod copy;
pub mod deflate;
pub mod error;
pub mod frame;
pub mod handshake;
mod heartbeat;
pub mod hixie76;
mod life;
pub mod limits;
pub mod mask;
mod message;
pub mod protocol;
pub mod utf8;

pub use close::CloseFrame;
pub use connection::{Connection, Progress, Sink, State};
pub use error::Violation;
pub use frame::{Kind, Opcode};
pub use limits::Limits;
pub use message::Payload;
pub use protocol::Protocol;
