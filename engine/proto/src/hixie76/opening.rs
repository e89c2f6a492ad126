//! The opening handshake (sections 5.1 and 5.2), judged in the order of [`crate::handshake`]; only the keys
//! are others.
//!
//! Three numbers prove that the server has understood: two are hidden in headers as digits and spaces, which
//! no form or script can send, and the third is the eight bytes after the head.

use crate::handshake::{Policy, Refusal, bad, judge_access, judge_upgrade, only};
use http::Request;
use http::header::{HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use md5::{Digest, Md5};

/// How many bytes follow the head of a request. No header announces them.
pub const BODY_BYTES: usize = 8;

const KEY_1: HeaderName = HeaderName::from_static("sec-websocket-key1");
const KEY_2: HeaderName = HeaderName::from_static("sec-websocket-key2");

/// Is it a handshake of this draft?
pub fn is_hixie76<B>(request: &Request<B>) -> bool {
    [KEY_1, KEY_2].iter().any(|name| request.headers().contains_key(name))
}

/// A sound request but for its last bytes, which come after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    numbers: [u32; 2],
    origin: Option<HeaderValue>,
    location: String,
    subprotocol: Option<String>,
}

/// Judges an opening handshake. `tls` says how the client came: its address is part of the answer.
pub fn answer<B>(request: &Request<B>, policy: &Policy, tls: bool) -> Result<Opening, Refusal> {
    let host = judge_upgrade(request)?;
    let headers = request.headers();
    let [Some(key_1), Some(key_2)] = [KEY_1, KEY_2].map(|name| only(headers, &name)) else {
        return Err(bad(
            "The request needs exactly one Sec-WebSocket-Key1 and one Sec-WebSocket-Key2 header.",
        ));
    };
    let [Some(number_1), Some(number_2)] = [number(key_1), number(key_2)] else {
        return Err(bad("The digits of Sec-WebSocket-Key1 and -Key2 must be multiples of their spaces."));
    };
    judge_access(request, policy, host, &[ORIGIN])?;
    let offered = only(headers, &SEC_WEBSOCKET_PROTOCOL);
    if offered.is_none() && headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        return Err(bad("The request may have only one Sec-WebSocket-Protocol header, of ASCII."));
    }
    let scheme = if tls { "wss" } else { "ws" };
    let resource = request.uri().path_and_query().map_or("/", |resource| resource.as_str());
    Ok(Opening {
        numbers: [number_1, number_2],
        origin: headers.get(ORIGIN).cloned(),
        location: format!("{scheme}://{host}{resource}"),
        subprotocol: policy.subprotocols.iter().find(|name| offered == Some(name.as_str())).cloned(),
    })
}

impl Opening {
    /// The subprotocol chosen, if any.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Replaces the choice. The draft knows one offer only: a client that offered another one will fail.
    pub fn choose_subprotocol(&mut self, subprotocol: Option<String>) {
        self.subprotocol = subprotocol;
    }

