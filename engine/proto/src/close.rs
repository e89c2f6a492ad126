//! Close codes (RFC 6455, section 7.4) and the payload of a close frame (section 5.5.1).

use crate::error::Violation;
use crate::utf8;

/// The codes this crate uses itself, by name.
pub mod code {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: u16 = 1000;
    /// The server goes down, or the client leaves the page.
    pub const GOING_AWAY: u16 = 1001;
    /// A breach of the protocol.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// Never on the wire: the close frame had no code.
    pub const NO_STATUS: u16 = 1005;
    /// Never on the wire: the connection ended without a close frame.
    pub const ABNORMAL: u16 = 1006;
    /// Data that does not fit its type, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: u16 = 1007;
    /// A limit that is neither size nor protocol.
    pub const POLICY: u16 = 1008;
    /// A message that is too big.
    pub const TOO_BIG: u16 = 1009;
    /// The server met a condition it did not expect.
    pub const INTERNAL: u16 = 1011;
    /// Try again later: here, a peer that reads too slowly (registered with IANA).
    pub const TRY_AGAIN: u16 = 1013;
}

/// Longest reason in bytes: a control frame carries 125 bytes, two of them are the code.
pub const MAX_REASON_BYTES: usize = 123;

/// May this code stand in a close frame?
///
/// 1004, 1005, 1006 and 1015 are reserved; 1012 to 1014 are in IANA's registry; 3000 to 3999 are for
/// libraries and 4000 to 4999 for private use.
pub fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// What a close frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    /// The code; `None` when the payload was empty.
    pub code: Option<u16>,
    /// The reason, empty when none was given.
    pub reason: &'a str,
}

impl<'a> CloseFrame<'a> {
    /// Reads the unmasked payload of a close frame.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Violation> {
        let (code, reason) = match payload {
            [] => return Ok(CloseFrame { code: None, reason: "" }),
            [_] => return Err(Violation::ShortClose),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        if !is_sendable(code) {
            return Err(Violation::CloseCode(code));
        }
        let reason = utf8::validate(reason).ok_or(Violation::NotUtf8)?;
        Ok(CloseFrame { code: Some(code), reason })
    }

    /// The code as an event reports it: 1005 where the frame had none.
    pub fn reported_code(&self) -> u16 {
        self.code.unwrap_or(code::NO_STATUS)
    }
}

/// The longest prefix of `reason` that fits a close frame and ends at a character.
pub fn truncate_reason(reason: &str) -> &str {
    let end = (0..=reason.len().min(MAX_REASON_BYTES)).rev().find(|&end| reason.is_char_boundary(end));
    end.and_then(|end| reason.get(..end)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_judged_as_the_rfc_has_it() {
        let sendable: Vec<u16> = (0..=u16::MAX).filter(|&code| is_sendable(code)).collect();
        let expected: Vec<u16> = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014]
            .into_iter()
            .chain(3000..=4999)
            .collect();
        assert_eq!(sendable, expected);
    }

    #[test]
    fn an_empty_payload_has_no_code() {
        let close = CloseFrame::parse(b"").unwrap();
        assert_eq!((close.code, close.reason, close.reported_code()), (None, "", 1005));
    }

    #[test]
    fn code_and_reason_are_read() {
        let close = CloseFrame::parse(b"\x03\xe8bye").unwrap();
        assert_eq!((close.code, close.reason), (Some(1000), "bye"));
    }

    #[test]
    fn bad_payloads_are_refused() {
        assert_eq!(CloseFrame::parse(b"\x03"), Err(Violation::ShortClose));
        assert_eq!(CloseFrame::parse(b"\x03\xed"), Err(Violation::CloseCode(1005)));
        assert_eq!(CloseFrame::parse(b"\x03\xe8\xff"), Err(Violation::NotUtf8));
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        assert_eq!(truncate_reason("short"), "short");
        let long = "é".repeat(100);
        assert_eq!(truncate_reason(&long).len(), 122);
    }
}
