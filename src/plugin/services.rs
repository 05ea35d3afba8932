//! The small services around the backend: control, standard streams, health, multiplexing, version.

use tokio_stream::Pending;
use tonic::{Request, Response, Status};

use super::exit::Exit;
use super::proto::health::health_check_response::ServingStatus;
use super::proto::health::health_server::Health;
use super::proto::health::{HealthCheckRequest, HealthCheckResponse};
use super::proto::logical::plugin_version_server::PluginVersion;
use super::proto::logical::{self, VersionReply};
use super::proto::multiplexing::plugin_multiplexing_server::PluginMultiplexing;
use super::proto::multiplexing::{MultiplexingSupportRequest, MultiplexingSupportResponse};
use super::proto::plugin::grpc_controller_server::GrpcController;
use super::proto::plugin::grpc_stdio_server::GrpcStdio;
use super::proto::plugin::{Empty, StdioData};

/// `plugin.GRPCController`.
pub struct Controller(pub Exit);

#[tonic::async_trait]
impl GrpcController for Controller {
    async fn shutdown(&self, _request: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.0.ask();
        Ok(Response::new(Empty {}))
    }
}

/// `plugin.GRPCStdio`: nothing is printed after the handshake.
pub struct Stdio;

#[tonic::async_trait]
impl GrpcStdio for Stdio {
    type StreamStdioStream = Pending<Result<StdioData, Status>>;

    async fn stream_stdio(&self, _request: Request<()>) -> Result<Response<Self::StreamStdioStream>, Status> {
        Ok(Response::new(tokio_stream::pending()))
    }
}

/// `grpc.health.v1.Health`: whoever gets an answer knows that the process lives.
pub struct Alive;

#[tonic::async_trait]
impl Health for Alive {
    type WatchStream = tokio_stream::Once<Result<HealthCheckResponse, Status>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        match request.get_ref().service.as_str() {
            "" | "plugin" => Ok(Response::new(serving())),
            _ => Err(Status::not_found("no such service")),
        }
    }
    async fn watch(&self, _request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(tokio_stream::once(Ok(serving()))))
    }
}

fn serving() -> HealthCheckResponse {
    HealthCheckResponse { status: ServingStatus::Serving.into() }
}

/// `pluginutil.multiplexing.PluginMultiplexing`: one process serves every mount.
pub struct Multiplexing;

#[tonic::async_trait]
impl PluginMultiplexing for Multiplexing {
    async fn multiplexing_support(
        &self,
        _request: Request<MultiplexingSupportRequest>,
    ) -> Result<Response<MultiplexingSupportResponse>, Status> {
        Ok(Response::new(MultiplexingSupportResponse { supported: true }))
    }
}

/// `logical.PluginVersion`: none is told, so that the operator may register any, and several side by side.
pub struct Version;

#[tonic::async_trait]
impl PluginVersion for Version {
    async fn version(&self, _request: Request<logical::Empty>) -> Result<Response<VersionReply>, Status> {
        Ok(Response::new(VersionReply { plugin_version: String::new() }))
    }
}
