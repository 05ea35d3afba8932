//! Which path leads to which vaults.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::Uri;

/// Most vaults behind one path, and most paths.
const MOST: usize = 64;

/// A vault's endpoint for events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    uri: Uri,
}

impl Target {
    /// Reads a URL such as `https://vault.example.com:8200/v1/backup-codes/events/okta`. Plain HTTP goes to this machine only:
    /// elsewhere an acknowledgement could be anybody's.
    pub fn parse(url: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{url}: {what}");
        let uri: Uri = url.parse().map_err(|_| wrong("not a URL"))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if local => {}
            Some("http") => return Err(wrong("http only to this machine; use https")),
            _ => return Err(wrong("must begin with https:// (http:// only to this machine)")),
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) || url.contains('#') {
            return Err(wrong("without credentials and fragment"));
        }
        let below = uri.path().strip_prefix("/v1/").unwrap_or_default();
        let segments: Vec<&str> = below.split('/').collect();
        let whole = segments.iter().all(|segment| !matches!(*segment, "" | "." | ".."));
        let source = segments.len() >= 3 && segments[segments.len() - 2] == "events";
        if uri.query().is_some() || !whole || !source {
            return Err(wrong("must name a source: https://VAULT/v1/MOUNT/events/SOURCE"));
        }
        Ok(Target { uri })
    }
    /// The whole URL.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }
}

/// The paths of a relay.
#[derive(Debug, Clone, Default)]
pub struct Routes(BTreeMap<String, Vec<Arc<Target>>>);

impl Routes {
    /// Reads items such as `/okta=https://vault.example.com/v1/backup-codes/events/okta`. A path that comes several times leads to
    /// several vaults. The error names the item.
    pub fn parse<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut routes = BTreeMap::<String, Vec<Arc<Target>>>::new();
        for item in items {
            let (path, url) = item.split_once('=').ok_or_else(|| format!("{item}: must be PATH=URL"))?;
            let path = format!("/{}", path.strip_prefix('/').unwrap_or(path));
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
            let fine = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(letter);
            if path.len() > 256 || !path[1..].split('/').all(fine) {
                return Err(format!("{item}: the path is segments of letters, digits, -, ., _ and ~, joined by /"));
            }
            let target = Arc::new(Target::parse(url)?);
            let targets = routes.entry(path).or_default();
            if targets.contains(&target) {
                return Err(format!("{item}: is there twice"));
            }
            targets.push(target);
        }
        if routes.is_empty() {
            return Err("no target: say where events go with --target PATH=URL".to_owned());
        }
        if routes.len() > MOST || routes.values().any(|targets| targets.len() > MOST) {
            return Err(format!("at most {MOST} paths and {MOST} vaults behind each"));
        }
        Ok(Routes(routes))
    }
    /// The vaults behind `path`, which must be spelt as it was given.
    pub fn find(&self, path: &str) -> Option<&[Arc<Target>]> {
        self.0.get(path).map(Vec::as_slice)
    }
    /// Every path with its vaults.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Arc<Target>])> {
        self.0.iter().map(|(path, targets)| (path.as_str(), targets.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_name_a_source_over_a_safe_way() {
        for url in [
            "https://vault.example.com/v1/backup-codes/events/okta",
            "https://vault.example.com:8200/v1/team/a/backup-codes/events/okta",
            "http://127.0.0.1:8200/v1/backup-codes/events/okta",
            "http://[::1]:8200/v1/backup-codes/events/okta",
            "http://localhost/v1/backup-codes/events/okta",
        ] {
            assert_eq!(Target::parse(url).unwrap().uri().to_string(), url);
        }
        for (url, what) in [
            ("http://vault.example.com/v1/backup-codes/events/okta", "http only to this machine"),
            ("ftp://vault.example.com/v1/backup-codes/events/okta", "must begin with https://"),
            ("/v1/backup-codes/events/okta", "must begin with https://"),
            ("https://user@vault.example.com/v1/backup-codes/events/okta", "without credentials"),
            ("https://vault.example.com/v1/backup-codes/events/okta#x", "without credentials"),
            ("https://vault.example.com/v1/backup-codes/events/okta?x=1", "must name a source"),
            ("https://vault.example.com/v1/backup-codes/events/", "must name a source"),
            ("https://vault.example.com/v1/backup-codes/accounts/okta", "must name a source"),
            ("https://vault.example.com/v1/../sys/events/okta", "must name a source"),
            ("https://vault.example.com/v1/events/okta", "must name a source"),
            ("https://vault.example.com", "must name a source"),
            ("https://vault example", "not a URL"),
        ] {
            assert!(Target::parse(url).unwrap_err().contains(what), "{url}: {:?}", Target::parse(url));
        }
    }

    #[test]
    fn a_path_leads_to_one_or_more_vaults() {
        let url = |host: &str| format!("https://{host}/v1/backup-codes/events/okta");
        let items = [format!("/okta={}", url("a")), format!("okta={}", url("b")), format!("/idp/x={}", url("a"))];
        let routes = Routes::parse(items.iter().map(String::as_str)).unwrap();
        let hosts = |path: &str| {
            routes
                .find(path)
                .map(|targets| targets.iter().map(|t| t.uri().host().unwrap().to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(hosts("/okta").unwrap(), ["a", "b"]);
        assert_eq!(hosts("/idp/x").unwrap(), ["a"]);
        assert_eq!((hosts("/idp"), hosts("okta"), hosts("/okta/"), hosts("/OKTA")), (None, None, None, None));
        for (items, what) in [
            (vec![], "no target"),
            (vec!["/okta".to_owned()], "must be PATH=URL"),
            (vec![format!("/={}", url("a"))], "the path is segments"),
            (vec![format!("/a//b={}", url("a"))], "the path is segments"),
            (vec![format!("/a/../b={}", url("a"))], "the path is segments"),
            (vec![format!("/a%2fb={}", url("a"))], "the path is segments"),
            (vec![format!("/a={}", url("a")), format!("a={}", url("a"))], "is there twice"),
        ] {
            let error = Routes::parse(items.iter().map(String::as_str)).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }
}
