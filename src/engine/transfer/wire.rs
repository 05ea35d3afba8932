//! Times and bytes as they stand in the JSON between two mounts.

use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::time::Timestamp;

/// A time, as RFC 3339 text with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub Timestamp);

/// 16 bytes in hexadecimal.
pub type Text16 = Hexed<16>;
/// 32 bytes in hexadecimal.
pub type Text32 = Hexed<32>;

/// Bytes in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hexed<const N: usize>(pub [u8; N]);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| Timestamp::parse(text).map(Moment);
        deserializer.deserialize_str(Reader("a time such as 2026-07-01T12:00:00.000Z", read))
    }
}

impl<const N: usize> Serialize for Hexed<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hexed<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| {
            let mut bytes = [0; N];
            hex::decode_to_slice(text, &mut bytes).ok().map(|()| Hexed(bytes))
        };
        deserializer.deserialize_str(Reader("bytes in hexadecimal, as many as belong here", read))
    }
}

/// Reads a text; says what it should have been, never what it was.
struct Reader<F>(&'static str, F);

impl<T, F: Fn(&str) -> Option<T>> Visitor<'_> for Reader<F> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).ok_or_else(|| E::custom(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_bytes_come_back() {
        let time = Moment(Timestamp::from_millis(1_800_000_000_250));
        let text = serde_json::to_string(&time).unwrap();
        assert_eq!(text, "\"2027-01-15T08:00:00.250Z\"");
        assert_eq!(serde_json::from_str::<Moment>(&text).unwrap(), time);
        let bytes = Hexed([7; 16]);
        assert_eq!(serde_json::from_str::<Text16>(&serde_json::to_string(&bytes).unwrap()).unwrap(), bytes);
        for wrong in ["\"0707\"", "\"zz\"", "7", "null"] {
            assert!(serde_json::from_str::<Text16>(wrong).is_err(), "{wrong}");
        }
    }
}
