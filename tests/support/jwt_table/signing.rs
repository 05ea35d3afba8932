//! Signed by the wrong one, the wrong way, or not at all.

use super::*;

impl Maker {
    pub(super) fn algorithms(&mut self) {
        let payload = self.payload(ISS_EC);
        for alg in ["none", "None", "NONE", "nOnE", "", "null", "es256", "ES256 ", "ES256K", "RS1", "Ed25519", "HS256"]
        {
            let header = format!(r#"{{"alg":"{alg}"}}"#);
            self.refuse_header(&format!("alg {alg:?} over a good signature"), "Algorithm", &header);
            self.refuse(
                &format!("alg {alg:?} and no signature"),
                "Algorithm",
                format!("{}.", signed(&header, &payload)),
            );
        }
        self.refuse_header("no alg", "Header", r#"{"typ":"JWT"}"#);
        self.refuse_header("alg null", "Header", r#"{"alg":null}"#);
        self.refuse_header("a number as alg", "Header", r#"{"alg":256}"#);
        self.refuse_header("a list as alg", "Header", r#"{"alg":["ES256"]}"#);
        // The public key is no secret: whoever knows it must not be able to use it as one.
        for (name, iss, alg, secret) in [
            ("the RSA PEM", ISS_RSA, "HS256", self.keys.rsa.pem().into_bytes()),
            (
                "the RSA PEM without its last line feed",
                ISS_RSA,
                "HS256",
                self.keys.rsa.pem().trim_end().as_bytes().to_vec(),
            ),
            ("the RSA key's DER", ISS_RSA, "HS384", self.keys.rsa.raw()),
            ("the EC PEM", ISS_EC, "HS256", self.keys.ec.pem().into_bytes()),
            ("the EC point", ISS_EC, "HS512", self.keys.ec.raw()),
            ("the Ed25519 point", ISS_ED, "HS256", self.keys.ed.raw()),
            ("nothing", ISS_EC, "HS256", Vec::new()),
        ] {
            let header = format!(r#"{{"alg":"{alg}","kid":"rsa-1","typ":"JWT"}}"#);
            let signed = signed(&header, &self.payload(iss));
            let token = with_signature(&signed, hmac(alg, &secret, signed.as_bytes()));
            self.refuse(&format!("{alg} with {name} as secret"), "Algorithm", token);
        }
        self.refuse_header("RS256 of an EC issuer", "NoKey", r#"{"alg":"RS256"}"#);
        self.refuse_header("EdDSA of an EC issuer", "NoKey", r#"{"alg":"EdDSA"}"#);
        self.refuse_header("ES384 of a P-256 key", "NoKey", r#"{"alg":"ES384"}"#);
        self.refuse_header("ES512, which no key here has", "NoKey", r#"{"alg":"ES512"}"#);
        let es_of_rsa = signed(r#"{"alg":"ES256","kid":"rsa-1"}"#, &self.payload(ISS_RSA));
        let token = with_signature(&es_of_rsa, self.keys.ec.sign("ES256", es_of_rsa.as_bytes()));
        self.refuse("ES256 of an RSA issuer", "NoKey", token);
        for (claimed, used) in [("RS256", "PS256"), ("PS256", "RS256"), ("RS256", "RS512"), ("PS384", "PS256")] {
            let signed = signed(&format!(r#"{{"alg":"{claimed}","kid":"rsa-1"}}"#), &self.payload(ISS_RSA));
            let token = with_signature(&signed, self.keys.rsa.sign(used, signed.as_bytes()));
            self.refuse(&format!("{claimed} said, {used} done"), "Signature", token);
        }
        for alg in ["PS256", "RS384", "RS512", "PS512"] {
            let signed = signed(&format!(r#"{{"alg":"{alg}"}}"#), &self.payload(ISS_RS256));
            let token = with_signature(&signed, self.keys.rsa_only_rs256.sign(alg, signed.as_bytes()));
            self.refuse(&format!("{alg} where only RS256 is allowed"), "AlgorithmNotAllowed", token);
        }
    }

    pub(super) fn signatures(&mut self) {
        let signed_ec = signed(ES256, &self.payload(ISS_EC));
        let good = self.keys.ec.sign("ES256", signed_ec.as_bytes());
        let mut flipped = good.clone();
        flipped[40] ^= 1;
        // The order of P-256: with r or s equal to it, or to zero, a careless verifier takes anything.
        let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
        for (name, signature) in [
            ("a flipped bit", flipped),
            ("a cut signature", good[..63].to_vec()),
            ("a signature with a byte more", [&good[..], &[0]].concat()),
            ("an ES256 signature in DER", self.keys.ec.sign_der(signed_ec.as_bytes())),
            ("r and s zero", vec![0; 64]),
            ("r and s the order of the curve", [&order[..], &order[..]].concat()),
            ("s zero", [&good[..32], &[0; 32]].concat()),
            ("another message's signature", self.keys.ec.sign("ES256", b"another")),
            ("a forger's key", self.keys.forger_ec.sign("ES256", signed_ec.as_bytes())),
        ] {
            self.refuse(name, "Signature", with_signature(&signed_ec, signature));
        }
        let other = self.changed("sub", Some("root@example.com".into()));
        self.refuse(
            "another payload under a good signature",
            "Signature",
            with_signature(&signed(ES256, &other), &good),
        );
        let other = signed(r#"{"alg":"ES256","typ":"JWT"}"#, &self.payload(ISS_EC));
        self.refuse("another header under a good signature", "Signature", with_signature(&other, &good));

        let signed_rsa = signed(r#"{"alg":"RS256","kid":"rsa-1"}"#, &self.payload(ISS_RSA));
        let good = self.keys.rsa.sign("RS256", signed_rsa.as_bytes());
        for (name, signature) in [
            ("another RSA key under the same kid", self.keys.forger_rsa.sign("RS256", signed_rsa.as_bytes())),
            ("an RSA signature with a zero before it", [&[0], &good[..]].concat()),
            ("an RSA signature of zeros", vec![0; good.len()]),
            ("an RSA signature of one", [&vec![0; good.len() - 1][..], &[1]].concat()),
        ] {
            self.refuse(name, "Signature", with_signature(&signed_rsa, signature));
        }

        let signed_ed = signed(r#"{"alg":"EdDSA"}"#, &self.payload(ISS_ED));
        let good = self.keys.ed.sign("EdDSA", signed_ed.as_bytes());
        let mut small_order = vec![0; 64];
        small_order[0] = 1;
        for (name, signature) in [
            ("an Ed25519 signature with s plus the order", plus_order(&good)),
            ("an Ed25519 signature over the neutral point", small_order),
        ] {
            self.refuse(name, "Signature", with_signature(&signed_ed, signature));
        }
        let foreign = signed(r#"{"alg":"ES256"}"#, &self.payload(ISS_EC384));
        let token = with_signature(&foreign, self.keys.ec.sign("ES256", foreign.as_bytes()));
        self.refuse("one trusted issuer signing as another", "NoKey", token);
        let foreign = signed(r#"{"alg":"RS256"}"#, &self.payload(ISS_RS256));
        let token = with_signature(&foreign, self.keys.rsa.sign("RS256", foreign.as_bytes()));
        self.refuse("one RSA issuer signing as another", "Signature", token);
    }
}

/// The same Ed25519 signature with another s that is equal modulo the order (RFC 8032 section 8.4 forbids it).
fn plus_order(signature: &[u8]) -> Vec<u8> {
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut out = signature.to_vec();
    let mut carry = 0;
    for (byte, add) in out[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    out
}
