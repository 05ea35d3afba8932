//! Names near the one that was typed, from what the server lists for this caller.

use serde_json::Value;

use crate::cli::client::{Client, path};

/// Most names that are looked at in one folder.
const MOST: usize = 1000;
/// Most names that are shown.
const SHOWN: usize = 5;
/// Most folders that are looked into.
const FOLDERS: usize = 4;

/// Names of accounts near `typed`, nearest first. Empty if none is, or if the caller may not list.
pub fn names(client: &Client, mount: &str, typed: &str) -> Vec<String> {
    let (folder, _) = typed.rsplit_once('/').unwrap_or(("", typed));
    let mut found = entries(client, mount, folder);
    // The folder itself may be the mistyped part, or missing altogether.
    let mut folders: Vec<(usize, String)> = Vec::new();
    for name in entries(client, mount, "") {
        match name.strip_suffix('/') {
            Some(name) if name != folder => folders.push((distance(folder, name), name.to_owned())),
            Some(_) => {}
            None => found.push(name),
        }
    }
    folders.sort();
    for (_, folder) in folders.into_iter().take(FOLDERS) {
        found.extend(entries(client, mount, &folder));
    }
    nearest(typed, found)
}

/// The accounts among `names` that are near `typed`, nearest first.
fn nearest(typed: &str, names: Vec<String>) -> Vec<String> {
    let last = typed.rsplit('/').next().unwrap_or(typed);
    let mut near: Vec<(usize, String)> = Vec::new();
    for name in names.into_iter().filter(|name| !name.ends_with('/')) {
        let own = name.rsplit('/').next().unwrap_or(&name);
        let whole = distance(typed, &name);
        let close = whole <= typed.chars().count().div_ceil(4).max(2);
        let part = last.len() >= 3 && (own.contains(last) || last.contains(own) && own.len() >= 3);
        let ending = distance(last, own) <= last.chars().count().div_ceil(4).max(1);
        if close || part || ending {
            near.push((whole, name));
        }
    }
    near.sort();
    near.dedup();
    near.into_iter().take(SHOWN).map(|(_, name)| name).collect()
}

fn entries(client: &Client, mount: &str, folder: &str) -> Vec<String> {
    let target = if folder.is_empty() { path(&[mount, "accounts"]) } else { path(&[mount, "accounts", folder]) };
    let Ok(target) = target else { return Vec::new() };
    let Ok(reply) = client.get(&format!("{target}/?list=true&limit={MOST}")) else { return Vec::new() };
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let data = reply.data();
    let keys = data.get("keys").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    keys.take(MOST).map(|key| format!("{prefix}{key}")).collect()
}

/// How many characters must be changed, put in, left out or swapped with their neighbour to get from one to the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let above = &rows[i - 1];
            let mut least = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + usize::from(a[i - 1] != b[j - 1]));
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near_and_strangers_are_not() {
        let names = || {
            ["github/acme-owner", "github/acme-audit", "okta/jane@example.com", "aws/root", "github/old/"]
                .map(str::to_owned)
                .to_vec()
        };
        for (typed, first) in [
            ("github/acme-onwer", "github/acme-owner"),
            ("githb/acme-owner", "github/acme-owner"),
            ("acme-owner", "github/acme-owner"),
            ("github/acme", "github/acme-audit"),
            ("okta/jane", "okta/jane@example.com"),
            ("okta/jnae@example.com", "okta/jane@example.com"),
            ("root", "aws/root"),
        ] {
            assert_eq!(nearest(typed, names()).first().map(String::as_str), Some(first), "{typed}");
        }
        assert!(nearest("gitlab/something-else", names()).is_empty());
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
    }
}
