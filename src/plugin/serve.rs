//! From the invitation to the end: socket, handshake line, services, and what is under way brought to its end.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tonic::transport::Server;

use super::backend::Backend;
use super::broker::{Announcements, Broker};
use super::exit::Exit;
use super::handshake::{self, Invitation};
use super::incoming::Socket;
use super::proto::health::health_server::HealthServer;
use super::proto::logical::plugin_version_server::PluginVersionServer;
use super::proto::multiplexing::plugin_multiplexing_server::PluginMultiplexingServer;
use super::proto::pb::backend_server::BackendServer;
use super::proto::plugin::grpc_broker_server::GrpcBrokerServer;
use super::proto::plugin::grpc_controller_server::GrpcControllerServer;
use super::proto::plugin::grpc_stdio_server::GrpcStdioServer;
use super::services::{Alive, Controller, Multiplexing, Stdio, Version};
use super::tls::Identity;
use super::{GRACE, host};

/// Serves one host until it goes.
pub async fn serve(invitation: Invitation) -> Result<(), String> {
    ignore_interrupts()?;
    let identity = Identity::generate().map_err(|error| format!("no certificate could be made: {error}"))?;
    let server = identity.server(&invitation.host).map_err(|error| format!("TLS: {error}"))?;
    let client = identity.client(&invitation.host).map_err(|error| format!("TLS: {error}"))?;
    let socket = Socket::bind(&invitation.folder, invitation.group.as_deref())
        .map_err(|error| format!("no socket in {}: {error}", invitation.folder.display()))?;

    let exit = Exit::new();
    let announcements = Arc::new(Announcements::default());
    let backend = Backend::new(announcements.clone(), Arc::new(client), exit.clone());
    let services = Server::builder()
        .add_service(GrpcBrokerServer::new(Broker { announcements, exit: exit.clone() }))
        .add_service(GrpcControllerServer::new(Controller(exit.clone())))
        .add_service(GrpcStdioServer::new(Stdio))
        .add_service(HealthServer::new(Alive))
        .add_service(PluginMultiplexingServer::new(Multiplexing))
        .add_service(PluginVersionServer::new(Version))
        .add_service(
            BackendServer::new(backend)
                .max_decoding_message_size(host::LARGEST_MESSAGE)
                .max_encoding_message_size(host::LARGEST_MESSAGE),
        );
    let connections = socket.connections(TlsAcceptor::from(Arc::new(server)));
    let serving = tokio::spawn(services.serve_with_incoming(connections));
    handshake::answer(socket.path(), identity.certificate(), invitation.asks_for_mux)
        .map_err(|error| format!("the handshake could not be written: {error}"))?;

    exit.asked().await;
    // Acts under way end as they would; the answer to the request to end still goes out meanwhile.
    let _ = tokio::time::timeout(GRACE, exit.idle()).await;
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    serving.abort();
    Ok(())
}

/// An interrupt at the host's terminal reaches its whole process group; it is the host's to act on it.
fn ignore_interrupts() -> Result<(), String> {
    let mut interrupts = signal(SignalKind::interrupt()).map_err(|error| format!("signals: {error}"))?;
    tokio::spawn(async move { while interrupts.recv().await.is_some() {} });
    Ok(())
}
