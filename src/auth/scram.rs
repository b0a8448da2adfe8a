//! The keys of SCRAM-SHA-256 (RFC 5802 and RFC 7677), as PostgreSQL stores them.
//!
//! ```text
//!     ClientKey   = HMAC(SaltedPassword, "Client Key")     only the client has it
//!     StoredKey   = SHA-256(ClientKey)                     the server keeps it
//!     ClientProof = ClientKey XOR HMAC(StoredKey, AuthMessage)
//! ```
//!
//! Who keeps the StoredKey and sees a proof has the ClientKey, and can prove itself with it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The length of every key.
const KEY_BYTES: usize = 32;

/// What PostgreSQL uses if nothing else is asked for (`scram_iterations`).
pub const ITERATIONS: u32 = 4096;

/// The length of the salts that PostgreSQL makes.
pub const SALT_BYTES: usize = 16;

/// A key. It prints as `***`.
#[derive(Clone)]
pub struct Key([u8; KEY_BYTES]);

impl Key {
    /// A key, a proof or a signature, as messages and verifiers carry it.
    #[must_use]
    pub fn of_base64(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// HMAC-SHA-256 under this key.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Self {
        Self(hmac(&self.0, &[message]))
    }

    /// Is it the same key? Takes the same time whatever they are.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// This key XOR another: proofs are made and opened with it.
    #[must_use]
    pub fn xor(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] ^ other.0[at]))
    }

    fn hash(&self) -> Self {
        Self(Sha256::digest(self.0).into())
    }

    /// As the messages carry it.
    #[must_use]
    pub fn base64(&self) -> String {
        STANDARD.encode(self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// A role's password as the server stores it: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// How often the password is hashed.
    pub iterations: u32,
    /// What it is hashed with, in base64.
    pub salt: String,
    /// What a proof is checked against.
    pub stored_key: Key,
    /// What the server proves itself with.
    pub server_key: Key,
}

impl Verifier {
    /// Reads a verifier.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("SCRAM-SHA-256$")?;
        let (head, keys) = rest.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        STANDARD.decode(salt).ok()?;
        Some(Self {
            iterations: iterations.parse().ok().filter(|count| *count > 0)?,
            salt: salt.to_owned(),
            stored_key: Key::of_base64(stored_key)?,
            server_key: Key::of_base64(server_key)?,
        })
    }

    /// The verifier of a password.
    #[must_use]
    pub fn of_password(password: &str, salt: &[u8], iterations: u32) -> Self {
        // As PostgreSQL does: a password that SASLprep does not take is used as it is.
        let prepared = stringprep::saslprep(password).unwrap_or(password.into());
        let salted = Key(salted(prepared.as_bytes(), salt, iterations));
        Self {
            iterations,
            salt: STANDARD.encode(salt),
            stored_key: salted.sign(b"Client Key").hash(),
            server_key: salted.sign(b"Server Key"),
        }
    }

    /// A verifier that nothing proves, for a role that has none. It depends on the role and on `secret` alone, so
    /// that who asks twice learns nothing.
    #[must_use]
    pub fn mock(user: &[u8], secret: &[u8; KEY_BYTES]) -> Self {
        let derive = |what: &[u8]| Key(hmac(secret, &[what, user]));
        Self {
            iterations: ITERATIONS,
            salt: STANDARD.encode(&derive(b"salt").0[..SALT_BYTES]),
            stored_key: derive(b"stored"),
            server_key: derive(b"server"),
        }
    }

    /// The client's key, from a proof of it. `None`: it does not prove anything.
    #[must_use]
    pub fn client_key(&self, proof: &Key, auth_message: &[u8]) -> Option<Key> {
        let client_key = proof.xor(&self.stored_key.sign(auth_message));
        client_key.hash().is(&self.stored_key).then_some(client_key)
    }
}

/// What logs a role in as its password would.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The key that was recovered from a client's proof.
    pub client_key: Key,
    /// The verifier that it belongs to.
    pub verifier: Verifier,
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; KEY_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// PBKDF2 with HMAC-SHA-256, one block.
fn salted(password: &[u8], salt: &[u8], iterations: u32) -> [u8; KEY_BYTES] {
    let mut block = hmac(password, &[salt, &1_u32.to_be_bytes()]);
    let mut result = block;
    for _ in 1..iterations {
        block = hmac(password, &[&block]);
        for (byte, next) in result.iter_mut().zip(block) {
            *byte ^= next;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7677_holds() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::of_password("pencil", &salt, 4096);
        let auth_message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let proof = Key::of_base64("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let client_key = verifier.client_key(&proof, auth_message.as_bytes());
        let again = client_key
            .unwrap()
            .xor(&verifier.stored_key.sign(auth_message.as_bytes()));
        assert!(again.is(&proof));
        assert_eq!(
            verifier.server_key.sign(auth_message.as_bytes()).base64(),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
        assert!(verifier.client_key(&proof, b"another").is_none());
    }

    #[test]
    fn a_verifier_reads_as_postgresql_writes_it() {
        // As client libraries write it for ALTER ROLE.
        let text = postgres_protocol::password::scram_sha_256(b"foo");
        let verifier = Verifier::parse(&text).unwrap();
        let salt = STANDARD.decode(&verifier.salt).unwrap();
        let same = Verifier::of_password("foo", &salt, verifier.iterations);
        assert!(same.stored_key.is(&verifier.stored_key));
        assert!(same.server_key.is(&verifier.server_key));
        assert!(!format!("{verifier:?}").contains(&verifier.stored_key.base64()));
        for broken in [
            "",
            "foo",
            "SCRAM-SHA-256$0:VLK4RMaQLCvNtQ==$a:b",
            "SCRAM-SHA-256$4096:VLK4RMaQLCvNtQ==$YWJj:YWJj",
            &text[1..],
        ] {
            assert!(Verifier::parse(broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn passwords_are_prepared() {
        // RFC 4013: a soft hyphen is mapped to nothing, and IX stays IX under NFKC.
        let keys = |password| Verifier::of_password(password, b"salt", 1).stored_key;
        assert!(keys("I\u{ad}X").is(&keys("IX")));
        assert!(keys("\u{2168}").is(&keys("IX")));
        assert!(!keys("user").is(&keys("USER")));
    }

    #[test]
    fn who_does_not_exist_looks_the_same_each_time() {
        let (a, b) = ([1; 32], [2; 32]);
        let salt = |user: &[u8], secret| Verifier::mock(user, secret).salt;
        assert_eq!(salt(b"ann", &a), salt(b"ann", &a));
        assert_ne!(salt(b"ann", &a), salt(b"bob", &a));
        assert_ne!(salt(b"ann", &a), salt(b"ann", &b));
        assert_eq!(STANDARD.decode(salt(b"ann", &a)).unwrap().len(), SALT_BYTES);
    }
}
