//! The seal from outside: initialisation, shares, restarts, rotation of the static key, corruption.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::*;
use crate::random::SeededRandom;
use crate::storage::Expect;
use crate::storage::memory::Memory;

struct Scene {
    store: Arc<Memory>,
    random: Arc<SeededRandom>,
}

impl Scene {
    fn new(seed: u64) -> Self {
        Scene { store: Arc::new(Memory::new()), random: Arc::new(SeededRandom::new(seed)) }
    }
    fn seal(&self, config: SealConfig) -> Seal {
        Seal::new(config, self.store.clone(), self.random.clone())
    }
    async fn read(&self, key: &str) -> Option<(Vec<u8>, Revision)> {
        match self.store.get_many(vec![Get::new(key)]).await.unwrap().remove(0) {
            Found::Value(value, revision) => Some((value, revision)),
            _ => None,
        }
    }
    async fn bytes(&self) -> Vec<u8> {
        self.read(KEY).await.unwrap().0
    }
    /// Damages the record.
    async fn replace(&self, value: Vec<u8>) {
        let (_, revision) = self.read(KEY).await.unwrap();
        self.store.put_all(vec![Write::put(KEY, Expect::At(revision), value, &*self.random)]).await.unwrap();
    }
}

fn shamir_shares(shares: u64, threshold: u64) -> InitShares {
    InitShares { shares, threshold, ..InitShares::default() }
}

fn recovery_shares(shares: u64, threshold: u64) -> InitShares {
    InitShares { recovery_shares: shares, recovery_threshold: threshold, ..InitShares::default() }
}

fn named(id: &str, byte: u8) -> NamedKey {
    NamedKey { id: id.to_owned(), key: Key::from_bytes(Zeroizing::new([byte; 32])) }
}

fn fixed(current: NamedKey, previous: Option<NamedKey>) -> SealConfig {
    SealConfig::Static(StaticKeys { current, previous })
}

fn public<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("an error was expected"),
        Err(error) => error.public().to_owned(),
    }
}

async fn give(seal: &Seal, shares: &[&Share]) -> Result<Option<Key>> {
    let mut last = None;
    for share in shares {
        last = match seal.unseal(share).await? {
            Progress::More(_) => None,
            Progress::Root(key) => Some(key),
        };
    }
    Ok(last)
}

#[tokio::test]
async fn every_quorum_opens_and_nothing_less() {
    for (shares, threshold) in [(3, 2), (5, 3)] {
        let scene = Scene::new(shares);
        let made = scene.seal(SealConfig::Shamir).init(shamir_shares(shares, threshold)).await.unwrap();
        assert!(made.keys.iter().all(|share| share.len() == 33));
        for chosen in 0_u32..1 << shares {
            let subset: Vec<_> =
                (0..shares as usize).filter(|i| chosen & (1 << i) != 0).map(|i| &made.keys[i]).collect();
            let seal = scene.seal(SealConfig::Shamir);
            match (subset.len() as u64).cmp(&threshold) {
                std::cmp::Ordering::Less => assert!(give(&seal, &subset).await.unwrap().is_none()),
                std::cmp::Ordering::Equal => {
                    let root = give(&seal, &subset).await.unwrap().expect("a quorum opens");
                    assert_eq!(root.bytes(), made.root.bytes());
                }
                std::cmp::Ordering::Greater => {}
            }
        }
    }
}

#[tokio::test]
async fn one_share_is_the_key_itself() {
    let scene = Scene::new(1);
    let seal = scene.seal(SealConfig::Shamir);
    let made = seal.init(shamir_shares(1, 1)).await.unwrap();
    assert_eq!(made.keys[0].len(), 32);
    assert_ne!(made.keys[0].as_slice(), made.root.bytes());
    assert_eq!(give(&seal, &[&made.keys[0]]).await.unwrap().unwrap().bytes(), made.root.bytes());
}

#[tokio::test]
async fn progress_nonce_and_reset() {
    let scene = Scene::new(2);
    let seal = scene.seal(SealConfig::Shamir);
    assert!(!seal.initialized().await.unwrap());
    assert_eq!((seal.status().t, seal.status().n), (0, 0));
    assert_eq!(public(seal.unseal(&[0; 33]).await), "Vault is not initialized");
    let made = seal.init(shamir_shares(3, 2)).await.unwrap();
    let before = seal.status();
    assert_eq!((before.kind, before.t, before.n, before.progress, before.nonce.as_str()), ("shamir", 2, 3, 0, ""));

    let Progress::More(one) = seal.unseal(&made.keys[0]).await.unwrap() else { panic!("one of two") };
    assert_eq!(one.progress, 1);
    assert_eq!((one.nonce.len(), one.nonce.as_bytes()[14]), (36, b'4'));
    let Progress::More(again) = seal.unseal(&made.keys[0]).await.unwrap() else { panic!("the same share twice") };
    assert_eq!(again, one);
    seal.reset();
    assert_eq!(seal.status(), before);

    assert!(give(&seal, &[&made.keys[0], &made.keys[2]]).await.unwrap().is_some());
    assert_eq!(seal.status(), before);
}

