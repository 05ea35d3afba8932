use proptest::prelude::*;

use super::*;
use crate::domain::time::Timestamp;
use crate::random::SeededRandom;

const PLACE: Place = Place { account_id: &[1; 16], set_id: &[2; 16], generation: 1 };

fn code(text: &str) -> CodeText {
    CodeText::new(Zeroizing::new(text.to_owned()))
}

fn keyring(random: &dyn Random) -> Keyring {
    Keyring::generate(Timestamp::from_secs(0), random)
}

/// Seals these codes from slot 1 on.
fn seal(
    keyring: &Keyring,
    texts: &[&str],
    random: &dyn Random,
) -> Result<(WrappedDek, Vec<(u32, SealedCode)>), CryptoError> {
    let codes: Vec<CodeText> = texts.iter().map(|text| code(text)).collect();
    seal_set(keyring, &PLACE, &(1..).zip(&codes).collect::<Vec<_>>(), random)
}

proptest! {
    #[test]
    fn every_code_comes_back_byte_for_byte(seed: u64, texts in prop::collection::vec("\\PC{1,64}", 1..8)) {
        let random = SeededRandom::new(seed);
        let keyring = keyring(&random);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (dek, sealed) = seal(&keyring, &texts, &random).unwrap();
        let lengths: BTreeSet<usize> = sealed.iter().map(|(_, code)| code.ciphertext.len()).collect();
        prop_assert_eq!(lengths.len(), 1, "the codes of a set must be equally long");
        for ((slot, sealed), text) in sealed.iter().zip(texts) {
            // Through the record, as it is stored.
            let dek = minicbor::decode(&minicbor::to_vec(&dek).unwrap()).unwrap();
            let sealed = minicbor::decode(&minicbor::to_vec(sealed).unwrap()).unwrap();
            let opened = open_code(&keyring, &PLACE, *slot, &dek, &sealed).unwrap();
            prop_assert_eq!(opened.expose(), text);
        }
    }
}

#[test]
fn the_length_of_a_ciphertext_says_little() {
    let random = SeededRandom::new(1);
    let keyring = keyring(&random);
    let length = |text: &str| seal(&keyring, &[text], &random).unwrap().1[0].1.ciphertext.len() - TAG;
    // Eight digits, ten hexadecimal characters with a dash, thirty characters: all the same.
    assert_eq!([length("12345678"), length("a1b2c-d3e4f"), length(&"x".repeat(30))], [32; 3]);
    assert_eq!(length(&"x".repeat(31)), 64);
    assert_eq!(length(&"x".repeat(256)), MAX_PADDED);
    let (_, sealed) = seal(&keyring, &["1", &"x".repeat(100)], &random).unwrap();
    assert_eq!(sealed[0].1.ciphertext.len(), sealed[1].1.ciphertext.len());
}

#[test]
fn bounds_are_named() {
    let random = SeededRandom::new(1);
    let keyring = keyring(&random);
    let (short, empty, long) = (code("1"), code(""), code(&"x".repeat(257)));
    let refused = |codes: &[(u32, &CodeText)]| match seal_set(&keyring, &PLACE, codes, &random) {
        Err(CryptoError::OutOfBounds(bound)) => bound,
        Err(other) => panic!("{other}"),
        Ok(_) => "sealed",
    };
    assert_eq!(refused(&[(1, &empty)]), "a code is 1 to 256 bytes");
    assert_eq!(refused(&[(1, &long)]), "a code is 1 to 256 bytes");
    assert_eq!(refused(&[(0, &short)]), "a slot is 1 to 512");
    assert_eq!(refused(&[(513, &short)]), "a slot is 1 to 512");
    assert_eq!(refused(&[(7, &short), (7, &short)]), "a slot holds one code");
    let all: Vec<(u32, &CodeText)> = (1..=MAX_SLOT).map(|slot| (slot, &short)).collect();
    assert_eq!(refused(&all), "sealed");
}

#[test]
fn equal_codes_and_sets_do_not_look_equal() {
    let random = SeededRandom::new(1);
    let keyring = keyring(&random);
    let (dek, sealed) = seal(&keyring, &["12345678", "12345678"], &random).unwrap();
    assert_ne!(sealed[0].1, sealed[1].1);
    let (other_dek, other) = seal(&keyring, &["12345678"], &random).unwrap();
    assert_ne!(sealed[0].1, other[0].1);
    assert_ne!(dek.commitment, other_dek.commitment);
}

