//! The one table of paths. Routing, help, OpenAPI, capabilities and every face come from it.

use crate::domain::issuer::Issuer;
use crate::domain::profile::Profile;
use crate::domain::role::{Capability, Role};
use crate::engine::request::{Operation, Response};
use crate::engine::schema::{self, Field};
use crate::engine::{
    Call, Engine, accounts, check, configuration, confirm, enroll, events, history, outcome, report, restore, retrieve,
    revoke, rewrap, rotation, sources, store, transfer, verify,
};
use crate::error::Result;
use crate::sources::Source;
use crate::storage::BoxFuture;

mod lookup;

pub use lookup::{Match, find};

/// What an operation needs of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Root, or a login whose role may administer. Mounted: the host's policies.
    Configure,
    /// Root, or a login whose role has this capability and covers the account. Mounted: the host's policies.
    Metadata(Capability),
    /// An assertion that satisfies a role with this capability.
    Act(Capability),
    /// Nothing: what is sent is its own proof.
    Nothing,
}

/// What carries an operation out.
pub type Handler = for<'a> fn(&'a Engine, Call) -> BoxFuture<'a, Result<Response>>;

/// One operation of a path.
pub struct Op {
    /// Which.
    pub operation: Operation,
    /// What it needs.
    pub need: Need,
    /// What it takes.
    pub fields: &'static [Field],
    /// What it does, in a line.
    pub about: &'static str,
    /// What carries it out.
    pub handler: Handler,
}

