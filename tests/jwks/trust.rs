//! Which keys count, and for how long.

use super::*;

#[tokio::test]
async fn a_new_key_is_found_by_its_id_and_an_old_one_goes() {
    let (old, new) = (Pair::p256(), Pair::p256());
    let fake = Fake::serving(&[(&old, "k1")]);
    let desk = Desk::jwks(&fake);
    desk.verify(&Desk::token(&old, Some("k1"))).await.unwrap();
    let set = key_set(&[(&new, "k2")]);
    fake.set(move |_| Ok(set.clone()));
    let token = Desk::token(&new, Some("k2"));
    assert!(desk.verify(&token).await.is_err(), "within the cooldown nothing is fetched");
    desk.pass(COOLDOWN);
    desk.verify(&token).await.unwrap();
    assert!(desk.verify(&Desk::token(&old, Some("k1"))).await.is_err(), "what the issuer took back is not trusted");
    assert_eq!(fake.count(), 2);
}

#[tokio::test]
async fn a_forged_signature_under_a_known_id_causes_no_fetch() {
    let (pair, forger) = (Pair::p256(), Pair::p256());
    let fake = Fake::serving(&[(&pair, "k1")]);
    let desk = Desk::jwks(&fake);
    desk.verify(&Desk::token(&pair, Some("k1"))).await.unwrap();
    desk.pass(COOLDOWN);
    for _ in 0..100 {
        let forged = desk.verify(&Desk::token(&forger, Some("k1"))).await;
        assert_eq!(forged, Err(Refusal::Signature { pinned: false }));
    }
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn a_token_without_a_key_id_is_tried_with_every_key() {
    let (one, two, three) = (Pair::p256(), Pair::p384(), Pair::p256());
    let fake = Fake::serving(&[(&one, "k1"), (&two, "k2")]);
    let desk = Desk::jwks(&fake);
    desk.verify(&Desk::token(&one, None)).await.unwrap();
    desk.verify(&Desk::token(&two, None)).await.unwrap();
    let set = key_set(&[(&three, "k3")]);
    fake.set(move |_| Ok(set.clone()));
    desk.pass(COOLDOWN);
    desk.verify(&Desk::token(&three, None)).await.unwrap();
}

#[tokio::test]
async fn keys_that_nobody_confirms_are_used_for_a_day_and_no_longer() {
    let pair = Pair::p256();
    let fake = Fake::serving(&[(&pair, "k1")]);
    let desk = Desk::jwks(&fake);
    let good = Desk::token(&pair, Some("k1"));
    desk.verify(&good).await.unwrap();
    fake.set(|_| Err("down".into()));
    desk.pass(STALE - COOLDOWN);
    desk.verify(&good).await.unwrap();
    settle().await;
    desk.pass(COOLDOWN);
    assert_eq!(desk.verify(&good).await, Err(Refusal::KeysUnavailable));
}

#[tokio::test]
async fn only_keys_of_one_family_count_unless_algorithms_are_named() {
    let (rsa, ec) = (Pair::rsa(), Pair::p256());
    let fake = Fake::serving(&[(&ec, "ec"), (&rsa, "rsa")]);
    let desk = Desk::jwks(&fake);
    desk.verify(&Desk::token(&rsa, Some("rsa"))).await.unwrap();
    assert_eq!(desk.verify(&Desk::token(&ec, Some("ec"))).await, Err(Refusal::NoKey { pinned: false }));
    let desk = Desk::of(&fake, json!({"bound_issuer": ISS, "jwks_url": URL, "jwt_supported_algs": ["ES256"]}));
    desk.verify(&Desk::token(&ec, Some("ec"))).await.unwrap();
    let refused = desk.verify(&Desk::token(&rsa, Some("rsa"))).await;
    assert_eq!(refused, Err(Refusal::AlgorithmNotAllowed("RS256".into())));
}

#[tokio::test]
async fn keys_for_other_purposes_and_private_keys_are_passed_over() {
    let pair = Pair::p256();
    for (member, value, taken) in [
        ("use", json!("sig"), true),
        ("use", json!("enc"), false),
        ("key_ops", json!(["verify"]), true),
        ("key_ops", json!(["sign"]), false),
        ("alg", json!("ES256"), true),
        ("alg", json!("ES384"), false),
        ("alg", json!("HS256"), false),
        ("d", json!("AAAA"), false),
        ("x5t", json!("AAAA"), true),
        ("kid", json!(7), false),
    ] {
        let mut jwk = pair.jwk(Some("k1"));
        jwk[member] = value.clone();
        let set = json!({"keys": ["no key", jwk, {"kty": "unheard of"}]}).to_string().into_bytes();
        let fake = Fake::new(move |_| Ok(set.clone()));
        let desk = Desk::jwks(&fake);
        assert_eq!(desk.verify(&Desk::token(&pair, Some("k1"))).await.is_ok(), taken, "{member} {value}");
    }
}

#[tokio::test]
async fn discovery_takes_the_issuer_exactly_and_stays_on_https() {
    let pair = Pair::p256();
    let set = key_set(&[(&pair, "k1")]);
    let run = async |issuer: &str, keys_url: &str| {
        let document = json!({"issuer": issuer, "jwks_uri": keys_url}).to_string().into_bytes();
        let (set, keys_url) = (set.clone(), keys_url.to_owned());
        let fake = Fake::new(move |url| match url {
            "https://idp.example.com/.well-known/openid-configuration" => Ok(document.clone()),
            url if url == keys_url => Ok(set.clone()),
            other => Err(format!("nothing at {other}")),
        });
        let desk = Desk::of(&fake, json!({"bound_issuer": ISS, "oidc_discovery_url": ISS}));
        desk.verify(&Desk::token(&pair, Some("k1"))).await.map(drop)
    };
    assert_eq!(run(ISS, "https://keys.example.com/set").await, Ok(()));
    for (issuer, keys_url) in [
        ("https://idp.example.com/", "https://keys.example.com/set"),
        ("https://evil.example.com", "https://keys.example.com/set"),
        ("", "https://keys.example.com/set"),
        (ISS, "http://keys.example.com/set"),
        (ISS, "http://127.0.0.1/set"),
        (ISS, "file:///etc/passwd"),
    ] {
        assert_eq!(run(issuer, keys_url).await, Err(Refusal::KeysUnavailable), "{issuer} {keys_url}");
    }
}

#[tokio::test]
async fn pinned_keys_open_the_door_when_the_provider_is_down() {
    let pair = Pair::p256();
    let fake = Fake::new(|_| Err("down".into()));
    let mut desk = Desk::jwks(&fake);
    let record = json!({"bound_issuer": ISS, "jwt_validation_pubkeys": [pair.pem()]});
    let issuer = Issuer::update(None, &mut Fields::new(record.as_object().unwrap().clone())).unwrap();
    desk.issuers.push(Arc::new(Compiled::new("pinned", &issuer).unwrap()));
    let assertion = desk.verify(&Desk::token(&pair, Some("k1"))).await.unwrap();
    assert_eq!(assertion.issuer, "pinned");
    assert_eq!(fake.count(), 0);
}
