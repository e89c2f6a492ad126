//! The targets. Each takes any bytes; what must hold is asserted, and nothing may panic.

mod close;
mod connection;
mod deflate;
mod frames;
mod head;
mod hixie76;
mod messages;
mod peers;
mod push;
mod server;
mod text;
mod tungstenite;

/// By name.
pub(crate) const ALL: &[(&str, crate::Target)] = &[
    ("head", head::run),
    ("frames", frames::run),
    ("messages", messages::run),
    ("deflate", deflate::run),
    ("text", text::run),
    ("close", close::run),
    ("hixie76", hixie76::run),
    ("connection", connection::run),
    ("tungstenite", tungstenite::run),
    ("peers", peers::run),
    ("server", server::run),
    ("push", push::run),
];
