//! Records of issuers: what is taken, what is refused by name, and that nothing unreadable is ever stored.

#[path = "support/keys.rs"]
mod keys;

use keys::{Pair, b64, pem};
use serde_json::{Value, json};
use sparekey::auth::Compiled;
use sparekey::domain::fields::Fields;
use sparekey::domain::issuer::{Issuer, IssuerKind};
use sparekey::error::{Error, Kind};

fn update(old: Option<&Issuer>, value: &Value) -> Result<Issuer, Error> {
    let issuer = Issuer::update(old, &mut Fields::new(value.as_object().unwrap().clone()))?;
    Compiled::new("idp", &issuer)?;
    Ok(issuer)
}

#[track_caller]
fn refused(value: Value, says: &str) {
    let error = update(None, &value).expect_err(&value.to_string());
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.public().contains(says), "{value}: {error} lacks {says:?}");
}

/// A record with this in it, complete but for it.
fn with(field: &str, value: Value) -> Value {
    let mut record = json!({"bound_issuer": "https://idp.example.com"});
    record[field] = value;
    record
}

fn ca() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::new(vec!["ca.example.com".to_owned()]).unwrap().self_signed(&key).unwrap().pem()
}

#[test]
fn exactly_one_source_of_keys() {
    refused(json!({"bound_issuer": "x"}), "exactly one of");
    let both =
        json!({"bound_issuer": "x", "jwks_url": "https://a.example", "jwt_validation_pubkeys": [Pair::p256().pem()]});
    refused(both, "jwks_url and jwt_validation_pubkeys");
    let ec = Pair::p256();
    for record in [
        with("jwks_url", json!("https://idp.example.com/keys?tenant=1")),
        with("oidc_discovery_url", json!("https://idp.example.com")),
        with("jwt_validation_pubkeys", json!(ec.pem())),
        with("jwt_validation_pubkeys", json!([ec.pem(), Pair::p384().pem()])),
        with("jwks", json!({"keys": [ec.jwk(Some("a"))]})),
        with("jwks", json!(json!({"keys": [ec.jwk(None)]}).to_string())),
    ] {
        update(None, &record).unwrap_or_else(|error| panic!("{record}: {error}"));
    }
}

#[test]
fn what_is_read_can_be_written_back_and_changes_nothing() {
    let mut full = with("jwks_url", json!("https://idp.example.com/keys"));
    full["jwks_ca_pem"] = ca().into();
    full["jwt_supported_algs"] = json!("RS256,PS256");
    full["clock_skew_leeway"] = json!("10s");
    full["trust_email"] = json!("true");
    for record in [full, with("jwt_validation_pubkeys", json!([Pair::ed().pem()]))] {
        let issuer = update(None, &record).unwrap();
        assert_eq!(update(Some(&issuer), &issuer.wire().into()).unwrap(), issuer);
        assert_eq!(update(None, &issuer.wire().into()).unwrap(), issuer);
        let stored: Issuer = serde_json::from_str(&serde_json::to_string(&issuer).unwrap()).unwrap();
        assert_eq!(stored, issuer);
    }
}

#[test]
fn given_fields_replace_absent_ones_stay_null_resets() {
    let mut record = with("jwks_url", json!("https://idp.example.com/keys"));
    record["clock_skew_leeway"] = json!(5);
    let old = update(None, &record).unwrap();
    let new = update(Some(&old), &json!({"trust_email": true})).unwrap();
    assert_eq!((new.leeway().as_secs(), new.trust_email()), (5, true));
    let new = update(Some(&new), &json!({"clock_skew_leeway": null})).unwrap();
    assert_eq!((new.leeway().as_secs(), new.trust_email()), (60, true));
    let moved = json!({"jwks_url": null, "jwt_validation_pubkeys": [Pair::p256().pem()]});
    assert_eq!(update(Some(&new), &moved).unwrap().wire()["jwks_url"], json!(null));
    let told = update(Some(&new), &json!({"oidc_discovery_url": "https://idp.example.com"})).unwrap_err();
    assert!(told.public().contains("null"), "{told}");
}

#[test]
fn bad_values_and_unknown_fields_are_refused_by_name() {
    let url = json!("https://idp.example.com/keys");
    let also = |field: &str, value: Value| {
        let mut record = with("jwks_url", url.clone());
        record[field] = value;
        record
    };
    refused(json!({"jwks_url": url}), "bound_issuer");
    refused(also("bound_issuer", json!("")), "bound_issuer");
    refused(also("bound_issuer", json!("a\u{0}b")), "bound_issuer");
    refused(also("type", json!("host")), "mount_accessor");
    refused(also("type", json!("oidc")), "type");
    refused(also("mount_accessor", json!("auth_jwt_1")), "belongs to type host");
    refused(also("clock_skew_leeway", json!(61)), "clock_skew_leeway");
    refused(also("clock_skew_leeway", json!("-1s")), "clock_skew_leeway");
    refused(also("trust_email", json!("perhaps")), "trust_email");
    refused(also("jwks_uri", json!("x")), "jwks_uri");
    refused(also("oidc_discovery_ca_pem", json!(ca())), "oidc_discovery_ca_pem");
    for alg in ["none", "HS256", "HS512", "rs256", "ES512", "ES256K", "", "RS256,ES256", "EdDSA,PS256"] {
        let record =
            also("jwt_supported_algs", json!([alg, "RS256"].iter().flat_map(|s| s.split(',')).collect::<Vec<_>>()));
        refused(record, "jwt_supported_algs");
    }
    update(None, &also("type", json!("jwt"))).unwrap();
    update(None, &also("jwt_supported_algs", json!(["RS256", "PS512"]))).unwrap();
}

