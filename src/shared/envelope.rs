//! What a result looks like in Redis, and the key it is under.
//!
//! ```text
//!     key      prefix "e:" HMAC-SHA512(secret, what was asked, by whom), the first half
//!     value    version  flags  [nonce]  body  tag
//!     body     the second half  epoch  seq  rows at  length  words  the result, perhaps compressed
//! ```
//!
//! The tag is that of XChaCha20-Poly1305 where results are encrypted, else a MAC by the fleet's secret; either also
//! covers the key, so that no value can take another's place. What cannot be read, for whatever reason, is a miss.

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// Another release may have another one; it then uses other keys, too.
const VERSION: u8 = 1;
const COMPRESSED: u8 = 1;
const ENCRYPTED: u8 = 2;
const NONCE_BYTES: usize = 24;
const MAC_BYTES: usize = 16;
const HALF: usize = 32;

/// The keys that results are kept under and protected with.
pub(super) struct Keys {
    secret: Vec<u8>,
    /// The first encrypts, all decrypt.
    ciphers: Vec<XChaCha20Poly1305>,
}

/// Where a result is, and what its value must hold to be the one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Address {
    pub(super) key: Vec<u8>,
    proof: [u8; HALF],
}

/// A result, and what it was read under.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Letter {
    /// The life of the fleet.
    pub(super) epoch: String,
    /// The messages that had been applied when the result was asked for.
    pub(super) seq: u64,
    /// The words it depends on.
    pub(super) slots: Vec<u32>,
    /// Where its rows begin.
    pub(super) rows_at: usize,
    /// Its messages.
    pub(super) bytes: Vec<u8>,
}

/// What was asked, by whom.
pub(super) struct Question<'a> {
    /// Everything about the session that makes a difference, hashed.
    pub(super) context: &'a [u8; 32],
    /// The text and its parameter types; of a simple query the text alone.
    pub(super) statement: &'a [u8],
    /// Parameters and formats; `None` for a simple query.
    pub(super) bind: Option<&'a [u8]>,
}

impl Keys {
    pub(super) fn new(secret: &[u8], encryption: &[[u8; 32]]) -> Self {
        let ciphers = encryption
            .iter()
            .map(|key| XChaCha20Poly1305::new(key.into()))
            .collect();
        Self {
            secret: secret.to_vec(),
            ciphers,
        }
    }

    /// Where the answer to a question is.
    pub(super) fn address(&self, prefix: &str, question: &Question<'_>) -> Address {
        let mut mac = Hmac::<Sha512>::new_from_slice(&self.secret).expect("any length will do");
        mac.update(&[VERSION, u8::from(question.bind.is_some())]);
        mac.update(question.context);
        mac.update(&(question.statement.len() as u64).to_le_bytes());
        mac.update(question.statement);
        mac.update(question.bind.unwrap_or_default());
        let hash: [u8; 2 * HALF] = mac.finalize().into_bytes().into();
        let (place, rest) = hash.split_at(HALF);
        let mut key = prefix.as_bytes().to_vec();
        for byte in place {
            key.extend_from_slice(format!("{byte:02x}").as_bytes());
        }
        let mut proof = [0; HALF];
        proof.copy_from_slice(rest);
        Address { key, proof }
    }

    /// The value of a result. A longer one than `compress_min` is compressed if that makes it shorter.
    pub(super) fn seal(
        &self,
        address: &Address,
        letter: &Letter,
        bytes: &[u8],
        compress_min: usize,
        nonce: [u8; NONCE_BYTES],
    ) -> Vec<u8> {
        let packed = (bytes.len() >= compress_min)
            .then(|| lz4_flex::block::compress(bytes))
            .filter(|packed| packed.len() < bytes.len());
        let mut flags = 0;
        if packed.is_some() {
            flags |= COMPRESSED;
        }
        if !self.ciphers.is_empty() {
            flags |= ENCRYPTED;
        }
        let body = body(
            address,
            letter,
            bytes.len(),
            packed.as_deref().unwrap_or(bytes),
        );
        let header = [VERSION, flags];
        let mut value = header.to_vec();
        match self.ciphers.first() {
            Some(cipher) => {
                let aad = [&header, address.key.as_slice()].concat();
                let payload = Payload {
                    msg: &body,
                    aad: &aad,
                };
                let sealed = cipher.encrypt(&XNonce::from(nonce), payload);
                value.extend_from_slice(&nonce);
                value.extend_from_slice(&sealed.expect("a result is far below the cipher's limit"));
            }
            None => {
                let mac = self.mac(&header, &address.key, &body);
                value.extend_from_slice(&body);
                value.extend_from_slice(&mac);
            }
        }
        value
    }

