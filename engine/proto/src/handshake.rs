//! The opening handshake as a function of a request (RFC 6455, section 4.2).
//!
//! What the request may be is judged in this order, and each refusal has its status and one line that says why:
//! version of HTTP, method, Host, Upgrade and Connection, Sec-WebSocket-Version, Sec-WebSocket-Key, a body,
//! path, origin. Subprotocols are chosen in the server's order of preference.
//!
//! Version 8, of the drafts hybi-08 to hybi-12 of 2011, is version 13 but for the name of one header: browsers told
//! their origin in Sec-WebSocket-Origin.

use crate::deflate;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use sha1::{Digest, Sha1};

/// The version of the protocol that is spoken here (section 4.1).
pub const VERSION: &str = "13";
/// The version of the drafts of 2011, where [`Policy::hybi8`] allows it.
const VERSION_8: &str = "8";
/// What the key is hashed with (section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// 16 bytes leave four bits of the last character unused. Clients that draw 22 characters at random leave them
/// set; other servers let them in.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Where version 8 has the origin (draft-ietf-hybi-thewebsocketprotocol-08, section 5.1).
pub const SEC_WEBSOCKET_ORIGIN: HeaderName = HeaderName::from_static("sec-websocket-origin");

/// Who may connect, to what, and how.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Pages of which origins may connect.
    pub origins: Origins,
    /// The request paths that exist; empty: any.
    pub paths: Vec<String>,
    /// The subprotocols spoken here, the preferred one first.
    pub subprotocols: Vec<String>,
    /// Whether and how messages may be compressed (RFC 7692).
    pub compression: Option<deflate::Wanted>,
    /// Is version 8 spoken as well?
    pub hybi8: bool,
}

/// Pages of which origins may connect (section 10.2). A request without an Origin header comes from no browser
/// and always passes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origins {
    /// Those whose host is the one in the Host header; ports are ignored.
    #[default]
    SameHost,
    /// All.
    Any,
    /// These.
    List(Vec<Origin>),
}

/// A scheme, a host and a port, compared as RFC 6454 has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origin {
    /// Reads `scheme://host` or `scheme://host:port`.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let (host, port) = split_port(authority)?;
        let scheme = scheme.to_ascii_lowercase();
        if scheme.is_empty() || host.is_empty() || authority.contains(['/', '@', '?', '#', ' ']) {
            return None;
        }
        let port = port.or(match scheme.as_str() {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        });
        Some(Origin { scheme, host: host.to_ascii_lowercase(), port })
    }
}

/// An accepted handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The value of Sec-WebSocket-Accept.
    pub accept: String,
    /// The subprotocol chosen, if any.
    pub subprotocol: Option<String>,
    /// What was agreed on for permessage-deflate, if it was.
    pub compression: Option<deflate::Parameters>,
}

impl Accepted {
    /// The 101 that opens the connection.
    pub fn response(&self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        let text = |text: &String| HeaderValue::from_str(text).ok();
        let optional = [
            (header::SEC_WEBSOCKET_ACCEPT, text(&self.accept)),
            (header::SEC_WEBSOCKET_PROTOCOL, self.subprotocol.as_ref().and_then(text)),
            (header::SEC_WEBSOCKET_EXTENSIONS, self.compression.as_ref().map(deflate::Parameters::header)),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the response.
    pub status: StatusCode,
    /// Why, in one line for the person who reads it.
    pub reason: &'static str,
    /// The versions that are spoken here, for a 426 (section 4.4).
    versions: &'static str,
}

impl Refusal {
    /// A refusal with this status and line.
    pub const fn new(status: StatusCode, reason: &'static str) -> Self {
        Refusal { status, reason, versions: VERSION }
    }

    /// The response: the line as text, and the headers that its status asks for.
    pub fn response(&self) -> Response<String> {
        let mut response = Response::new(format!("{}\n", self.reason));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        match self.status {
            StatusCode::UPGRADE_REQUIRED => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade, close"));
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(self.versions));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
            }
            _ => {}
        }
        response
    }
}

/// Does the request speak of WebSocket at all? If not it is for the files, or for a 426.
pub fn is_websocket<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    has_token(headers, &header::UPGRADE, "websocket") || headers.contains_key(header::SEC_WEBSOCKET_KEY)
}

