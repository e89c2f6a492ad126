//! Who the client behind trusted proxies is, by the headers of its request: X-Forwarded-For and
//! X-Forwarded-Proto, or Forwarded (RFC 7239).
//!
//! Proxies append, so the lists are read from their end, the nearest hop first, and only as far as the hops
//! are trusted: what stands further left may be the client's own invention. Elements are therefore split from
//! the right as well, so that an open quote which a client has sent hides nothing that a proxy has appended.

use super::Peer;
use super::networks::Networks;
use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use std::net::Ipv6Addr;

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";
/// No real chain of proxies is so long; it bounds the work that a request can cause.
const MAX_ELEMENTS: usize = 64;

/// Which of the two families of headers is believed. Never both: a proxy that sets the one passes the other
/// on as the client sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ProxyHeader {
    #[default]
    XForwardedFor,
    Forwarded,
}

/// The client as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    /// The first address from the right that is no trusted proxy; where the chain breaks off, the last one
    /// before that.
    pub(crate) peer: Peer,
    /// Did it come by TLS? None: no header says.
    pub(crate) tls: Option<bool>,
}

/// Who sent the request that came by a socket from `peer`.
pub(crate) fn client(peer: Peer, headers: &HeaderMap, trusted: &Networks, header: ProxyHeader) -> Client {
    if !trusted.trusts(&peer) {
        return Client { peer, tls: None };
    }
    match header {
        ProxyHeader::XForwardedFor => by_x_forwarded(peer, headers, trusted),
        ProxyHeader::Forwarded => by_forwarded(peer, headers, trusted),
    }
}

/// The protocol is what the nearest proxy says of it: it has a list of its own, often of another length.
fn by_x_forwarded(mut peer: Peer, headers: &HeaderMap, trusted: &Networks) -> Client {
    for item in from_the_right(headers, X_FORWARDED_FOR) {
        let Some(hop) = text(item).and_then(address) else { break };
        peer = hop;
        if !trusted.trusts(&peer) {
            break;
        }
    }
    let tls = from_the_right(headers, X_FORWARDED_PROTO).next().and_then(text).and_then(is_tls);
    Client { peer, tls }
}

/// Each element is by the trusted proxy that appended it, so its protocol holds even where it hides for whom.
fn by_forwarded(mut peer: Peer, headers: &HeaderMap, trusted: &Networks) -> Client {
    let mut tls = None;
    for item in from_the_right(headers, FORWARDED.as_str()) {
        let Some(element) = text(item).and_then(Element::parse) else { break };
        tls = element.proto.as_deref().and_then(is_tls);
        let Some(hop) = element.node.as_deref().and_then(address) else { break };
        peer = hop;
        if !trusted.trusts(&peer) {
            break;
        }
    }
    Client { peer, tls }
}

/// The two parameters of a forwarded-element (RFC 7239, section 4) that matter here.
#[derive(Default)]
struct Element {
    /// `for`
    node: Option<String>,
    proto: Option<String>,
}

impl Element {
    /// Pairs of a token and a value, separated by semicolons. None: not sound, or one of ours stands twice.
    fn parse(text: &str) -> Option<Self> {
        let mut element = Element::default();
        let mut rest = text;
        loop {
            rest = rest.trim_start();
            if !rest.starts_with(';') && !rest.is_empty() {
                let (name, after) = rest.split_once('=')?;
                let (value, after) = value(after)?;
                rest = after.trim_start();
                // Tokens in any case, as the names of headers are.
                let known = match HeaderName::from_bytes(name.as_bytes()).ok()?.as_str() {
                    "for" => Some(&mut element.node),
                    "proto" => Some(&mut element.proto),
                    _ => None,
                };
                if known.is_some_and(|known| known.replace(value).is_some()) {
                    return None;
                }
            }
            match rest.strip_prefix(';') {
                Some(after) => rest = after,
                None => return rest.is_empty().then_some(element),
            }
        }
    }
}

/// A token or a quoted string (RFC 9110, section 5.6.4), and what follows it. A token may hold the colons and
/// brackets of addresses: proxies forget the quotes.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c == ';' || c.is_ascii_whitespace()).unwrap_or(text.len());
        let (token, rest) = text.split_at_checked(end)?;
        return (!token.is_empty() && !token.contains(['"', '\\'])).then(|| (token.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
}

/// An address with or without a port, IPv6 with or without brackets. None for what hides one: `unknown`, and
/// names that begin with an underscore (RFC 7239, section 6). A hidden port hides just the port.
fn address(text: &str) -> Option<Peer> {
    if let Ok(address) = text.parse() {
        return Some(Peer::Socket(address));
    }
    let ip = text.rsplit_once(":_").map_or(text, |(ip, _)| ip);
    match ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().map(|ip| Peer::Forwarded(ip.into())).ok(),
        None => ip.parse().map(Peer::Forwarded).ok(),
    }
}

fn is_tls(proto: &str) -> Option<bool> {
    let is = |name: &str| proto.eq_ignore_ascii_case(name);
    if is("https") || is("wss") {
        Some(true)
    } else if is("http") || is("ws") {
        Some(false)
    } else {
        None
    }
}

/// The elements of a list over all its lines, the last one first. Empty ones do not count (RFC 9110, section
/// 5.6.1).
fn from_the_right<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).iter().rev();
    let items = lines.flat_map(|line| {
        let mut rest = Some(line.as_bytes());
        std::iter::from_fn(move || {
            let (before, item) = split_last(rest?);
            rest = before;
            Some(item.trim_ascii())
        })
    });
    items.take(MAX_ELEMENTS).filter(|item| !item.is_empty())
}

/// The last element of a line and what stands left of its comma. Seen from the right a quote opens a quoted
/// string, and the next one that no odd number of backslashes escapes closes it.
fn split_last(line: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut quoted = false;
    for (at, &byte) in line.iter().enumerate().rev() {
        let (before, rest) = line.split_at_checked(at).unwrap_or_default();
        match byte {
            b'"' => {
                let escapes = before.iter().rev().take_while(|&&byte| byte == b'\\').count();
                quoted = !quoted || escapes % 2 == 1;
            }
            b',' if !quoted => return (Some(before), rest.get(1..).unwrap_or_default()),
            _ => {}
        }
    }
    (None, line)
}

fn text(item: &[u8]) -> Option<&str> {
    std::str::from_utf8(item).ok()
}

#[cfg(test)]
mod tests;
