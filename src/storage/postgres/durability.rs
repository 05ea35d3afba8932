//! Whether the server keeps what it acknowledges. Looked at once, when the store opens.

use tokio_postgres::Client;

use super::error::PostgresError;

/// Settings that decide it; an engine that has none of them answers for itself.
const ASKED: &str = "SELECT name, setting FROM pg_settings WHERE name IN \
                     ('fsync', 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names')";

/// Looks at the settings. What comes back deserves a word in the log; `several` says whether there is a server to fail over to.
///
/// # Errors
/// A server that loses acknowledged writes when it, or its machine, stops.
pub(super) async fn check(client: &Client, several: bool) -> Result<Vec<String>, PostgresError> {
    let rows = client.query_typed(ASKED, &[]).await?;
    let mut settings = Vec::with_capacity(rows.len());
    for row in &rows {
        settings.push((row.try_get::<_, String>(0)?, row.try_get::<_, Option<String>>(1)?.unwrap_or_default()));
    }
    judge(&settings, several)
}

fn judge(settings: &[(String, String)], several: bool) -> Result<Vec<String>, PostgresError> {
    let setting = |name: &str| settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let refused =
        |what: &str| Err(PostgresError::Durability(format!("the database would lose acknowledged writes: {what}")));
    if setting("fsync") == Some("off") {
        return refused("fsync = off; set it to on");
    }
    let standbys = setting("synchronous_standby_names").unwrap_or_default();
    let commit = setting("synchronous_commit");
    if commit == Some("off") {
        return refused("synchronous_commit = off for this user; ALTER ROLE … SET synchronous_commit = on");
    }
    let mut warnings = Vec::new();
    if setting("full_page_writes") == Some("off") {
        warnings.push(
            "full_page_writes = off: sound only on a file system that never tears a page (ZFS); anywhere else set it to on"
                .to_owned(),
        );
    }
    match commit {
        Some(weak @ ("local" | "remote_write")) if !standbys.is_empty() => warnings.push(format!(
            "synchronous_commit = {weak}: a standby that is promoted may lack acknowledged writes; set it to on or remote_apply"
        )),
        _ if standbys.is_empty() && several => warnings.push(
            "connection_url names several servers and synchronous_standby_names is empty: a standby that is promoted may lack \
             acknowledged writes, and this node then answers nothing until an operator has compared"
                .to_owned(),
        ),
        _ => {}
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(changed: &[(&str, &str)], several: bool) -> Result<usize, String> {
        let mut settings: Vec<(String, String)> = [
            ("fsync", "on"),
            ("full_page_writes", "on"),
            ("synchronous_commit", "on"),
            ("synchronous_standby_names", "FIRST 1 (b)"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (name, value) in changed {
            settings.iter_mut().filter(|(known, _)| known == name).for_each(|(_, old)| *old = (*value).to_owned());
        }
        judge(&settings, several).map(|warnings| warnings.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_loses_acknowledged_writes_is_refused_or_named() {
        assert_eq!(judged(&[], true), Ok(0));
        assert!(judged(&[("fsync", "off")], false).unwrap_err().contains("fsync"));
        assert!(judged(&[("synchronous_commit", "off")], false).unwrap_err().contains("synchronous_commit"));
        assert_eq!(judged(&[("full_page_writes", "off")], false), Ok(1));
        for weak in ["local", "remote_write"] {
            assert_eq!(judged(&[("synchronous_commit", weak)], false), Ok(1));
            assert_eq!(judged(&[("synchronous_commit", weak), ("synchronous_standby_names", "")], false), Ok(0));
        }
        assert_eq!(judged(&[("synchronous_standby_names", "")], true), Ok(1));
        assert_eq!(judged(&[("synchronous_standby_names", "")], false), Ok(0));
        assert_eq!(judge(&[], true).unwrap().len(), 1, "an engine without these settings");
    }
}
