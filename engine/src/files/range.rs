//! Which part of a file is asked for (RFC 9110, section 14). tower-http cuts the part out; which requests
//! count, and when the whole file is the right answer, is decided here. To answer with the whole file is
//! always allowed.

use crate::response::Response;
use http::header::{CONTENT_LENGTH, ETAG, HeaderName, IF_RANGE, RANGE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// A single range of bytes.
pub(super) struct Range {
    /// In the spelling that tower-http understands.
    pub(super) value: HeaderValue,
    /// Counted from the end.
    last: bool,
    /// The version of the file that the peer has other parts of.
    of: Option<HeaderValue>,
}

impl Range {
    /// Takes the range out of a request. None where it has none, or one that is to be ignored: another method
    /// than GET, another unit than bytes, several ranges, or no sound range at all.
    pub(super) fn take(head: &mut Parts) -> Option<Range> {
        let range = only(&head.headers, RANGE).and_then(|value| parse(value.to_str().ok()?));
        head.headers.remove(RANGE);
        let range = range.filter(|_| head.method == Method::GET)?;
        Some(Range {
            last: range.starts_with('-'),
            value: HeaderValue::try_from(format!("bytes={range}")).ok()?,
            of: head.headers.remove(IF_RANGE),
        })
    }

    /// Is this answer to be sent, rather than the whole file? Not if the file is another one by now:
    /// `If-Range` must be the very tag, and a date never proves it, since a file can change twice within a
    /// second (sections 13.1.5, 8.8.2.2). Not if more of the end is asked for than there is: that means all
    /// (section 14.1.2). And not for a part of nothing.
    pub(super) fn is_met_by(&self, response: &Response) -> bool {
        let headers = response.headers();
        let same = self.of.is_none() || self.of.as_ref() == headers.get(ETAG);
        same && match response.status() {
            StatusCode::PARTIAL_CONTENT => headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0"),
            StatusCode::RANGE_NOT_SATISFIABLE => !self.last,
            _ => true,
        }
    }
}

/// The range of `bytes=2-4`, `bytes=2-` or `bytes=-3`, without leading zeros (section 14.1.2).
fn parse(value: &str) -> Option<String> {
    let (unit, range) = value.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    match (first, last) {
        ("", last) => number(last).filter(|last| *last > 0).map(|last| format!("-{last}")),
        (first, "") => number(first).map(|first| format!("{first}-")),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then(|| format!("{first}-{last}"))
        }
    }
}

/// Digits only: Rust's own parser takes a plus sign as well.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn single_ranges_are_understood() {
        for (value, range) in [
            ("bytes=2-4", "2-4"),
            ("bytes=2-", "2-"),
            ("bytes=-3", "-3"),
            ("Bytes=0-0", "0-0"),
            ("bytes= 007-08 ", "7-8"),
            ("bytes=18446744073709551615-", "18446744073709551615-"),
        ] {
            assert_eq!(parse(value).as_deref(), Some(range), "{value}");
        }
    }

    #[test]
    fn what_is_no_single_sound_range_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=--1",
            "bytes=-0",
            "bytes=4-2",
            "bytes=+1-2",
            "bytes=0x1-2",
            "bytes=1 - 2",
            "bytes=1-2,4-5",
            "bytes=0-18446744073709551616",
            "lines=1-2",
            "bytes =1-2",
            "1-2",
        ] {
            assert_eq!(parse(value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_is_understood_is_understood_again(value in "(bytes|Bytes)=[0-9 ,+-]{0,8}") {
            if let Some(range) = parse(&value) {
                prop_assert_eq!(parse(&format!("bytes={range}")), Some(range.clone()), "{}", value);
                let (first, last) = range.split_once('-').unwrap();
                prop_assert!(first.is_empty() || last.is_empty()
                    || first.parse::<u64>().unwrap() <= last.parse::<u64>().unwrap(), "{}", value);
            }
        }
    }
}
