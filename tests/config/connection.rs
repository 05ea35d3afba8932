//! `connection_url`: what is weak or wrong is refused by name, and no password is repeated.

use super::*;

/// How the error about this `connection_url` goes on after the field's name.
fn refused(url: &str) -> String {
    let text = format!(
        "storage \"postgres\" {{\n  connection_url = \"{url}\"\n}}\nlistener \"tcp\" {{\n  tls_disable = true\n}}\n"
    );
    let error = match Config::parse("a.hcl", &text) {
        Ok(Config { storage: StorageChoice::Postgres(choice), .. }) => match choice.load() {
            Ok(_) => panic!("{url} is accepted"),
            Err(error) => error,
        },
        Ok(_) => unreachable!("another storage"),
        Err(error) => error,
    };
    let text = error.to_string();
    text.strip_prefix("a.hcl:2: storage.postgres.connection_url: ").unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn a_connection_url_that_would_be_weak_or_wrong_is_refused_by_name() {
    for (url, what) in [
        ("", "required: a URL such as"),
        ("mysql://a@b/c", "a URL such as"),
        ("host=db user=a", "a URL such as"),
        ("postgres://b/c?sslmode=disable", "names no user"),
        ("postgres://a@/c?sslmode=disable", "names no host"),
        ("postgres://a@b/c?sslmode=prefer", "sslmode: prefer and allow go on without TLS unnoticed"),
        ("postgres://a@b/c?sslmode=allow", "sslmode: prefer and allow go on without TLS unnoticed"),
        ("postgres://a@b/c?sslmode=yes", "sslmode: one of verify-full, verify-ca, require, disable"),
        ("postgres://a@b/c?sslmode=disable&sslrootcert=/ca.pem", "sslmode: disable, and certificates are named"),
        ("postgres://a@b/c?sslcert=/c.pem", "sslcert: needs sslkey beside it"),
        ("postgres://a@b/c?sslkey=/k.pem", "sslkey: needs sslcert beside it"),
        ("postgres://a@b/c?sslrootcert=/nonexistent/ca.pem", "sslrootcert: /nonexistent/ca.pem: "),
        ("postgres://a@b/c?target_session_attrs=any", "target_session_attrs: read-write and nothing else"),
        ("postgres://a@b/c?sslmodus=disable", "a parameter that is not known here"),
        ("postgres://a@b:x/c?sslmode=disable", "invalid connection string: invalid value for option `port`"),
        ("postgres://a@b,c:5,6/c?sslmode=disable&port=1", "port: one for all hosts, or one for each"),
        ("postgres:///c?user=a&host=/run/postgresql&sslmode=require", "sslmode: a socket of this machine has no TLS"),
        ("env://", "env:// must be followed by the name of an environment variable"),
        ("file://", "file:// must be followed by a path"),
        ("env://SPAREKEY_TEST_NOT_SET", "the environment variable SPAREKEY_TEST_NOT_SET is not set"),
        ("file:///nonexistent/url", "/nonexistent/url: "),
    ] {
        let found = refused(url);
        assert!(found.starts_with(what), "{url}: {found}");
    }
}

#[test]
fn a_password_in_a_broken_url_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    for broken in [
        "postgres://a:hun/?ter?hunter2=x@b/c",
        "postgres://a:hun?hunter2=x@b/c",
        "postgres://a:h@hunter2@b/c",
        "postgres://a:hunter2@b:hunter2/c",
        "postgres://a:hunter2@b/c?password=hunter2&sslmode=hunter2",
        "hunter2",
        "postgres://a:hunter2@b/c?hunter2",
    ] {
        let file = folder.path().join("url");
        std::fs::write(&file, broken).unwrap();
        let found = refused(&format!("file://{}", file.display()));
        assert!(!found.contains("hunter2"), "{broken}: {found}");
    }
}
