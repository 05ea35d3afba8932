//! What every act on one account is told on the command line besides the account: where, on whose word, for which ticket.

use super::assertion;
use super::client::{Client, Connection, Failure, Settings, path};
use crate::domain::name::AccountName;

/// The flags of every act on an account.
#[derive(clap::Args, Debug)]
pub struct Act {
    /// The ticket this belongs to
    #[arg(long, value_name = "ID")]
    pub ticket: Option<String>,
    /// Where the engine is mounted
    #[arg(long, value_name = "PATH", default_value = "backup-codes")]
    pub mount: String,
    /// The assertion
    #[command(flatten)]
    pub assertion: assertion::Flags,
    /// One JSON object, for programs
    #[arg(long)]
    pub json: bool,
    /// How to reach the server
    #[command(flatten)]
    pub connection: Connection,
}

/// Where an act goes.
pub struct Place {
    /// The client that reaches it.
    pub client: Client,
    /// The path below `/v1/`.
    pub target: String,
    /// Address and mount: what tells this engine from others.
    pub at: String,
}

impl Act {
    /// The place of the act `base` on `account`.
    pub fn place(
        &self,
        base: &str,
        account: &AccountName,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Place, Failure> {
        let target = path(&[&self.mount, base, account.as_str()])?;
        let client = Client::new(Settings::resolve(&self.connection, environment)?)?;
        let at = format!("{}/{}", client.settings().address(), self.mount());
        Ok(Place { client, target, at })
    }
    /// The mount without slashes around it.
    pub fn mount(&self) -> &str {
        self.mount.trim_matches('/')
    }
}

/// An account as it was typed.
pub fn account(typed: &str) -> Result<AccountName, Failure> {
    AccountName::parse(typed).map_err(|error| Failure::local(error.public()))
}
