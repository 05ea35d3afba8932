//! The socket on which the host connects, and the connections that came through TLS.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::random::{self, OsRandom};

/// Connections that wait to be served.
const BACKLOG: usize = 16;

/// A socket with a name of its own. The name goes once the host has come through it, or when this is dropped: what is killed
/// later leaves nothing behind.
pub struct Socket {
    listener: Arc<UnixListener>,
    path: PathBuf,
}

impl Socket {
    /// Binds a fresh name in `folder`; `group`, a number or a name, may connect too if it is given.
    pub fn bind(folder: &Path, group: Option<&str>) -> io::Result<Self> {
        let path = folder.join(format!("sparekey{}", hex::encode(random::bytes::<8>(&OsRandom))));
        let socket = Socket { listener: Arc::new(UnixListener::bind(&path)?), path };
        if let Some(group) = group {
            std::os::unix::fs::chown(&socket.path, None, Some(group_id(group)?))?;
            std::fs::set_permissions(&socket.path, PermissionsExt::from_mode(0o660))?;
        }
        Ok(socket)
    }
    /// Where the host finds it.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// Connections whose TLS handshake was right. A wrong one is noted, and hinders no other.
    ///
    /// The host connects once. If that connection breaks the process ends, so nobody looks for the name again.
    pub fn connections(&self, tls: TlsAcceptor) -> ReceiverStream<io::Result<Link>> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let (listener, path) = (self.listener.clone(), self.path.clone());
        tokio::spawn(async move {
            loop {
                let stream = match listener.accept().await {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                        continue;
                    }
                };
                let (tls, sender, path) = (tls.clone(), sender.clone(), path.clone());
                tokio::spawn(async move {
                    match tls.accept(stream).await {
                        Ok(stream) => {
                            let _ = std::fs::remove_file(path);
                            drop(sender.send(Ok(Link(stream))).await);
                        }
                        Err(error) => tracing::warn!(%error, "a connection did not prove to be the host's"),
                    }
                });
            }
        });
        ReceiverStream::new(receiver)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // If it is gone already, so much the better.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn group_id(group: &str) -> io::Result<u32> {
    if let Ok(id) = group.parse() {
        return Ok(id);
    }
    let groups = std::fs::read_to_string("/etc/group")?;
    groups
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&group))
        .and_then(|fields| fields.get(2)?.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no group {group}")))
}

/// A connection that the host proved to be its own.
pub struct Link(TlsStream<UnixStream>);

impl Connected for Link {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Link {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