/// What the variable end of a path matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// The path has none.
    None,
    /// One segment.
    Name(&'static str),
    /// Everything after the slash; may be empty for a list.
    Rest(&'static str),
}

/// One path.
pub struct Path {
    /// Its fixed beginning, without a slash at the end.
    pub prefix: &'static str,
    /// What follows.
    pub variable: Variable,
    /// What it is for.
    pub about: &'static str,
    /// Its operations.
    pub operations: &'static [Op],
}

macro_rules! op {
    ($operation:ident, $need:expr, $fields:expr, $about:literal, $handler:path) => {
        Op {
            operation: Operation::$operation,
            need: $need,
            fields: $fields,
            about: $about,
            handler: |engine, call| Box::pin($handler(engine, call)),
        }
    };
}

/// The four operations of a folder of configuration records.
macro_rules! folder {
    ($prefix:literal, $record:ty, $fields:expr, $about:literal, $read:path) => {
        [
            Path {
                prefix: $prefix,
                variable: Variable::Name("name"),
                about: $about,
                operations: &[
                    op!(Read, Need::Configure, schema::NONE, "Reads it.", $read),
                    op!(
                        Update,
                        Need::Configure,
                        $fields,
                        "Creates or changes it; absent fields stay.",
                        configuration::write::<$record>
                    ),
                    op!(Delete, Need::Configure, schema::NONE, "Deletes it.", configuration::delete::<$record>),
                ],
            },
            Path {
                prefix: $prefix,
                variable: Variable::None,
                about: $about,
                operations: &[op!(
                    List,
                    Need::Configure,
                    schema::LIST,
                    "Lists the names.",
                    configuration::list::<$record>
                )],
            },
        ]
    };
}

const ISSUERS: [Path; 2] =
    folder!("issuers", Issuer, schema::ISSUER, "Trusted JWT issuers.", configuration::read::<Issuer>);
const PROFILES: [Path; 2] = folder!(
    "profiles",
    Profile,
    schema::PROFILE,
    "What a set looks like and how it lives.",
    configuration::read::<Profile>
);
const ROLES: [Path; 2] = folder!("roles", Role, schema::ROLE_FIELDS, "JWT-scoped roles.", configuration::read::<Role>);
const SOURCES: [Path; 2] = folder!("sources", Source, schema::SOURCE, "Who may tell of enrollments.", sources::read);

macro_rules! report {
    ($prefix:literal, $fields:expr, $about:literal, $handler:path) => {
        Path {
            prefix: $prefix,
            variable: Variable::None,
            about: $about,
            operations: &[op!(
                Read,
                Need::Metadata(Capability::Report),
                $fields,
                "Reads a page of it: the accounts that the caller's role covers.",
                $handler
            )],
        }
    };
}
const REPORTS: [Path; 3] = [
    report!("report/posture", schema::POSTURE, "How each account stands, and what is amiss.", report::posture::read),
    report!("report/usage", schema::USAGE, "Who did what, under which role, and when.", report::usage::read),
    report!("report/access", schema::ACCESS, "Who could retrieve codes, who did, when reviewed.", report::access::read),
];

const REST: [Path; 19] = [
    Path {
        prefix: "config",
        variable: Variable::None,
        about: "Mount defaults.",
        operations: &[
            op!(Read, Need::Configure, schema::NONE, "Reads them.", configuration::read_settings),
            op!(
                Update,
                Need::Configure,
                schema::CONFIG,
                "Changes them; absent fields stay.",
                configuration::write_settings
            ),
        ],
    },
    Path {
        prefix: "config/history",
        variable: Variable::None,
        about: "The ledger of every change to the configuration.",
        operations: &[op!(Read, Need::Configure, schema::HISTORY, "Reads it, oldest first.", history::configuration)],
    },
    Path {
        prefix: "config/keys",
        variable: Variable::None,
        about: "Generations of the key that wraps the keys of sets.",
        operations: &[op!(Read, Need::Configure, schema::NONE, "Lists them.", rotation::read)],
    },
    Path {
        prefix: "config/keys/rotate",
        variable: Variable::None,
        about: "A new generation of that key.",
        operations: &[op!(
            Update,
            Need::Configure,
            schema::NONE,
            "Makes one: it wraps from here on, the former one only unwraps.",
            rotation::rotate
        )],
    },
    Path {
        prefix: "config/keys/rewrap",
        variable: Variable::None,
        about: "Wrapping the keys of all sets anew under the active generation; older ones are retired at the end.",
        operations: &[
            op!(Read, Need::Configure, schema::NONE, "Says how far it has come.", rewrap::read),
            op!(Update, Need::Configure, schema::REWRAP, "Begins it or goes on with it, or stops it.", rewrap::update),
        ],
    },
    Path {
        prefix: "config/restore",
        variable: Variable::None,
        about: "A storage that was put back to an earlier state: whether that waits to be accepted.",
        operations: &[
            op!(Read, Need::Configure, schema::NONE, "Says whether one waits, and why.", restore::path::read),
            op!(
                Update,
                Need::Configure,
                schema::RESTORE,
                "Mounted: accepts it, and holds what may have gone back. A server does that by sys/restore/accept.",
                restore::path::accept
            ),
        ],
    },
    Path {
        prefix: "accounts",
        variable: Variable::Rest("account"),
        about: "Accounts: what is said about them and the metadata of their sets, never a code.",
        operations: &[
            op!(Read, Need::Metadata(Capability::Read), schema::NONE, "Reads the metadata.", accounts::read),
            op!(
                Update,
                Need::Configure,
                schema::ACCOUNT,
                "Creates or changes it; absent fields stay.",
                accounts::write
            ),
            op!(Delete, Need::Configure, schema::NONE, "Deletes it; refused while a set is alive.", accounts::delete),
            op!(List, Need::Metadata(Capability::List), schema::LIST, "Lists one level of names.", accounts::list),
        ],
    },
    Path {
        prefix: "sets",
        variable: Variable::Rest("account"),
        about: "Sets of codes.",
        operations: &[op!(
            Update,
            Need::Act(Capability::Store),
            schema::STORE,
            "Stores a new set, or makes one; it supersedes the former one.",
            store::store
        )],
    },
    Path {
        prefix: "retrieve",
        variable: Variable::Rest("account"),
        about: "One code, once.",
        operations: &[op!(
            Update,
            Need::Act(Capability::Retrieve),
            schema::RETRIEVE,
            "Dispenses one code.",
            retrieve::retrieve
        )],
    },
    Path {
        prefix: "outcome",
        variable: Variable::Rest("account"),
        about: "What became of a dispensed code.",
        operations: &[op!(
            Update,
            Need::Act(Capability::Outcome),
            schema::OUTCOME,
            "Notes it and says what to do now; a refused code raises an alarm.",
            outcome::outcome
        )],
    },
    Path {
        prefix: "verify",
        variable: Variable::Rest("account"),
        about: "Codes that were issued here, presented for use.",
        operations: &[op!(
            Update,
            Need::Act(Capability::Verify),
            schema::VERIFY,
            "Consumes a presented code: valid or not.",
            verify::verify
        )],
    },
    Path {
        prefix: "check",
        variable: Variable::Rest("account"),
        about: "Whether a code is one of the account's.",
        operations: &[op!(
            Update,
            Need::Act(Capability::Check),
            schema::CHECK,
            "Says in which set, where and in what state; burns nothing.",
            check::check
        )],
    },
    Path {
        prefix: "enroll",
        variable: Variable::Rest("account"),
        about: "MFA was enrolled again.",
        operations: &[op!(Update, Need::Act(Capability::Enroll), schema::ENROLL, "Ends older sets.", enroll::enroll)],
    },
    Path {
        prefix: "revoke",
        variable: Variable::Rest("account"),
        about: "Ending a set by hand.",
        operations: &[op!(Update, Need::Act(Capability::Revoke), schema::REVOKE, "Ends a set.", revoke::revoke)],
    },
    Path {
        prefix: "release",
        variable: Variable::Rest("account"),
        about: "Letting a quarantined set live again, or unlocking an account after wrong codes.",
        operations: &[op!(Update, Need::Act(Capability::Release), schema::RELEASE, "Releases it.", revoke::release)],
    },
    Path {
        prefix: "confirm",
        variable: Variable::Rest("account"),
        about: "The provider's side of a set that ended.",
        operations: &[op!(
            Update,
            Need::Act(Capability::Confirm),
            schema::CONFIRM,
            "Notes that the provider, too, invalidated the set.",
            confirm::confirm
        )],
    },
    Path {
        prefix: "transfer",
        variable: Variable::Rest("account"),
        about: "An account that another mount hands over.",
        operations: &[op!(
            Update,
            Need::Act(Capability::Transfer),
            schema::TRANSFER,
            "Takes it in with everything but its ledger, once; sent again, it changes nothing.",
            transfer::transfer
        )],
    },
    Path {
        prefix: "history",
        variable: Variable::Rest("account"),
        about: "The account's ledger.",
        operations: &[op!(
            Read,
            Need::Metadata(Capability::History),
            schema::HISTORY,
            "Reads it, oldest first.",
            history::account
        )],
    },
    Path {
        prefix: "events",
        variable: Variable::Name("source"),
        about: "Where an identity provider sends Security Event Tokens (RFC 8935).",
        operations: &[op!(
            Update,
            Need::Nothing,
            schema::EVENT,
            "Takes an event; its signature is the proof.",
            events::events
        )],
    },
];

/// Every path of a mount.
pub static TABLE: [&[Path]; 6] = [&ISSUERS, &PROFILES, &ROLES, &SOURCES, &REST, &REPORTS];
