//! What is negotiated (RFC 7692, sections 5 and 7.1).

use super::{MAX_WINDOW_BITS, MIN_WINDOW_BITS};
use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_EXTENSIONS};
use std::fmt;

const NAME: &str = "permessage-deflate";

/// What the server wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// May our messages refer to earlier ones? Smaller messages, and memory for each connection. Not where a message
    /// may be dropped after it was compressed.
    pub server_context_takeover: bool,
    /// The same for the peer's.
    pub client_context_takeover: bool,
    /// The largest window for either side, 9 to 15 bits.
    pub max_window_bits: u8,
}

/// What both sides agreed on (section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Our messages do not refer to earlier ones.
    pub server_no_context_takeover: bool,
    /// The peer's messages do not refer to earlier ones.
    pub client_no_context_takeover: bool,
    /// How far back our messages refer at most, as a power of two.
    pub server_max_window_bits: u8,
    /// The peer has asked for such a limit, and the answer must name it (section 7.1.2.1).
    pub server_window_asked: bool,
    /// The same for the peer; None if it did not say that it can be told.
    pub client_max_window_bits: Option<u8>,
}

impl Parameters {
    /// Accepts the first offer that can be accepted. An offer with anything unknown or wrong in it is declined, as
    /// section 7.1 has it.
    pub fn agree(headers: &HeaderMap, wanted: &Wanted) -> Option<Self> {
        let lines = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| split(line, ',')).find_map(|offer| Self::accept(offer, wanted))
    }

    fn accept(offer: &str, wanted: &Wanted) -> Option<Self> {
        let mut items = split(offer, ';').map(str::trim);
        if items.next()? != NAME {
            return None;
        }
        let mut offered = Offer::default();
        for item in items {
            offered.take(item)?;
        }
        let most = wanted.max_window_bits;
        Some(Parameters {
            server_no_context_takeover: offered.server_no_context_takeover || !wanted.server_context_takeover,
            client_no_context_takeover: offered.client_no_context_takeover || !wanted.client_context_takeover,
            server_max_window_bits: offered.server_max_window_bits.map_or(most, |bits| bits.min(most)),
            server_window_asked: offered.server_max_window_bits.is_some(),
            client_max_window_bits: offered.client_max_window_bits.map(|bits| bits.min(most)),
        })
    }

    /// The value of Sec-WebSocket-Extensions in the answer.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::try_from(self.to_string()).unwrap_or_else(|_| HeaderValue::from_static(NAME))
    }
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.server_no_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if self.server_window_asked || self.server_max_window_bits < MAX_WINDOW_BITS {
            write!(f, "; server_max_window_bits={}", self.server_max_window_bits)?;
        }
        match self.client_max_window_bits {
            Some(bits) if bits < MAX_WINDOW_BITS => write!(f, "; client_max_window_bits={bits}"),
            _ => Ok(()),
        }
    }
}

/// The parameters of an offer.
#[derive(Default)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<u8>,
}

impl Offer {
    /// None: a parameter that is unknown, given twice, or has a wrong value.
    fn take(&mut self, item: &str) -> Option<()> {
        let (name, value) = match item.split_once('=') {
            Some((name, value)) => (name.trim(), Some(unquote(value.trim()))),
            None => (item, None),
        };
        match (name, value) {
            ("server_no_context_takeover", None) => set(&mut self.server_no_context_takeover),
            ("client_no_context_takeover", None) => set(&mut self.client_no_context_takeover),
            ("server_max_window_bits", Some(bits)) => set_bits(&mut self.server_max_window_bits, bits),
            ("client_max_window_bits", Some(bits)) => set_bits(&mut self.client_max_window_bits, bits),
            // Without a value it only says that the client can be told one (section 7.1.2.2).
            ("client_max_window_bits", None) => {
                self.client_max_window_bits.replace(MAX_WINDOW_BITS).is_none().then_some(())
            }
            _ => None,
        }
    }
}

