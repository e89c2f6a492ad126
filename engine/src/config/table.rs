//! The table: every option with its default, what is allowed, what it does, and how its text becomes a setting.

use super::values::{
    file, history, is_token, items, listen_places, millis, name, number, on_or_off, push_places, redis,
};
use super::{Compression, OptionInfo, Secret, SlowConsumer, Value};
use crate::peer::{Networks, ProxyHeader};
use wsengine_proto::handshake::{Origin, Origins};

/// The longest interval that an option allows: a day.
const DAY: u64 = 86_400_000;

#[allow(clippy::unit_arg)] // A row reads best when its assignment is one line.
pub(super) const OPTIONS: &[OptionInfo] = &[
    OptionInfo {
        name: "listen",
        value: Value::List,
        allowed: "host:port, [IPv6]:port, tls://host:port, unix:/path, fd:number or systemd, each with \
                  ?parameters or without, or several different ones separated by commas; port 0 picks a free one",
        default: "127.0.0.1:8080",
        doc: "Where to listen. The host 0, * or 0.0.0.0 means every IPv4 address of the machine, [::] every \
              address. fd:3 is a listening socket that the process has inherited, systemd means all that systemd \
              has announced. Parameters follow a question mark and are joined by &: tls, which like tls:// \
              needs tls_cert and tls_key, and proxy for any (with proxy each connection begins with a header of the \
              PROXY protocol, version 1 or 2, from whoever connects or, if trusted_proxies names any, from them only); reuse_port for \
              host:port, where other processes that say so may listen as well and the system deals the connections out; \
              mode=0660, owner=name and group=name for a unix socket.",
        apply: |s, v| Some(s.listen = listen_places(v)?),
    },
    OptionInfo {
        name: "tls_cert",
        value: Value::Path,
        allowed: "a PEM file, or none",
        default: "none",
        doc: "The certificate for tls listeners, followed by those it is signed with.",
        apply: |s, v| Some(s.tls_cert = if v == "none" { None } else { Some(file(v)?) }),
    },
    OptionInfo {
        name: "tls_key",
        value: Value::Path,
        allowed: "a PEM file, or none",
        default: "none",
        doc: "The private key of the certificate.",
        apply: |s, v| Some(s.tls_key = if v == "none" { None } else { Some(file(v)?) }),
    },
    OptionInfo {
        name: "trusted_proxies",
        value: Value::List,
        allowed: "IP addresses, networks such as 10.0.0.0/8, and unix (whoever connects to a unix socket), \
                  separated by commas, or none",
        default: "none",
        doc: "Proxies that are believed when they name the client in a header; see proxy_header.",
        apply: |s, v| Some(s.trusted_proxies = Networks::parse(v)?),
    },
    OptionInfo {
        name: "proxy_header",
        value: Value::Word,
        allowed: "x-forwarded-for or forwarded",
        default: "x-forwarded-for",
        doc: "In which header a trusted proxy names the client: X-Forwarded-For (with X-Forwarded-Proto) or \
              Forwarded (RFC 7239). The other one is ignored, for a proxy may pass it on as the client sent it.",
        apply: |s, v| {
            s.proxy_header = match v {
                "x-forwarded-for" => ProxyHeader::XForwardedFor,
                "forwarded" => ProxyHeader::Forwarded,
                _ => return None,
            };
            Some(())
        },
    },
    OptionInfo {
        name: "io_threads",
        value: Value::Number,
        allowed: "a whole number from 0 to 4; 0 means one less than there are cores, at least 1 and at most 4",
        default: "0",
        doc: "Threads that do the network's work.",
        apply: |s, v| Some(s.io_threads = number(v, 0, 4)?),
    },
    OptionInfo {
        name: "max_connections",
        value: Value::Number,
        allowed: "a whole number from 0 to 4,000,000; 0 means what the limit of open files allows, less a reserve",
        default: "0",
        doc: "Open connections; beyond it a handshake gets HTTP 503.",
        apply: |s, v| Some(s.max_connections = number(v, 0, 4_000_000)?),
    },
    OptionInfo {
        name: "max_connections_per_ip",
        value: Value::Number,
        allowed: "a whole number from 0 to 4,000,000; 0 means no limit",
        default: "0",
        doc: "Open connections from one address, or of IPv6 from one network of 64 bits, which is what one customer has; \
              beyond it a handshake gets HTTP 503.",
        apply: |s, v| Some(s.max_connections_per_ip = number(v, 0, 4_000_000)?),
    },
    OptionInfo {
        name: "max_message_bytes",
        value: Value::Number,
        allowed: "a whole number of bytes from 1 to 1,073,741,824",
        default: "1048576",
        doc: "Largest message from a peer; a larger one ends its connection with close code 1009.",
        apply: |s, v| Some(s.limits.max_message_bytes = number(v, 1, 1 << 30)?),
    },
    OptionInfo {
        name: "max_fragments",
        value: Value::Number,
        allowed: "a whole number from 1 to 1,000,000",
        default: "1024",
        doc: "Fragments of one message, empty ones too; more of them end the connection with close code 1008.",
        apply: |s, v| Some(s.limits.max_fragments = number(v, 1, 1_000_000)? as u32),
    },
    OptionInfo {
        name: "max_control_frames_per_s",
        value: Value::Number,
        allowed: "a whole number from 0 to 1,000,000; 0 means no limit",
        default: "50",
        doc: "Pings and pongs per second from one peer, twice as many in a burst; more end with close code 1008.",
        apply: |s, v| Some(s.limits.max_control_frames_per_s = number(v, 0, 1_000_000)? as u32),
    },
    OptionInfo {
        name: "max_head_bytes",
        value: Value::Number,
        allowed: "a whole number of bytes from 8,192 to 1,048,576",
        default: "16384",
        doc: "Size of a request's head; a larger one gets HTTP 431.",
        apply: |s, v| Some(s.max_head_bytes = number(v, 8_192, 1 << 20)?),
    },
    OptionInfo {
        name: "max_headers",
        value: Value::Number,
        allowed: "a whole number from 10 to 1,000",
        default: "100",
        doc: "Header lines of a request; more get HTTP 431.",
        apply: |s, v| Some(s.max_headers = number(v, 10, 1_000)?),
    },
    OptionInfo {
        name: "handshake_timeout_ms",
        value: Value::Number,
        allowed: "a whole number of milliseconds from 10 to 600,000",
        default: "10000",
        doc: "Time for all that comes before a connection opens: TLS, a header of the PROXY protocol, the request and, \
              with handshake_events, the host's decision. A request or a decision that comes too late gets HTTP 408.",
        apply: |s, v| Some(s.handshake_timeout = millis(v, 10, 600_000)?),
    },
    OptionInfo {
        name: "ping_interval_ms",
        value: Value::Number,
        allowed: "a whole number of milliseconds from 0 to 86,400,000; 0 means never",
        default: "25000",
        doc: "A peer silent for so long (10 % more or less) is sent a ping.",
        apply: |s, v| Some(s.limits.ping_interval = millis(v, 0, DAY)?),
    },
    OptionInfo {
        name: "pong_timeout_ms",
        value: Value::Number,
        allowed: "a whole number of milliseconds from 10 to 86,400,000",
        default: "10000",
        doc: "A peer silent for so long after a ping is dead: close code 1006.",
        apply: |s, v| Some(s.limits.pong_timeout = millis(v, 10, DAY)?),
    },
    OptionInfo {
        name: "idle_timeout_ms",
        value: Value::Number,
        allowed: "a whole number of milliseconds from 0 to 86,400,000; 0 means never",
        default: "0",
        doc: "A peer that sends no message for so long gets close code 1001.",
        apply: |s, v| Some(s.limits.idle_timeout = millis(v, 0, DAY)?),
    },
    OptionInfo {
        name: "close_timeout_ms",
        value: Value::Number,
        allowed: "a whole number of milliseconds from 10 to 600,000",
        default: "5000",
        doc: "Time for a peer to answer a close frame; then its connection is cut.",
        apply: |s, v| Some(s.limits.close_timeout = millis(v, 10, 600_000)?),
    },
    OptionInfo {
        name: "send_queue_bytes",
        value: Value::Number,
        allowed: "a whole number of bytes from 1 to 1,073,741,824",
        default: "1048576",
        doc: "Payload that may wait to be sent to one connection. A single message may be so large.",
        apply: |s, v| Some(s.send_queue_bytes = number(v, 1, 1 << 30)?),
    },
    OptionInfo {
        name: "send_queue_messages",
        value: Value::Number,
        allowed: "a whole number from 1 to 1,000,000",
        default: "4096",
        doc: "Messages that may wait to be sent to one connection.",
        apply: |s, v| Some(s.send_queue_messages = number(v, 1, 1_000_000)?),
    },
    OptionInfo {
        name: "slow_consumer",
        value: Value::Word,
        allowed: "close, drop_newest or drop_oldest",
        default: "close",
        doc: "What a broadcast does to a connection whose send queue is full: close it with 1013, leave the new \
              message out, or leave out the oldest ones that wait.",
        apply: |s, v| {
            let policies = [SlowConsumer::Close, SlowConsumer::DropNewest, SlowConsumer::DropOldest];
            s.slow_consumer = policies.into_iter().find(|policy| policy.name() == v)?;
            Some(())
        },
    },
    OptionInfo {
        name: "write_stall_ms",
        value: Value::Number,
        allowed: "a whole number of milliseconds from 10 to 86,400,000",
        default: "10000",
        doc: "A peer that takes nothing of what waits for it for so long is cut: close code 1013.",
        apply: |s, v| Some(s.write_stall = millis(v, 10, DAY)?),
    },
    OptionInfo {
        name: "event_queue_bytes",
        value: Value::Number,
        allowed: "a whole number of bytes from 1,024 to 17,179,869,184",
        default: "67108864",
        doc: "Bytes of events that may wait to be polled; then no more messages are read, and nothing is lost.",
        apply: |s, v| Some(s.event_queue_bytes = number(v, 1_024, 1 << 34)?),
    },
    OptionInfo {
        name: "event_queue_events",
        value: Value::Number,
        allowed: "a whole number from 16 to 16,777,216",
        default: "16384",
        doc: "Events that may wait to be polled; then no more messages are read, and nothing is lost. Connections that \
              send much fill a small part of it only, so that others find room.",
        apply: |s, v| Some(s.event_queue_events = number(v, 16, 1 << 24)?),
    },
    OptionInfo {
        name: "total_queue_bytes",
        value: Value::Number,
        allowed: "a whole number of bytes from 65,536 to 1,099,511,627,776",
        default: "536870912",
        doc: "Payload that may wait to be sent to all connections together; beyond it what waits for those with the \
              largest queues is thrown away, and with slow_consumer=close they are closed.",
        apply: |s, v| Some(s.total_queue_bytes = number(v, 1 << 16, 1 << 40)?),
    },
    OptionInfo {
        name: "origins",
        value: Value::List,
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
        value: Value::List,
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
        value: Value::List,
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
        name: "handshake_events",
        value: Value::Switch,
        allowed: "on or off",
        default: "off",
        doc: "With on the host decides on each sound handshake, by its handshake event, until handshake_timeout_ms.",
        apply: |s, v| Some(s.handshake_events = on_or_off(v)?),
    },
    OptionInfo {
        name: "compression",
        value: Value::Word,
        allowed: "off, no_context_takeover or context_takeover",
        default: "off",
        doc: "permessage-deflate (RFC 7692) for clients that offer it. no_context_takeover compresses each message \
              by itself and costs no memory between messages; context_takeover lets messages refer to earlier ones, \
              which makes them smaller and costs some 300 KiB for a connection that uses it both ways; where \
              slow_consumer drops messages the server's do not refer to each other.",
        apply: |s, v| {
            s.compression = match v {
                "off" => None,
                "no_context_takeover" => Some(Compression::NoContextTakeover),
                "context_takeover" => Some(Compression::ContextTakeover),
                _ => return None,
            };
            Some(())
        },
    },
    OptionInfo {
        name: "compression_threshold_bytes",
        value: Value::Number,
        allowed: "a whole number of bytes from 0 to 1,073,741,824",
        default: "256",
        doc: "Shorter messages are sent as they are, and those that do not become smaller by themselves; with 0 \
              every message is compressed.",
        apply: |s, v| Some(s.compression_threshold_bytes = number(v, 0, 1 << 30)?),
    },
    OptionInfo {
        name: "compression_window_bits",
        value: Value::Number,
        allowed: "a whole number from 9 to 15",
        default: "15",
        doc: "How far back a compressed message may refer, as a power of two: less costs less memory and \
              compresses less. A client may ask for less yet.",
        apply: |s, v| Some(s.compression_window_bits = number(v, 9, 15)? as u8),
    },
    OptionInfo {
        name: "legacy",
        value: Value::List,
        allowed: "hybi8 and hixie76 separated by commas, or none",
        default: "none",
        doc: "Drafts that are spoken as well: hybi8 is version 8 (browsers of 2011), hixie76 is draft-76 (those of \
              2010): text only, and without pings, so that a dead peer is noticed by idle_timeout_ms alone. Without \
              the option such clients get HTTP 426.",
        apply: |s, v| {
            let names: Vec<&str> = if v == "none" { Vec::new() } else { items(v)?.collect() };
            let known = names.iter().all(|name| matches!(*name, "hybi8" | "hixie76"));
            s.policy.hybi8 = known.then(|| names.contains(&"hybi8"))?;
            Some(s.hixie76 = names.contains(&"hixie76"))
        },
    },
    OptionInfo {
        name: "static_root",
        value: Value::Path,
        allowed: "a directory that exists, or none",
        default: "none",
        doc: "Files of this directory are served by HTTP on the same port, but none with a leading dot in its path \
              (/.well-known/ excepted) and none that a symlink leads out to. GET /healthz is answered ok before.",
        apply: |s, v| {
            s.static_root = match v {
                "none" => None,
                path => Some(std::fs::canonicalize(path).ok().filter(|path| path.is_dir())?),
            };
            Some(())
        },
    },
    OptionInfo {
        name: "app",
        value: Value::Text,
        allowed: "1 to 64 letters, digits, dots, hyphens and underscores",
        default: "default",
        doc: "The name of this server's application in the channels of those who push, wse:APP:...",
        apply: |s, v| Some(s.app = name(v)?),
    },
    OptionInfo {
        name: "backplane",
        value: Value::Secret,
        allowed: "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], rediss:// for TLS, redis+unix:///PATH, \
                  redis+sentinel://[[USER]:PASSWORD@]HOST[:PORT][,...]/MASTER[/DATABASE], rediss+sentinel://, or none",
        default: "none",
        doc: "The Redis by which nodes are one: what is broadcast or published on one reaches the connections of all that have \
              the same app.",
        apply: |s, v| Some(s.backplane = redis(v)?),
    },
    OptionInfo {
        name: "history",
        value: Value::List,
        allowed: "PREFIX=MESSAGES/SECONDS with 1 to 10,000 messages and 1 to 2,592,000 seconds, or several separated by \
                  commas with different prefixes; or none",
        default: "none",
        doc: "What is kept of topics whose names begin so, for clients that come back: at most so many messages, for at most \
              so long. The longest prefix counts, an empty one is all topics. Their messages tell clients their position.",
        apply: |s, v| Some(s.history = history(v)?),
    },
    OptionInfo {
        name: "history_bytes",
        value: Value::Number,
        allowed: "a whole number of bytes from 65,536 to 1,099,511,627,776",
        default: "67108864",
        doc: "What the history of all topics may take; beyond it the oldest messages are forgotten. With a backplane the history \
              is in Redis, and this does not count.",
        apply: |s, v| Some(s.history_bytes = number(v, 1 << 16, 1 << 40)?),
    },
    OptionInfo {
        name: "presence",
        value: Value::List,
        allowed: "prefixes separated by commas, any, or none",
        default: "none",
        doc: "Topics whose names begin so tell their members who is there: those who have subscribed with a label, on all nodes.",
        apply: |s, v| {
            s.presence = match v {
                "none" => Vec::new(),
                "any" => vec![String::new()],
                list => items(list)?.map(str::to_owned).collect(),
            };
            Some(())
        },
    },
    OptionInfo {
        name: "push_listen",
        value: Value::List,
        allowed: "unix:/path with ?parameters or without, host:port or [IPv6]:port, or several different ones \
                  separated by commas; or none",
        default: "none",
        doc: "Where other processes push messages: as to Redis, by PUBLISH. A unix socket is its owner's alone unless the \
              parameters mode=0660, owner=name and group=name say otherwise; a port needs push_password.",
        apply: |s, v| Some(s.push_listen = push_places(v)?),
    },
    OptionInfo {
        name: "push_password",
        value: Value::Secret,
        allowed: "1 to 512 bytes, or none",
        default: "none",
        doc: "What those who push have to say first, by AUTH.",
        apply: |s, v| {
            s.push_password = match v {
                "none" => None,
                _ => Some((1..=512).contains(&v.len()).then(|| Secret(v.to_owned()))?),
            };
            Some(())
        },
    },
    OptionInfo {
        name: "drain_ms",
        value: Value::Number,
        allowed: "a whole number of milliseconds from 0 to 600,000",
        default: "5000",
        doc: "Time at a stop for queued messages and closing handshakes; then what is left is cut.",
        apply: |s, v| Some(s.drain = millis(v, 0, 600_000)?),
    },
    OptionInfo {
        name: "systemd_notify",
        value: Value::Switch,
        allowed: "on or off",
        default: "off",
        doc: "With on a service of Type=notify tells systemd that it is ready and that it stops and, where the service has \
              WatchdogSec, that it is alive: as long as the host polls.",
        apply: |s, v| Some(s.systemd_notify = on_or_off(v)?),
    },
    OptionInfo {
        name: "log_level",
        value: Value::Word,
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
