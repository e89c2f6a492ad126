//! Who is at the other end, also behind proxies: what a socket, a PROXY protocol header or the headers of a
//! request say of it. Whose word is believed is `networks.rs`. Functions of bytes, nothing is read here.

mod forwarded;
mod networks;
pub(crate) mod proxy_protocol;

pub(crate) use forwarded::{ProxyHeader, client};
pub(crate) use networks::Networks;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Who is at the other end.
///
/// IPv4 addresses that a socket of IPv6 sees as `::ffff:203.0.113.7` are shown and told as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The other end of a TCP connection, ours or that of a trusted proxy.
    Socket(SocketAddr),
    /// Named by a trusted proxy in a header that knows no port.
    Forwarded(IpAddr),
    /// A program on this machine, by a Unix socket: these have no addresses.
    Unix,
}

impl Peer {
    /// The address, for all that counts or compares addresses; none on a Unix socket.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Peer::Socket(address) => Some(address.ip().to_canonical()),
            Peer::Forwarded(ip) => Some(ip.to_canonical()),
            Peer::Unix => None,
        }
    }

    /// The port, where it is known.
    pub fn port(&self) -> Option<u16> {
        match self {
            Peer::Socket(address) => Some(address.port()),
            Peer::Forwarded(_) | Peer::Unix => None,
        }
    }
}

/// `203.0.113.7:51234`, `[2001:db8::1]:443`, `203.0.113.7`, `2001:db8::1` or `unix:`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.ip()) {
            (Peer::Socket(address), Some(IpAddr::V4(ip))) => write!(f, "{ip}:{}", address.port()),
            // As it is: a link-local address has its scope beside it.
            (Peer::Socket(address), _) => address.fmt(f),
            (_, Some(ip)) => ip.fmt(f),
            (_, None) => f.write_str("unix:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(text: &str) -> Peer {
        Peer::Socket(text.parse().unwrap())
    }

    fn forwarded(text: &str) -> Peer {
        Peer::Forwarded(text.parse().unwrap())
    }

    #[test]
    fn peers_are_shown_as_addresses_are_written() {
        for text in ["203.0.113.7:51234", "[2001:db8::1]:443", "[fe80::1%2]:80"] {
            assert_eq!(socket(text).to_string(), text);
        }
        for text in ["203.0.113.7", "2001:db8::1"] {
            assert_eq!(forwarded(text).to_string(), text);
        }
        assert_eq!(Peer::Unix.to_string(), "unix:");
    }

    #[test]
    fn ipv4_inside_ipv6_is_ipv4() {
        let ip = Some("203.0.113.7".parse().unwrap());
        assert_eq!(socket("[::ffff:203.0.113.7]:80").ip(), ip);
        assert_eq!(socket("[::ffff:203.0.113.7]:80").to_string(), "203.0.113.7:80");
        assert_eq!(forwarded("::ffff:203.0.113.7").ip(), ip);
        assert_eq!(forwarded("::ffff:203.0.113.7").to_string(), "203.0.113.7");
    }

    #[test]
    fn what_is_not_known_is_none() {
        assert_eq!(socket("[2001:db8::1]:443").port(), Some(443));
        assert_eq!(forwarded("2001:db8::1").port(), None);
        assert_eq!((Peer::Unix.ip(), Peer::Unix.port()), (None, None));
    }
}
