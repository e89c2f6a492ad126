//! What the text of an option may be. None: it is not allowed.

use std::collections::HashSet;
use std::time::Duration;

/// A whole number in decimal; underscores may group its digits.
pub(super) fn number(text: &str, min: usize, max: usize) -> Option<usize> {
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    let sound = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|n| sound && (min..=max).contains(n))
}

pub(super) fn millis(text: &str, min: usize, max: u64) -> Option<Duration> {
    number(text, min, max as usize).map(|ms| Duration::from_millis(ms as u64))
}

/// The items of a list, none of them empty.
pub(super) fn items(list: &str) -> Option<impl Iterator<Item = &str>> {
    let items = list.split(',').map(str::trim);
    items.clone().all(|item| !item.is_empty()).then_some(items)
}

pub(super) fn listen_addresses(list: &str) -> Option<Vec<String>> {
    let addresses: Vec<String> = items(list)?.map(listen_address).collect::<Option<_>>()?;
    let distinct: HashSet<&String> = addresses.iter().filter(|address| !address.ends_with(":0")).collect();
    let fixed = addresses.iter().filter(|address| !address.ends_with(":0")).count();
    (distinct.len() == fixed).then_some(addresses)
}

/// Checks the form only; names are looked up when the server starts.
fn listen_address(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    let port = number(port, 0, 65_535)?;
    let host = if host == "0" || host == "*" { "0.0.0.0" } else { host };
    let sound = match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
            !host.is_empty() && host.chars().all(allowed)
        }
    };
    sound.then(|| format!("{host}:{port}"))
}

pub(super) fn is_token(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
