//! Secret types: wiped when dropped, and deliberately without `Debug`, `Clone`, `Display` or `Serialize`.
//!
//! A secret cannot be printed:
//!
//! ```compile_fail,E0277
//! # use sparekey::crypto::secret::CodeText;
//! fn log(code: &CodeText) -> String {
//!     format!("{code:?}")
//! }
//! ```
//!
//! nor copied:
//!
//! ```compile_fail,E0599
//! # use sparekey::crypto::secret::Key;
//! fn twice(key: &Key) -> (Key, Key) {
//!     (key.clone(), key.clone())
//! }
//! ```
//!
//! nor written out with the structure that holds it:
//!
//! ```compile_fail,E0277
//! # use sparekey::crypto::secret::CodeText;
//! #[derive(serde::Serialize)]
//! struct Answer {
//!     code: CodeText,
//! }
//! ```
//!
//! Whoever needs the text asks for it in so many words, which a reviewer can search for:
//!
//! ```
//! # use sparekey::crypto::secret::CodeText;
//! fn length(code: &CodeText) -> usize {
//!     code.expose().len()
//! }
//! ```

use zeroize::Zeroizing;

use crate::random::Random;

/// A 256-bit key.
pub struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// A fresh key.
    pub fn generate(random: &dyn Random) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        random.fill(&mut *key);
        Key(key)
    }
    /// Takes these bytes as a key.
    pub fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Key(bytes)
    }
    /// The raw bytes; keep them no longer than the call that needs them.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// One look-up secret in clear, byte for byte as it was imported or generated. Between 1 and 256 bytes of UTF-8.
pub struct CodeText(Zeroizing<String>);

impl CodeText {
    /// Takes over `text`.
    pub fn new(text: Zeroizing<String>) -> Self {
        CodeText(text)
    }
    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
