//! What a peer did wrong, and the close code it is told.

use crate::close::code;
use std::fmt;

/// A breach of RFC 6455 or of a limit. Each is answered by a close frame with [`Violation::close_code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// A reserved bit that no extension has claimed (section 5.2).
    ReservedBits,
    /// An opcode that RFC 6455 does not define (section 5.2).
    ReservedOpcode(u8),
    /// A frame from a client that is not masked (section 5.1).
    Unmasked,
    /// A length not written in the fewest bytes, or with its highest bit set (section 5.2).
    LengthEncoding,
    /// A control frame that is fragmented (section 5.5).
    FragmentedControl,
    /// A control frame with more than 125 bytes of payload (section 5.5).
    LongControl,
    /// A continuation frame with nothing to continue (section 5.4).
    NothingToContinue,
    /// A new message before the last fragment of the one before (section 5.4).
    MessageInMessage,
    /// A close frame with a payload of one byte (section 5.5.1).
    ShortClose,
    /// A close frame with a code that must not be sent (section 7.4).
    CloseCode(u16),
    /// Text or a close reason that is not UTF-8 (section 8.1).
    NotUtf8,
    /// A compressed message that cannot be inflated (RFC 7692, section 7.2.2).
    NotDeflate,
    /// A compressed message of hardly anything but empty blocks: work for the receiver, and no message.
    EmptyBlocks,
    /// A message over `max_message_bytes`, also when it is that large only once it is inflated.
    MessageTooBig,
    /// A message of more than `max_fragments` fragments.
    TooManyFragments,
    /// More control frames than `max_control_frames_per_s`.
    ControlFlood,
    /// A frame of the protocol of 2010 that neither is a text nor closes.
    Hixie76Framing,
}

impl Violation {
    /// The close code of section 7.4.1 that answers it.
    pub fn close_code(self) -> u16 {
        match self {
            Violation::NotUtf8 | Violation::NotDeflate => code::INVALID_PAYLOAD,
            Violation::MessageTooBig => code::TOO_BIG,
            Violation::TooManyFragments | Violation::ControlFlood | Violation::EmptyBlocks => code::POLICY,
            _ => code::PROTOCOL_ERROR,
        }
    }

    /// The sentence that goes with the code: the close frame's reason, at most 123 bytes.
    pub fn reason(self) -> &'static str {
        match self {
            Violation::ReservedBits => "reserved bit set where no extension has it",
            Violation::ReservedOpcode(_) => "reserved opcode",
            Violation::Unmasked => "frames from a client must be masked",
            Violation::LengthEncoding => "payload length not in its shortest form",
            Violation::FragmentedControl => "control frames must not be fragmented",
            Violation::LongControl => "control frames carry at most 125 bytes",
            Violation::NothingToContinue => "continuation frame without a message to continue",
            Violation::MessageInMessage => "new message before the last one was finished",
            Violation::ShortClose => "close frame with a payload of one byte",
            Violation::CloseCode(_) => "close code that must not be sent",
            Violation::NotUtf8 => "text is not valid UTF-8",
            Violation::NotDeflate => "compressed message cannot be inflated",
            Violation::EmptyBlocks => "compressed message of empty blocks",
            Violation::MessageTooBig => "message is larger than allowed",
            Violation::TooManyFragments => "message has more fragments than allowed",
            Violation::ControlFlood => "too many control frames",
            Violation::Hixie76Framing => "frame that is neither a text nor the closing handshake",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::ReservedOpcode(opcode) => write!(f, "{} {opcode:#x}", self.reason()),
            Violation::CloseCode(code) => write!(f, "{}: {code}", self.reason()),
            _ => f.write_str(self.reason()),
        }
    }
}

impl std::error::Error for Violation {}
