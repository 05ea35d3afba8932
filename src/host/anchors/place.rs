//! Where anchors are kept: a file that is replaced as a whole, an address that takes a PUT, standard output.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::anchor::MAX_BYTES;
use super::remote;

/// A place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file, readable by its owner only.
    File(PathBuf),
    /// An address: each anchor is PUT there, the last one is read back with GET.
    Http {
        /// The address.
        url: String,
        /// The authorities that are trusted instead of the public ones (PEM).
        ca_pem: Option<String>,
    },
    /// Standard output, one line an anchor. Cannot be read back.
    Stdout,
}

/// How long an address may take.
pub const PATIENCE: Duration = Duration::from_secs(5);

impl Place {
    /// The last anchor there; `None` if there is none.
    pub async fn read(&self) -> io::Result<Option<Vec<u8>>> {
        match self {
            Place::File(path) => {
                let path = path.clone();
                blocking(move || read_file(&path)).await
            }
            Place::Http { url, ca_pem } => remote::get(url, ca_pem.as_deref()).await,
            Place::Stdout => Ok(None),
        }
    }
    /// Puts `text` there in place of the one before.
    pub async fn write(&self, text: Arc<Vec<u8>>) -> io::Result<()> {
        match self {
            Place::File(path) => {
                let path = path.clone();
                blocking(move || replace(&path, &text)).await
            }
            Place::Http { url, ca_pem } => remote::put(url, ca_pem.as_deref(), &text).await,
            Place::Stdout => {
                blocking(move || {
                    let mut out = io::stdout().lock();
                    out.write_all(&text)?;
                    out.flush()
                })
                .await
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => write!(f, "{}", path.display()),
            Place::Http { url, .. } => f.write_str(url),
            Place::Stdout => f.write_str("standard output"),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Written beside it, made durable, then renamed over it: whoever reads finds the old one or the new one.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_file_is_replaced_as_a_whole_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchor");
        let place = Place::File(path.clone());
        assert_eq!(place.read().await.unwrap(), None);
        for text in ["a longer one\n", "two\n"] {
            place.write(Arc::new(text.into())).await.unwrap();
            assert_eq!(place.read().await.unwrap().unwrap(), text.as_bytes());
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        let nowhere = Place::File(folder.path().join("no/such/folder"));
        assert!(nowhere.write(Arc::new(Vec::new())).await.is_err());
    }
}
