//! The answer to a name that is not in the table: the nearest that is.

use super::table::OPTIONS;

/// What other servers call it.
const ELSEWHERE: &[(&str, &str)] = &[
    ("address", "listen"),
    ("host", "listen"),
    ("port", "listen"),
    ("document_root", "static_root"),
    ("root", "static_root"),
    ("max_clients", "max_connections"),
    ("max_payload", "max_message_bytes"),
    ("protocols", "subprotocols"),
    ("threads", "io_threads"),
    ("timeout", "idle_timeout_ms"),
    ("debug", "log_level"),
];

/// The text for a name that is not in the table.
pub(super) fn unknown(name: &str) -> String {
    if let Some((_, here)) = ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == name) {
        return format!("unknown option \"{name}\"; here it is \"{here}\"");
    }
    let nearest = OPTIONS.iter().map(|option| (distance(name, option.name), option.name)).min();
    match nearest {
        Some((distance, nearest)) if distance <= name.len().max(3) / 3 => {
            format!("unknown option \"{name}\"; did you mean \"{nearest}\"?")
        }
        _ => {
            let names: Vec<&str> = OPTIONS.iter().map(|option| option.name).collect();
            format!("unknown option \"{name}\"; known are {}", names.join(", "))
        }
    }
}

/// How many letters have to be added, removed or changed to make one word the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(&to) {
            let changed = diagonal + usize::from(a != *b);
            diagonal = *cell;
            left = changed.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_servers_are_understood() {
        assert_eq!(unknown("port"), "unknown option \"port\"; here it is \"listen\"");
        for (_, here) in ELSEWHERE {
            assert!(OPTIONS.iter().any(|option| option.name == *here), "{here}");
        }
    }

    #[test]
    fn letters_between_words() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }
}
