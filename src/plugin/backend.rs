//! `pb.Backend`: the host's calls, each for the mount that its metadata names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ClientConfig;
use serde_json::{Value, json};
use tonic::{Request, Response, Status};

use super::broker::Announcements;
use super::exit::Exit;
use super::host::Host;
use super::mount::Mount;
use super::proto::pb::{self, Empty};
use super::root;
use super::wire::{self, ErrorType};
use crate::engine::help;
use crate::engine::paths::{self, Need, Variable};
use crate::engine::request::Operation;
use crate::error::{Error, chain};

/// Names the mount in a call's metadata; absent where the host does not multiplex.
const MOUNT: &str = "multiplex_id";
/// The host's number for a secrets engine.
const SECRETS_ENGINE: u32 = 1;
/// Most mounts of one process.
const MOST: usize = 10_000;

/// All mounts of the process.
pub struct Backend {
    announcements: Arc<Announcements>,
    tls: Arc<ClientConfig>,
    exit: Exit,
    mounts: Mutex<HashMap<String, Arc<Mount>>>,
}

impl Backend {
    /// No mount yet.
    pub fn new(announcements: Arc<Announcements>, tls: Arc<ClientConfig>, exit: Exit) -> Self {
        Backend { announcements, tls, exit, mounts: Mutex::default() }
    }
    fn mounts(&self) -> MutexGuard<'_, HashMap<String, Arc<Mount>>> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn mount<T>(&self, request: &Request<T>) -> Result<Arc<Mount>, Status> {
        let id = id_of(request)?;
        self.mounts().get(id).cloned().ok_or_else(|| Status::not_found("no such mount in this process"))
    }
    async fn set_up(&self, id: &str, args: pb::SetupArgs) -> Result<(), String> {
        if self.mounts().len() >= MOST {
            return Err("this process has as many mounts as it can hold".to_owned());
        }
        let info = self.announcements.take(args.broker_id).await;
        let info = info.ok_or("the host did not say where its storage is")?;
        let host = Host::dial(info, self.tls.clone()).await;
        let host = host.map_err(|error| format!("the host's storage cannot be reached: {}", chain(&error)))?;
        let uuid = args.backend_uuid;
        let before = self.mounts().values().find(|mount| !uuid.is_empty() && mount.uuid == uuid).cloned();
        let mount = Mount::new(uuid, host, before.as_deref());
        tracing::debug!(mount = mount.uuid, "set up");
        self.mounts().insert(id.to_owned(), Arc::new(mount));
        Ok(())
    }
    /// Carries out a request of the table. An act runs to its end though the caller goes away, and ends alone if it panics.
    async fn handle(&self, mount: Arc<Mount>, request: pb::Request, operation: Operation) -> pb::HandleRequestReply {
        let changes = matches!(operation, Operation::Update | Operation::Delete);
        if changes && !mount.may_write().await {
            return wire::forward();
        }
        let under_way = self.exit.under_way();
        let acting = tokio::spawn(async move {
            let answer = match (wire::request(request, operation), mount.engine().await) {
                (Err(error), _) | (_, Err(error)) => Err(error),
                (Ok(request), Ok(engine)) => engine.handle(request).await,
            };
            if let Ok(response) = &answer {
                mount.note(&response.note);
            }
            let reply = match answer {
                Err(_) if changes && mount.is_read_only() => wire::forward(),
                answer => wire::reply(answer),
            };
            drop(under_way);
            reply
        });
        acting.await.unwrap_or_else(|_| wire::reply(Err(Error::internal("the request's task panicked"))))
    }
}

/// The mount that a call is for.
fn id_of<T>(request: &Request<T>) -> Result<&str, Status> {
    match request.metadata().get(MOUNT) {
        None => Ok("single"),
        Some(id) => id.to_str().map_err(|_| Status::invalid_argument("multiplex_id is not a text")),
    }
}

/// Paths that need no token and storage keys that the seal wraps, from the table.
pub(super) fn special_paths() -> pb::Paths {
    let open = paths::TABLE.iter().copied().flatten();
    let open = open.filter(|path| path.operations.iter().any(|op| op.need == Need::Nothing));
    let unauthenticated = open.map(|path| match path.variable {
        Variable::None => path.prefix.to_owned(),
        Variable::Name(_) => format!("{}/+", path.prefix),
        Variable::Rest(_) => format!("{}/*", path.prefix),
    });
    pb::Paths {
        unauthenticated: unauthenticated.collect(),
        seal_wrap_storage: root::WRAPPED.map(str::to_owned).to_vec(),
        ..pb::Paths::default()
    }
}

/// Help on a path; on the whole mount with its OpenAPI document, without which the host's own document would lack the mount.
fn help(path: &str) -> pb::HandleRequestReply {
    let Some(text) = help::text(path) else { return wire::bare(ErrorType::UnsupportedPath) };
    let document = match path.trim_matches('/').is_empty() {
        true => help::openapi(),
        false => Value::Null,
    };
    wire::answered(&json!({"help": text, "see_also": null, "openapi": document}), Vec::new())
}

