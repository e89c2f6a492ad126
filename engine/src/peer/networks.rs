//! Whose word is believed: the value of the option `trusted_proxies`.

use super::Peer;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

/// Addresses and networks, and whether peers on Unix sockets belong to them. IPv4 networks hold IPv4
/// addresses only, however they are written, and IPv6 networks only those of IPv6: `::/0` is not everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Networks {
    unix: bool,
    ranges: Vec<RangeInclusive<IpAddr>>,
}

impl Networks {
    /// Reads `none`, or addresses, networks such as `10.0.0.0/8` and the word `unix`, separated by commas.
    pub(crate) fn parse(list: &str) -> Option<Self> {
        let mut networks = Networks::default();
        if list.trim() == "none" {
            return Some(networks);
        }
        for item in list.split(',').map(str::trim) {
            match item {
                "unix" => networks.unix = true,
                _ => networks.ranges.push(range(item)?),
            }
        }
        Some(networks)
    }

    /// Is nobody trusted?
    pub(crate) fn is_empty(&self) -> bool {
        !self.unix && self.ranges.is_empty()
    }

    /// Does the peer belong to them?
    pub(crate) fn trusts(&self, peer: &Peer) -> bool {
        match peer.ip() {
            Some(ip) => self.ranges.iter().any(|range| range.contains(&ip)),
            None => self.unix,
        }
    }
}

/// First and last address of `ip` or `ip/prefix`. Bits of the address beyond the prefix do not matter: who
/// writes 10.1.2.3/8 means a network, and only one can be meant.
fn range(item: &str) -> Option<RangeInclusive<IpAddr>> {
    let (ip, prefix) = match item.split_once('/') {
        Some((ip, prefix)) => (ip, Some(number(prefix)?)),
        None => (item, None),
    };
    let ip: IpAddr = ip.parse().ok()?;
    let bits: u32 = if ip.is_ipv4() { 32 } else { 128 };
    // How many of the lowest bits are free.
    let free = bits.checked_sub(prefix.unwrap_or(bits))?;
    Some(match ip {
        IpAddr::V4(ip) => v4(ip, free),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) if free <= 32 => v4(ip, free),
            _ => {
                let host = u128::MAX.checked_shr(128 - free).unwrap_or(0);
                Ipv6Addr::from(u128::from(ip) & !host).into()..=Ipv6Addr::from(u128::from(ip) | host).into()
            }
        },
    })
}

fn v4(ip: Ipv4Addr, free: u32) -> RangeInclusive<IpAddr> {
    let host = u32::MAX.checked_shr(32 - free).unwrap_or(0);
    Ipv4Addr::from(u32::from(ip) & !host).into()..=Ipv4Addr::from(u32::from(ip) | host).into()
}

/// Digits and nothing else: the standard library would let a sign pass.
fn number(digits: &str) -> Option<u32> {
    digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trusts(list: &str, ip: &str) -> bool {
        let networks = Networks::parse(list).unwrap_or_else(|| panic!("{list:?} is sound"));
        networks.trusts(&Peer::Forwarded(ip.parse().unwrap()))
    }

    #[test]
    fn networks_hold_their_addresses_and_no_others() {
        for (list, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.1.2.3/8", "10.0.0.0", "9.255.255.255"),
            ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("127.0.0.1/32", "127.0.0.1", "127.0.0.0"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
            ("::/0", "ffff::1", "127.0.0.1"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "::10.1.2.3"),
            ("::ffff:10.0.0.0/64", "::1", "10.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
            (" ::1 , 10.0.0.1,unix", "10.0.0.1", "10.0.0.2"),
        ] {
            assert!(trusts(list, inside), "{list} holds {inside}");
            assert!(!trusts(list, outside), "{list} does not hold {outside}");
        }
    }

    #[test]
    fn unix_sockets_are_trusted_by_their_word() {
        assert!(Networks::parse("10.0.0.1, unix").unwrap().trusts(&Peer::Unix));
        assert!(!Networks::parse("0.0.0.0/0, ::/0").unwrap().trusts(&Peer::Unix));
        assert!(!trusts("unix", "127.0.0.1"));
    }

    #[test]
    fn a_peer_with_a_port_is_trusted_by_its_address() {
        let networks = Networks::parse("10.0.0.0/8").unwrap();
        assert!(networks.trusts(&Peer::Socket("[::ffff:10.1.2.3]:4711".parse().unwrap())));
        assert!(!networks.trusts(&Peer::Socket("11.1.2.3:4711".parse().unwrap())));
    }

    #[test]
    fn none_is_nobody() {
        assert_eq!(Networks::parse("none"), Some(Networks::default()));
        assert!(!trusts("none", "127.0.0.1"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in [
            "",
            ",",
            "10.0.0.1,",
            "none,unix",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.0/",
            "10.0.0.0/8/8",
            "10.0.0",
            "::1/129",
            "[::1]",
            "10.0.0.1:80",
            "localhost",
            "UNIX:",
        ] {
            assert_eq!(Networks::parse(bad), None, "{bad:?}");
        }
    }

    proptest! {
        /// By the definition of a prefix: an address is inside if its first bits are those of the network.
        #[test]
        fn a_prefix_is_the_bits_that_must_be_equal(
            network: u128, prefix in 0u32..=128, other: u128, shared in 0u32..=128,
        ) {
            let high = |bits: u128, count: u32| bits & !u128::MAX.checked_shr(count).unwrap_or(0);
            let address = high(network, shared) | (other & !high(u128::MAX, shared));
            let (network, address) = (Ipv6Addr::from(network), Ipv6Addr::from(address));
            prop_assume!(network.to_ipv4_mapped().is_none() && address.to_ipv4_mapped().is_none());
            let expected = high(network.into(), prefix) == high(address.into(), prefix);
            prop_assert_eq!(trusts(&format!("{network}/{prefix}"), &address.to_string()), expected);
        }

        #[test]
        fn ipv4_written_as_ipv6_is_the_same_network(network: u32, prefix in 0u32..=32, address: u32) {
            let (network, address) = (Ipv4Addr::from(network), Ipv4Addr::from(address).to_string());
            let mapped = format!("{}/{}", network.to_ipv6_mapped(), prefix + 96);
            prop_assert_eq!(trusts(&format!("{network}/{prefix}"), &address), trusts(&mapped, &address));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}", likely in "[0-9a-f:./, unix]{0,40}") {
            let _ = (Networks::parse(&text), Networks::parse(&likely));
        }
    }
}