    /// The whole response: its head, and what follows from the two numbers and the eight bytes.
    pub fn response(&self, body: [u8; BODY_BYTES], extra_headers: &HeaderMap) -> Vec<u8> {
        let mut out =
            b"HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
                .to_vec();
        let text = |text: &str| HeaderValue::from_str(text).ok();
        let ours = [
            ("Sec-WebSocket-Origin", self.origin.clone()),
            ("Sec-WebSocket-Location", text(&self.location)),
            ("Sec-WebSocket-Protocol", self.subprotocol().and_then(text)),
        ];
        let ours = ours.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?)));
        for (name, value) in ours.chain(extra_headers.iter().map(|(name, value)| (name.as_str(), value))) {
            out.extend([name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        out.extend_from_slice(b"\r\n");
        let [number_1, number_2] = self.numbers.map(u32::to_be_bytes);
        let hash = Md5::new().chain_update(number_1).chain_update(number_2).chain_update(body).finalize();
        out.extend_from_slice(&hash);
        out
    }
}

/// What a key hides: its digits as one number, divided by the number of its spaces.
fn number(key: &str) -> Option<u32> {
    let spaces = u32::try_from(key.bytes().filter(|&byte| byte == b' ').count()).ok()?;
    let digits: String = key.chars().filter(char::is_ascii_digit).collect();
    let digits: u32 = digits.parse().ok()?;
    (digits.checked_rem(spaces)? == 0).then(|| digits / spaces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::{Origin, Origins};
    use proptest::prelude::*;

    /// The request of the draft's section 1.2.
    fn request(changes: &[(&'static str, Option<&'static str>)]) -> Request<()> {
        let mut request = Request::builder()
            .uri("/demo?a=1")
            .header("Host", "example.com:8080")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Key2", "12998 5 Y3 1  .P00")
            .header("Sec-WebSocket-Protocol", "sample")
            .header("Upgrade", "WebSocket")
            .header("Sec-WebSocket-Key1", "4 @1  46546xW%0l 1 5")
            .header("Origin", "http://example.com")
            .body(())
            .unwrap();
        for (name, value) in changes {
            match value {
                Some(value) => request.headers_mut().insert(*name, HeaderValue::from_static(value)),
                None => request.headers_mut().remove(*name),
            };
        }
        request
    }

    fn policy() -> Policy {
        Policy { subprotocols: vec!["other".into(), "sample".into()], ..Policy::default() }
    }

    fn status(changes: &[(&'static str, Option<&'static str>)]) -> u16 {
        answer(&request(changes), &policy(), false).map_or_else(|refusal| refusal.status.as_u16(), |_| 101)
    }

    #[test]
    fn the_example_of_the_draft() {
        let opening = answer(&request(&[]), &policy(), false).unwrap();
        let response = opening.response(*b"^n:ds[4U", &HeaderMap::new());
        let expected = "HTTP/1.1 101 WebSocket Protocol Handshake\r\n\
            Upgrade: WebSocket\r\n\
            Connection: Upgrade\r\n\
            Sec-WebSocket-Origin: http://example.com\r\n\
            Sec-WebSocket-Location: ws://example.com:8080/demo?a=1\r\n\
            Sec-WebSocket-Protocol: sample\r\n\
            \r\n\
            8jKS'y:G*Co,Wxa-";
        assert_eq!(String::from_utf8(response).unwrap(), expected);
    }

    #[test]
    fn an_answer_that_is_no_text() {
        let keys = [
            ("sec-websocket-key1", Some("W  1529l9 6i4b{{a 9 z55")),
            ("sec-websocket-key2", Some("F13 O05   q  q6 - 4k7D   97")),
        ];
        let opening = answer(&request(&keys), &policy(), false).unwrap();
        assert_eq!(opening.numbers, [305_992_991, 11_869_527]);
        let response = opening.response(*b"-#&nD[fU", &HeaderMap::new());
        let hash = 0xa231_2b19_0542_b5dc_ed20_dcac_de8b_a416_u128.to_be_bytes();
        assert_eq!(&response[response.len() - 20..], [b"\r\n\r\n", &hash[..]].concat());
    }

    #[test]
    fn the_answer_names_what_was_asked_for() {
        let head = |opening: &Opening| {
            let mut extra = HeaderMap::new();
            extra.insert("set-cookie", HeaderValue::from_static("a=1"));
            let response = opening.response([0; 8], &extra);
            String::from_utf8(response[..response.len() - 16].to_vec()).unwrap()
        };
        let changes = [("origin", None), ("sec-websocket-protocol", None), ("host", Some("[::1]"))];
        let mut opening = answer(&request(&changes), &policy(), true).unwrap();
        assert_eq!(opening.subprotocol(), None);
        assert!(!head(&opening).contains("Origin") && !head(&opening).contains("Sec-WebSocket-Protocol"));
        assert!(head(&opening).contains("\r\nSec-WebSocket-Location: wss://[::1]/demo?a=1\r\n"));
        assert!(head(&opening).ends_with("\r\nset-cookie: a=1\r\n\r\n"));
        opening.choose_subprotocol(Some("mine".into()));
        assert!(head(&opening).contains("\r\nSec-WebSocket-Protocol: mine\r\n"));
        opening.choose_subprotocol(Some("two\r\nlines".into()));
        assert!(!head(&opening).contains("lines"));
    }

    #[test]
    fn each_wrong_request_has_its_status() {
        assert_eq!(status(&[]), 101);
        for (name, wrong) in [
            ("host", None),
            ("upgrade", Some("h2c")),
            ("connection", Some("close")),
            ("content-length", Some("8")),
            ("transfer-encoding", Some("chunked")),
            ("sec-websocket-key1", None),
            ("sec-websocket-key2", None),
            ("sec-websocket-key1", Some("4146546015")),
            ("sec-websocket-key1", Some("4 1 5")),
            ("sec-websocket-key2", Some("no digits")),
            ("sec-websocket-key2", Some("4 2949 67296")),
        ] {
            assert_eq!(status(&[(name, wrong)]), 400, "{name}: {wrong:?}");
        }
        assert_eq!(status(&[("origin", Some("http://evil.example"))]), 403);
        for name in ["sec-websocket-key1", "sec-websocket-protocol"] {
            let mut twice = request(&[]);
            twice.headers_mut().append(name, HeaderValue::from_static("4 2"));
            assert_eq!(answer(&twice, &policy(), false).unwrap_err().status, 400, "{name}");
        }
    }

    #[test]
    fn the_policy_of_other_versions_holds() {
        let origins = Origins::List(vec![Origin::parse("https://shop.example").unwrap()]);
        let status = |policy| answer(&request(&[]), &policy, false).unwrap_err().status;
        assert_eq!(status(Policy { origins, ..policy() }), 403);
        assert_eq!(status(Policy { paths: vec!["/push".into()], ..policy() }), 404);
    }

    #[test]
    fn either_key_tells_the_draft() {
        assert!(is_hixie76(&request(&[("sec-websocket-key1", None)])));
        assert!(is_hixie76(&request(&[("sec-websocket-key2", None)])));
        assert!(!is_hixie76(&Request::new(())));
    }

    proptest! {
        /// As a client makes its keys (section 4.1): a product in decimal, with spaces and other characters.
        #[test]
        fn every_key_of_a_client_hides_its_number(
            number: u32, spaces in 1u32..=12, places: Vec<(prop::sample::Index, prop::sample::Index)>,
        ) {
            let number = number / spaces;
            let mut key = (number * spaces).to_string();
            let noise: Vec<char> = ('!'..='/').chain(':'..='~').collect();
            for (place, which) in places {
                key.insert(place.index(key.len() + 1), noise[which.index(noise.len())]);
            }
            for _ in 0..spaces {
                key.insert(key.len() / 2, ' ');
            }
            prop_assert_eq!(super::number(&key), Some(number));
        }

        #[test]
        fn any_key_has_a_number_or_none(key in ".{0,40}|[0-9 ]{0,14}") {
            let _ = super::number(&key);
        }
    }
}
