//! One item of the option `listen`: what kind of socket, where, and what is spoken on it.

use super::values::number;
use std::fmt;
use std::net::Ipv6Addr;
use std::os::fd::RawFd;
use std::path::PathBuf;

/// Where to listen, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) place: Place,
    /// TLS is spoken.
    pub(crate) tls: bool,
    /// Each connection begins with a header of the PROXY protocol.
    pub(crate) proxy: bool,
    /// Other processes listen there as well, and the system deals the connections out (SO_REUSEPORT).
    pub(crate) reuse_port: bool,
}

/// A place to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// `host:port`; names are looked up when the server starts.
    Tcp(String),
    Unix(UnixPlace),
    /// A listening socket that the process has got from the one that started it.
    Inherited(RawFd),
    /// All such sockets that systemd has announced (sd_listen_fds(3)).
    Systemd,
}

/// A unix socket and who may connect to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnixPlace {
    pub(crate) path: PathBuf,
    pub(crate) mode: u32,
    /// Names or numbers.
    pub(crate) owner: Option<String>,
    pub(crate) group: Option<String>,
}

/// Read and write for the owner and the group, as for the sockets of PHP-FPM.
const DEFAULT_MODE: u32 = 0o660;
/// Who may connect there may speak to everybody.
const PUSH_MODE: u32 = 0o600;
/// What sockaddr_un has room for, less the ending zero (unix(7)).
const MAX_PATH_BYTES: usize = 107;

impl Listen {
    /// Checks the form only.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Listen::parse_with(text, DEFAULT_MODE)
    }

    /// The same for a place where others push: a port or a unix socket.
    pub(super) fn parse_push(text: &str) -> Option<Self> {
        let listen = Listen::parse_with(text, PUSH_MODE)?;
        let is_plain = !listen.tls
            && !listen.proxy
            && !listen.reuse_port
            && matches!(listen.place, Place::Tcp(_) | Place::Unix(_));
        is_plain.then_some(listen)
    }

    fn parse_with(text: &str, mode: u32) -> Option<Self> {
        let (place, parameters) = text.split_once('?').map_or((text, None), |(a, b)| (a, Some(b)));
        let (place, tls) = match place.strip_prefix("tls://") {
            Some(place) if !place.contains('/') => (place, true),
            Some(_) => return None,
            None => (place, false),
        };
        let mut listen = Listen { place: Place::parse(place, mode)?, tls, proxy: false, reuse_port: false };
        for parameter in parameters.into_iter().flat_map(|parameters| parameters.split('&')) {
            listen.set(parameter)?;
        }
        Some(listen)
    }

    fn set(&mut self, parameter: &str) -> Option<()> {
        let (name, value) = parameter.split_once('=').map_or((parameter, None), |(n, v)| (n, Some(v)));
        match (name, value, &mut self.place) {
            ("tls", None, _) => self.tls = true,
            ("proxy", None, _) => self.proxy = true,
            ("reuse_port", None, Place::Tcp(_)) => self.reuse_port = true,
            ("mode", Some(mode), Place::Unix(unix)) => {
                let digits = mode.len() <= 4 && mode.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
                unix.mode = u32::from_str_radix(mode, 8).ok().filter(|mode| digits && *mode <= 0o777)?;
            }
            ("owner", Some(owner), Place::Unix(unix)) => unix.owner = Some(is_name(owner)?),
            ("group", Some(group), Place::Unix(unix)) => unix.group = Some(is_name(group)?),
            _ => return None,
        }
        Some(())
    }

    pub(crate) fn is_unix(&self) -> bool {
        matches!(self.place, Place::Unix(_))
    }

    /// Can it be listened at once only?
    pub(super) fn is_fixed(&self) -> bool {
        !matches!(&self.place, Place::Tcp(address) if address.ends_with(":0"))
    }
}

fn is_name(name: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (!name.is_empty() && name.chars().all(allowed)).then(|| name.to_owned())
}