/// Judges an opening handshake.
pub fn answer<B>(request: &Request<B>, policy: &Policy) -> Result<Accepted, Refusal> {
    let host = judge_upgrade(request)?;
    let headers = request.headers();
    let version_8 = match only(headers, &header::SEC_WEBSOCKET_VERSION) {
        Some(VERSION) => false,
        Some(VERSION_8) if policy.hybi8 => true,
        _ => {
            return Err(match policy.hybi8 {
                false => Refusal::new(
                    StatusCode::UPGRADE_REQUIRED,
                    "This server speaks version 13 of the WebSocket protocol (RFC 6455).",
                ),
                true => Refusal {
                    versions: "13, 8",
                    ..Refusal::new(
                        StatusCode::UPGRADE_REQUIRED,
                        "This server speaks the versions 13 (RFC 6455) and 8 of the WebSocket protocol.",
                    )
                },
            });
        }
    };
    let Some(key) = only(headers, &header::SEC_WEBSOCKET_KEY) else {
        return Err(bad("The request needs exactly one Sec-WebSocket-Key header."));
    };
    if BASE64.decode(key).map(|nonce| nonce.len()) != Ok(16) {
        return Err(bad("Sec-WebSocket-Key must be 16 bytes in base64."));
    }
    let origins = if version_8 { &[header::ORIGIN, SEC_WEBSOCKET_ORIGIN][..] } else { &[header::ORIGIN] };
    judge_access(request, policy, host, origins)?;
    Ok(Accepted {
        accept: accept_value(key),
        subprotocol: choose_subprotocol(headers, policy),
        compression: policy.compression.and_then(|wanted| deflate::Parameters::agree(headers, &wanted)),
    })
}

/// What the handshakes of all versions begin with: from the version of HTTP to Connection. Returns the Host.
pub(crate) fn judge_upgrade<B>(request: &Request<B>) -> Result<&str, Refusal> {
    let headers = request.headers();
    if request.version() != Version::HTTP_11 {
        return Err(bad("A WebSocket handshake needs HTTP/1.1."));
    }
    if request.method() != Method::GET {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "A WebSocket handshake is a GET request."));
    }
    let Some(host) = only(headers, &header::HOST) else {
        return Err(bad("The request needs exactly one Host header."));
    };
    if !has_token(headers, &header::UPGRADE, "websocket") {
        return Err(bad("The Upgrade header must contain \"websocket\"."));
    }
    if !has_token(headers, &header::CONNECTION, "upgrade") {
        return Err(bad("The Connection header must contain \"Upgrade\"."));
    }
    Ok(host)
}

/// What they end with: no body, a path that exists, an origin that may connect under each of its names.
pub(crate) fn judge_access<B>(
    request: &Request<B>,
    policy: &Policy,
    host: &str,
    origin_names: &[HeaderName],
) -> Result<(), Refusal> {
    let headers = request.headers();
    let length = only(headers, &header::CONTENT_LENGTH);
    if headers.contains_key(header::TRANSFER_ENCODING)
        || (headers.contains_key(header::CONTENT_LENGTH) && length != Some("0"))
    {
        return Err(bad("A WebSocket handshake has no body."));
    }
    if !policy.paths.is_empty() && !policy.paths.iter().any(|path| path == request.uri().path()) {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "No WebSocket is served at this path."));
    }
    if !origin_names.iter().all(|name| origin_allowed(headers, name, host, &policy.origins)) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "Pages of this origin may not connect (see the option \"origins\").",
        ));
    }
    Ok(())
}

/// A refusal of what is no sound handshake.
pub(crate) const fn bad(reason: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, reason)
}

/// The answer to a key (section 4.2.2, item 5.4).
pub fn accept_value(key: &str) -> String {
    let hash = Sha1::new().chain_update(key.as_bytes()).chain_update(GUID).finalize();
    BASE64.encode(hash)
}

fn origin_allowed(headers: &HeaderMap, name: &HeaderName, host: &str, origins: &Origins) -> bool {
    if !headers.contains_key(name) {
        return true;
    }
    let origin = only(headers, name).and_then(Origin::parse);
    match (origins, origin) {
        (Origins::Any, _) => true,
        (_, None) => false,
        (Origins::SameHost, Some(origin)) => {
            split_port(host).is_some_and(|(host, _)| host.eq_ignore_ascii_case(&origin.host))
        }
        (Origins::List(list), Some(origin)) => list.contains(&origin),
    }
}

