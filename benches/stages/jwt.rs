//! What the assertion of one request costs.

use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use serde_json::{Value, json};
use sparekey::auth::fetch::HttpsFetch;
use sparekey::auth::{Act, Compiled, Token, Verifier, judge};
use sparekey::clock::SystemClock;
use sparekey::domain::fields::Fields;
use sparekey::domain::issuer::Issuer;
use sparekey::domain::name::AccountName;
use sparekey::domain::pubkey::{PublicKey, algorithm};
use sparekey::domain::role::{Capability, Role};
use sparekey::domain::time::Timestamp;

use crate::keys::{Pair, signed, with_signature};

const NOW: i64 = 1_800_000_000;

fn fields(value: &Value) -> Fields {
    Fields::new(value.as_object().cloned().unwrap_or_default())
}

/// Parsing, verifying, judging.
pub fn all(bench: &mut Criterion) {
    let verifier = Verifier::new(Arc::new(HttpsFetch::default()), Arc::new(SystemClock));
    let now = Timestamp::from_secs(NOW);
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    for (alg, pair) in [
        ("ES256", Pair::p256()),
        ("ES384", Pair::p384()),
        ("RS256", Pair::rsa()),
        ("PS256", Pair::rsa()),
        ("EdDSA", Pair::ed()),
    ] {
        let record = json!({"bound_issuer": "https://idp.example.com", "jwt_validation_pubkeys": [pair.pem()]});
        let issuer = Issuer::update(None, &mut fields(&record)).and_then(|issuer| Compiled::new("idp", &issuer));
        let Ok(issuer) = issuer.map(Arc::new) else { return };
        let claims = json!({"iss": "https://idp.example.com", "sub": "jane@example.com", "aud": "sparekey", "jti": "e3b0c442",
            "iat": NOW, "exp": NOW + 300, "groups": ["on-call", "platform", "staff"], "amr": ["pwd", "hwk"], "acr": "aal2"});
        let signed = signed(&json!({"alg": alg, "typ": "at+jwt", "kid": "k1"}).to_string(), &claims.to_string());
        let text = with_signature(&signed, pair.sign(alg, signed.as_bytes()));
        let Ok(token) = Token::parse(&text) else { return };
        let issuers = [issuer];
        let (Ok(key), Some(algorithm)) = (PublicKey::from_pem(&pair.pem()), algorithm(alg)) else { return };
        let Some((bytes, signature)) = text.rsplit_once('.') else { return };
        bench.bench_function(&format!("jwt/verify {alg}"), |run| {
            run.iter(|| key.verify(algorithm, black_box(bytes.as_bytes()), signature));
        });
        bench.bench_function(&format!("jwt/verify {alg}, seen before"), |run| {
            run.iter(|| runtime.block_on(verifier.verify(black_box(&token), &issuers, now)));
        });
        if alg != "ES256" {
            continue;
        }
        bench.bench_function("jwt/parse", |run| run.iter(|| Token::parse(black_box(&text))));
        let Ok(assertion) = runtime.block_on(verifier.verify(&token, &issuers, now)) else { return };
        let record = json!({"issuers": "idp", "bound_audiences": "sparekey", "bound_claims": {"groups": ["on-call", "lead"]},
            "accounts": ["github/*", "okta/{{sub}}"], "operations": "retrieve,read", "required_acr": "aal2",
            "refused_amr": "recovery", "ticket_pattern": "(INC|CHG)[0-9]{4,8}", "bound_cidrs": "10.0.0.0/8"});
        let rule = Role::update(None, "on-call", &mut fields(&record)).and_then(|role| role.compile());
        let (Ok(rule), Ok(account)) = (rule, AccountName::parse("okta/jane@example.com")) else { return };
        let act = Act {
            capability: Capability::Retrieve,
            account: &account,
            now,
            remote: Some([10, 1, 2, 3].into()),
            reason: Some("locked out"),
            ticket: Some("INC0042"),
            wrapped: false,
        };
        bench.bench_function("jwt/judge", |run| run.iter(|| judge(&rule, "on-call", black_box(&assertion), &act)));
    }
}
