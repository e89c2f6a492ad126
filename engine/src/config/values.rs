//! What the text of an option may be. None: it is not allowed.

use super::Secret;
use super::listen::Listen;
use crate::backplane::Place;
use crate::history::Rule;
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

/// What a topic may keep: as many messages as a client can be sent at once, and for a month.
const MAX_KEPT_MESSAGES: usize = 10_000;
const MAX_KEPT_SECONDS: usize = 30 * 86_400;

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

/// Where to listen; each place that is one and the same is named once.
pub(super) fn listen_places(list: &str) -> Option<Vec<Listen>> {
    distinct(list, Listen::parse)
}

/// The same for those who push, or none.
pub(super) fn push_places(list: &str) -> Option<Vec<Listen>> {
    if list == "none" { Some(Vec::new()) } else { distinct(list, Listen::parse_push) }
}

/// What is kept of which topics, or none: `PREFIX=MESSAGES/SECONDS`, each prefix once. It may hold an equals sign.
pub(super) fn history(list: &str) -> Option<Vec<Rule>> {
    let rule = |item: &str| {
        let (prefix, kept) = item.rsplit_once('=')?;
        let (messages, seconds) = kept.split_once('/')?;
        Some(Rule {
            prefix: prefix.to_owned(),
            messages: number(messages, 1, MAX_KEPT_MESSAGES)?,
            age: Duration::from_secs(number(seconds, 1, MAX_KEPT_SECONDS)? as u64),
        })
    };
    let rules: Vec<Rule> =
        if list == "none" { Vec::new() } else { items(list)?.map(rule).collect::<Option<_>>()? };
    let distinct: HashSet<&str> = rules.iter().map(|rule| rule.prefix.as_str()).collect();
    (distinct.len() == rules.len()).then_some(rules)
}

/// The address of a Redis, or none.
pub(super) fn redis(text: &str) -> Option<Option<Secret>> {
    match text {
        "none" => Some(None),
        url => Place::parse(url).map(|_| Some(Secret(url.to_owned()))),
    }
}

fn distinct(list: &str, parse: impl Fn(&str) -> Option<Listen>) -> Option<Vec<Listen>> {
    let places: Vec<Listen> = items(list)?.map(parse).collect::<Option<_>>()?;
    let fixed: Vec<String> = places.iter().filter(|listen| listen.is_fixed()).map(place).collect();
    let distinct: HashSet<&String> = fixed.iter().collect();
    (distinct.len() == fixed.len()).then_some(places)
}

/// The place without what is spoken there.
fn place(listen: &Listen) -> String {
    Listen { tls: false, ..listen.clone() }.to_string()
}

/// A file as it is found now, wherever the process goes later.
pub(super) fn file(path: &str) -> Option<PathBuf> {
    std::path::absolute(path).ok()
}

pub(super) fn is_token(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A name that fits between the colons of a channel.
pub(super) fn name(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    ((1..=64).contains(&text.len()) && text.bytes().all(allowed)).then(|| text.to_owned())
}

pub(super) fn on_or_off(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}
