//! The one table of options. Rust, C and PHP all set options by name and text through it, so that the checks and
//! the words of an error are the same everywhere, and the reference is generated from it.

use crate::error::Error;
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;
use wsengine_proto::Limits;
use wsengine_proto::handshake::{Origin, Origins, Policy};

/// One option, for documentation and for tools.
pub struct OptionInfo {
    /// Its name in every language.
    pub name: &'static str,
    /// What is allowed, in words.
    pub allowed: &'static str,
    /// Its value when it is not set.
    pub default: &'static str,
    /// What it does, in a line.
    pub doc: &'static str,
    apply: fn(&mut Settings, &str) -> Option<()>,
}

/// What happens to a connection whose send queue is full when a broadcast or publish reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlowConsumer {
    Close,
    DropNewest,
    DropOldest,
}

/// All options as the engine uses them.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) listen: Vec<String>,
    pub(crate) io_threads: usize,
    /// 0: as many as the descriptor limit allows.
    pub(crate) max_connections: usize,
    pub(crate) max_connections_per_ip: usize,
    pub(crate) max_head_bytes: usize,
    pub(crate) max_headers: usize,
    pub(crate) handshake_timeout: Duration,
    pub(crate) limits: Limits,
    pub(crate) send_queue_bytes: usize,
    pub(crate) send_queue_messages: usize,
    pub(crate) slow_consumer: SlowConsumer,
    pub(crate) write_stall: Duration,
    pub(crate) event_queue_bytes: usize,
    pub(crate) event_queue_events: usize,
    pub(crate) total_queue_bytes: usize,
    pub(crate) policy: Policy,
    pub(crate) static_root: Option<PathBuf>,
    pub(crate) drain: Duration,
    pub(crate) log_level: tracing::level_filters::LevelFilter,
}

/// The options of a server, each with its default until it is set.
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) settings: Settings,
}

impl Config {
    /// All options at their defaults.
    pub fn new() -> Self {
        let mut settings = Settings::blank();
        for option in OPTIONS {
            let applied = (option.apply)(&mut settings, option.default);
            debug_assert!(applied.is_some(), "default of {}", option.name);
        }
        Config { settings }
    }

    /// Sets one option. Lists are separated by commas. A second call for the same option replaces the first.
    ///
    /// # Errors
    /// [`Error::Config`] names the option, the value and what is allowed; an unknown name suggests the nearest
    /// known one. The configuration stays as it was.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let Some(option) = OPTIONS.iter().find(|option| option.name == name) else {
            return Err(Error::Config(unknown(name)));
        };
        (option.apply)(&mut self.settings, value.trim()).ok_or_else(|| {
            let allowed = option.allowed;
            Error::Config(format!("option \"{name}\": {value:?} is not allowed; allowed is {allowed}"))
        })
    }

    /// The table: every option with its default, what is allowed and what it does.
    pub fn options() -> &'static [OptionInfo] {
        OPTIONS
    }
}

impl Default for Config {
    fn default() -> Self {
        Config::new()
    }
}

impl Settings {
    /// Every field has a value here only because Rust wants one: [`Config::new`] sets all from the table.
    fn blank() -> Self {
        Settings {
            listen: Vec::new(),
            io_threads: 0,
            max_connections: 0,
            max_connections_per_ip: 0,
            max_head_bytes: 0,
            max_headers: 0,
            handshake_timeout: Duration::ZERO,
            limits: Limits::default(),
            send_queue_bytes: 0,
            send_queue_messages: 0,
            slow_consumer: SlowConsumer::Close,
            write_stall: Duration::ZERO,
            event_queue_bytes: 0,
            event_queue_events: 0,
            total_queue_bytes: 0,
            policy: Policy::default(),
            static_root: None,
            drain: Duration::ZERO,
            log_level: tracing::level_filters::LevelFilter::OFF,
        }
    }

    /// I/O threads to start: the option, or one less than there are cores.
    pub(crate) fn thread_count(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        if self.io_threads > 0 { self.io_threads } else { cores.saturating_sub(1).clamp(1, 4) }
    }
}

