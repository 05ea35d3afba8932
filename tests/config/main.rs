//! The configuration file: the same meaning in both languages, and for every breakage under `tests/config/bad` an error with
//! line, field and what would be right.

mod broken;
mod connection;
mod documented;

use std::path::{Path, PathBuf};

use sparekey::config::{Config, SealChoice, StorageChoice};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(name)
}

fn load(name: &str) -> Config {
    Config::load(&fixture(name)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn hcl_and_json_mean_the_same() {
    assert_eq!(load("good/minimal.hcl"), load("good/minimal.json"));
    assert_eq!(load("good/full.hcl"), load("good/full.json"));
    assert_ne!(load("good/minimal.hcl"), load("good/full.hcl"));
}

#[test]
fn defaults_are_filled_in() {
    let config = load("good/minimal.hcl");
    assert_eq!(config.storage, StorageChoice::Redb { path: "data".into() });
    assert_eq!(config.seal, SealChoice::Shamir);
    assert_eq!(config.mount_path, "backup-codes/");
    assert_eq!(config.log.level, tracing::Level::INFO);
    let listener = &config.listeners[0];
    assert_eq!(listener.address.to_string(), "127.0.0.1:8200");
    assert!(listener.tls.is_none());
    assert_eq!(listener.max_request_size, 1 << 20);
    let times = [listener.read_header_timeout, listener.read_timeout, listener.write_timeout, listener.idle_timeout];
    assert_eq!(times.map(|time| time.as_secs()), [30, 30, 30, 300]);
    let warned = |config: &Config, what: &str| config.warnings.iter().any(|warning| warning.contains(what));
    assert!(warned(&config, "no durable audit device"));
    assert!(!warned(&load("good/full.hcl"), "no durable audit device"));
}

#[test]
fn every_word_is_read() {
    let config = load("good/full.hcl");
    assert_eq!(config.api_addr.as_deref(), Some("https://sparekey.example.com:8200"));
    assert_eq!(config.mount_path, "spare/codes/");
    assert_eq!(config.cluster_name.as_deref(), Some("north ${literal}"));
    assert_eq!((config.shutdown_delay.as_secs(), load("good/minimal.hcl").shutdown_delay.as_secs()), (3, 0));
    let tls = config.listeners[0].tls.as_ref().unwrap();
    assert!(tls.client_ca.as_ref().unwrap().required);
    let listener = &config.listeners[0];
    let times = [listener.read_header_timeout, listener.read_timeout, listener.write_timeout, listener.idle_timeout];
    assert_eq!(times.map(|time| time.as_secs()), [5, 90, 20, 120]);
    assert_eq!(listener.max_request_size, 65536);
    assert!(config.listeners[0].open_metrics && !config.listeners[1].open_metrics);
    assert_eq!(config.listeners[1].address.port(), 8300);
    let names: Vec<_> = config.devices.iter().map(|device| (device.kind(), device.name())).collect();
    assert_eq!(names, [("file", "main"), ("socket", "siem"), ("stdout", "console")]);
    assert!(config.telemetry.disable_hostname);
    assert_eq!(config.telemetry.prometheus_retention_time.as_secs(), 30);
}

#[test]
fn keys_are_read_when_they_are_needed_and_errors_name_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let text = format!(
        "storage \"inmem\" {{}}\nlistener \"tcp\" {{\n  tls_disable = true\n}}\nseal \"static\" {{\n  current_key_id = \"a\"\n  \
         current_key = \"file://{}\"\n}}\n",
        key.display()
    );
    let config = Config::parse("sparekey.hcl", &text).unwrap();
    let error = |config: &Config| config.seal.load().err().unwrap().to_string();
    assert!(error(&config).starts_with("sparekey.hcl:7: seal.static.current_key: "), "{}", error(&config));
    assert!(error(&config).contains("No such file"));
    for bytes in [&b""[..], b"short", &[b'g'; 64], &[7; 31], &[7; 33], &[b'a'; 5000]] {
        std::fs::write(&key, bytes).unwrap();
        let said = error(&config);
        assert!(said.ends_with("is not 32 bytes, raw, in base64 or in hexadecimal"), "{said}");
        assert!(!said.contains("short"), "{said}");
    }
    for bytes in [vec![7; 32], b"07".repeat(32), b"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n".to_vec()] {
        std::fs::write(&key, bytes).unwrap();
        assert!(config.seal.load().is_ok());
    }
    let unset = text.replace(&format!("file://{}", key.display()), "env://SPAREKEY_TEST_NOT_SET");
    let said = error(&Config::parse("sparekey.hcl", &unset).unwrap());
    assert_eq!(
        said,
        "sparekey.hcl:7: seal.static.current_key: the environment variable SPAREKEY_TEST_NOT_SET is not set"
    );
}

#[test]
fn files_that_are_no_configuration_are_refused_and_never_overrun() {
    assert!(Config::load(Path::new("/nonexistent/sparekey.hcl")).unwrap_err().to_string().contains("No such file"));
    for text in ["[".repeat(1 << 20), "{\"a\":".repeat(1 << 17), "a = [".repeat(1 << 16), "a {\n".repeat(1 << 16)] {
        assert!(Config::parse("deep.hcl", &text).is_err());
        assert!(Config::parse("deep.json", &text).is_err());
    }
}