#[tonic::async_trait]
impl pb::backend_server::Backend for Backend {
    /// Cheap, and without a call on the storage, which is not there yet when the plugin is being registered.
    async fn setup(&self, request: Request<pb::SetupArgs>) -> Result<Response<pb::SetupReply>, Status> {
        let id = id_of(&request)?.to_owned();
        let err = self.set_up(&id, request.into_inner()).await.err().unwrap_or_default();
        Ok(Response::new(pb::SetupReply { err }))
    }

    /// Never an error: the host would keep the mount and serve it without a backend. Requests say what is wrong.
    async fn initialize(&self, request: Request<pb::InitializeArgs>) -> Result<Response<pb::InitializeReply>, Status> {
        let mount = self.mount(&request)?;
        let under_way = self.exit.under_way();
        tokio::spawn(async move {
            if let Err(error) = mount.initialize().await {
                tracing::error!(mount = mount.uuid, ?error, "the mount cannot be opened yet; requests will try again");
            }
            drop(under_way);
        })
        .await
        .map_err(|_| Status::internal("the task panicked"))?;
        Ok(Response::new(pb::InitializeReply { err: None }))
    }

    async fn r#type(&self, _request: Request<Empty>) -> Result<Response<pb::TypeReply>, Status> {
        Ok(Response::new(pb::TypeReply { r#type: SECRETS_ENGINE }))
    }

    async fn special_paths(&self, _request: Request<Empty>) -> Result<Response<pb::SpecialPathsReply>, Status> {
        Ok(Response::new(pb::SpecialPathsReply { paths: Some(special_paths()) }))
    }

    async fn handle_request(
        &self,
        request: Request<pb::HandleRequestArgs>,
    ) -> Result<Response<pb::HandleRequestReply>, Status> {
        let sent = request.get_ref().request.as_ref();
        let word = sent.map_or("", |sent| sent.operation.as_str());
        let reply = match word {
            // Anybody who reaches the host's listener can cause it. No path here has a second spelling.
            "resolve-path" => wire::bare(ErrorType::UnsupportedOperation),
            "help" => help(sent.map_or("", |sent| sent.path.as_str())),
            // Once a minute, on every node, and before a mount ends or moves. Deadlines are enforced when a record is used; a
            // re-wrapping of keys goes on here, and what is over makes room.
            "rollback" => {
                let mount = self.mount(&request)?;
                let (under_way, exit) = (self.exit.under_way(), self.exit.clone());
                let looking = tokio::spawn(async move {
                    mount.look_after(|| !exit.is_asked()).await;
                    mount.sweep(|| !exit.is_asked()).await;
                    drop(under_way);
                });
                looking.await.map_err(|_| Status::internal("the task panicked"))?;
                pb::HandleRequestReply::default()
            }
            // No answer ever carried a lease: there is nothing to take back, and a refusal would block the end of a mount.
            "revoke" => pb::HandleRequestReply::default(),
            word => match wire::operation(word) {
                None => wire::bare(ErrorType::UnsupportedOperation),
                Some(operation) => {
                    let mount = self.mount(&request)?;
                    let sent = request.into_inner().request.unwrap_or_default();
                    self.handle(mount, sent, operation).await
                }
            },
        };
        Ok(Response::new(reply))
    }

    /// Comes before the host has asked its policies: tells whether a record of the configuration is there, and changes nothing.
    async fn handle_existence_check(
        &self,
        request: Request<pb::HandleExistenceCheckArgs>,
    ) -> Result<Response<pb::HandleExistenceCheckReply>, Status> {
        let mount = self.mount(&request)?;
        let path = request.into_inner().request.unwrap_or_default().path;
        let found = match mount.engine().await {
            Ok(engine) => engine.exists(&path).await,
            Err(error) => Err(error),
        };
        let reply = match found {
            Ok(exists) => pb::HandleExistenceCheckReply {
                check_found: exists.is_some(),
                exists: exists.unwrap_or_default(),
                err: None,
            },
            Err(error) => {
                tracing::error!(mount = mount.uuid, ?error, "an existence check failed");
                let err = Some(wire::error(ErrorType::Internal, error.public()));
                pb::HandleExistenceCheckReply { err, ..pb::HandleExistenceCheckReply::default() }
            }
        };
        Ok(Response::new(reply))
    }

    async fn invalidate_key(&self, request: Request<pb::InvalidateKeyArgs>) -> Result<Response<Empty>, Status> {
        self.mount(&request)?.changed(&request.get_ref().key);
        Ok(Response::new(Empty {}))
    }

    /// Also for a mount that is not here any more.
    async fn cleanup(&self, request: Request<Empty>) -> Result<Response<Empty>, Status> {
        let id = id_of(&request)?;
        let gone = self.mounts().remove(id);
        if let Some(mount) = gone {
            mount.settle().await;
            mount.forget_all();
            tracing::debug!(mount = mount.uuid, "cleaned up");
        }
        Ok(Response::new(Empty {}))
    }
}
