//! The command line: one subcommand per mode, the same words for the same things in each.

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::deflate::Compression;
use crate::frame;

/// A WebSocket load generator cheap enough not to be the limit.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Cli {
    /// Run on this CPU only
    #[arg(long, global = true)]
    pub(crate) cpu: Option<usize>,
    /// The server's process: its CPU time and memory are reported, children included
    #[arg(long, global = true)]
    pub(crate) pid: Option<u32>,
    /// Print one JSON line instead of a line for people
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) mode: Mode,
}

#[derive(Subcommand)]
pub(crate) enum Mode {
    /// Send a burst on every connection, wait for its echo, send again: the highest rate
    Echo(Echo),
    /// Send at a fixed rate, measure each latency from the time the message was due (see --share)
    Rate(Rate),
    /// One connection sends, every connection receives
    Broadcast(Broadcast),
    /// Open connections that do nothing: resident memory of each
    Idle(Idle),
    /// Open, upgrade, abort, again: the cost of a handshake
    Handshakes(Handshakes),
}

#[derive(Args)]
pub(crate) struct Echo {
    #[command(flatten)]
    pub(crate) server: Server,
    #[arg(long, default_value_t = 50, value_parser = at_least_one)]
    pub(crate) connections: usize,
    /// Messages in one burst, all in flight at once on each connection
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    pub(crate) depth: usize,
    #[command(flatten)]
    pub(crate) message: Message,
    #[arg(long, default_value = "2", value_parser = seconds)]
    pub(crate) seconds: Duration,
}

#[derive(Args)]
pub(crate) struct Rate {
    #[command(flatten)]
    pub(crate) server: Server,
    #[arg(long, default_value_t = 50, value_parser = at_least_one)]
    pub(crate) connections: usize,
    /// Messages per second over all connections together
    #[arg(long, default_value_t = 10_000, value_parser = at_least_one)]
    pub(crate) rate: usize,
    /// Leave the CPU to others while there is nothing to do, and measure without what they take of it: from when the
    /// kernel has sent a message until it has the answer
    #[arg(long)]
    pub(crate) share: bool,
    #[command(flatten)]
    pub(crate) message: Message,
    #[arg(long, default_value = "2", value_parser = seconds)]
    pub(crate) seconds: Duration,
}

#[derive(Args)]
pub(crate) struct Broadcast {
    #[command(flatten)]
    pub(crate) server: Server,
    /// Connections that receive; the sender is one of them
    #[arg(long, default_value_t = 1_000, value_parser = at_least_one)]
    pub(crate) receivers: usize,
    /// Broadcasts at most that not every receiver has yet
    #[arg(long, default_value_t = 8, value_parser = at_least_one)]
    pub(crate) window: usize,
    #[command(flatten)]
    pub(crate) message: Message,
    #[arg(long, default_value = "2", value_parser = seconds)]
    pub(crate) seconds: Duration,
}

#[derive(Args)]
pub(crate) struct Idle {
    #[command(flatten)]
    pub(crate) server: Server,
    #[arg(long, default_value_t = 5_000, value_parser = at_least_one)]
    pub(crate) connections: usize,
    /// All handshakes at once instead of one after another
    #[arg(long)]
    pub(crate) burst: bool,
    /// Seconds between the last handshake and the measurement
    #[arg(long, default_value = "2", value_parser = seconds)]
    pub(crate) settle: Duration,
}

#[derive(Args)]
pub(crate) struct Handshakes {
    #[command(flatten)]
    pub(crate) server: Server,
    /// Handshakes under way at any time
    #[arg(long, default_value_t = 16, value_parser = at_least_one)]
    pub(crate) concurrency: usize,
    #[arg(long, default_value = "2", value_parser = seconds)]
    pub(crate) seconds: Duration,
}

/// Where the server is, and how it is spoken to.
#[derive(Args)]
pub(crate) struct Server {
    /// The server, as 127.0.0.1:8080
    pub(crate) address: SocketAddrV4,
    /// Speak TLS and trust this certificate alone, a PEM file; it must name the address and be no CA's. No session is
    /// resumed, so that each handshake is a full one
    #[arg(long, value_name = "CERT")]
    pub(crate) tls: Option<PathBuf>,
}

/// What the messages are like.
#[derive(Args)]
pub(crate) struct Message {
    /// Bytes of payload in each message
    #[arg(long, default_value_t = 64)]
    pub(crate) size: usize,
    /// Binary messages instead of text
    #[arg(long)]
    pub(crate) binary: bool,
    /// Compress messages, and have the server do so, by permessage-deflate without context; they are JSON then
    #[arg(long)]
    pub(crate) deflate: bool,
}

impl Message {
    pub(crate) fn opcode(&self) -> u8 {
        if self.binary { frame::BINARY } else { frame::TEXT }
    }

    pub(crate) fn compression(&self) -> Compression {
        if self.deflate { Compression::Deflate } else { Compression::Off }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("must be more than 0".into()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn seconds_are_positive_and_finite() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "inf", "NaN", "two"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn counts_start_at_one() {
        assert_eq!(at_least_one("1"), Ok(1));
        assert!(at_least_one("0").is_err());
        assert!(at_least_one("-1").is_err());
    }
}
