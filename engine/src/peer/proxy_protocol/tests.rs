use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn header(peer: Option<&str>, size: usize) -> Result<Parsed, &'static str> {
    Ok(Parsed::Header { peer: peer.map(|peer| peer.parse().unwrap()), size })
}

/// Refused at the last of these bytes and not before.
#[track_caller]
fn assert_wrong_at_the_end(bytes: &[u8]) {
    for end in 0..bytes.len() {
        assert_eq!(parse(&bytes[..end]), Ok(Parsed::More), "{:?}", bytes[..end].escape_ascii().to_string());
    }
    assert!(parse(bytes).is_err(), "{:?}", bytes.escape_ascii().to_string());
    assert!(parse(&[bytes, b" and more\r\n"].concat()).is_err(), "{:?}", bytes.escape_ascii().to_string());
}

/// A header of version 2 that announces as much as follows.
fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u16).to_be_bytes();
    [V2_SIGNATURE, &[command, family], &len, body].concat()
}

#[test]
fn lines_of_version_1() {
    for (line, peer) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.2 51234 443\r\n", Some("192.0.2.1:51234")),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", Some("255.255.255.255:65535")),
        ("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", Some("0.0.0.0:0")),
        ("PROXY TCP6 2001:db8::1 2001:DB8::2 51234 443\r\n", Some("[2001:db8::1]:51234")),
        ("PROXY TCP6 ::ffff:192.0.2.1 :: 1 2\r\n", Some("[::ffff:192.0.2.1]:1")),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN \r\n", None),
        ("PROXY UNKNOWN any \r text\n é\r\n", None),
    ] {
        assert_eq!(parse(line.as_bytes()), header(peer, line.len()), "{line:?}");
        let more = format!("{line}GET / HTTP/1.1\r\n\r\n");
        assert_eq!(parse(more.as_bytes()), header(peer, line.len()), "{line:?}");
    }
}

#[test]
fn what_is_no_line_is_refused_at_its_first_wrong_byte() {
    for bytes in [
        "G",
        "PROXY\r",
        "PROXY  ",
        "PROXY TCP5",
        "PROXY t",
        "PROXY TCP4  ",
        "PROXY TCP4 01",
        "PROXY TCP4 256",
        "PROXY TCP4 1.2.3 ",
        "PROXY TCP4 1.2.3.4.",
        "PROXY TCP4 1.2.3.4\t",
        "PROXY TCP4 1.2.3.4 :",
        "PROXY TCP4 1.2.3.4 5.6.7.8  ",
        "PROXY TCP4 1.2.3.4 5.6.7.8 01",
        "PROXY TCP4 1.2.3.4 5.6.7.8 65536",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\r",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 \r",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 ",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r",
        "PROXY TCP6 1.",
        "PROXY TCP6 ::1::",
        "PROXY TCP6 1:2:3:4:5:6:7:8:",
        "PROXY TCP6 12345",
        "PROXY TCP6 ::g",
        "PROXY UNKNOWNS",
        "\r\n\r\n\0\r\nQUIT\r",
    ] {
        assert_wrong_at_the_end(bytes.as_bytes());
    }
}

#[test]
fn a_line_has_at_most_107_bytes() {
    let line = |len: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(len - 16)).into_bytes();
    assert_eq!(parse(&line(107)), header(None, 107));
    assert_wrong_at_the_end(&line(108)[..107]);
    assert!(parse(&line(70_000)).is_err());
    // Both addresses in their longest form need more.
    let long = "0000:0000:0000:0000:0000:ffff:255.255.255.255";
    let line = format!("PROXY TCP6 {long} {long} 65535 65535\r\n");
    assert!(parse(line.as_bytes()).is_err());
}

#[test]
fn headers_of_version_2() {
    let tcp4 = [192, 0, 2, 1, 198, 51, 100, 2, 0xc8, 0x22, 0x01, 0xbb];
    let mut tcp6 = [0; 36];
    tcp6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    tcp6[32..].copy_from_slice(&[0xc8, 0x22, 0x01, 0xbb]);
    for (command, family, body, peer) in [
        (0x21, 0x11, &tcp4[..], Some("192.0.2.1:51234")),
        (0x21, 0x21, &tcp6, Some("[2001:db8::]:51234")),
        (0x20, 0x00, &[], None),
        (0x20, 0x11, &tcp4, None),
        (0x20, 0xff, &[1, 2, 3], None),
        (0x21, 0x00, &[], None),
        (0x21, 0x01, &tcp4, None),
        (0x21, 0x10, &tcp4, None),
        (0x21, 0x31, &[b'x'; 216], None),
    ] {
        // What a proxy adds after the addresses is passed over.
        for added in [&b""[..], b"\x04\x00\x03abc"] {
            let bytes = binary(command, family, &[body, added].concat());
            let expected = header(peer, bytes.len());
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end]), Ok(Parsed::More), "{command:x} {family:x}, {end} bytes");
            }
            assert_eq!(parse(&bytes), expected, "{command:x} {family:x}");
            assert_eq!(parse(&[&bytes[..], b"GET"].concat()), expected, "{command:x} {family:x}");
        }
    }
}