const OPTIONS: &[OptionInfo] = &[
    OptionInfo {
        name: "listen",
        allowed: "host:port or [IPv6]:port, or several of them separated by commas; port 0 picks a free one",
        default: "127.0.0.1:8080",
        doc: "Where to listen. The host 0 or 0.0.0.0 means every IPv4 address of the machine, [::] every address.",
        apply: |s, v| Some(s.listen = listen_addresses(v)?),
    },
    OptionInfo {
        name: "io_threads",
        allowed: "a whole number from 0 to 4; 0 means one less than there are cores, at least 1",
        default: "0",
        doc: "Threads that do the network's work.",
        apply: |s, v| Some(s.io_threads = number(v, 0, 4)?),
    },
    OptionInfo {
        name: "max_connections",
        allowed: "a whole number from 0 to 4,000,000; 0 means what the limit of open files allows, less a reserve",
        default: "0",
        doc: "Open connections; beyond it a handshake gets HTTP 503.",
        apply: |s, v| Some(s.max_connections = number(v, 0, 4_000_000)?),
    },
    OptionInfo {
        name: "max_connections_per_ip",
        allowed: "a whole number from 0 to 4,000,000; 0 means no limit",
        default: "0",
        doc: "Open connections from one address; beyond it a handshake gets HTTP 503.",
        apply: |s, v| Some(s.max_connections_per_ip = number(v, 0, 4_000_000)?),
    },
    OptionInfo {
        name: "max_message_bytes",
        allowed: "a whole number of bytes from 1 to 1,073,741,824",
        default: "1048576",
        doc: "Largest message from a peer; a larger one ends its connection with close code 1009.",
        apply: |s, v| Some(s.limits.max_message_bytes = number(v, 1, 1 << 30)?),
    },
    OptionInfo {
        name: "max_fragments",
        allowed: "a whole number from 1 to 1,000,000",
        default: "1024",
        doc: "Fragments of one message, empty ones too; more of them end the connection with close code 1008.",
        apply: |s, v| Some(s.limits.max_fragments = number(v, 1, 1_000_000)? as u32),
    },
    OptionInfo {
        name: "max_control_frames_per_s",
        allowed: "a whole number from 0 to 1,000,000; 0 means no limit",
        default: "50",
        doc: "Pings and pongs per second from one peer, twice as many in a burst; more end with close code 1008.",
        apply: |s, v| Some(s.limits.max_control_frames_per_s = number(v, 0, 1_000_000)? as u32),
    },
    OptionInfo {
        name: "max_head_bytes",
        allowed: "a whole number of bytes from 8,192 to 1,048,576",
        default: "16384",
        doc: "Size of a request's head; a larger one gets HTTP 431.",
        apply: |s, v| Some(s.max_head_bytes = number(v, 8_192, 1 << 20)?),
    },
    OptionInfo {
        name: "max_headers",
        allowed: "a whole number from 10 to 1,000",
        default: "100",
        doc: "Header lines of a request; more get HTTP 431.",
        apply: |s, v| Some(s.max_headers = number(v, 10, 1_000)?),
    },
    OptionInfo {
        name: "handshake_timeout_ms",
        allowed: "a whole number of milliseconds from 10 to 600,000",
        default: "10000",
        doc: "Time for a request to arrive whole; then HTTP 408.",
        apply: |s, v| Some(s.handshake_timeout = millis(v, 10, 600_000)?),
    },
    OptionInfo {
        name: "ping_interval_ms",
        allowed: "a whole number of milliseconds from 0 to 86,400,000; 0 means never",
        default: "25000",
        doc: "A peer silent for so long (10 % more or less) is sent a ping.",
        apply: |s, v| Some(s.limits.ping_interval = millis(v, 0, DAY)?),
    },
    OptionInfo {
        name: "pong_timeout_ms",
        allowed: "a whole number of milliseconds from 10 to 86,400,000",
        default: "10000",
        doc: "A peer silent for so long after a ping is dead: close code 1006.",
        apply: |s, v| Some(s.limits.pong_timeout = millis(v, 10, DAY)?),
    },
    OptionInfo {
        name: "idle_timeout_ms",
        allowed: "a whole number of milliseconds from 0 to 86,400,000; 0 means never",
        default: "0",
        doc: "A peer that sends no message for so long gets close code 1001.",
        apply: |s, v| Some(s.limits.idle_timeout = millis(v, 0, DAY)?),
    },
    OptionInfo {
        name: "close_timeout_ms",
        allowed: "a whole number of milliseconds from 10 to 600,000",
        default: "5000",
        doc: "Time for a peer to answer a close frame; then its connection is cut.",
        apply: |s, v| Some(s.limits.close_timeout = millis(v, 10, 600_000)?),
    },
    OptionInfo {
        name: "send_queue_bytes",
        allowed: "a whole number of bytes from 1 to 1,073,741,824",
        default: "1048576",
        doc: "Payload that may wait to be sent to one connection. A single message may be so large.",
        apply: |s, v| Some(s.send_queue_bytes = number(v, 1, 1 << 30)?),
    },
    OptionInfo {
        name: "send_queue_messages",
        allowed: "a whole number from 1 to 1,000,000",
        default: "4096",
        doc: "Messages that may wait to be sent to one connection.",
        apply: |s, v| Some(s.send_queue_messages = number(v, 1, 1_000_000)?),
    },
    OptionInfo {
        name: "slow_consumer",
        allowed: "close, drop_newest or drop_oldest",
        default: "close",
        doc: "What a broadcast does to a connection whose send queue is full: close it with 1013, leave the new \
              message out, or leave out the oldest ones that wait.",
        apply: |s, v| {
            s.slow_consumer = match v {
                "close" => SlowConsumer::Close,
                "drop_newest" => SlowConsumer::DropNewest,
                "drop_oldest" => SlowConsumer::DropOldest,
                _ => return None,
            };
            Some(())
        },
    },
    OptionInfo {
        name: "write_stall_ms",
        allowed: "a whole number of milliseconds from 10 to 86,400,000",
        default: "10000",
        doc: "A peer that takes nothing of what waits for it for so long is cut: close code 1013.",
        apply: |s, v| Some(s.write_stall = millis(v, 10, DAY)?),
    },
    OptionInfo {
        name: "event_queue_bytes",
        allowed: "a whole number of bytes from 1,024 to 17,179,869,184",
        default: "67108864",
        doc: "Bytes of events that may wait to be polled; then no more messages are read, and nothing is lost.",
        apply: |s, v| Some(s.event_queue_bytes = number(v, 1_024, 1 << 34)?),
    },
    OptionInfo {
        name: "event_queue_events",
        allowed: "a whole number from 16 to 16,777,216",
        default: "16384",
        doc: "Events that may wait to be polled; then no more messages are read, and nothing is lost.",
        apply: |s, v| Some(s.event_queue_events = number(v, 16, 1 << 24)?),
    },
    OptionInfo {
        name: "total_queue_bytes",
        allowed: "a whole number of bytes from 65,536 to 1,099,511,627,776",
        default: "536870912",
        doc: "Payload that may wait to be sent to all connections together; beyond it a connection with a queue \
              counts as full.",
        apply: |s, v| Some(s.total_queue_bytes = number(v, 1 << 16, 1 << 40)?),
    },
    OptionInfo {
        name: "origins",
        allowed: "same-host, any, or origins such as https://shop.example separated by commas",
        default: "same-host",
        doc: "Pages of which origins may connect; others get HTTP 403. same-host compares the page's host with \
              the one it connects to and ignores ports. Clients that are no browsers send no origin and pass.",
        apply: |s, v| {
            s.policy.origins = match v {
                "same-host" => Origins::SameHost,
                "any" => Origins::Any,
                list => Origins::List(items(list)?.map(Origin::parse).collect::<Option<_>>()?),
            };
            Some(())
        },
    },
    OptionInfo {
        name: "paths",
        allowed: "any, or paths such as /chat separated by commas",
        default: "any",
        doc: "At which paths a WebSocket is served; others get HTTP 404.",
        apply: |s, v| {
            s.policy.paths = match v {
                "any" => Vec::new(),
                list => items(list)?
                    .map(|path| path.starts_with('/').then(|| path.to_owned()))
                    .collect::<Option<_>>()?,
            };
            Some(())
        },
    },
    OptionInfo {
        name: "subprotocols",
        allowed: "names (letters, digits and !#$%&'*+-.^_`|~) separated by commas, or none",
        default: "none",
        doc: "Subprotocols that are spoken here, the preferred one first.",
        apply: |s, v| {
            s.policy.subprotocols = match v {
                "none" => Vec::new(),
                list => {
                    let names = items(list)?.map(|name| is_token(name).then(|| name.to_owned()));
                    names.collect::<Option<_>>()?
                }
            };
            Some(())
        },
    },
    OptionInfo {
        name: "static_root",
        allowed: "a directory that exists, or none",
        default: "none",
        doc: "Files of this directory are served by HTTP on the same port.",
        apply: |s, v| {
            s.static_root = match v {
                "none" => None,
                path => Some(std::fs::canonicalize(path).ok().filter(|path| path.is_dir())?),
            };
            Some(())
        },
    },
    OptionInfo {
        name: "drain_ms",
        allowed: "a whole number of milliseconds from 0 to 600,000",
        default: "5000",
        doc: "Time at a stop for queued messages and closing handshakes; then what is left is cut.",
        apply: |s, v| Some(s.drain = millis(v, 0, 600_000)?),
    },
    OptionInfo {
        name: "log_level",
        allowed: "off, error, warn, info, debug or trace",
        default: "warn",
        doc: "How much is logged. At debug each handshake is shown.",
        apply: |s, v| {
            let known = ["off", "error", "warn", "info", "debug", "trace"];
            s.log_level = known.contains(&v).then(|| v.parse().ok())??;
            Some(())
        },
    },
];

