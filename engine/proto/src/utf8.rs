//! UTF-8 that arrives in pieces (RFC 6455, section 8.1).
//!
//! The bulk goes through a SIMD validator; between two pieces at most three bytes of an unfinished
//! character are kept. The first wrong byte fails at once, even inside a frame that has not wholly arrived.

/// The text, if all of it is UTF-8.
#[inline]
pub fn validate(bytes: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(bytes).ok()
}

/// Up to here a look for anything but ASCII comes first: it is done where the validator has hardly begun.
const SHORT: usize = 256;

/// Is all of it UTF-8?
#[inline]
pub fn is_valid(bytes: &[u8]) -> bool {
    (bytes.len() <= SHORT && bytes.is_ascii()) || validate(bytes).is_some()
}

/// Checks one text piece by piece.
#[derive(Debug, Clone, Copy, Default)]
pub struct Validator {
    /// The beginning of a character that is not complete yet.
    begun: [u8; 4],
    len: u8,
}

impl Validator {
    /// Takes the next piece; false at the first byte that no valid text can have there.
    pub fn feed(&mut self, piece: &[u8]) -> bool {
        let Some(piece) = self.finish_character(piece) else { return false };
        // The variant that knows where it stopped: a piece may well end in the middle of a character.
        match simdutf8::compat::from_utf8(piece) {
            Ok(_) => true,
            Err(error) if error.error_len().is_some() => false,
            Err(error) => {
                let unfinished = piece.get(error.valid_up_to()..).unwrap_or_default();
                self.keep(unfinished);
                true
            }
        }
    }

    /// True when the text ends here with no character cut short.
    pub fn is_complete(&self) -> bool {
        self.len == 0
    }

    /// Takes from `piece` what completes the character begun before. None: it cannot be completed so.
    fn finish_character<'a>(&mut self, mut piece: &'a [u8]) -> Option<&'a [u8]> {
        while self.len > 0 {
            let Some((&byte, rest)) = piece.split_first() else { break };
            piece = rest;
            // A character has four bytes at most, and the three-byte beginning of one either completes or fails.
            *self.begun.get_mut(usize::from(self.len))? = byte;
            self.len += 1;
            match std::str::from_utf8(self.begun.get(..usize::from(self.len))?) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_some() => return None,
                Err(_) => {}
            }
        }
        Some(piece)
    }

    fn keep(&mut self, unfinished: &[u8]) {
        for (to, from) in self.begun.iter_mut().zip(unfinished) {
            *to = *from;
        }
        self.len = unfinished.len().min(3) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn in_pieces(text: &[u8], size: usize) -> bool {
        let mut validator = Validator::default();
        text.chunks(size.max(1)).all(|piece| validator.feed(piece)) && validator.is_complete()
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_as_the_standard_library(bytes: Vec<u8>, size in 1usize..9) {
            prop_assert_eq!(in_pieces(&bytes, size), std::str::from_utf8(&bytes).is_ok());
        }

        #[test]
        fn near_misses_as_the_standard_library(text: String, at: prop::sample::Index, wrong: u8, size in 1usize..9) {
            let mut bytes = text.into_bytes();
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = wrong;
            }
            prop_assert_eq!(in_pieces(&bytes, size), std::str::from_utf8(&bytes).is_ok());
        }

        #[test]
        fn fails_at_the_first_wrong_byte(text: String, cut: prop::sample::Index) {
            let (head, tail) = text.as_bytes().split_at(cut.index(text.len() + 1));
            let mut validator = Validator::default();
            prop_assert!(validator.feed(head) && validator.feed(tail));
            prop_assert!(!validator.feed(b"\xff"));
        }
    }

    #[test]
    fn short_and_long_texts_are_checked_alike() {
        for len in [0, 1, 15, 64, SHORT - 1, SHORT, SHORT + 1, 2 * SHORT] {
            let mut text = vec![b'a'; len];
            assert!(is_valid(&text), "{len}");
            for at in 0..len.saturating_sub(1) {
                text[at..at + 2].copy_from_slice("é".as_bytes());
                assert!(is_valid(&text), "{len}, {at}");
                text[at + 1] = b'a';
                assert!(!is_valid(&text), "{len}, {at}");
                text[at] = b'a';
            }
        }
    }

    #[test]
    fn a_surrogate_fails_at_its_second_byte() {
        let mut validator = Validator::default();
        assert!(validator.feed(b"\xed"));
        assert!(!validator.feed(b"\xa0"));
    }

    #[test]
    fn a_code_point_over_the_last_fails_at_its_second_byte() {
        let mut validator = Validator::default();
        assert!(validator.feed(b"ok \xf4"));
        assert!(!validator.feed(b"\x90"));
    }

    #[test]
    fn a_cut_character_is_not_complete() {
        let mut validator = Validator::default();
        assert!(validator.feed("€".as_bytes().split_last().unwrap().1));
        assert!(!validator.is_complete());
        assert!(validator.feed(b"\xac"));
        assert!(validator.is_complete());
    }
}
