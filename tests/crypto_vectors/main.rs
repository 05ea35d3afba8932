//! Test vectors of every layout in docs/format.md, under `tests/vectors/`.
//!
//! Each vector holds the inputs, every value on the way and the result, in hexadecimal. They are checked three ways: `plain.rs`
//! computes them again without the crate, the crate opens what they hold, and the crate makes the same bytes from the same
//! keys and nonces. A change of format shows up here and needs a new format version.
//!
//! `cargo test --test crypto_vectors -- --ignored regenerate` writes them anew, from a seeded generator, with the crate.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::Value;
use sparekey::random::Random;

mod check;
mod make;
mod plain;

/// Yields these byte strings in turn, and nothing else.
pub struct Scripted(Mutex<Vec<Vec<u8>>>);

impl Scripted {
    /// What will be drawn, in order.
    pub fn new(mut draws: Vec<Vec<u8>>) -> Self {
        draws.reverse();
        Scripted(Mutex::new(draws))
    }
    /// Panics unless everything was drawn.
    pub fn done(&self) {
        assert!(self.0.lock().unwrap().is_empty(), "less randomness was drawn than the vector holds");
    }
}

impl Random for Scripted {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0.lock().unwrap().pop().expect("more randomness was drawn than the vector holds"));
    }
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name).with_extension("json")
}

/// Reads the vector `name`.
pub fn vector(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(file(name)).unwrap()).unwrap()
}

/// The bytes of a hexadecimal field.
pub fn hex(value: &Value) -> Vec<u8> {
    ::hex::decode(value.as_str().expect("a hexadecimal text")).unwrap()
}

/// The bytes of a hexadecimal field of known length.
pub fn bytes<const N: usize>(value: &Value) -> [u8; N] {
    hex(value).try_into().expect("a field of the right length")
}

#[test]
#[ignore = "writes the vectors anew"]
fn regenerate() {
    for (name, value) in make::vectors() {
        fs::write(file(name), format!("{value:#}\n")).unwrap();
    }
}