/// The longest interval that an option allows: a day.
const DAY: u64 = 86_400_000;

/// A whole number in decimal; underscores may group its digits.
fn number(text: &str, min: usize, max: usize) -> Option<usize> {
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    let sound = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|n| sound && (min..=max).contains(n))
}

fn millis(text: &str, min: usize, max: u64) -> Option<Duration> {
    number(text, min, max as usize).map(|ms| Duration::from_millis(ms as u64))
}

/// The items of a list, none of them empty.
fn items(list: &str) -> Option<impl Iterator<Item = &str>> {
    let items = list.split(',').map(str::trim);
    items.clone().all(|item| !item.is_empty()).then_some(items)
}

fn listen_addresses(list: &str) -> Option<Vec<String>> {
    let addresses: Vec<String> = items(list)?.map(listen_address).collect::<Option<_>>()?;
    let distinct: HashSet<&String> = addresses.iter().filter(|address| !address.ends_with(":0")).collect();
    let fixed = addresses.iter().filter(|address| !address.ends_with(":0")).count();
    (distinct.len() == fixed).then_some(addresses)
}

/// Checks the form only; names are looked up when the server starts.
fn listen_address(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    let port = number(port, 0, 65_535)?;
    let host = if host == "0" || host == "*" { "0.0.0.0" } else { host };
    let sound = match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
            !host.is_empty() && host.chars().all(allowed)
        }
    };
    sound.then(|| format!("{host}:{port}"))
}