#[test]
fn what_is_no_header_of_version_2_is_refused_at_its_first_wrong_byte() {
    for tail in [
        &b"\x11"[..],
        b"\x31",
        b"\x22",
        b"\x2f",
        b"\x21\x12",
        b"\x21\x22",
        b"\x21\x32",
        b"\x21\x02",
        b"\x21\x13",
        b"\x21\x41",
        b"\x21\x11\x00\x0b",
        b"\x21\x21\x00\x23",
        b"\x21\x11\x10\x01",
        b"\x20\x00\x11",
    ] {
        assert_wrong_at_the_end(&[V2_SIGNATURE, tail].concat());
    }
}

#[test]
fn a_header_of_version_2_has_a_largest_size() {
    let bytes = binary(0x21, 0x11, &[7; 4096]);
    assert_eq!(parse(&bytes), header(Some("7.7.7.7:1799"), 16 + 4096));
}

/// An address as any program may write it.
fn v6_text() -> impl Strategy<Value = String> {
    let groups = vec(prop_oneof![Just(0u16), any::<u16>()], 8);
    (groups, 0..4).prop_map(|(groups, form)| {
        let groups: [u16; 8] = groups.try_into().unwrap();
        let ip = Ipv6Addr::from(groups);
        let long: Vec<String> = groups.iter().map(|group| format!("{group:04X}")).collect();
        match form {
            0 => long.join(":"),
            1 => groups.map(|group| format!("{group:x}")).join(":"),
            2 => format!("{}:{}", long[..6].join(":"), Ipv4Addr::from(u128::from(ip) as u32)),
            _ => ip.to_string(),
        }
    })
}

proptest! {
    #[test]
    fn any_bytes_are_a_header_its_beginning_or_refused(bytes: Vec<u8>, begin in 0usize..4) {
        let begins = [V1_TCP4, V1_TCP6, V1_UNKNOWN, V2_SIGNATURE];
        for bytes in [&bytes[..], &[begins[begin], &bytes].concat()] {
            if let Ok(Parsed::Header { size, .. }) = parse(bytes) {
                prop_assert!(size <= bytes.len());
            }
        }
    }

    #[test]
    fn a_line_is_read_and_its_beginnings_wait(
        v4: [u32; 2], v6 in (v6_text(), v6_text()), ports: [u16; 2], is_v6: bool, after: Vec<u8>,
    ) {
        let [source, target] = v4.map(|ip| Ipv4Addr::from(ip).to_string());
        let (name, (source, target)) = if is_v6 { ("TCP6", v6) } else { ("TCP4", (source, target)) };
        let line = format!("PROXY {name} {source} {target} {} {}\r\n", ports[0], ports[1]);
        prop_assume!(line.len() <= V1_MAX_BYTES);
        for end in 0..line.len() {
            prop_assert_eq!(parse(&line.as_bytes()[..end]), Ok(Parsed::More), "{}", &line[..end]);
        }
        let peer = SocketAddr::new(source.parse().unwrap(), ports[0]);
        let whole = Ok(Parsed::Header { peer: Some(peer), size: line.len() });
        prop_assert_eq!(parse(&[line.as_bytes(), &after].concat()), whole);
    }

    #[test]
    fn a_binary_header_is_read_and_its_beginnings_wait(
        source: SocketAddr, target: SocketAddr, added in vec(any::<u8>(), 0..300), after: Vec<u8>,
    ) {
        let octets = |ip: IpAddr| match (source.ip(), ip) {
            (IpAddr::V4(_), IpAddr::V4(ip)) => ip.octets().to_vec(),
            (IpAddr::V4(_), IpAddr::V6(_)) => vec![9; 4],
            (IpAddr::V6(_), IpAddr::V4(ip)) => ip.to_ipv6_mapped().octets().to_vec(),
            (IpAddr::V6(_), IpAddr::V6(ip)) => ip.octets().to_vec(),
        };
        let ports = [source.port().to_be_bytes(), target.port().to_be_bytes()].concat();
        let body = [octets(source.ip()), octets(target.ip()), ports, added].concat();
        let bytes = binary(0x21, if source.is_ipv4() { 0x11 } else { 0x21 }, &body);
        for end in 0..bytes.len() {
            prop_assert_eq!(parse(&bytes[..end]), Ok(Parsed::More));
        }
        let peer = SocketAddr::new(source.ip(), source.port());
        let whole = Ok(Parsed::Header { peer: Some(peer), size: bytes.len() });
        prop_assert_eq!(parse(&[bytes, after].concat()), whole);
    }

    /// Whatever comes, more bytes never mend what was refused, nor turn a header into another.
    #[test]
    fn what_was_decided_stays(
        line in "PROXY (TCP4|TCP6|UNKNOWN)[ 0-9a-f:.\r\n]{0,60}", cut: prop::sample::Index,
    ) {
        let cut = cut.index(line.len() + 1);
        match parse(&line.as_bytes()[..cut]) {
            Ok(Parsed::More) => {}
            decided => prop_assert_eq!(parse(line.as_bytes()), decided),
        }
    }
}