#[test]
fn urls_are_https_or_stay_on_this_machine() {
    for field in ["jwks_url", "oidc_discovery_url"] {
        for url in [
            "https://idp.example.com",
            "https://idp.example.com:8443/a/b?c=d",
            "http://127.0.0.1:8080/k",
            "http://localhost/k",
            "http://[::1]:1/k",
            "http://127.9.9.9/k",
        ] {
            update(None, &with(field, json!(url))).unwrap_or_else(|error| panic!("{url}: {error}"));
        }
        for url in [
            "http://idp.example.com/keys",
            "http://localhost.example.com/k",
            "http://127.0.0.1.example.com/k",
            "http://10.0.0.1/k",
            "https://user:pw@idp.example.com/k",
            "http://127.0.0.1@evil.example.com/k",
            "https://",
            "https:///k",
            "idp.example.com",
            "file:///etc/passwd",
            "ftp://idp.example.com",
            "//idp.example.com",
            "https://idp.example.com/#x",
            "https://idp.example.com/\r\nHost: evil",
            "https://idp.example.com/ k",
            "http://localhost\\@evil.example.com/",
            "HTTP://x",
        ] {
            refused(with(field, json!(url)), field);
        }
    }
}

#[test]
fn a_private_key_is_never_taken_and_never_repeated() {
    let pkcs8 = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let error = update(None, &with("jwt_validation_pubkeys", json!([pkcs8]))).unwrap_err();
    assert!(error.public().contains("private key"), "{error}");
    assert!(!format!("{error:?}").contains(&pkcs8[40..60]));
    for label in ["RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY"] {
        refused(with("jwt_validation_pubkeys", json!([pem(label, &[1, 2, 3])])), "private key");
    }
    let ca_and_key = format!("{}{pkcs8}", ca());
    let mut record = with("jwks_url", json!("https://idp.example.com"));
    record["jwks_ca_pem"] = ca_and_key.into();
    refused(record, "jwks_ca_pem");
    for (pair, member) in
        [(Pair::p256(), "d"), (Pair::ed(), "d"), (Pair::rsa(), "d"), (Pair::rsa(), "p"), (Pair::rsa(), "qi")]
    {
        let mut jwk = pair.jwk(Some("k"));
        jwk[member] = json!("c2VjcmV0LXNlY3JldA");
        let error = update(None, &with("jwks", json!({"keys": [jwk]}))).unwrap_err();
        assert!(error.public().contains(member) && error.public().contains("private"), "{error}");
        assert!(!error.public().contains("c2VjcmV0"), "{error}");
    }
    refused(with("jwks", json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]})), "private or shared");
}