#[test]
fn rewrapping_changes_the_key_that_wraps_and_nothing_else() {
    let random = SeededRandom::new(1);
    let mut keyring = keyring(&random);
    let (dek, sealed) = seal(&keyring, &["12345678"], &random).unwrap();
    let opens = |keyring: &Keyring, dek: &WrappedDek| {
        open_code(keyring, &PLACE, 1, dek, &sealed[0].1).map(|code| code.expose().to_owned())
    };
    keyring.add_kek(Timestamp::from_secs(1), &random).unwrap();
    assert_eq!(opens(&keyring, &dek).unwrap(), "12345678", "the older KEK still unwraps");
    let rewrapped = rewrap(&keyring, &PLACE, &dek, &random).unwrap();
    assert_eq!((dek.kek_generation, rewrapped.kek_generation), (1, 2));
    assert_eq!(dek.commitment, rewrapped.commitment);
    assert_ne!(dek.ciphertext, rewrapped.ciphertext);
    keyring.retire_kek(1, Timestamp::from_secs(2)).unwrap();
    assert_eq!(opens(&keyring, &rewrapped).unwrap(), "12345678");
    assert_eq!(opens(&keyring, &dek), Err(CryptoError::RetiredGeneration { generation: 1 }));
    keyring.recover_kek(1).unwrap();
    assert_eq!(opens(&keyring, &dek).unwrap(), "12345678");
    keyring.retire_kek(1, Timestamp::from_secs(3)).unwrap();
    keyring.erase_retired(Timestamp::from_secs(200_000));
    assert_eq!(opens(&keyring, &dek), Err(CryptoError::UnknownGeneration { key: "KEK", generation: 1 }));
    assert_eq!(opens(&keyring, &rewrapped).unwrap(), "12345678");
}

#[test]
fn a_plaintext_that_is_not_padded_as_it_should_be_is_malformed() {
    let random = SeededRandom::new(1);
    let keyring = keyring(&random);
    let dek = Key::generate(&random);
    let keys = SetKeys::derive(&keyring, &PLACE, &dek).unwrap();
    let wrapped = wrap(&keyring, &PLACE, &dek, keys.commitment, &random).unwrap();
    let open = |plaintext: &[u8]| {
        let mut buffer = plaintext.to_vec();
        let nonce = [0; NONCE];
        let tag =
            primitive::seal(CODE, &keys.encryption, &nonce, &code_label(&keyring, &PLACE, 1), &mut buffer).unwrap();
        let code = SealedCode { nonce, ciphertext: [&buffer[..], &tag].concat() };
        open_code(&keyring, &PLACE, 1, &wrapped, &code).map(|code| code.expose().to_owned())
    };
    let block = |start: &[u8]| [start, &vec![0; BLOCK - start.len()]].concat();
    assert_eq!(open(&block(b"\0\x03abc")).unwrap(), "abc");
    for (what, plaintext) in [
        ("no code", block(b"\0\0")),
        ("longer than there is", block(b"\0\x1f")),
        ("far longer than there is", block(b"\xff\xff")),
        ("something after the code", block(b"\0\x03abcd")),
        ("not UTF-8", block(b"\0\x02\xff\xfe")),
        ("longer than a code may be", [&b"\x01\x01"[..], &[b'x'; 257], &[0; 29]].concat()),
        ("not a multiple of the block", b"\0\x03abc".to_vec()),
        ("empty", Vec::new()),
        ("longer than any padding", vec![0; MAX_PADDED + BLOCK]),
    ] {
        assert_eq!(open(&plaintext), Err(CryptoError::Malformed(CODE)), "{what}");
    }
}

#[test]
fn debug_output_shows_no_bytes() {
    let random = SeededRandom::new(1);
    let (dek, sealed) = seal(&keyring(&random), &["12345678"], &random).unwrap();
    assert_eq!(format!("{dek:?}"), "WrappedDek { kek_generation: 1, .. }");
    assert_eq!(format!("{:?}", sealed[0].1), "SealedCode { length: 48, .. }");
}
