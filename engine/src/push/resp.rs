//! The protocol of Redis, version 2, as far as a server has to speak it: commands as arrays of bulk strings or as a line of
//! words, and simple answers (redis.io, "Redis serialization protocol specification").

use std::borrow::Cow;

/// Words of a command. Ours have three at the most, those that clients send of their own accord hardly more.
const MAX_WORDS: usize = 64;
/// A command as a line, and the head of an array or a string.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// The head of an array or a string: a sign and digits.
const MAX_HEAD_BYTES: usize = 16;

/// What cannot be understood: what comes after it cannot either, so it is the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) &'static str);

const TOO_LONG: Broken = Broken("a command that is too long");

/// A command and how many bytes it takes. An empty one is no command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command<'a> {
    pub(super) words: Vec<Cow<'a, [u8]>>,
    pub(super) len: usize,
}

/// The first command in `bytes`; None: it has not wholly come. `max` is how long it may be in all.
pub(super) fn parse(bytes: &[u8], max: usize) -> Result<Option<Command<'_>>, Broken> {
    let command = match bytes.first() {
        None => None,
        Some(b'*') => array(bytes, max)?,
        Some(_) => inline(bytes)?,
    };
    match command {
        None if bytes.len() > max => Err(TOO_LONG),
        Some(command) if command.len > max => Err(TOO_LONG),
        command => Ok(command),
    }
}

fn array(bytes: &[u8], max: usize) -> Result<Option<Command<'_>>, Broken> {
    let Some((count, mut at)) = head(bytes, 0)? else { return Ok(None) };
    let count = match count {
        ..=0 => 0,
        count => {
            usize::try_from(count).ok().filter(|count| *count <= MAX_WORDS).ok_or(Broken("too many words"))?
        }
    };
    let mut words = Vec::new();
    while words.len() < count {
        match bytes.get(at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(_) => return Err(Broken("a word that does not begin with $")),
        }
        let Some((len, begin)) = head(bytes, at)? else { return Ok(None) };
        let len = usize::try_from(len).map_err(|_| Broken("a word without a length"))?;
        if len > max {
            return Err(TOO_LONG);
        }
        let Some(rest) = bytes.get(begin..) else { return Ok(None) };
        let Some((word, end)) = rest.split_at_checked(len) else { return Ok(None) };
        match end {
            [b'\r', b'\n', ..] => words.push(Cow::Borrowed(word)),
            [] | [b'\r'] => return Ok(None),
            _ => return Err(Broken("a word that is longer than it says")),
        }
        at = begin + len + 2;
    }
    Ok(Some(Command { words, len: at }))
}

/// The number behind the sign at `at`, and where the next line begins.
fn head(bytes: &[u8], at: usize) -> Result<Option<(i64, usize)>, Broken> {
    let line = bytes.get(at + 1..).unwrap_or_default();
    let line = line.get(..line.len().min(MAX_HEAD_BYTES)).unwrap_or_default();
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        return if line.len() < MAX_HEAD_BYTES {
            Ok(None)
        } else {
            Err(Broken("a length that is no number"))
        };
    };
    let digits = line.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let number =
        digits.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|text| text.parse().ok());
    number.map(|number| Some((number, at + 1 + end + 1))).ok_or(Broken("a length that is no number"))
}

/// A line of words, as a person types it.
fn inline(bytes: &[u8]) -> Result<Option<Command<'_>>, Broken> {
    let Some(end) = bytes.iter().take(MAX_LINE_BYTES).position(|byte| *byte == b'\n') else {
        return if bytes.len() < MAX_LINE_BYTES { Ok(None) } else { Err(Broken("a line that is too long")) };
    };
    let line = bytes.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        if words.len() == MAX_WORDS {
            return Err(Broken("too many words"));
        }
        let (word, behind) = match rest {
            [quote @ (b'"' | b'\''), quoted @ ..] => {
                unquote(quoted, *quote).ok_or(Broken("quotes that do not end"))?
            }
            _ => {
                let len = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                let (word, behind) = rest.split_at_checked(len).unwrap_or_default();
                (Cow::Borrowed(word), behind)
            }
        };
        words.push(word);
        rest = behind.trim_ascii_start();
    }
    Ok(Some(Command { words, len: end + 1 }))
}

/// What stands in quotes, and what is behind them. In double ones a backslash stands before what is no plain character.
fn unquote(mut rest: &[u8], quote: u8) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut word = Vec::new();
    loop {
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        match (*byte, rest) {
            (b'\\', [b'x', high, low, behind @ ..]) if quote == b'"' && is_hex(*high) && is_hex(*low) => {
                word.push(nibble(*high) << 4 | nibble(*low));
                rest = behind;
            }
            (b'\\', [escaped, behind @ ..]) if quote == b'"' || *escaped == quote => {
                word.push(match escaped {
                    b'n' if quote == b'"' => b'\n',
                    b'r' if quote == b'"' => b'\r',
                    b't' if quote == b'"' => b'\t',
                    other => *other,
                });
                rest = behind;
            }
            (byte, _) if byte == quote => {
                return rest.first().is_none_or(u8::is_ascii_whitespace).then_some((Cow::Owned(word), rest));
            }
            (byte, _) => word.push(byte),
        }
    }
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

fn nibble(byte: u8) -> u8 {
    char::from(byte).to_digit(16).map_or(0, |digit| digit as u8)
}

/// `+OK`
pub(super) fn simple(out: &mut Vec<u8>, text: &str) {
    line(out, b'+', text);
}

