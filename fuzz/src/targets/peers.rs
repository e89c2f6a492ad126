//! What proxies say of their clients, and paths: headers of the PROXY protocol, X-Forwarded-For, Forwarded, file names.

use crate::input::Input;
use http::{HeaderMap, HeaderValue, Uri};
use std::net::SocketAddr;
use wsengine::fuzzing;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => proxy_header(input.rest()),
        1 => forwarded(&mut input),
        _ => path(input.rest()),
    }
}

/// What a whole header is, its beginnings may become; what a beginning can no longer become, the whole is not.
fn proxy_header(bytes: &[u8]) {
    match fuzzing::proxy_header(bytes) {
        Ok(Some((peer, size))) => {
            assert!(size <= bytes.len());
            for end in 0..size {
                assert_eq!(fuzzing::proxy_header(&bytes[..end]), Ok(None), "after {end} of {size} bytes");
            }
            assert_eq!(fuzzing::proxy_header(&bytes[..size]), Ok(Some((peer, size))));
        }
        Ok(None) => assert!(bytes.len() < 5_000, "{} bytes and no end", bytes.len()),
        Err(_) => {}
    }
}

fn forwarded(input: &mut Input<'_>) {
    let forwarded = input.flag();
    let peer: SocketAddr = "10.0.0.1:1".parse().unwrap();
    let mut headers = HeaderMap::new();
    let name = if forwarded { "forwarded" } else { "x-forwarded-for" };
    for line in input.rest().split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(name, value);
        }
    }
    let client = fuzzing::client(peer, &headers, "10.0.0.0/8", forwarded).expect("a network");
    assert!(client.len() < 64, "{client:?}");
    // Whoever is not trusted is not believed.
    let stranger: SocketAddr = "192.0.2.1:1".parse().unwrap();
    let told = fuzzing::client(stranger, &headers, "10.0.0.0/8", forwarded).expect("a network");
    assert_eq!(told, stranger.to_string());
}

fn path(bytes: &[u8]) {
    let Ok(uri) = Uri::try_from(bytes) else { return };
    let Some(path) = fuzzing::path(&uri) else { return };
    let text = path.path();
    assert!(text.starts_with('/') && !text.starts_with("//"), "{text:?}");
    assert!(!text.split('/').any(|segment| matches!(segment, "." | "..")), "{text:?}");
    assert_eq!(fuzzing::path(&path).as_ref(), Some(&path), "the one spelling");
}
