//! An audit device as the configuration file declares it, read once into a valid type.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::name::record_name;
use crate::domain::time::parse_duration;
use crate::error::{Error, Result};

/// One declared device: where its lines go, and how they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceConfig {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) hmac_accessor: bool,
    pub(super) elide_list_responses: bool,
    pub(super) pace: Pace,
    /// The node whose device this is, where several serve one store.
    pub(super) node: Option<String>,
    options: BTreeMap<String, String>,
}

/// Where a device writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A regular file, appended to. The only durable kind.
    File {
        /// Its path.
        path: PathBuf,
        /// Permission bits, `None` to leave an existing file's alone.
        mode: Option<u32>,
    },
    /// The process's standard output.
    Stdout,
    /// A TCP peer, `host:port`.
    Tcp {
        /// Its address.
        address: String,
        /// Longest connect or write.
        timeout: Duration,
    },
    /// A Unix domain socket.
    Unix {
        /// Its path.
        path: PathBuf,
        /// Longest write.
        timeout: Duration,
    },
}

/// How a device works off its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long a request waits for the device at most; a device that takes longer is passed over until it answers again.
    pub deadline: Duration,
    /// Lines that may wait for the device.
    pub queue: usize,
    /// A signed checkpoint follows at least after so many lines …
    pub checkpoint_lines: u64,
    /// … and so long after an unsealed line.
    pub checkpoint_every: Duration,
}

impl Default for Pace {
    /// 2 s, 4096 lines, a checkpoint each 4096 lines or 5 s.
    fn default() -> Self {
        Pace {
            deadline: Duration::from_secs(2),
            queue: 4096,
            checkpoint_lines: 4096,
            checkpoint_every: Duration::from_secs(5),
        }
    }
}

impl DeviceConfig {
    /// Reads a device of `kind` (`file`, `stdout` or `socket`) called `name` with Vault's option words. An option that is
    /// unknown, refused or malformed is named in the error (400).
    pub fn new(kind: &str, name: &str, options: &BTreeMap<String, String>) -> Result<DeviceConfig> {
        let name = record_name("audit device name", name)?;
        let given = options;
        let mut options = Options { kind, map: given.clone() };
        let hmac_accessor = options.boolean("hmac_accessor", true)?;
        let elide_list_responses = options.boolean("elide_list_responses", false)?;
        options.refuse_what_would_leak()?;
        let place = match kind {
            "file" => options.file()?,
            "stdout" => Place::Stdout,
            "socket" => options.socket()?,
            other => {
                let what = format_args!("file, stdout or socket, not {other:?}");
                return Err(Error::field("audit device type", what));
            }
        };
        options.none_left()?;
        Ok(DeviceConfig {
            name,
            place,
            hmac_accessor,
            elide_list_responses,
            pace: Pace::default(),
            node: None,
            options: given.clone(),
        })
    }

    /// The same device at another pace.
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// The same device as one of `node`'s: its checkpoints are kept apart from those of other nodes' devices of that name. All
    /// of them share a salt, so that equal values look equal wherever they were written.
    pub fn on_node(mut self, node: &str) -> Self {
        self.node = Some(node.to_owned());
        self
    }

    /// The device's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The options as they were declared.
    pub fn options(&self) -> &BTreeMap<String, String> {
        &self.options
    }

    /// The file of a device of kind `file`.
    pub fn file_path(&self) -> Option<&std::path::Path> {
        match &self.place {
            Place::File { path, .. } => Some(path),
            _ => None,
        }
    }

    /// `file`, `stdout` or `socket`.
    pub fn kind(&self) -> &'static str {
        match self.place {
            Place::File { .. } => "file",
            Place::Stdout => "stdout",
            Place::Tcp { .. } | Place::Unix { .. } => "socket",
        }
    }

    /// Whether an acknowledged line survives a power cut, so that a disclosure may rest on it: a file that was fsynced. A
    /// socket's peer may or may not have kept what the kernel took, and standard output is anything at all.
    pub fn durable(&self) -> bool {
        matches!(self.place, Place::File { .. })
    }
}

