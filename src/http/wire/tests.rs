use super::*;
use hyper::Request;

fn read(method: &str, uri: &str, headers: &[(&str, &[u8])]) -> Result<Call, Early> {
    let mut request = Request::builder().method(method).uri(uri).header("host", "test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    head(&request.body(()).unwrap().into_parts().0, None)
}
fn fine(method: &str, uri: &str, headers: &[(&str, &[u8])]) -> Call {
    let call = read(method, uri, headers).unwrap_or_else(|reply| panic!("{method} {uri}: {}", reply.status()));
    assert!(call.refused.is_none(), "{method} {uri}: {:?}", call.refused);
    call
}
fn status(method: &str, uri: &str, headers: &[(&str, &[u8])]) -> u16 {
    match read(method, uri, headers) {
        Ok(Call { refused: Some(refusal), .. }) => refusal.status,
        Ok(_) => panic!("{method} {uri} went through"),
        Err(reply) => reply.status().as_u16(),
    }
}

#[test]
fn methods_and_their_spellings() {
    for (method, uri, verb) in [
        ("GET", "/v1/a", Verb::Read),
        ("GET", "/v1/a?list=true", Verb::List),
        ("GET", "/v1/a?list=1", Verb::List),
        ("GET", "/v1/a?list=True", Verb::List),
        ("GET", "/v1/a?list=false", Verb::Read),
        ("GET", "/v1/a?help=1", Verb::Help),
        ("GET", "/v1/a?help=0", Verb::Read),
        ("LIST", "/v1/a", Verb::List),
        ("HELP", "/v1/a", Verb::Help),
        ("PUT", "/v1/a?list=xyz", Verb::Update),
        ("POST", "/v1/a", Verb::Update),
        ("DELETE", "/v1/a", Verb::Delete),
        ("HEAD", "/v1/a", Verb::Head),
        ("SCAN", "/v1/a", Verb::Scan),
    ] {
        assert_eq!(fine(method, uri, &[]).verb, verb, "{method} {uri}");
    }
    assert_eq!(status("GET", "/v1/a?list=xyz", &[]), 400);
    assert_eq!(status("BREW", "/v1/a", &[]), 405);
    assert_eq!(status("OPTIONS", "/v1/a", &[]), 400);
}

#[test]
fn a_list_path_ends_in_a_slash_and_a_write_path_does_not() {
    assert_eq!(fine("LIST", "/v1/eng", &[]).path, "eng/");
    assert_eq!(fine("LIST", "/v1/eng/", &[]).path, "eng/");
    assert_eq!(fine("GET", "/v1/eng/", &[]).path, "eng/");
    assert_eq!(status("PUT", "/v1/eng/", &[]), 400);
    assert_eq!(status("POST", "/v1/eng%2f", &[]), 400);
}

#[test]
fn odd_paths_are_sent_to_the_clean_one_or_refused() {
    let moved = |uri: &str| {
        let reply = read("GET", uri, &[]).err().unwrap();
        assert_eq!(reply.status(), 307, "{uri}");
        reply.headers()["location"].to_str().unwrap().to_owned()
    };
    assert_eq!(moved("/v1//eng/dup"), "/v1/eng/dup");
    assert_eq!(moved("/v1/a/../b?x=1"), "/v1/b?x=1");
    assert_eq!(moved("/v1/a/./b/"), "/v1/a/b/");
    assert_eq!(moved("//evil.example/v1/a"), "/evil.example/v1/a");
    assert_eq!(moved("/v1/../../../x"), "/x");
    for uri in ["/v1/a/%2e%2e/b", "/v1/%2e%2e/sys", "/v1/a/%2e", "/v1/a%2f..%2fb", "/v1/%zz", "/v1/%ff"] {
        assert_eq!(status("GET", uri, &[]), 400, "{uri}");
    }
    for uri in ["/v1", "/v1/", "/v2/x", "/", "/ui/", "/V1/sys/health"] {
        assert_eq!(status("GET", uri, &[]), 404, "{uri}");
    }
    assert_eq!(fine("GET", "/v1/%65ng", &[]).path, "eng");
    assert_eq!(fine("GET", "/v1/a..b/c", &[]).path, "a..b/c");
}

#[test]
fn the_token_header_goes_before_bearer() {
    let sent = |headers: &[(&str, &[u8])]| fine("GET", "/v1/a", headers).token.map(|t| t.expose().to_owned());
    assert_eq!(sent(&[("x-vault-token", b"s.a"), ("authorization", b"Bearer s.b")]).as_deref(), Some("s.a"));
    assert_eq!(sent(&[("authorization", b"Bearer s.b")]).as_deref(), Some("s.b"));
    assert_eq!(sent(&[("x-vault-token", b""), ("authorization", b"Bearer s.b")]).as_deref(), Some("s.b"));
    assert_eq!(sent(&[("authorization", b"bearer s.b")]), None);
    assert_eq!(sent(&[("authorization", b"Basic abc")]), None);
    assert_eq!(status("GET", "/v1/a", &[("x-vault-token", b"s.\xff")]), 400);
}

#[test]
fn assertions_in_a_query_string_are_refused() {
    for method in ["GET", "PUT", "LIST", "DELETE"] {
        assert_eq!(status(method, "/v1/backup-codes/retrieve/a?jwt=x", &[]), 400);
        assert_eq!(status(method, "/v1/backup-codes/retrieve/a?a=1&%6awt=x", &[]), 400);
    }
}

#[test]
fn wrapping_times_read_as_vault_reads_them() {
    let ttl = |text: &[u8]| fine("GET", "/v1/a", &[("x-vault-wrap-ttl", text)]).wrap_ttl.map(|ttl| ttl.as_secs());
    assert_eq!(ttl(b"60"), Some(60));
    assert_eq!(ttl(b"1m0s"), Some(60));
    assert_eq!(ttl(b"99999h"), Some(359_996_400));
    assert_eq!(ttl(b"1500ms"), Some(2));
    assert_eq!(ttl(b"0"), None);
    assert_eq!(ttl(b""), None);
    assert_eq!(status("GET", "/v1/a", &[("x-vault-wrap-ttl", b"abc")]), 400);
    assert_eq!(status("GET", "/v1/a", &[("x-vault-wrap-ttl", b"-5s")]), 400);
}

#[test]
fn only_the_root_namespace_is_here() {
    let foreign = |name: &[u8]| fine("GET", "/v1/a", &[("x-vault-namespace", name)]).foreign_namespace;
    for root in [&b""[..], b"/", b"root", b"root/"] {
        assert!(!foreign(root));
    }
    for other in [&b"ns1/"[..], b"nope", b"root/x", b"\xff"] {
        assert!(foreign(other));
    }
}

#[test]
fn patch_needs_its_media_type() {
    let merge: &[u8] = b"application/merge-patch+json; charset=utf-8";
    assert_eq!(fine("PATCH", "/v1/a", &[("content-type", merge)]).verb, Verb::Patch);
    assert_eq!(status("PATCH", "/v1/a", &[]), 400);
    assert_eq!(status("PATCH", "/v1/a", &[("content-type", b"application/json")]), 415);
}

#[test]
fn bodies_read_by_their_media_type() {
    let read = |media: &str, bytes: &[u8]| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, media.parse().unwrap());
        body(&headers, bytes)
    };
    let form = "application/x-www-form-urlencoded";
    assert_eq!(read(form, b"a=1&b=x%20y").unwrap()["b"], "x y");
    assert_eq!(read(form, b"{\"a\":1}").unwrap()["a"], 1);
    assert!(read(form, b"null").unwrap().is_empty());
    assert_eq!(read("text/plain", b"{\"a\":1}").unwrap()["a"], 1);
    assert_eq!(read("application/secevent+jwt", b"a.b.c\n").unwrap()["set"], "a.b.c");
    assert_eq!(read("Application/SecEvent+JWT; charset=utf-8", b"a.b.\xff").unwrap()["set"], "a.b.\u{fffd}");
    assert!(read("text/plain", b"a=1").is_err());
}
