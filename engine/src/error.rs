//! What the host is told when a call cannot be done. What a peer does wrong is an event, never an error.

use std::fmt;
use std::io;

/// Why a server could not be configured or started.
#[derive(Debug)]
pub enum Error {
    /// An option that does not exist or a value it does not allow; the text names option, value and what is
    /// allowed.
    Config(String),
    /// A listening socket could not be had.
    Bind {
        /// The address as it was given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused something else that a server needs.
    Io {
        /// What it was.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Config(text) => f.write_str(text),
            Error::Bind { address, source } => {
                write!(f, "cannot listen on {address} (option \"listen\"): {}", bind_advice(address, source))
            }
            Error::Io { what, source } => write!(f, "{what}: {source}"),
        }
    }
}

fn bind_advice(address: &str, error: &io::Error) -> String {
    let unix = address.contains("unix:");
    match error.kind() {
        io::ErrorKind::AddrInUse if unix => {
            "the address is in use, by another server or by a file that is no socket; stop that server or choose \
             another path"
                .into()
        }
        io::ErrorKind::PermissionDenied if unix => {
            "permission denied; the directory must be one that this user may write to, and only root gives a \
             socket to another owner"
                .into()
        }
        io::ErrorKind::AddrInUse => {
            "the address is in use; stop the other program or choose another port, 0 picks a free one".into()
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied; ports below 1024 need privileges, choose one from 1024 to 65535".into()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; 0.0.0.0 or [::] listen on all it has".into()
        }
        _ => error.to_string(),
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Config(_) => None,
            Error::Bind { source, .. } | Error::Io { source, .. } => Some(source),
        }
    }
}

/// Why a message, a close or a decision was not queued. Nothing of it was, then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// The connection is closed, is closing or never existed. Normal: a peer may leave at any time.
    Gone,
    /// The send queue of the connection is full. An [`EventBody::Drain`](crate::EventBody::Drain) follows when
    /// it is below half.
    QueueFull,
    /// The message alone is larger than `send_queue_bytes`.
    TooBig {
        /// Its size in bytes.
        len: usize,
        /// The value of `send_queue_bytes`.
        max: usize,
    },
    /// A text message or a close reason that is not UTF-8.
    NotUtf8,
    /// A binary message for a connection of the draft of 2010, which has text only.
    TextOnly,
    /// A topic's name that is empty or too long.
    BadTopic {
        /// Its length in bytes.
        len: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// What a client has seen of a topic of which the option `history` keeps nothing.
    NoHistory,
    /// A label on a topic that the option `presence` does not name.
    NoPresence,
    /// A label that is too long.
    BadLabel {
        /// Its length in bytes.
        len: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// A close code that must not be sent, or a reason that is too long; the text names it and what is allowed.
    BadClose(String),
    /// A decision on a handshake that cannot be carried out; the text names what was given and what is allowed.
    BadDecision {
        /// What of it.
        part: DecisionPart,
        /// The words.
        text: String,
    },
    /// The server is stopping or has stopped.
    Stopped,
    /// This process is a forked child, where this cannot be asked.
    InChild,
    /// This process is a forked child, and the server that it would reach is gone, or serves no children.
    NoServer,
    /// This process is a forked child, and it or its parent has no descriptors or memory left for a way between them.
    /// Later there may be one.
    NoWay {
        /// The system's error number.
        errno: i32,
    },
}

/// What of a decision on a handshake cannot be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecisionPart {
    /// A subprotocol that the client does not offer.
    Subprotocol,
    /// A status that no rejection has.
    Status,
    /// A header that cannot be sent.
    Headers,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Gone => f.write_str("the connection is closed"),
            SendError::QueueFull => f.write_str("the send queue of the connection is full"),
            SendError::TooBig { len, max } => write!(
                f,
                "a message of {len} bytes does not fit the option \"send_queue_bytes\", which is {max}"
            ),
            SendError::NotUtf8 => f.write_str("text must be valid UTF-8; send other bytes as binary"),
            SendError::TextOnly => {
                f.write_str("the connection speaks draft-76, which has no binary messages; send text")
            }
            SendError::BadTopic { len, max } => {
                write!(f, "a topic's name of {len} bytes is not allowed; allowed are 1 to {max}")
            }
            SendError::NoHistory => f.write_str(
                "nothing is kept of this topic; the option \"history\" has to name it or what its name begins with",
            ),
            SendError::NoPresence => f.write_str(
                "nobody is shown on this topic; the option \"presence\" has to name it or what its name begins with",
            ),
            SendError::BadLabel { len, max } => {
                write!(f, "a label of {len} bytes is not allowed; allowed are 0 to {max}")
            }
            SendError::BadClose(text) | SendError::BadDecision { text, .. } => f.write_str(text),
            SendError::Stopped => f.write_str("the server is stopping or has stopped"),
            SendError::InChild => f.write_str("a forked child cannot ask this; ask in the process that has the server"),
            SendError::NoServer => f.write_str("the server of the parent process is gone"),
            SendError::NoWay { errno } => {
                let error = io::Error::from_raw_os_error(*errno);
                write!(f, "the parent process cannot be reached now: {error}")
            }
        }
    }
}

impl std::error::Error for SendError {}
