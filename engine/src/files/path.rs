//! What a path may look like, and the one spelling in which it goes on.

use http::Uri;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// All that is escaped in a segment: everything but RFC 3986's unreserved characters (section 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The one name with a leading dot that is meant for everybody (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// Path and query with single slashes and in printable ASCII, so that a redirect to it stays on this server:
/// a browser takes `//name/` for another host's root. None if a segment is hidden (`.git`, `..`), is no
/// UTF-8, or holds what no name of a page needs: slashes and backslashes in disguise, control characters.
pub(crate) fn canonical(uri: &Uri) -> Option<Uri> {
    let mut canonical = String::with_capacity(uri.path().len());
    for segment in uri.path().split('/').filter(|segment| !segment.is_empty()) {
        let name = percent_decode_str(segment).decode_utf8().ok()?;
        let hidden = name.starts_with('.') && !(canonical.is_empty() && name == WELL_KNOWN);
        if hidden || name.contains(|c: char| matches!(c, '/' | '\\') || c.is_control()) {
            return None;
        }
        canonical.push('/');
        canonical.extend(utf8_percent_encode(&name, SEGMENT));
    }
    if canonical.is_empty() || uri.path().ends_with('/') {
        canonical.push('/');
    }
    if let Some(query) = uri.query() {
        canonical.push('?');
        canonical.extend(utf8_percent_encode(query, CONTROLS));
    }
    canonical.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(path: &str) -> Option<String> {
        canonical(&path.parse().unwrap()).map(|uri| uri.to_string())
    }

    #[test]
    fn paths_get_one_spelling() {
        for (given, meant) in [
            ("/", "/"),
            ("//", "/"),
            ("/a/b.html", "/a/b.html"),
            ("//a///b//", "/a/b/"),
            ("/a%20b/%C3%BC", "/a%20b/%C3%BC"),
            ("/ü?ü=/../", "/%C3%BC?%C3%BC=/../"),
            ("/%61?b=%2e", "/a?b=%2e"),
            ("/%252e%252e/", "/%252e%252e/"),
            ("http://other.example/a", "/a"),
            ("/.well-known/acme-challenge/x", "/.well-known/acme-challenge/x"),
            ("/a..b/c.", "/a..b/c."),
        ] {
            assert_eq!(of(given).as_deref(), Some(meant), "{given}");
        }
    }

    #[test]
    fn what_is_hidden_or_disguised_is_not_there() {
        for path in [
            "/.",
            "/..",
            "/../a",
            "/a/../b",
            "/a/./b",
            "/%2e%2E/a",
            "/.git/config",
            "/a/.env",
            "/%2ehtpasswd",
            "/a/.well-known/x",
            "/.well-known/.secret",
            "/.well-known-not",
            "/a%2fb",
            "/a%5Cb",
            "/a%00",
            "/a%0d%0ab",
            "/%c2%85",
            "/%ff",
            "/%c0%ae%c0%ae/a",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_stays_below_and_here(
            path in "/[a-c./\\\\%25eEcC0ü]{0,24}",
            query in "[?&=/%.ü]{0,6}",
        ) {
            let Ok(uri) = format!("{path}?{query}").parse::<Uri>() else { return Ok(()) };
            let Some(canonical) = canonical(&uri) else { return Ok(()) };
            let text = canonical.to_string();
            prop_assert!(canonical.host().is_none(), "{}", text);
            prop_assert!(text.starts_with('/') && !text.starts_with("//"), "{}", text);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{}", text);
            let decoded = percent_decode_str(canonical.path()).decode_utf8().unwrap();
            prop_assert!(decoded.split('/').all(|name| !name.starts_with('.')), "{}", decoded);
            prop_assert!(!decoded.contains(['\\', '\0']) && !decoded.contains("//"), "{}", decoded);
            prop_assert_eq!(super::canonical(&canonical), Some(canonical));
        }
    }
}
