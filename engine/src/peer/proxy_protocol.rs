//! The PROXY protocol, versions 1 and 2, as HAProxy's doc/proxy-protocol.txt has it: the header that a proxy
//! sends before anything else of the connection, read from the bytes that have come so far.
//!
//! What can no longer become a header is refused at its first wrong byte: a client that came past the proxy
//! sends `GET /` and then waits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// What the bytes so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// The beginning of a header.
    More,
    /// A whole header, and perhaps bytes after it.
    Header {
        /// Whose connection it is. None: keep to the socket's peer, as it is the proxy's own connection
        /// (LOCAL) or of a kind that has no such address.
        peer: Option<SocketAddr>,
        /// How many of the bytes are the header.
        size: usize,
    },
}

const V1_TCP4: &[u8] = b"PROXY TCP4 ";
const V1_TCP6: &[u8] = b"PROXY TCP6 ";
const V1_UNKNOWN: &[u8] = b"PROXY UNKNOWN";
/// Longest line of version 1 with its CRLF (section 2.1).
const V1_MAX_BYTES: usize = 107;
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length (section 2.2).
const V2_HEAD_BYTES: usize = 16;
/// Two addresses and two ports.
const V2_TCP4_BYTES: u16 = 12;
const V2_TCP6_BYTES: u16 = 36;
/// What may follow the head: the addresses, and what a proxy adds, of which certificates are the largest.
const V2_MAX_BODY_BYTES: u16 = 4096;

/// The source of a connection if it has one, and the bytes after the header.
type Line<'a> = (Option<SocketAddr>, &'a [u8]);

/// Reads the header at the beginning of `bytes`. The error is a sentence for the log.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, &'static str> {
    if let Some(rest) = bytes.strip_prefix(V2_SIGNATURE) {
        return v2(rest);
    }
    let line = bytes.get(..V1_MAX_BYTES).unwrap_or(bytes);
    let read = if let Some(rest) = line.strip_prefix(V1_TCP4) {
        tcp::<Ipv4Addr>(rest)?
    } else if let Some(rest) = line.strip_prefix(V1_TCP6) {
        tcp::<Ipv6Addr>(rest)?
    } else if let Some(rest) = line.strip_prefix(V1_UNKNOWN) {
        unknown(rest)?
    } else if [V1_TCP4, V1_TCP6, V1_UNKNOWN, V2_SIGNATURE].iter().any(|begin| begin.starts_with(line)) {
        None
    } else {
        return Err("This listener demands a PROXY protocol header: version 1 (TCP4, TCP6, UNKNOWN) or 2.");
    };
    match read {
        Some((peer, rest)) => Ok(Parsed::Header { peer, size: line.len() - rest.len() }),
        None if line.len() < V1_MAX_BYTES => Ok(Parsed::More),
        None => Err("A PROXY protocol line has at most 107 bytes."),
    }
}

/// The rest of a line for TCP: two addresses, two ports.
fn tcp<T: FromStr + Into<IpAddr>>(rest: &[u8]) -> Result<Option<Line<'_>>, &'static str> {
    let Some((source, rest)) = field(rest, b' ', address::<T>, may_become_address::<T>)? else {
        return Ok(None);
    };
    let Some((_, rest)) = field(rest, b' ', address::<T>, may_become_address::<T>)? else { return Ok(None) };
    let Some((port, rest)) = field(rest, b' ', port, may_become_port)? else { return Ok(None) };
    let Some((_, rest)) = field(rest, b'\r', self::port, may_become_port)? else { return Ok(None) };
    match rest.split_first() {
        Some((b'\n', rest)) => Ok(Some((Some(SocketAddr::new(source, port)), rest))),
        Some(_) => Err("A PROXY protocol line ends with CR and LF."),
        None => Ok(None),
    }
}