    /// Reads a value. `None`: it is not the result of this address, or cannot be read.
    pub(super) fn open(&self, address: &Address, value: &[u8], most: usize) -> Option<Letter> {
        let (header, rest) = value.split_first_chunk::<2>()?;
        let [version, flags] = *header;
        if version != VERSION || flags & !(COMPRESSED | ENCRYPTED) != 0 {
            return None;
        }
        let body = if flags & ENCRYPTED != 0 {
            let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
            let aad = [header, address.key.as_slice()].concat();
            let opened = self.ciphers.iter().find_map(|cipher| {
                let payload = Payload {
                    msg: sealed,
                    aad: &aad,
                };
                cipher.decrypt(&XNonce::from(*nonce), payload).ok()
            });
            std::borrow::Cow::Owned(opened?)
        } else if self.ciphers.is_empty() {
            let (body, mac) = rest.split_last_chunk::<MAC_BYTES>()?;
            let is_ours: bool = self.mac(header, &address.key, body).ct_eq(mac).into();
            is_ours.then_some(std::borrow::Cow::Borrowed(body))?
        } else {
            // Who has a key believes nothing that is not encrypted.
            return None;
        };
        read_body(address, &body, flags & COMPRESSED != 0, most)
    }

    fn mac(&self, header: &[u8; 2], key: &[u8], body: &[u8]) -> [u8; MAC_BYTES] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("any length will do");
        mac.update(header);
        mac.update(&(key.len() as u64).to_le_bytes());
        mac.update(key);
        mac.update(body);
        let whole = mac.finalize().into_bytes();
        std::array::from_fn(|at| whole[at])
    }
}

/// A length that fits: a result is far below 4 GiB.
fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}

fn body(address: &Address, letter: &Letter, raw: usize, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(HALF + 64 + letter.slots.len() * 4 + payload.len());
    body.extend_from_slice(&address.proof);
    body.extend_from_slice(&Sha256::digest(&letter.epoch));
    body.extend_from_slice(&letter.seq.to_le_bytes());
    body.extend_from_slice(&length(letter.rows_at));
    body.extend_from_slice(&length(raw));
    body.extend_from_slice(&length(letter.slots.len()));
    for slot in &letter.slots {
        body.extend_from_slice(&slot.to_le_bytes());
    }
    body.extend_from_slice(payload);
    body
}

