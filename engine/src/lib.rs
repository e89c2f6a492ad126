//! An asynchronous WebSocket server for host programs that keep their own logic.
//!
//! The engine does sockets, handshakes, framing, limits and timeouts on threads of its own; the host starts a
//! [`Server`], polls events and sends. Three promises come before all else: slow or dying host code never hurts
//! connections; no peer can hurt the others; a host call never waits for a socket.
//!
//! ```
//! use wsengine::{Config, EventBody, Server, Wait};
//!
//! let mut config = Config::new();
//! config.set("listen", "127.0.0.1:0")?;
//! let server = Server::start(&config)?;
//! # server.stop(None);
//! loop {
//!     let mut poller = server.poller().expect("nobody else polls");
//!     if poller.wait(None, || false) == Wait::Stopped {
//!         break;
//!     }
//!     while let Some(event) = poller.next() {
//!         if let (Some(conn), EventBody::Message { kind, data }) = (event.conn, event.body) {
//!             let _ = server.send(conn, kind, data);
//!         }
//!     }
//! }
//! # Ok::<(), wsengine::Error>(())
//! ```
#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod accept;
mod aside;
/// What `wake` is made of; its test brings those of a model of threads instead.
mod atomic {
    pub(crate) use std::sync::atomic::{AtomicBool, Ordering};
}
mod backplane;
mod buffers;
mod chains;
mod children;
mod config;
mod deliver;
mod driver;
mod encoding;
mod envelope;
mod error;
mod event;
mod files;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod history;
mod http;
mod hub;
mod inbox;
mod io_thread;
mod link;
mod listen;
pub mod log;
mod mailbox;
mod notice;
mod orders;
mod outbox;
mod pace;
mod peer;
mod plain;
mod poller;
mod preface;
mod presence;
mod progress;
mod push;
mod repeats;
mod response;
mod server;
mod sip;
mod sockets;
mod spare;
mod stats;
mod stream;
mod sys;
mod systemd;
mod threads;
mod throttle;
mod timers;
mod tls;
mod topics;
mod undecided;
mod wake;

pub use config::{Config, OptionInfo, Value};
pub use error::{DecisionPart, Error, SendError};
pub use event::{ConnId, Event, EventBody, Request};
pub use notice::{Person, people_to_json};
pub use orders::MAX_TOPIC_BYTES;
pub use peer::Peer;
pub use poller::{Poller, Wait};
pub use server::Server;
pub use stats::Stats;
pub use wsengine_proto::Kind;