impl Place {
    fn parse(text: &str, mode: u32) -> Option<Self> {
        if text == "systemd" {
            return Some(Place::Systemd);
        }
        if let Some(fd) = text.strip_prefix("fd:") {
            return number(fd, 0, 1 << 20).map(|fd| Place::Inherited(fd as RawFd));
        }
        if let Some(path) = text.strip_prefix("unix:") {
            let sound = path.starts_with('/') && !path.ends_with('/') && path.len() <= MAX_PATH_BYTES;
            let place = UnixPlace { path: PathBuf::from(path), mode, owner: None, group: None };
            return sound.then_some(Place::Unix(place));
        }
        tcp(text).map(Place::Tcp)
    }
}

fn tcp(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    let port = number(port, 0, 65_535)?;
    let host = if host == "0" || host == "*" { "0.0.0.0" } else { host };
    let sound = match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']')?.parse::<Ipv6Addr>().is_ok(),
        None => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
            !host.is_empty() && host.chars().all(allowed)
        }
    };
    sound.then(|| format!("{host}:{port}"))
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp(address) if self.tls => write!(f, "tls://{address}"),
            Place::Tcp(address) => f.write_str(address),
            Place::Unix(unix) => write!(f, "unix:{}", unix.path.display()),
            Place::Inherited(fd) => write!(f, "fd:{fd}"),
            Place::Systemd => f.write_str("systemd"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(text: &str) -> UnixPlace {
        match Listen::parse(text).unwrap().place {
            Place::Unix(unix) => unix,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn places_and_what_is_spoken_there() {
        let plain = Listen { place: Place::Tcp("h:1".into()), tls: false, proxy: false, reuse_port: false };
        assert_eq!(Listen::parse("h:1").unwrap(), plain);
        assert_eq!(Listen::parse("tls://h:1").unwrap(), Listen { tls: true, ..plain.clone() });
        assert_eq!(
            Listen::parse("h:1?tls&proxy").unwrap(),
            Listen { tls: true, proxy: true, ..plain.clone() }
        );
        assert_eq!(Listen::parse("h:1?reuse_port").unwrap(), Listen { reuse_port: true, ..plain });
        assert_eq!(Listen::parse("fd:3").unwrap().place, Place::Inherited(3));
        assert_eq!(Listen::parse("systemd?proxy").unwrap().place, Place::Systemd);
        assert_eq!(Listen::parse("0:9").unwrap().place, Place::Tcp("0.0.0.0:9".into()));
    }

    #[test]
    fn unix_sockets_have_a_mode_and_owners() {
        assert_eq!(unix("unix:/run/a.sock").mode, 0o660);
        let place = unix("unix:/run/a.sock?mode=0600&owner=www-data&group=33");
        assert_eq!(
            (place.mode, place.owner.as_deref(), place.group.as_deref()),
            (0o600, Some("www-data"), Some("33"))
        );
        assert_eq!(place.path, PathBuf::from("/run/a.sock"));
    }

    #[test]
    fn others_push_to_a_port_or_to_a_socket_of_ones_own() {
        let place = |text| Listen::parse_push(text).map(|listen| listen.place);
        assert_eq!(place("127.0.0.1:6380"), Some(Place::Tcp("127.0.0.1:6380".into())));
        let Some(Place::Unix(unix)) = place("unix:/run/push.sock?group=www-data") else { panic!() };
        assert_eq!((unix.mode, unix.group.as_deref()), (0o600, Some("www-data")));
        for bad in ["tls://h:1", "h:1?tls", "h:1?proxy", "unix:/a?proxy", "fd:3", "systemd", "6380"] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let long = format!("unix:/{}", "x".repeat(107));
        for bad in [
            "8080",
            ":80",
            "h:65536",
            "h:x",
            "::1:80",
            "[::1]",
            "a b:1",
            "tls://h",
            "tls://unix:/a",
            "http://h:1",
            "unix:a",
            "unix:/a/",
            "unix:",
            &long,
            "unix:/a?mode=8",
            "unix:/a?mode=1777",
            "unix:/a?owner=",
            "h:1?mode=600",
            "h:1?",
            "h:1?tls=1",
            "h:1?x",
            "fd:",
            "fd:-1",
            "fd:x",
            "systemd:x",
        ] {
            assert_eq!(Listen::parse(bad), None, "{bad}");
        }
    }
}
