//! The second connection of a mount: the host's storage and what it knows, and the host's errors as one type.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::proto::pb::storage_client::StorageClient;
use super::proto::pb::system_view_client::SystemViewClient;
use super::proto::plugin::ConnInfo;
use super::tls;

/// Largest message either way; the host's own bound is larger.
pub const LARGEST_MESSAGE: usize = 256 * 1024 * 1024;
/// What the host says of a store that only another node may write. Passed on unchanged it makes the host forward the request.
pub const READ_ONLY: &str = "cannot write to readonly storage";
/// How long one call may take. A store without a quorum hangs; then the outcome of a write is unknown.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the host offers a mount.
#[derive(Clone)]
pub struct Host {
    /// Its storage, the mount's part of it.
    pub storage: StorageClient<Channel>,
    /// What it knows beside that, of callers for one.
    pub view: SystemViewClient<Channel>,
}

impl Host {
    /// Connects to an announced socket.
    pub async fn dial(info: ConnInfo, tls: Arc<ClientConfig>) -> Result<Self, tonic::transport::Error> {
        let connector = service_fn(move |_| {
            let (info, tls) = (info.clone(), tls.clone());
            async move { connect(&info, tls).await }
        });
        let endpoint = Endpoint::from_static("http://localhost").timeout(PATIENCE);
        Ok(Self::over(endpoint.connect_with_connector(connector).await?))
    }
    /// On a connection that is there.
    pub fn over(channel: Channel) -> Self {
        let view = SystemViewClient::new(channel.clone());
        let storage = StorageClient::new(channel)
            .max_decoding_message_size(LARGEST_MESSAGE)
            .max_encoding_message_size(LARGEST_MESSAGE);
        Host { storage, view }
    }
}

/// Anything bytes go through.
trait Wire: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Wire for T {}

async fn connect(info: &ConnInfo, tls: Arc<ClientConfig>) -> io::Result<TokioIo<impl Wire + use<>>> {
    let stream: Box<dyn Wire> = match info.network.as_str() {
        "tcp" => Box::new(TcpStream::connect(&info.address).await?),
        _ => Box::new(UnixStream::connect(&info.address).await?),
    };
    let name = ServerName::try_from(tls::NAME).map_err(io::Error::other)?;
    Ok(TokioIo::new(TlsConnector::from(tls).connect(name, stream).await?))
}

/// Why the host did not do what it was asked.
#[derive(Debug)]
pub enum HostError {
    /// Only another node may write.
    ReadOnly,
    /// It refused; nothing happened. What it said.
    Refused(String),
    /// No answer: whether it happened is unknown.
    Lost(String),
}

impl HostError {
    /// The `err` that stands in an answer; empty is none.
    pub fn check(err: &str) -> Result<(), HostError> {
        match err {
            "" => Ok(()),
            said if said.contains(READ_ONLY) => Err(HostError::ReadOnly),
            said => Err(HostError::Refused(said.to_owned())),
        }
    }
}

impl From<Status> for HostError {
    fn from(status: Status) -> Self {
        match status.message().contains(READ_ONLY) {
            true => HostError::ReadOnly,
            false => HostError::Lost(format!("{}: {}", status.code(), status.message())),
        }
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostError::ReadOnly => f.write_str(READ_ONLY),
            HostError::Refused(said) => write!(f, "the host's storage refused: {said}"),
            HostError::Lost(said) => write!(f, "the host's storage did not answer: {said}"),
        }
    }
}

impl std::error::Error for HostError {}