/// `-ERR what is wrong`; the first word is what programs look at.
pub(super) fn error(out: &mut Vec<u8>, text: &str) {
    line(out, b'-', text);
}

/// `:3`
pub(super) fn integer(out: &mut Vec<u8>, number: usize) {
    line(out, b':', &number.to_string());
}

/// `$5`, and on the next line the bytes.
pub(super) fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    line(out, b'$', &bytes.len().to_string());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// The text may hold what a client has sent: no end of a line in it may end ours.
fn line(out: &mut Vec<u8>, sign: u8, text: &str) {
    out.push(sign);
    out.extend(text.bytes().map(|byte| if byte.is_ascii_control() { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}

#[cfg(any(test, fuzzing))]
pub(crate) type Words = Vec<Vec<u8>>;

/// All commands, how many bytes they take, and whether what comes next is broken.
#[cfg(any(test, fuzzing))]
pub(crate) fn all(bytes: &[u8], max: usize) -> (Vec<Words>, usize, bool) {
    let (mut commands, mut at) = (Vec::new(), 0);
    loop {
        match parse(bytes.get(at..).unwrap_or_default(), max) {
            Ok(Some(command)) => {
                at += command.len;
                commands.push(command.words.into_iter().map(Cow::into_owned).collect());
            }
            Ok(None) => return (commands, at, false),
            Err(_) => return (commands, at, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 1_000;

    fn words(bytes: &[u8]) -> Vec<Words> {
        let (commands, len, is_broken) = all(bytes, MAX);
        assert_eq!((len, is_broken), (bytes.len(), false));
        commands
    }

    fn command(words: &[&[u8]]) -> Vec<u8> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        words.iter().for_each(|word| bulk(&mut bytes, word));
        bytes
    }

    #[test]
    fn arrays_and_lines_are_commands() {
        assert_eq!(words(b"*2\r\n$4\r\nPING\r\n$2\r\nhi\r\n"), [[b"PING".to_vec(), b"hi".to_vec()]]);
        assert_eq!(
            words(b"PING  hi \r\nQUIT\n"),
            [vec![b"PING".to_vec(), b"hi".to_vec()], vec![b"QUIT".to_vec()]]
        );
        assert_eq!(
            words(b"\r\n*0\r\n*-1\r\n"),
            [Words::new(), Words::new(), Words::new()],
            "nothing is no command"
        );
        assert_eq!(words(b"*1\r\n$0\r\n\r\n"), [[b"".to_vec()]]);
    }

    #[test]
    fn a_line_may_have_quotes() {
        let said = words(b"PUBLISH \"a b\" \"\\x00\\xff\\n\\\"\" 'it\\'s \\n' \"\"\r\n");
        assert_eq!(said, [[&b"PUBLISH"[..], b"a b", b"\x00\xff\n\"", b"it's \\n", b""].map(<[u8]>::to_vec)]);
        for bad in [&b"a \"b\n"[..], b"\"a\"b\n", b"'\n", b"\"\\\n"] {
            assert!(matches!(parse(bad, MAX), Err(Broken("quotes that do not end"))), "{bad:?}");
        }
    }

    #[test]
    fn what_is_broken_is_named() {
        for (bytes, said) in [
            (&b"*x\r\n"[..], "a length that is no number"),
            (b"*12345678901234567890", "a length that is no number"),
            (b"*1\n", "a length that is no number"),
            (b"*65\r\n", "too many words"),
            (b"*1\r\n:1\r\n", "a word that does not begin with $"),
            (b"*1\r\n$-1\r\n", "a word without a length"),
            (b"*1\r\n$1001\r\n", "a command that is too long"),
            (&[b'x'; MAX + 1], "a command that is too long"),
            (b"*1\r\n$1\r\nab\r\n", "a word that is longer than it says"),
        ] {
            assert_eq!(parse(bytes, MAX), Err(Broken(said)));
        }
        assert_eq!(
            parse(&[b'x'; MAX_LINE_BYTES], 2 * MAX_LINE_BYTES),
            Err(Broken("a line that is too long"))
        );
        assert!(parse(&[b'x'; MAX], MAX).is_ok_and(|command| command.is_none()));
        let many = [&b"a "[..]; 65].concat();
        assert_eq!(parse(&[&many, &b"\n"[..]].concat(), MAX), Err(Broken("too many words")));
    }

    #[test]
    fn an_answer_is_one_line() {
        let mut out = Vec::new();
        error(&mut out, "ERR \"a\r\n+OK\" is unknown");
        integer(&mut out, 3);
        assert_eq!(out, b"-ERR \"a  +OK\" is unknown\r\n:3\r\n");
    }

    proptest! {
        #[test]
        fn commands_are_the_same_however_they_come(
            said in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..5), 0..5),
            split in any::<prop::sample::Index>(),
        ) {
            let bytes: Vec<u8> = said
                .iter()
                .flat_map(|words| command(&words.iter().map(Vec::as_slice).collect::<Vec<_>>()))
                .collect();
            prop_assert_eq!(&words(&bytes), &said);
            let (first, _) = bytes.split_at(split.index(bytes.len() + 1));
            let (begun, len, is_broken) = all(first, MAX);
            prop_assert!(!is_broken);
            prop_assert_eq!(&begun[..], &said[..begun.len()]);
            prop_assert!(len <= first.len());
        }

        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = all(&bytes, MAX);
        }

        #[test]
        fn nothing_like_a_command_makes_it_panic(bytes in "[*$0-9a\"'\\\\ \r\n-]{0,40}") {
            let _ = all(bytes.as_bytes(), MAX);
        }
    }
}
