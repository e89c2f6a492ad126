//! What the host decides on a handshake, checked before it leaves the host.

use crate::error::{DecisionPart, SendError};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// What the host decides.
#[derive(Debug)]
pub(crate) enum Decision {
    Accept {
        /// None: what the option `subprotocols` makes of the offer.
        subprotocol: Option<String>,
        headers: HeaderMap,
    },
    Reject {
        status: StatusCode,
        body: String,
        headers: HeaderMap,
    },
}

/// The engine's own: a host that set them would break the answer.
const RESERVED: [HeaderName; 4] =
    [header::CONNECTION, header::UPGRADE, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
const RESERVED_PREFIX: &str = "sec-websocket-";

/// The headers of an answer.
pub(crate) fn headers(given: &[(&str, &str)]) -> Result<HeaderMap, SendError> {
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let bad = |why: &str| bad(DecisionPart::Headers, format!("header {name:?}: {why}"));
        let name = HeaderName::try_from(*name)
            .map_err(|_| bad("the name is not a token of HTTP, such as Set-Cookie"))?;
        if RESERVED.contains(&name) || name.as_str().starts_with(RESERVED_PREFIX) {
            return Err(bad("it is for the engine to set"));
        }
        let value = HeaderValue::try_from(*value)
            .map_err(|_| bad(&format!("the value {value:?} has control characters, such as a line break")))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// The status of a rejection.
pub(crate) fn status(status: u16) -> Result<StatusCode, SendError> {
    StatusCode::from_u16(status).ok().filter(|status| (300..600).contains(&status.as_u16())).ok_or_else(
        || {
            let text = format!("a handshake cannot be rejected with status {status}; allowed are 300 to 599");
            bad(DecisionPart::Status, text)
        },
    )
}

/// A decision that cannot be carried out.
pub(crate) fn bad(part: DecisionPart, text: String) -> SendError {
    SendError::BadDecision { part, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_cannot_be_sent_are_named() {
        let text = |name, value| headers(&[(name, value)]).unwrap_err().to_string();
        assert_eq!(text("a b", "x"), "header \"a b\": the name is not a token of HTTP, such as Set-Cookie");
        assert_eq!(
            text("Sec-WebSocket-Accept", "x"),
            "header \"Sec-WebSocket-Accept\": it is for the engine to set"
        );
        assert_eq!(text("Connection", "x"), "header \"Connection\": it is for the engine to set");
        assert_eq!(
            text("X", "a\r\nSet-Cookie: b"),
            "header \"X\": the value \"a\\r\\nSet-Cookie: b\" has control characters, such as a line break"
        );
        assert_eq!(headers(&[("Set-Cookie", "a=1"), ("set-cookie", "b=2")]).unwrap().len(), 2);
    }

    #[test]
    fn a_rejection_is_no_success() {
        for (given, allowed) in
            [(299, false), (300, true), (401, true), (599, true), (600, false), (0, false)]
        {
            assert_eq!(status(given).is_ok(), allowed, "{given}");
        }
    }
}