#[tokio::test]
async fn wrong_and_mixed_shares_are_noticed_at_the_threshold_and_forgotten() {
    let scene = Scene::new(3);
    let seal = scene.seal(SealConfig::Shamir);
    let made = seal.init(shamir_shares(5, 3)).await.unwrap();
    let other = Scene::new(4).seal(SealConfig::Shamir).init(shamir_shares(5, 3)).await.unwrap();
    let mut bent = Zeroizing::new(made.keys[2].to_vec());
    bent[7] ^= 1;
    let mut same_x = Zeroizing::new(made.keys[0].to_vec());
    same_x[0] ^= 0xff;
    let mut zero_x = Zeroizing::new(made.keys[2].to_vec());
    zero_x[32] = 0;
    let short = Zeroizing::new(vec![9; 16]);
    for wrong in [&other.keys[2], &bent, &same_x, &zero_x, &short] {
        assert_eq!(public(give(&seal, &[&made.keys[0], &made.keys[1], wrong]).await), WRONG_SHARES);
        assert_eq!((seal.status().progress, seal.status().nonce.as_str()), (0, ""));
    }
    assert!(give(&seal, &[&made.keys[0], &made.keys[1], &made.keys[4]]).await.unwrap().is_some());
    assert_eq!(public(seal.unseal(&[1; 15]).await), "invalid key: key is shorter than minimum 16 bytes");
    assert_eq!(public(seal.unseal(&[1; 34]).await), "invalid key: key is longer than maximum 33 bytes");
    assert_eq!(seal.status().progress, 0);
}

#[tokio::test]
async fn initialisation_happens_once_and_within_bounds() {
    let scene = Scene::new(5);
    let seal = scene.seal(SealConfig::Shamir);
    for (shares, threshold, what) in [
        (0, 0, "shares must be at least one"),
        (3, 0, "threshold must be at least one"),
        (2, 3, "threshold cannot be larger than shares"),
        (3, 1, "threshold must be greater than one for multiple shares"),
        (256, 2, "shares must be less than 256"),
        (u64::MAX, 3, "shares must be less than 256"),
    ] {
        let text = public(seal.init(shamir_shares(shares, threshold)).await);
        assert_eq!(text, format!("invalid seal configuration: {what}"), "{shares}/{threshold}");
    }
    assert_eq!(
        public(seal.init(recovery_shares(5, 3)).await),
        "parameters recovery_shares,recovery_threshold not applicable to seal type shamir"
    );
    assert!(!seal.initialized().await.unwrap());
    seal.init(shamir_shares(255, 255)).await.unwrap();
    assert_eq!(public(seal.init(shamir_shares(1, 1)).await), "Vault is already initialized");
}

#[tokio::test]
async fn what_belongs_to_the_root_key_is_written_with_the_record_or_not_at_all() {
    let scene = Scene::new(6);
    let seal = scene.seal(SealConfig::Shamir);
    let refused = seal.init_with(shamir_shares(1, 1), |_| Err(Error::internal("no keyring"))).await;
    assert!(refused.is_err() && !seal.initialized().await.unwrap());
    let random = scene.random.clone();
    let made = seal
        .init_with(shamir_shares(1, 1), |root| Ok(vec![Write::create("keyring", root.bytes().to_vec(), &*random)]))
        .await
        .unwrap();
    assert_eq!(scene.read("keyring").await.unwrap().0, made.root.bytes());
}

#[tokio::test]
async fn a_static_seal_opens_by_itself_after_a_restart() {
    let scene = Scene::new(7);
    let seal = scene.seal(fixed(named("2026", 1), None));
    assert!(seal.auto_unseal().await.unwrap().is_none());
    assert_eq!(
        public(seal.init(shamir_shares(5, 3)).await),
        "parameters secret_shares,secret_threshold not applicable to seal type static"
    );
    assert_eq!(
        public(seal.init(recovery_shares(2, 3)).await),
        "invalid recovery configuration: threshold cannot be larger than shares"
    );
    let made = seal.init(recovery_shares(3, 2)).await.unwrap();
    let again = scene.seal(fixed(named("2026", 1), None));
    assert_eq!(again.auto_unseal().await.unwrap().unwrap().bytes(), made.root.bytes());
    let status = again.status();
    assert_eq!((status.kind, status.t, status.n, status.recovery), ("static", 2, 3, true));
    assert!(public(again.unseal(&made.keys[0]).await).contains("unseals by itself"));

    assert!(again.is_recovery_quorum(&made.root, &made.keys[1..]).await.unwrap());
    assert!(!again.is_recovery_quorum(&made.root, &made.keys[..1]).await.unwrap());
    let mut bent = vec![Zeroizing::new(made.keys[0].to_vec()), Zeroizing::new(made.keys[1].to_vec())];
    bent[0][0] ^= 1;
    assert!(!again.is_recovery_quorum(&made.root, &bent).await.unwrap());

    let other = scene.seal(fixed(named("2026", 9), None)).auto_unseal().await.err().unwrap();
    assert!(format!("{other:?}").contains("the key named \"2026\" does not open"), "{other:?}");
    assert_eq!(other.public(), "Vault is sealed");
}