fn choose_subprotocol(headers: &HeaderMap, policy: &Policy) -> Option<String> {
    let offered = |name: &str| offered_subprotocols(headers).any(|item| item == name);
    policy.subprotocols.iter().find(|name| offered(name)).cloned()
}

/// The subprotocols that the client offers, in its order of preference.
pub fn offered_subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    list(headers, &header::SEC_WEBSOCKET_PROTOCOL).filter(|name| !name.is_empty())
}

/// Host and port of `host`, `host:port`, `[v6]` or `[v6]:port`; None if the port is not a number.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let colon = authority.rfind(':').filter(|&at| !authority.get(at..).unwrap_or("").contains(']'));
    match colon {
        None => Some((authority, None)),
        Some(at) => {
            let (host, port) = authority.split_at_checked(at)?;
            Some((host, Some(port.get(1..)?.parse().ok()?)))
        }
    }
}

/// The value of a header that occurs once.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok().map(str::trim) }
}

/// The items of a comma-separated header, over all its lines.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    list(headers, name).any(|item| item.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request of section 1.2, as a whole and sound.
    fn request(change: impl FnOnce(&mut Request<()>)) -> Request<()> {
        let mut request = Request::builder()
            .uri("/chat?room=1")
            .header("Host", "server.example.com:8080")
            .header("Upgrade", "websocket")
            .header("Connection", "keep-alive, Upgrade")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("Sec-WebSocket-Version", "13")
            .body(())
            .unwrap();
        change(&mut request);
        request
    }

    fn with(name: &'static str, value: &'static str) -> Request<()> {
        request(|request| {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        })
    }

    fn without(name: &'static str) -> Request<()> {
        request(|request| {
            request.headers_mut().remove(name);
        })
    }

    fn status<B>(request: &Request<B>) -> u16 {
        answer(request, &Policy::default()).map_or_else(|refusal| refusal.status.as_u16(), |_| 101)
    }

    #[test]
    fn the_example_of_the_rfc() {
        let accepted = answer(&request(|_| {}), &Policy::default()).unwrap();
        assert_eq!(accepted.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let response = accepted.response();
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(!response.headers().contains_key("sec-websocket-protocol"));
    }

    #[test]
    fn each_wrong_request_has_its_status() {
        assert_eq!(status(&request(|r| *r.version_mut() = Version::HTTP_10)), 400);
        assert_eq!(status(&request(|r| *r.method_mut() = Method::POST)), 405);
        assert_eq!(status(&without("host")), 400);
        assert_eq!(status(&without("upgrade")), 400);
        assert_eq!(status(&with("upgrade", "h2c")), 400);
        assert_eq!(status(&without("connection")), 400);
        assert_eq!(status(&with("connection", "close")), 400);
        assert_eq!(status(&without("sec-websocket-version")), 426);
        assert_eq!(status(&with("sec-websocket-version", "8")), 426);
        assert_eq!(status(&without("sec-websocket-key")), 400);
        assert_eq!(status(&with("sec-websocket-key", "c2hvcnQ=")), 400);
        assert_eq!(status(&with("sec-websocket-key", "not base64 at all!!!")), 400);
        assert_eq!(status(&with("content-length", "5")), 400);
        assert_eq!(status(&with("transfer-encoding", "chunked")), 400);
        assert_eq!(status(&with("content-length", "0")), 101);
    }

    #[test]
    fn a_key_is_any_22_characters_and_its_padding() {
        assert_eq!(status(&with("sec-websocket-key", "abcdefghijklmnopqrstuv==")), 101);
        assert_eq!(status(&with("sec-websocket-key", "//////////////////////==")), 101);
        assert_eq!(status(&with("sec-websocket-key", "abcdefghijklmnopqrstuv")), 400);
        assert_eq!(status(&with("sec-websocket-key", "abcdefghijklmnopqrstuvwxyz==")), 400);
        assert_eq!(status(&with("sec-websocket-key", "abcdefghijk-mnopqrst_v==")), 400);
    }

    #[test]
    fn two_keys_are_one_too_many() {
        let twice = request(|request| {
            let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
            request.headers_mut().append("sec-websocket-key", key);
        });
        assert_eq!(status(&twice), 400);
    }

    #[test]
    fn tokens_in_any_case_and_on_any_line() {
        assert_eq!(status(&with("upgrade", "WebSocket")), 101);
        let lines = request(|request| {
            request.headers_mut().insert("connection", HeaderValue::from_static("keep-alive"));
            request.headers_mut().append("connection", HeaderValue::from_static("upgrade"));
        });
        assert_eq!(status(&lines), 101);
    }

    #[test]
    fn version_8_where_it_is_allowed() {
        let policy = Policy { hybi8: true, ..Policy::default() };
        let status = |origin| {
            let mut request = with("sec-websocket-version", "8");
            request.headers_mut().insert(SEC_WEBSOCKET_ORIGIN, HeaderValue::from_static(origin));
            answer(&request, &policy).map_or_else(|refusal| refusal.status.as_u16(), |_| 101)
        };
        assert_eq!(status("http://server.example.com"), 101);
        assert_eq!(status("http://evil.example.com"), 403);
        assert!(answer(&request(|_| {}), &policy).is_ok());
        assert!(answer(&with("sec-websocket-version", "7"), &policy).is_err());
    }

    #[test]
    fn compression_is_agreed_on_where_it_is_wanted() {
        let offer = with("sec-websocket-extensions", "permessage-deflate; client_max_window_bits");
        assert_eq!(answer(&offer, &Policy::default()).unwrap().compression, None);
        let wanted = deflate::Wanted {
            server_context_takeover: true,
            client_context_takeover: true,
            max_window_bits: 12,
        };
        let policy = Policy { compression: Some(wanted), ..Policy::default() };
        assert_eq!(
            answer(&offer, &policy).unwrap().response().headers()["sec-websocket-extensions"],
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"
        );
        assert_eq!(answer(&request(|_| {}), &policy).unwrap().compression, None);
    }

    #[test]
    fn a_426_names_the_version() {
        let refusal = answer(&with("sec-websocket-version", "8"), &Policy::default()).unwrap_err();
        let response = refusal.response();
        assert_eq!(response.headers()["sec-websocket-version"], "13");
        assert!(response.body().ends_with('\n'));
    }

    #[test]
    fn origins_of_the_same_host_pass_on_any_port() {
        for (origin, expected) in [
            ("http://server.example.com", 101),
            ("https://SERVER.example.com:444", 101),
            ("http://evil.example.com", 403),
            ("http://server.example.com.evil.org", 403),
            ("null", 403),
            ("http://", 403),
            ("http://server.example.com:x", 403),
            ("http://evil.org/server.example.com", 403),
        ] {
            assert_eq!(status(&with("origin", origin)), expected, "{origin}");
        }
    }

    #[test]
    fn same_host_knows_ipv6() {
        let request = request(|request| {
            request.headers_mut().insert("host", HeaderValue::from_static("[::1]:8080"));
            request.headers_mut().insert("origin", HeaderValue::from_static("http://[::1]"));
        });
        assert_eq!(status(&request), 101);
    }

    #[test]
    fn listed_origins_are_compared_with_scheme_and_port() {
        let list = ["https://shop.example", "http://localhost:3000"].map(|text| Origin::parse(text).unwrap());
        let policy = Policy { origins: Origins::List(list.to_vec()), ..Policy::default() };
        for (origin, allowed) in [
            ("https://shop.example", true),
            ("https://shop.example:443", true),
            ("http://shop.example", false),
            ("http://localhost:3000", true),
            ("http://localhost", false),
        ] {
            assert_eq!(answer(&with("origin", origin), &policy).is_ok(), allowed, "{origin}");
        }
    }

    #[test]
    fn only_listed_paths_exist() {
        let policy = |path: &str| Policy { paths: vec![path.to_owned()], ..Policy::default() };
        assert!(answer(&request(|_| {}), &policy("/chat")).is_ok());
        assert_eq!(answer(&request(|_| {}), &policy("/push")).unwrap_err().status, 404);
    }

    #[test]
    fn the_servers_order_chooses_the_subprotocol() {
        let policy = Policy { subprotocols: vec!["v2".into(), "v1".into()], ..Policy::default() };
        let chosen = |offer| answer(&with("sec-websocket-protocol", offer), &policy).unwrap().subprotocol;
        assert_eq!(chosen("v1, v2").as_deref(), Some("v2"));
        assert_eq!(chosen("v1").as_deref(), Some("v1"));
        assert_eq!(chosen("v3"), None);
    }

    #[test]
    fn a_plain_request_is_no_handshake() {
        assert!(is_websocket(&request(|_| {})));
        assert!(!is_websocket(&Request::new(())));
    }
}
