//! SipHash-1-3 (Aumasson and Bernstein, 2012), which the standard library's maps use too, for keys that are one text.
//!
//! That one takes its input in any pieces, and is not inlined: for the short name of a topic it is three calls, whose code a
//! broadcast has swept out of the caches. A search takes a third less with this one then.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Rounds after the last word.
const FINAL_ROUNDS: usize = 3;

/// Random keys: nobody can choose names that meet in one place of a map.
#[derive(Clone)]
pub(crate) struct Keys(u64, u64);

impl Default for Keys {
    fn default() -> Self {
        let random = RandomState::new();
        Keys(random.hash_one(0), random.hash_one(1))
    }
}

impl BuildHasher for Keys {
    type Hasher = Sip;

    #[inline]
    fn build_hasher(&self) -> Sip {
        Sip { keys: self.clone(), hash: 0 }
    }
}

pub(crate) struct Sip {
    keys: Keys,
    hash: u64,
}

impl Hasher for Sip {
    /// The whole text.
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) {
        debug_assert!(self.hash == 0, "a key in pieces");
        self.hash = sip_1_3(&self.keys, bytes);
    }

    /// What comes after a text, so that two of them are not taken for one: here is one only.
    #[inline]
    fn write_u8(&mut self, _: u8) {}

    #[inline]
    fn finish(&self) -> u64 {
        self.hash
    }
}

#[inline(always)]
fn sip_1_3(&Keys(k0, k1): &Keys, bytes: &[u8]) -> u64 {
    // "somepseudorandomlygeneratedbytes"
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = bytes.as_chunks();
    let rest = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let last = (bytes.len() as u64) << 56 | rest;
    // One loop for all rounds: code that is far from the caches costs by its length.
    for step in 0..=words.len() + FINAL_ROUNDS {
        let word = match words.get(step) {
            Some(word) => u64::from_le_bytes(*word),
            None if step == words.len() => last,
            None => 0,
        };
        if step == words.len() + 1 {
            v[2] ^= 0xff;
        }
        v[3] ^= word;
        round(&mut v);
        v[0] ^= word;
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline(always)]
fn round([v0, v1, v2, v3]: &mut [u64; 4]) {
    *v0 = v0.wrapping_add(*v1);
    *v2 = v2.wrapping_add(*v3);
    *v1 = v1.rotate_left(13) ^ *v0;
    *v3 = v3.rotate_left(16) ^ *v2;
    *v0 = v0.rotate_left(32);
    *v2 = v2.wrapping_add(*v1);
    *v0 = v0.wrapping_add(*v3);
    *v1 = v1.rotate_left(17) ^ *v2;
    *v3 = v3.rotate_left(21) ^ *v0;
    *v2 = v2.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::hash::DefaultHasher;

    proptest! {
        /// Without keys theirs is the same, by what their documentation leaves open and everybody relies on.
        #[test]
        fn it_is_that_of_the_standard_library(bytes: Vec<u8>) {
            let mut theirs = DefaultHasher::new();
            theirs.write(&bytes);
            prop_assert_eq!(sip_1_3(&Keys(0, 0), &bytes), theirs.finish());
        }
    }

    /// The first of the published vectors: keys of the bytes 0 to 15, and no input.
    #[test]
    fn each_key_has_its_place() {
        let [k0, k1] = [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 12, 13, 14, 15]].map(u64::from_le_bytes);
        assert_eq!(
            sip_1_3(&Keys(k0, k1), b"").to_le_bytes(),
            [0xdc, 0xc4, 0x0f, 0x05, 0x58, 0x01, 0xac, 0xab]
        );
    }

    #[test]
    fn every_map_has_keys_of_its_own() {
        let hash = || Keys::default().hash_one("topic");
        assert_ne!(hash(), hash());
        let keys = Keys::default();
        assert_eq!(keys.hash_one("topic"), keys.hash_one("topic"));
        assert_ne!(keys.hash_one("topic"), keys.hash_one("other"));
    }
}
