//! What a stored CBOR array says of its format, before anything else of it is read: what follows may look otherwise in a newer one.

use minicbor::Decoder;

/// The number at the head of the array; `None` if it is no array that begins with one.
pub fn of(bytes: &[u8]) -> Option<u64> {
    let mut head = Decoder::new(bytes);
    head.array().ok()?;
    head.u64().ok()
}

/// Whether a version newer than the one that writes `known` wrote it.
pub fn is_newer(bytes: &[u8], known: u8) -> bool {
    of(bytes).is_some_and(|format| format > u64::from(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_told_whatever_follows_it() {
        let two = minicbor::to_vec((2_u8, "something", [0_u8; 3])).unwrap();
        assert_eq!(of(&two), Some(2));
        assert!(is_newer(&two, 1) && !is_newer(&two, 2));
        for other in [&[][..], &[1], &[0x81], &[0x81, 0x61, 0x61], b"{}"] {
            assert_eq!(of(other), None, "{other:?}");
        }
    }
}
