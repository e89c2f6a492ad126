use super::*;
use http::HeaderValue;
use proptest::prelude::*;

const TRUSTED: &str = "10.0.0.0/8, 2001:db8:f::/48";

/// What a request with these header lines says, by a socket from a trusted proxy.
fn ask(header: ProxyHeader, lines: &[(&'static str, &str)]) -> Client {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    client(proxy(), &headers, &Networks::parse(TRUSTED).unwrap(), header)
}

fn proxy() -> Peer {
    Peer::Socket("10.0.0.1:4711".parse().unwrap())
}

fn by_xff(lines: &[&str]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
    ask(ProxyHeader::XForwardedFor, &lines).peer.to_string()
}

/// Peer and protocol.
fn by_forwarded(lines: &[&str]) -> (String, Option<bool>) {
    let lines: Vec<_> = lines.iter().map(|line| ("forwarded", *line)).collect();
    let client = ask(ProxyHeader::Forwarded, &lines);
    (client.peer.to_string(), client.tls)
}

#[test]
fn a_stranger_is_not_believed() {
    let mut headers = HeaderMap::new();
    headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
    headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
    headers.insert("forwarded", HeaderValue::from_static("for=192.0.2.1;proto=https"));
    let stranger = Peer::Socket("192.0.2.9:1".parse().unwrap());
    for header in [ProxyHeader::XForwardedFor, ProxyHeader::Forwarded] {
        for (peer, trusted) in [(stranger, TRUSTED), (proxy(), "none"), (Peer::Unix, TRUSTED)] {
            let told = client(peer, &headers, &Networks::parse(trusted).unwrap(), header);
            assert_eq!(told, Client { peer, tls: None });
        }
    }
}

#[test]
fn a_proxy_on_a_unix_socket_is_believed_where_it_is_trusted() {
    let mut headers = HeaderMap::new();
    headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
    let trusted = Networks::parse("unix").unwrap();
    let told = client(Peer::Unix, &headers, &trusted, ProxyHeader::XForwardedFor);
    assert_eq!(told.peer.to_string(), "192.0.2.1");
}

#[test]
fn the_first_untrusted_address_from_the_right_is_the_client() {
    for (lines, expected) in [
        (&["192.0.2.1"][..], "192.0.2.1"),
        (&["192.0.2.1, 10.0.0.2,10.0.0.3"], "192.0.2.1"),
        (&["198.51.100.66, 192.0.2.1"], "192.0.2.1"),
        (&["192.0.2.1", "10.0.0.2"], "192.0.2.1"),
        (&["198.51.100.66", "192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (&["2001:db8::1, 2001:db8:f::1"], "2001:db8::1"),
        (&["::ffff:192.0.2.1, ::ffff:10.0.0.2"], "192.0.2.1"),
        (&[], "10.0.0.1:4711"),
        (&[""], "10.0.0.1:4711"),
        (&["192.0.2.1, , ,"], "192.0.2.1"),
        (&["\" , 192.0.2.1"], "192.0.2.1"),
    ] {
        assert_eq!(by_xff(lines), expected, "{lines:?}");
    }
}

#[test]
fn ports_are_kept_where_they_are_told() {
    for (item, expected) in [
        ("192.0.2.1:567", "192.0.2.1:567"),
        ("[2001:db8::1]:567", "[2001:db8::1]:567"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("10.0.0.7:567", "10.0.0.7:567"),
    ] {
        assert_eq!(by_xff(&[item]), expected);
    }
}

#[test]
fn the_chain_breaks_off_at_what_is_no_address() {
    for broken in
        ["unknown", "_hidden", "localhost", "192.0.2", "192.0.2.1:x", "192.0.2.1:65536", "é", "[::1"]
    {
        assert_eq!(by_xff(&[&format!("192.0.2.1, {broken}, 10.0.0.2")]), "10.0.0.2", "{broken}");
        assert_eq!(by_xff(&["192.0.2.1", broken]), "10.0.0.1:4711", "{broken}");
    }
}

#[test]
fn only_so_many_elements_are_looked_at() {
    let hops = |count: usize| format!("192.0.2.1{}", ", 10.0.0.2".repeat(count));
    assert_eq!(by_xff(&[&hops(MAX_ELEMENTS - 1)]), "192.0.2.1");
    assert_eq!(by_xff(&[&hops(MAX_ELEMENTS)]), "10.0.0.2");
    assert_eq!(by_xff(&["192.0.2.1", &",".repeat(MAX_ELEMENTS)]), "10.0.0.1:4711");
}

#[test]
fn the_nearest_proxys_protocol_counts() {
    let tls = |lines: &[&str]| {
        let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-proto", *line)).collect();
        ask(ProxyHeader::XForwardedFor, &lines).tls
    };
    assert_eq!(tls(&["https"]), Some(true));
    assert_eq!(tls(&["WSS"]), Some(true));
    assert_eq!(tls(&["https, http"]), Some(false));
    assert_eq!(tls(&["http", "https"]), Some(true));
    assert_eq!(tls(&["ws"]), Some(false));
    assert_eq!(tls(&["https, gopher"]), None);
    assert_eq!(tls(&[]), None);
}

#[test]
fn the_other_family_is_not_believed() {
    let lines = [
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "for=192.0.2.2;proto=https"),
    ];
    let told = |header| {
        let client = ask(header, &lines);
        (client.peer.to_string(), client.tls)
    };
    assert_eq!(told(ProxyHeader::XForwardedFor), ("192.0.2.1".into(), Some(false)));
    assert_eq!(told(ProxyHeader::Forwarded), ("192.0.2.2".into(), Some(true)));
}

#[test]
fn forwarded_as_in_rfc_7239() {
    for (lines, peer, tls) in [
        (&["for=\"_gazonk\""][..], "10.0.0.1:4711", None),
        (&["For=\"[2001:db8:cafe::17]:4711\""], "[2001:db8:cafe::17]:4711", None),
        (&["for=192.0.2.60;proto=http;by=203.0.113.43"], "192.0.2.60", Some(false)),
        (&["for=192.0.2.43, for=198.51.100.17"], "198.51.100.17", None),
        (&["for=192.0.2.43, for=10.0.0.2"], "192.0.2.43", None),
        (&["for=192.0.2.43", "for=\"10.0.0.2\";PROTO=Https"], "192.0.2.43", None),
        (&["for=192.0.2.43;proto=https", "for=10.0.0.2;proto=http"], "192.0.2.43", Some(true)),
        (&["for=10.0.0.3;proto=https, for=10.0.0.2"], "10.0.0.3", Some(true)),
        (&["for=\"192.0.2.43:47011\""], "192.0.2.43:47011", None),
        (&["for=192.0.2.43:47011"], "192.0.2.43:47011", None),
        (&["for=\"192.0.2.43:_hidden\""], "192.0.2.43", None),
        (&["for=\"\\1\\92.0.2.\\43\" ; host=\"a,\\\";b\" ; proto=\"https\";"], "192.0.2.43", Some(true)),
        (&["secret=\"a\\\\\", for=192.0.2.43;x=\"\\\\\", , "], "192.0.2.43", None),
        (&[], "10.0.0.1:4711", None),
    ] {
        assert_eq!(by_forwarded(lines), (peer.to_owned(), tls), "{lines:?}");
    }
}

#[test]
fn a_hidden_client_still_has_its_protocol() {
    for node in ["for=unknown;", "for=_hidden;", "by=203.0.113.43;", ""] {
        let line = format!("for=192.0.2.1;proto=http, {node}proto=https, for=10.0.0.2;proto=http");
        assert_eq!(by_forwarded(&[&line]), ("10.0.0.2".into(), Some(true)), "{node:?}");
    }
}

#[test]
fn the_chain_breaks_off_at_an_element_that_is_not_sound() {
    for broken in [
        "for",
        "for=",
        "=192.0.2.9",
        "for =192.0.2.9",
        "for= 192.0.2.9",
        "for=192.0.2.9 proto=https",
        "for=192.0.2.9;for=192.0.2.8",
        "for=192.0.2.9;proto=https;proto=https",
        "for=\"192.0.2.9",
        "for=192.0.2.9\"",
        "for=\"192.0.2.9\\\"",
        "for=\"192.0.2.9\"x",
        "by=a\\b;for=192.0.2.9",
    ] {
        let line = format!("for=192.0.2.1;proto=https, {broken}, for=10.0.0.2");
        assert_eq!(by_forwarded(&[&line]), ("10.0.0.2".into(), None), "{broken}");
    }
}

proptest! {
    /// Whatever a client sends: what the proxy appends is read all the same.
    #[test]
    fn nothing_sent_before_hides_what_a_proxy_appends(
        forged in "[ -~é]{0,60}", likely in "[fo=r\"\\\\,; 1.:\\[\\]]{0,40}", own_line: bool,
    ) {
        for forged in [&forged, &likely] {
            let appended = |item: &str| match own_line {
                true => vec![forged.clone(), item.to_owned()],
                false => vec![format!("{forged}, {item}")],
            };
            let lines = appended("for=\"[2001:db8::7]:4711\";proto=https");
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            prop_assert_eq!(by_forwarded(&lines), ("[2001:db8::7]:4711".into(), Some(true)));
            let lines = appended("192.0.2.1");
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            prop_assert_eq!(by_xff(&lines), "192.0.2.1");
        }
    }

    #[test]
    fn any_lines_are_read(lines: Vec<Vec<u8>>) {
        let mut headers = HeaderMap::new();
        for value in lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok()) {
            headers.append(X_FORWARDED_FOR, value.clone());
            headers.append(X_FORWARDED_PROTO, value.clone());
            headers.append(FORWARDED, value);
        }
        let trusted = Networks::parse(TRUSTED).unwrap();
        for header in [ProxyHeader::XForwardedFor, ProxyHeader::Forwarded] {
            client(proxy(), &headers, &trusted, header);
        }
    }
}
