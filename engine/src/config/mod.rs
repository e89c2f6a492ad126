//! The options of a server. Rust, C and PHP all set them by name and text through the one table in [`table`], so
//! that the checks and the words of an error are the same everywhere, and the reference is generated from it.

mod listen;
mod nearest;
mod table;
mod values;

pub(crate) use listen::{Listen, Place, UnixPlace};

use crate::error::Error;
use crate::history::Rule;
use crate::peer::{Networks, ProxyHeader};
use std::path::PathBuf;
use std::time::Duration;
use table::OPTIONS;
use wsengine_proto::Limits;
use wsengine_proto::deflate::Wanted;
use wsengine_proto::handshake::Policy;

/// One option, for documentation and for tools.
pub struct OptionInfo {
    /// Its name in every language.
    pub name: &'static str,
    /// What its value is.
    pub value: Value,
    /// What is allowed, in words.
    pub allowed: &'static str,
    /// Its value when it is not set.
    pub default: &'static str,
    /// What it does, in a line.
    pub doc: &'static str,
    apply: fn(&mut Settings, &str) -> Option<()>,
}

/// What the value of an option is, for tools; [`OptionInfo::allowed`] says it exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A whole number.
    Number,
    /// `on` or `off`.
    Switch,
    /// One of a few words.
    Word,
    /// A file or a directory, or `none`.
    Path,
    /// Items separated by commas, or a word that stands for all or none.
    List,
    /// Any text.
    Text,
    /// The same, and nobody else's business.
    Secret,
}

/// What happens to a connection whose send queue is full when a broadcast reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlowConsumer {
    Close,
    DropNewest,
    DropOldest,
}

impl SlowConsumer {
    /// The option's word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            SlowConsumer::Close => "close",
            SlowConsumer::DropNewest => "drop_newest",
            SlowConsumer::DropOldest => "drop_oldest",
        }
    }
}

/// How messages are compressed where the client offers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    NoContextTakeover,
    ContextTakeover,
}

/// A text that is shown nowhere.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// All options as the engine uses them.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) listen: Vec<Listen>,
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) trusted_proxies: Networks,
    pub(crate) proxy_header: ProxyHeader,
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
    pub(crate) handshake_events: bool,
    pub(crate) compression: Option<Compression>,
    pub(crate) compression_threshold_bytes: usize,
    pub(crate) compression_window_bits: u8,
    pub(crate) hixie76: bool,
    pub(crate) static_root: Option<PathBuf>,
    /// The name in the channels of those who push.
    pub(crate) app: String,
    /// The address of Redis.
    pub(crate) backplane: Option<Secret>,
    pub(crate) history: Vec<Rule>,
    pub(crate) history_bytes: usize,
    /// What the names of topics with presence begin with.
    pub(crate) presence: Vec<String>,
    pub(crate) push_listen: Vec<Listen>,
    pub(crate) push_password: Option<Secret>,
    pub(crate) drain: Duration,
    pub(crate) systemd_notify: bool,
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
            return Err(Error::Config(nearest::unknown(name)));
        };
        (option.apply)(&mut self.settings, value.trim()).ok_or_else(|| {
            let allowed = option.allowed;
            let value = if option.value == Value::Secret { "the value" } else { &format!("{value:?}") };
            Error::Config(format!("option \"{name}\": {value} is not allowed; allowed is {allowed}"))
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
            tls_cert: None,
            tls_key: None,
            trusted_proxies: Networks::default(),
            proxy_header: ProxyHeader::XForwardedFor,
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
            handshake_events: false,
            compression: None,
            compression_threshold_bytes: 0,
            compression_window_bits: 0,
            hixie76: false,
            static_root: None,
            app: String::new(),
            backplane: None,
            history: Vec::new(),
            history_bytes: 0,
            presence: Vec::new(),
            push_listen: Vec::new(),
            push_password: None,
            drain: Duration::ZERO,
            systemd_notify: false,
            log_level: tracing::level_filters::LevelFilter::OFF,
        }
    }

    /// The policy for handshakes, with what several options say together.
    pub(crate) fn whole_policy(&self) -> Policy {
        let wanted = |compression| {
            let context_takeover = compression == Compression::ContextTakeover;
            Wanted {
                // A peer cannot inflate what refers to a message that was dropped.
                server_context_takeover: context_takeover && self.slow_consumer == SlowConsumer::Close,
                client_context_takeover: context_takeover,
                max_window_bits: self.compression_window_bits,
            }
        };
        Policy { compression: self.compression.map(wanted), ..self.policy.clone() }
    }

    /// I/O threads to start: the option, or one less than there are cores.
    pub(crate) fn thread_count(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        if self.io_threads > 0 { self.io_threads } else { cores.saturating_sub(1).clamp(1, 4) }
    }
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
        assert!(text.contains("known are listen, tls_cert"), "{text}");
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
        for good in
            ["127.0.0.1:0", "[::1]:80", "localhost:8080", "1.2.3.4:1,1.2.3.4:2", "h:0,h:0", "h:1,tls://h:2"]
        {
            assert!(Config::new().set("listen", good).is_ok(), "{good}");
        }
        for bad in ["", "8080", "h:1,", "h:1,h:1", "h:1,tls://h:1", "unix:/a,unix:/a?mode=600", "fd:3,fd:3"] {
            assert!(Config::new().set("listen", bad).is_err(), "{bad}");
        }
        let mut config = Config::new();
        config.set("listen", "0:9").unwrap();
        assert_eq!(config.settings.listen[0].to_string(), "0.0.0.0:9");
    }

    #[test]
    fn history_is_kept_by_prefix() {
        let mut config = Config::new();
        config.set("history", "chat:=50/86_400, a=b=1/1, =10000/60").unwrap();
        let rules: Vec<_> =
            config.settings.history.iter().map(|rule| (&*rule.prefix, rule.messages)).collect();
        assert_eq!(rules, [("chat:", 50), ("a=b", 1), ("", 10_000)]);
        for bad in
            ["", "chat", "chat=50", "chat=0/1", "chat=1/0", "chat=10001/1", "chat=1/1,chat=2/2", "a=1/1,"]
        {
            assert!(config.set("history", bad).is_err(), "{bad}");
        }
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
}