/// The rest of a line for anything else: what it says up to its end is for others (section 2.1).
fn unknown(rest: &[u8]) -> Result<Option<Line<'_>>, &'static str> {
    match rest {
        [b' ' | b'\r', ..] | [] => {}
        _ => return Err("In a PROXY protocol line UNKNOWN is followed by a space or the end."),
    }
    let end = rest.windows(2).position(|pair| pair == b"\r\n");
    Ok(end.and_then(|end| rest.get(end + 2..)).map(|rest| (None, rest)))
}

/// The field at the beginning and what follows the byte that ends it; None while it may still become one.
fn field<T>(
    rest: &[u8],
    end: u8,
    read: impl Fn(&str) -> Option<T>,
    may_become: impl Fn(&str) -> bool,
) -> Result<Option<(T, &[u8])>, &'static str> {
    let mut parts = rest.splitn(2, |&byte| byte == end);
    let text = parts.next().and_then(|text| std::str::from_utf8(text).ok());
    let field = match (text, parts.next()) {
        (Some(text), Some(rest)) => read(text).map(|value| Some((value, rest))),
        (Some(text), None) => may_become(text).then_some(None),
        (None, _) => None,
    };
    field.ok_or("A PROXY protocol line has two addresses and two ports, each after one space.")
}

fn address<T: FromStr + Into<IpAddr>>(text: &str) -> Option<IpAddr> {
    text.parse::<T>().ok().map(T::into)
}

/// Whatever address begins like this, zeros complete it.
fn may_become_address<T: FromStr>(text: &str) -> bool {
    let is_completed_by = |tail: &str| format!("{text}{tail}").parse::<T>().is_ok();
    ["0.0.0.0", "0:0:0:0:0:0:0:0"]
        .iter()
        .any(|tail| (0..=tail.len()).filter_map(|at| tail.get(at..)).any(is_completed_by))
}

/// In decimal without leading zeros.
fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port: &u16| port.to_string() == text)
}

fn may_become_port(text: &str) -> bool {
    text.is_empty() || port(text).is_some()
}

/// What follows the signature of version 2.
fn v2(rest: &[u8]) -> Result<Parsed, &'static str> {
    let Some((&command, rest)) = rest.split_first() else { return Ok(Parsed::More) };
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err("A binary PROXY protocol header is of version 2 and its command LOCAL or PROXY."),
    };
    let Some((&family, rest)) = rest.split_first() else { return Ok(Parsed::More) };
    let addresses = match (family >> 4, family & 0x0f) {
        _ if is_local => 0,
        (1, 1) => V2_TCP4_BYTES,
        (2, 1) => V2_TCP6_BYTES,
        // Unspecified, or between Unix sockets, which have no address.
        (0..=3, 0 | 1) => 0,
        (0..=3, 2) => return Err("A PROXY protocol header announces datagrams; here are streams only."),
        _ => return Err("A PROXY protocol header has an address family or a transport that does not exist."),
    };
    let Some((&high, rest)) = rest.split_first() else { return Ok(Parsed::More) };
    let len = u16::from_be_bytes([high, rest.first().copied().unwrap_or(0)]);
    if len > V2_MAX_BODY_BYTES {
        return Err("A PROXY protocol header may have at most 4,096 bytes after its first 16.");
    }
    let Some((_, rest)) = rest.split_first() else { return Ok(Parsed::More) };
    if len < addresses {
        return Err("A PROXY protocol header is shorter than the addresses that it announces.");
    }
    let Some(body) = rest.get(..usize::from(len)) else { return Ok(Parsed::More) };
    Ok(Parsed::Header { peer: source(body, addresses), size: V2_HEAD_BYTES + body.len() })
}

/// The source of a connection by TCP: both addresses come first, then both ports.
fn source(body: &[u8], addresses: u16) -> Option<SocketAddr> {
    let (ip, ports): (IpAddr, _) = match addresses {
        V2_TCP4_BYTES => ((*body.first_chunk::<4>()?).into(), 8),
        V2_TCP6_BYTES => ((*body.first_chunk::<16>()?).into(), 32),
        _ => return None,
    };
    let port = body.get(ports..)?.first_chunk()?;
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

#[cfg(test)]
mod tests;
