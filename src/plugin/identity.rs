//! What the host knows of callers: entities, their aliases and groups. Metadata is not taken along: it proves nothing here.

use tonic::Status;
use tonic::transport::Channel;

use super::proto::logical::{Entity, Group};
use super::proto::pb::EntityInfoArgs;
use super::proto::pb::system_view_client::SystemViewClient;
use crate::auth::host::{HostAlias, HostIdentity, Identities, Looking, MOST};
use crate::error::{Error, Result};

/// The host's identity store.
pub struct HostIdentities(SystemViewClient<Channel>);

impl HostIdentities {
    /// Over the mount's second connection.
    pub fn new(view: SystemViewClient<Channel>) -> Self {
        HostIdentities(view)
    }

    /// Both questions at once. Nobody of that id is no error.
    async fn ask(&self, entity_id: &str) -> Result<Option<HostIdentity>> {
        let args = || EntityInfoArgs { entity_id: entity_id.to_owned() };
        let (mut one, mut other) = (self.0.clone(), self.0.clone());
        let (entity, groups) = tokio::join!(one.entity_info(args()), other.groups_for_entity(args()));
        let entity = entity.map_err(|status| silent(&status))?.into_inner();
        let groups = groups.map_err(|status| silent(&status))?.into_inner();
        for said in [&entity.err, &groups.err] {
            if !said.is_empty() {
                return Err(unknown(said));
            }
        }
        Ok(entity.entity.map(|entity| identity(entity, groups.groups)))
    }
}

impl Identities for HostIdentities {
    fn look_up<'a>(&'a self, entity_id: &'a str) -> Looking<'a> {
        Box::pin(self.ask(entity_id))
    }
}

fn identity(entity: Entity, groups: Vec<Group>) -> HostIdentity {
    let alias =
        |alias: super::proto::logical::Alias| HostAlias { mount_accessor: alias.mount_accessor, name: alias.name };
    HostIdentity {
        entity_id: entity.id,
        disabled: entity.disabled,
        aliases: entity.aliases.into_iter().take(MOST).map(alias).collect(),
        groups: groups.into_iter().take(MOST).map(|group| group.name).collect(),
    }
}

fn silent(status: &Status) -> Error {
    unknown(&format!("{}: {}", status.code(), status.message()))
}

fn unknown(said: &str) -> Error {
    tracing::warn!(said, "the host did not say who the caller is");
    Error::unavailable("the vault does not say who you are; try again")
}
