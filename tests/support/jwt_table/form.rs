//! Not in the form of a JWT.

use super::*;

impl Maker {
    pub(super) fn form(&mut self) {
        let good = self.ec(ES256, &self.payload(ISS_EC));
        let parts: Vec<String> = good.split('.').map(str::to_owned).collect();
        let (header, payload, signature) = (&parts[0], &parts[1], &parts[2]);
        for (name, reason, token) in [
            ("nothing", "Parts", String::new()),
            ("a word", "Parts", "jwt".into()),
            ("no signature part", "Parts", format!("{header}.{payload}")),
            ("a fourth part", "Parts", format!("{good}.{signature}")),
            ("a dot at the end", "Parts", format!("{good}.")),
            ("five parts, as JWE has", "Parts", format!("{header}.{payload}.{payload}.{payload}.{signature}")),
            ("a line feed at the end", "Encoding", format!("{good}\n")),
            ("a space before it", "Encoding", format!(" {good}")),
            ("a NUL at the end", "Encoding", format!("{good}\0")),
            ("a space inside", "Encoding", format!("{header}.{payload} .{signature}")),
            ("a padded signature", "Encoding", format!("{good}==")),
            ("a padded payload", "Encoding", format!("{header}.{payload}=.{signature}")),
            ("the other base64 alphabet", "Encoding", format!("{header}.{payload}.+/{}", &signature[2..])),
            ("stray bits at the end of the signature", "Encoding", stray_bits(&good)),
            ("an empty header", "Json", format!(".{payload}.{signature}")),
            ("an empty payload", "Json", format!("{header}..{signature}")),
            ("an empty signature", "Signature", format!("{header}.{payload}.")),
            ("Bearer before it", "Encoding", format!("Bearer {good}")),
        ] {
            self.refuse(name, reason, token);
        }
        let big = self.changed("pad", Some("x".repeat(16 * 1024).into()));
        self.refuse_payload("more than 16 KiB", "TooLarge", &big);
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let plain = self.payload(ISS_EC);
        let open = plain.trim_end_matches('}').to_owned();
        self.refuse_payload("a deep payload", "Deep", &format!("{open},\"x\":{}}}", deep(64)));
        self.refuse_header("a deep header", "Deep", &format!(r#"{{"alg":"ES256","x":{}}}"#, deep(64)));
        self.refuse_payload("sub twice", "Repeated", &format!("{open},\"sub\":\"root@example.com\"}}"));
        self.refuse_payload(
            "sub twice, once escaped",
            "Repeated",
            &format!("{open},\"\\u0073ub\":\"root@example.com\"}}"),
        );
        self.refuse_payload("a nested name twice", "Repeated", &format!("{open},\"x\":{{\"a\":1,\"a\":2}}}}"));
        self.refuse_header("alg twice", "Repeated", r#"{"alg":"none","alg":"ES256"}"#);
        self.refuse_payload("a list as payload", "Json", &format!("[{plain}]"));
        self.refuse_payload("a string as payload", "Json", "\"hello\"");
        self.refuse_payload("something behind the payload", "Json", &format!("{plain}{{}}"));
        self.refuse_payload("a byte order mark", "Json", &format!("\u{feff}{plain}"));
        self.refuse_payload("NaN", "Json", &format!("{open},\"nbf\":NaN}}"));
        self.refuse_payload("a number out of range", "Json", &format!("{open},\"nbf\":1e999}}"));
        self.refuse_header("a header that is no JSON", "Json", "alg=ES256");
        let not_utf8 = {
            let mut bytes = format!("{open},\"x\":\"").into_bytes();
            bytes.extend(b"\xff\"}");
            let signed = format!("{}.{}", b64(ES256), b64(bytes));
            with_signature(&signed, self.keys.ec.sign("ES256", signed.as_bytes()))
        };
        self.refuse("bytes that are not UTF-8", "Json", not_utf8);
    }
}

/// Another spelling of the same 64 bytes: the last of 86 characters has four bits that mean nothing.
fn stray_bits(token: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = token.split_at(token.len() - 1);
    let at = ALPHABET.iter().position(|byte| *byte == last.as_bytes()[0]).unwrap();
    format!("{rest}{}", ALPHABET[at | 1] as char)
}