fn is_token(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// The text for a name that is not in the table.
fn unknown(name: &str) -> String {
    let nearest = OPTIONS.iter().map(|option| (distance(name, option.name), option.name)).min();
    match nearest {
        Some((distance, nearest)) if distance <= name.len().max(3) / 2 => {
            format!("unknown option \"{name}\"; did you mean \"{nearest}\"?")
        }
        _ => {
            let names: Vec<&str> = OPTIONS.iter().map(|option| option.name).collect();
            format!("unknown option \"{name}\"; known are {}", names.join(", "))
        }
    }
}

/// How many letters have to be added, removed or changed to make one word the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(&to) {
            let changed = diagonal + usize::from(a != *b);
            diagonal = *cell;
            left = changed.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_allowed() {
        let mut config = Config::new();
        for option in Config::options() {
            config.set(option.name, option.default).unwrap();
            assert!(!option.doc.is_empty() && !option.allowed.is_empty());
        }
    }

    #[test]
    fn the_defaults_of_the_protocol_are_those_of_the_table() {
        assert_eq!(format!("{:?}", Config::new().settings.limits), format!("{:?}", Limits::default()));
    }

    #[test]
    fn an_error_names_option_value_and_what_is_allowed() {
        let text = Config::new().set("max_message_bytes", "-1").unwrap_err().to_string();
        assert_eq!(
            text,
            "option \"max_message_bytes\": \"-1\" is not allowed; allowed is a whole number of bytes from 1 to \
             1,073,741,824"
        );
    }

    #[test]
    fn an_unknown_name_suggests_the_nearest() {
        let text = Config::new().set("max_mesage_byte", "1").unwrap_err().to_string();
        assert_eq!(text, "unknown option \"max_mesage_byte\"; did you mean \"max_message_bytes\"?");
        let text = Config::new().set("zzzzzzzzzzzzzzzzzzzzzzzzzzz", "1").unwrap_err().to_string();
        assert!(text.contains("known are listen, io_threads"), "{text}");
    }

    #[test]
    fn a_wrong_value_changes_nothing() {
        let mut config = Config::new();
        config.set("io_threads", "2").unwrap();
        assert!(config.set("io_threads", "5").is_err());
        assert_eq!(config.settings.io_threads, 2);
    }

    #[test]
    fn addresses() {
        for good in ["127.0.0.1:0", "[::1]:80", "localhost:8080", "0:8080", "1.2.3.4:1,1.2.3.4:2", "h:0,h:0"]
        {
            assert!(Config::new().set("listen", good).is_ok(), "{good}");
        }
        for bad in ["", "8080", ":80", "h:65536", "h:x", "::1:80", "[::1]", "h:1,", "h:1,h:1", "a b:1"] {
            assert!(Config::new().set("listen", bad).is_err(), "{bad}");
        }
        let mut config = Config::new();
        config.set("listen", "0:9").unwrap();
        assert_eq!(config.settings.listen, ["0.0.0.0:9"]);
    }

    #[test]
    fn numbers_may_be_grouped() {
        let mut config = Config::new();
        config.set("max_message_bytes", "16_777_216").unwrap();
        assert_eq!(config.settings.limits.max_message_bytes, 1 << 24);
        for bad in ["", "1.5", "+1", "1e3", "0x10", "9".repeat(30).as_str()] {
            assert!(config.set("max_message_bytes", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn letters_between_words() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }
}