fn read_body(address: &Address, body: &[u8], compressed: bool, most: usize) -> Option<Letter> {
    let (proof, rest) = body.split_first_chunk::<HALF>()?;
    if *proof != address.proof {
        return None;
    }
    let (epoch, rest) = rest.split_first_chunk::<32>()?;
    let (seq, mut rest) = rest.split_first_chunk::<8>()?;
    let mut number = || {
        let (bytes, behind) = rest.split_first_chunk::<4>()?;
        rest = behind;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let (rows_at, raw, slots) = (number()?, number()?, number()?);
    let (slots, payload) = rest.split_at_checked(slots.checked_mul(4)?)?;
    if raw > most || rows_at > raw {
        return None;
    }
    let bytes = if compressed {
        lz4_flex::block::decompress(payload, raw).ok()?
    } else {
        payload.to_vec()
    };
    let word = |chunk: &[u8]| chunk.try_into().map(u32::from_le_bytes).ok();
    (bytes.len() == raw).then_some(Letter {
        epoch: hex(epoch),
        seq: u64::from_le_bytes(*seq),
        slots: slots.chunks_exact(4).map_while(word).collect(),
        rows_at,
        bytes,
    })
}

/// The form in which an epoch is compared: that of a letter that was read.
pub(super) fn epoch_mark(epoch: &str) -> String {
    hex(&Sha256::digest(epoch))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: [u8; 32] = [1; 32];
    const NEW: [u8; 32] = [2; 32];

    fn question<'a>(statement: &'a [u8], bind: Option<&'a [u8]>) -> Question<'a> {
        Question {
            context: &[7; 32],
            statement,
            bind,
        }
    }

    fn letter(bytes: &[u8]) -> Letter {
        Letter {
            epoch: "e".into(),
            seq: 9,
            slots: vec![0, 4711],
            rows_at: 3,
            bytes: bytes.to_vec(),
        }
    }

    fn sealed(keys: &Keys, bytes: &[u8]) -> (Address, Vec<u8>) {
        let address = keys.address("p:e:", &question(b"SELECT 1", None));
        let value = keys.seal(&address, &letter(bytes), bytes, 100, [5; NONCE_BYTES]);
        (address, value)
    }

    fn read(bytes: &[u8]) -> Option<Letter> {
        Some(Letter {
            epoch: epoch_mark("e"),
            ..letter(bytes)
        })
    }

    #[test]
    fn a_sealed_result_opens_under_its_own_address_only() {
        let long = b"abc".repeat(1000);
        for encryption in [&[][..], &[NEW]] {
            let keys = Keys::new(b"secret", encryption);
            for bytes in [&b"rows"[..], &long] {
                let (address, value) = sealed(&keys, bytes);
                assert_eq!(keys.open(&address, &value, 1 << 20), read(bytes));
                assert_eq!(keys.open(&address, &value, 3), None, "too large");
                let other = keys.address("p:e:", &question(b"SELECT 2", None));
                assert_eq!(keys.open(&other, &value, 1 << 20), None);
            }
            let (_, packed) = sealed(&keys, &long);
            assert!(packed.len() < 300, "{}", packed.len());
        }
    }

    #[test]
    fn what_was_tampered_with_is_a_miss_and_so_is_another_format() {
        for encryption in [&[][..], &[NEW]] {
            let keys = Keys::new(b"secret", encryption);
            let (address, value) = sealed(&keys, b"some rows");
            for at in 0..value.len() {
                let mut changed = value.clone();
                changed[at] ^= 1;
                assert_eq!(keys.open(&address, &changed, 1 << 20), None, "byte {at}");
                assert_eq!(
                    keys.open(&address, &value[..at], 1 << 20),
                    None,
                    "cut at {at}"
                );
            }
        }
    }

    #[test]
    fn a_key_that_is_being_replaced_still_opens() {
        let (old, both) = (Keys::new(b"s", &[OLD]), Keys::new(b"s", &[NEW, OLD]));
        let new = Keys::new(b"s", &[NEW]);
        let (address, value) = sealed(&old, b"rows");
        assert_eq!(both.open(&address, &value, 100), read(b"rows"));
        assert_eq!(new.open(&address, &value, 100), None);
        let (address, value) = sealed(&both, b"rows");
        assert_eq!(new.open(&address, &value, 100), read(b"rows"));
        let (address, plain) = sealed(&Keys::new(b"s", &[]), b"rows");
        assert_eq!(
            new.open(&address, &plain, 100),
            None,
            "a key demands encryption"
        );
    }

    #[test]
    fn keys_tell_nothing_and_differ_with_everything() {
        let keys = Keys::new(b"secret", &[]);
        let address = |statement: &[u8], bind: Option<&[u8]>| {
            keys.address("p:e:", &question(statement, bind)).key
        };
        let all = [
            address(b"ab", None),
            address(b"ab", Some(b"")),
            address(b"a", Some(b"b")),
            address(b"ab", Some(b"b")),
            Keys::new(b"other", &[])
                .address("p:e:", &question(b"ab", None))
                .key,
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert!(all.iter().all(|key| key.len() == 4 + 64 && key.is_ascii()));
    }
}