#[tokio::test]
async fn a_static_seal_without_recovery_keys() {
    let scene = Scene::new(8);
    let seal = scene.seal(fixed(named("a", 1), None));
    let made = seal.init(InitShares::default()).await.unwrap();
    assert!(made.keys.is_empty());
    assert!(seal.auto_unseal().await.unwrap().is_some());
    assert_eq!((seal.status().t, seal.status().n), (0, 0));
}

#[tokio::test]
async fn the_previous_key_carries_the_store_over_once() {
    let scene = Scene::new(9);
    let made = scene.seal(fixed(named("old", 1), None)).init(recovery_shares(1, 1)).await.unwrap();
    let before = scene.bytes().await;
    let stranger = scene.seal(fixed(named("new", 2), None)).auto_unseal().await.err().unwrap();
    assert!(format!("{stranger:?}").contains("give that key as previous_key"), "{stranger:?}");
    assert_eq!(scene.bytes().await, before);

    let moving = scene.seal(fixed(named("new", 2), Some(named("old", 1))));
    assert_eq!(moving.auto_unseal().await.unwrap().unwrap().bytes(), made.root.bytes());
    assert_ne!(scene.bytes().await, before);
    let moved = scene.seal(fixed(named("new", 2), None));
    assert_eq!(moved.auto_unseal().await.unwrap().unwrap().bytes(), made.root.bytes());
    assert!(moved.is_recovery_quorum(&made.root, &made.keys).await.unwrap());
    assert!(scene.seal(fixed(named("old", 1), None)).auto_unseal().await.is_err());
}

#[tokio::test]
async fn another_kind_of_seal_is_refused_by_name() {
    let scene = Scene::new(10);
    scene.seal(SealConfig::Shamir).init(shamir_shares(1, 1)).await.unwrap();
    let error = scene.seal(fixed(named("a", 1), None)).initialized().await.err().unwrap();
    assert!(format!("{error:?}").contains("initialised with seal \"shamir\""), "{error:?}");
}

#[tokio::test]
async fn a_corrupt_record_is_an_error_whichever_byte_it_is() {
    let scene = Scene::new(11);
    let made = scene.seal(SealConfig::Shamir).init(shamir_shares(2, 2)).await.unwrap();
    let whole = scene.bytes().await;
    for at in 0..whole.len() {
        for flip in [0x01, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            scene.replace(bytes).await;
            let seal = scene.seal(SealConfig::Shamir);
            let outcome = give(&seal, &[&made.keys[0], &made.keys[1]]).await;
            assert!(!matches!(outcome, Ok(Some(_))), "byte {at} altered and still opens");
        }
    }
    for len in 0..whole.len() {
        scene.replace(whole[..len].to_vec()).await;
        let error = scene.seal(SealConfig::Shamir).initialized().await.expect_err("cut short");
        assert_eq!(error.kind(), Kind::Internal);
    }
    scene.replace(vec![0x83, 2, 0xf6, 0xf6]).await;
    let error = scene.seal(SealConfig::Shamir).initialized().await.err().unwrap();
    assert!(format!("{error:?}").contains("a format that this version does not know"), "{error:?}");
    scene.replace([whole.as_slice(), &[0]].concat()).await;
    let error = scene.seal(SealConfig::Shamir).initialized().await.err().unwrap();
    assert!(format!("{error:?}").contains("record seal is corrupt: has bytes after its end"), "{error:?}");
}

#[test]
fn keys_and_shares_as_text() {
    let key = [0xab; 32];
    let base64 = "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=";
    for text in [key.to_vec(), hex::encode(key).into(), base64.into(), format!("  {base64}\n").into()] {
        assert_eq!(parse_key(text.clone()).map(|key| *key.bytes()), Some(key), "{text:?}");
    }
    for text in ["", "abab", "q6urq6urq6s=", &"g".repeat(64), &"ab".repeat(33)] {
        assert!(parse_key(text.into()).is_none(), "{text}");
    }
    assert_eq!(parse_share("00ff").unwrap().as_slice(), [0, 255]);
    assert_eq!(parse_share("AP8=").unwrap().as_slice(), [0, 255]);
    for text in ["!!!", "a", "AP8", &"a".repeat(1000)] {
        assert_eq!(public(parse_share(text)), "'key' must be a valid hex or base64 string", "{text}");
    }
}