struct Options<'a> {
    kind: &'a str,
    map: BTreeMap<String, String>,
}

impl Options<'_> {
    fn boolean(&mut self, name: &str, default: bool) -> Result<bool> {
        match self.map.remove(name).as_deref() {
            None | Some("") => Ok(default),
            Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
            Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
            Some(other) => Err(Error::field(name, format_args!("true or false, not {other:?}"))),
        }
    }

    fn refuse_what_would_leak(&mut self) -> Result<()> {
        if self.boolean("log_raw", false)? {
            return Err(Error::field(
                "log_raw",
                "refused: it would write backup codes and tokens in clear; leave it out",
            ));
        }
        if self.map.remove("prefix").is_some_and(|prefix| !prefix.is_empty()) {
            return Err(Error::field(
                "prefix",
                "refused: a line must be one JSON object, or its chain could not be verified",
            ));
        }
        match self.map.remove("format").as_deref() {
            None | Some("" | "json") => Ok(()),
            Some(other) => Err(Error::field("format", format_args!("only json, not {other:?}"))),
        }
    }

    fn file(&mut self) -> Result<Place> {
        let (path, alias) = (self.map.remove("file_path"), self.map.remove("path"));
        if path.is_some() && alias.is_some() {
            return Err(Error::field("path", "the same as file_path: give one of them"));
        }
        let path = path.or(alias).unwrap_or_default();
        match path.as_str() {
            "" => return Err(Error::field("file_path", "required, such as \"/var/log/sparekey/audit.log\"")),
            "stdout" => return Err(Error::field("file_path", "use a device of type \"stdout\" instead")),
            "discard" => return Err(Error::field("file_path", "refused: a record that is thrown away is none")),
            _ => {}
        }
        let mode = match self.map.remove("mode") {
            None => Some(0o600),
            Some(text) => {
                let bits = u32::from_str_radix(&text, 8).ok().filter(|bits| *bits <= 0o7777);
                let bits = bits.ok_or_else(|| Error::field("mode", "octal permission bits such as \"0600\""))?;
                // As Vault does: 0000 leaves the file's own bits alone, and a log is never executable.
                (bits != 0).then_some(bits & 0o666)
            }
        };
        Ok(Place::File { path: PathBuf::from(path), mode })
    }

    fn socket(&mut self) -> Result<Place> {
        let address = self.map.remove("address").unwrap_or_default();
        if address.is_empty() {
            let what = "required: \"host:port\", or a path with socket_type = \"unix\"";
            return Err(Error::field("address", what));
        }
        let timeout = match self.map.remove("write_timeout") {
            None => Duration::from_secs(2),
            Some(text) => parse_duration(&text)
                .filter(|span| !span.is_zero() && *span <= Duration::from_secs(60))
                .ok_or_else(|| Error::field("write_timeout", "a duration from \"1ms\" to \"60s\""))?,
        };
        match self.map.remove("socket_type").as_deref() {
            None | Some("tcp") => {
                let port = address.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then_some(port));
                if port.and_then(|port| port.parse::<u16>().ok()).is_none_or(|port| port == 0) {
                    return Err(Error::field("address", "\"host:port\" with a port from 1 to 65535"));
                }
                Ok(Place::Tcp { address, timeout })
            }
            Some("unix") => Ok(Place::Unix { path: PathBuf::from(address), timeout }),
            Some(other) => Err(Error::field("socket_type", format_args!("tcp or unix, not {other:?}"))),
        }
    }

    fn none_left(&self) -> Result<()> {
        let Some(name) = self.map.keys().next() else { return Ok(()) };
        let known = match self.kind {
            "file" => "file_path, mode, hmac_accessor, elide_list_responses",
            "socket" => "address, socket_type, write_timeout, hmac_accessor, elide_list_responses",
            _ => "hmac_accessor, elide_list_responses",
        };
        Err(Error::field(name, format_args!("no option of a {} audit device; it takes {known}", self.kind)))
    }
}
