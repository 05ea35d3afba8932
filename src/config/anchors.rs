//! `anchor` blocks: where a server keeps what it knows of its store, to notice one that was put back.

use std::path::PathBuf;
use std::time::Duration;

use super::section::Section;
use super::{ConfigError, StorageChoice};
use crate::audit::DeviceConfig;
use crate::host::anchors::INTERVAL;
use crate::host::anchors::place::Place;

/// Where anchors are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorChoice {
    /// The file on this machine; `None` if there are none, or the store lives no longer than the process.
    pub local: Option<PathBuf>,
    /// Further places.
    pub places: Vec<Place>,
    /// How often acts are anchored.
    pub interval: Duration,
}

impl Default for AnchorChoice {
    fn default() -> Self {
        AnchorChoice { local: None, places: Vec::new(), interval: INTERVAL }
    }
}

/// Reads every block. Without one of kind `file` the anchor lies beside the first audit file, else beside the store.
pub(super) fn read(
    top: &Section<'_>,
    storage: &StorageChoice,
    devices: &[DeviceConfig],
    warnings: &mut Vec<String>,
) -> Result<AnchorChoice, ConfigError> {
    let mut choice = AnchorChoice::default();
    if let Some(interval) = top.duration("anchor_interval", 1, 3600)? {
        choice.interval = interval;
    }
    let mut none = false;
    for (labels, section) in top.blocks("anchor", &["file"])? {
        match labels.as_slice() {
            ["file"] => {
                section.only(&["path"], &[])?;
                let path = match section.text("path")? {
                    Some((path, _)) if !path.is_empty() => PathBuf::from(path),
                    Some((_, given)) => return Err(given.error("must not be empty")),
                    None => return Err(section.error("path", "required: the file that holds the anchor")),
                };
                let taken = choice.local.as_ref() == Some(&path) || choice.places.contains(&Place::File(path.clone()));
                if taken {
                    return Err(section.error_at("path", "another anchor is kept there already"));
                }
                match choice.local {
                    None => choice.local = Some(path),
                    Some(_) => choice.places.push(Place::File(path)),
                }
            }
            ["http"] => {
                section.only(&["address", "ca_file"], &[])?;
                choice.places.push(http(&section, warnings)?);
            }
            ["stdout"] => {
                section.only(&[], &[])?;
                choice.places.push(Place::Stdout);
            }
            ["none"] => {
                section.only(&[], &[])?;
                none = true;
            }
            other => {
                let name = other.first().copied().unwrap_or_default();
                let what = format_args!("an anchor is \"file\", \"http\", \"stdout\" or \"none\", not {name:?}");
                return Err(section.error("", what));
            }
        }
    }
    if none {
        if choice.local.is_some() || !choice.places.is_empty() {
            return Err(top.error_at("anchor", "\"none\" and another one: keep one of them"));
        }
        warnings.push("anchor \"none\": a store that is put back to an earlier state will go unnoticed".to_owned());
    } else if choice.local.is_none() && *storage != StorageChoice::Memory {
        choice.local = beside(storage, devices);
    }
    Ok(choice)
}

fn http(section: &Section<'_>, warnings: &mut Vec<String>) -> Result<Place, ConfigError> {
    let Some((url, given)) = section.text("address")? else {
        return Err(section.error("address", "required: a URL that takes PUT and GET"));
    };
    let parsed = url.parse::<hyper::Uri>().ok();
    let sane = parsed.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some());
    let Some(uri) = sane else {
        return Err(given.error("a URL such as \"https://anchors.example.com/node-1\""));
    };
    if uri.scheme_str() == Some("http") {
        warnings.push(format!("anchor {url}: account names cross the network without TLS"));
    }
    let ca_pem = match section.text("ca_file")? {
        None => None,
        Some((path, given)) => {
            Some(std::fs::read_to_string(&path).map_err(|error| given.error(format_args!("{path}: {error}")))?)
        }
    };
    Ok(Place::Http { url, ca_pem })
}

/// Beside the audit log: whoever puts the store's folder back does not put this one back with it.
fn beside(storage: &StorageChoice, devices: &[DeviceConfig]) -> Option<PathBuf> {
    let file = devices.iter().find_map(DeviceConfig::file_path).map(PathBuf::from).or_else(|| match storage {
        StorageChoice::Redb { path } => Some(path.clone()),
        StorageChoice::Postgres(_) | StorageChoice::Memory => None,
    })?;
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".anchor");
    Some(file.with_file_name(name))
}