fn set(flag: &mut bool) -> Option<()> {
    (!std::mem::replace(flag, true)).then_some(())
}

/// A decimal number from 8 to 15 without leading zeros (section 7.1.2.1).
fn set_bits(slot: &mut Option<u8>, text: &str) -> Option<()> {
    let bits = text.parse().ok().filter(|bits| (MIN_WINDOW_BITS..=MAX_WINDOW_BITS).contains(bits))?;
    let plain = text.bytes().all(|digit| digit.is_ascii_digit()) && !text.starts_with('0');
    (plain && slot.replace(bits).is_none()).then_some(())
}

/// The pieces between separators that do not stand in quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

fn unquote(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEOVER: Wanted =
        Wanted { server_context_takeover: true, client_context_takeover: true, max_window_bits: 15 };
    const ALONE: Wanted =
        Wanted { server_context_takeover: false, client_context_takeover: false, max_window_bits: 15 };

    fn answer(offer: &'static str, wanted: &Wanted) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(offer));
        Parameters::agree(&headers, wanted).map(|agreed| agreed.header().to_str().unwrap().to_owned())
    }

    #[test]
    fn all_four_parameters_are_negotiated() {
        for (offer, expected) in [
            ("permessage-deflate", "permessage-deflate"),
            ("permessage-deflate; client_max_window_bits", "permessage-deflate"),
            (
                "permessage-deflate; server_max_window_bits=15",
                "permessage-deflate; server_max_window_bits=15",
            ),
            (
                "permessage-deflate; client_max_window_bits=10",
                "permessage-deflate; client_max_window_bits=10",
            ),
            ("permessage-deflate; server_max_window_bits=8", "permessage-deflate; server_max_window_bits=8"),
            (
                "permessage-deflate;server_max_window_bits=\"9\"",
                "permessage-deflate; server_max_window_bits=9",
            ),
            (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            ),
        ] {
            assert_eq!(answer(offer, &TAKEOVER).as_deref(), Some(expected), "{offer}");
        }
        let alone = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(answer("permessage-deflate", &ALONE).as_deref(), Some(alone));
        let small = Wanted { max_window_bits: 11, ..TAKEOVER };
        assert_eq!(
            answer("permessage-deflate; client_max_window_bits", &small).as_deref(),
            Some("permessage-deflate; server_max_window_bits=11; client_max_window_bits=11")
        );
        assert_eq!(
            answer("permessage-deflate", &small).as_deref(),
            Some("permessage-deflate; server_max_window_bits=11"),
            "a client that does not say that it can be told is not told"
        );
    }

    #[test]
    fn the_first_sound_offer_is_accepted() {
        for (offer, expected) in [
            ("x-other, permessage-deflate", Some("permessage-deflate")),
            ("permessage-deflate; unknown, permessage-deflate", Some("permessage-deflate")),
            (
                "permessage-deflate; server_max_window_bits=10, permessage-deflate",
                Some("permessage-deflate; server_max_window_bits=10"),
            ),
            ("permessage-deflate; a=\"b,permessage-deflate\"", None),
            ("permessage-deflate; server_max_window_bits", None),
            ("permessage-deflate; server_max_window_bits=7", None),
            ("permessage-deflate; server_max_window_bits=16", None),
            ("permessage-deflate; server_max_window_bits=08", None),
            ("permessage-deflate; server_max_window_bits=+9", None),
            ("permessage-deflate; client_max_window_bits=0", None),
            ("permessage-deflate; client_max_window_bits; client_max_window_bits=9", None),
            ("permessage-deflate; server_no_context_takeover=1", None),
            ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
            ("permessage-deflate;", None),
            ("permessage-deflate2", None),
            ("", None),
        ] {
            assert_eq!(answer(offer, &TAKEOVER).as_deref(), expected, "{offer}");
        }
    }
}