#[test]
fn keys_that_cannot_be_read_are_refused() {
    let good = Pair::p256().pem();
    for (key, says) in [
        (String::from("hello"), "PEM"),
        (good.replace("PUBLIC KEY", "CERTIFICATE"), "certificate"),
        (ca(), "certificate"),
        (format!("{good}{good}"), "one PEM block"),
        (good.replacen("MFkw", "MFkx", 1), "public key"),
        (pem("PUBLIC KEY", &[0x30, 0x00]), "public key"),
        (pem("PUBLIC KEY", &[]), "public key"),
        (good[..good.len() / 2].to_owned(), "public key"),
    ] {
        refused(with("jwt_validation_pubkeys", json!([key])), says);
        refused(with("jwt_validation_pubkeys", json!([good, key])), "item 2");
    }
    // A point that is not on its curve: the last byte of a good one changed.
    let Value::Object(mut off_curve) = Pair::p256().jwk(None) else { panic!() };
    off_curve.insert("y".into(), json!(b64([1; 32])));
    refused(with("jwks", json!({"keys": [off_curve]})), "curve");
    for keys in [
        json!([]),
        json!({}),
        json!([{"kty": "EC"}]),
        json!([1]),
        json!([{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]),
        json!([{"kty": "RSA", "n": "a b", "e": "AQAB"}]),
        json!([{"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}]),
        json!([{"kty": "OKP", "crv": "Ed25519", "x": "AQ"}]),
        json!([{"kty": 1}]),
        json!([{}]),
    ] {
        refused(with("jwks", json!({"keys": keys})), "jwks");
    }
    for set in [json!("{"), json!([]), json!(1), json!("[]"), json!({"key": []})] {
        refused(with("jwks", set), "jwks");
    }
    let crowd: Vec<Value> = (0..65).map(|_| Pair::ed().jwk(None)).collect();
    refused(with("jwks", json!({"keys": crowd})), "at most 64");
    // Keys for another purpose are no signing keys.
    let mut enc = Pair::p256().jwk(None);
    enc["use"] = json!("enc");
    refused(with("jwks", json!({"keys": [enc]})), "signing key");
    let curve = json!({"kty": "EC", "crv": "secp256k1", "x": b64([1; 32]), "y": b64([2; 32])});
    refused(with("jwks", json!({"keys": [curve]})), "signing key");
}

#[test]
fn rsa_keys_are_large_enough_and_have_a_real_exponent() {
    let Value::Object(good) = Pair::rsa().jwk(None) else { panic!() };
    let with_member = |member: &str, value: Vec<u8>| {
        let mut jwk = good.clone();
        jwk.insert(member.into(), b64(value).into());
        with("jwks", json!({"keys": [jwk]}))
    };
    let mut short = vec![0xff; 128];
    short[127] = 1;
    refused(with_member("n", short), "2048 to 8192 bits, not 1024");
    let mut padded = vec![0; 128];
    padded.extend([0xff; 128]);
    refused(with_member("n", padded), "not 1024");
    refused(with_member("n", vec![0xff; 1025]), "not 8200");
    refused(with_member("e", vec![1]), "exponent");
    refused(with_member("e", vec![0, 0, 1]), "exponent");
    refused(with_member("e", vec![4]), "exponent");
    refused(with_member("e", vec![]), "exponent");
    update(None, &with("jwks", json!({"keys": [good]}))).unwrap();
    // PKCS#1 is read as well as SubjectPublicKeyInfo.
    update(None, &with("jwt_validation_pubkeys", json!([pem("RSA PUBLIC KEY", &Pair::rsa().raw())]))).unwrap();
}

#[test]
fn one_issuer_one_family() {
    let (rsa, ec) = (Pair::rsa(), Pair::p256());
    refused(with("jwt_validation_pubkeys", json!([rsa.pem(), ec.pem()])), "one family");
    refused(with("jwks", json!({"keys": [ec.jwk(None), Pair::ed().jwk(None)]})), "one family");
    let mut record = with("jwt_validation_pubkeys", json!([ec.pem()]));
    record["jwt_supported_algs"] = json!(["RS256"]);
    refused(record, "one family");
}

#[test]
fn authorities_are_certificates() {
    let mut record = with("jwks_url", json!("https://idp.example.com"));
    record["jwks_ca_pem"] = ca().into();
    update(None, &record).unwrap();
    record["jwks_ca_pem"] = format!("{}{}", ca(), ca()).into();
    update(None, &record).unwrap();
    for wrong in ["hello".to_owned(), Pair::p256().pem(), pem("CERTIFICATE", &[0x30, 0x00]), ca()[..200].to_owned()] {
        record["jwks_ca_pem"] = wrong.into();
        refused(record.clone(), "jwks_ca_pem");
    }
}

#[test]
fn an_issuer_of_type_host_names_an_auth_method_and_nothing_to_verify() {
    let host = json!({"type": "host", "mount_accessor": "auth_jwt_1a2b3c4d"});
    let issuer = update(None, &host).unwrap();
    assert_eq!((issuer.kind(), issuer.bound_issuer()), (IssuerKind::Host, ""));
    assert_eq!(issuer.wire()["mount_accessor"], "auth_jwt_1a2b3c4d");
    assert_eq!(update(Some(&issuer), &issuer.wire().into()).unwrap(), issuer);
    assert_eq!(update(None, &issuer.wire().into()).unwrap(), issuer);
    let with = |field: &str, value: Value| {
        let mut record = host.clone();
        record[field] = value;
        record
    };
    for accessor in [json!(null), json!(""), json!("a b"), json!("auth/jwt"), json!("a".repeat(129))] {
        refused(with("mount_accessor", accessor), "mount_accessor");
    }
    for (field, value) in [
        ("bound_issuer", json!("https://idp.example.com")),
        ("jwks_url", json!("https://idp.example.com/keys")),
        ("jwt_validation_pubkeys", json!([Pair::p256().pem()])),
        ("jwks", json!({"keys": []})),
        ("oidc_discovery_url", json!("https://idp.example.com")),
        ("jwt_supported_algs", json!("RS256")),
        ("trust_email", json!(true)),
    ] {
        refused(with(field, value), field);
    }

    // A record keeps its type.
    let jwt = update(None, &with_keys()).unwrap();
    assert!(update(Some(&issuer), &json!({"type": "jwt"})).unwrap_err().public().contains("type: cannot change"));
    assert!(update(Some(&jwt), &host).unwrap_err().public().contains("type: cannot change"));
    // Records that were written before there was another type are read as they are.
    let mut stored = serde_json::to_value(&jwt).unwrap();
    stored.as_object_mut().unwrap().remove("mount_accessor");
    assert_eq!(serde_json::from_value::<Issuer>(stored).unwrap(), jwt);
}

fn with_keys() -> Value {
    with("jwt_validation_pubkeys", json!([Pair::p256().pem()]))
}
