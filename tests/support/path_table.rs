//! Targets below `/v1/` that look like an account's act, reach beyond it, or mean two things, as they go over the wire; with what a server of its
//! own answers to a body that would get a code of `github/acme-owner`. The same table goes to both faces.

/// A target, and the statuses that may come.
pub type Target<'a> = (&'a str, &'static [u16]);

/// Other spellings of an account, and accounts beyond the role's reach.
pub fn spellings() -> Vec<(String, &'static [u16])> {
    let mut all: Vec<(String, &'static [u16])> =
        SPELLINGS.iter().map(|(target, wanted)| ((*target).to_owned(), *wanted)).collect();
    // Too long, too deep.
    all.push((format!("backup-codes/retrieve/github/{}", "a".repeat(506)), &[400]));
    all.push((format!("backup-codes/retrieve/github/{}", "a".repeat(30_000)), &[400, 414, 431]));
    all.push((format!("backup-codes/retrieve/{}x", "a/".repeat(300)), &[400]));
    all
}

const SPELLINGS: &[Target<'static>] = &[
    // Dot segments: the raw ones are sent to the clean path, the encoded ones are refused.
    ("backup-codes/retrieve/github/../okta/victim", &[307]),
    ("backup-codes/retrieve/./github/acme-owner", &[307]),
    ("backup-codes/retrieve/github/acme-owner/..", &[307]),
    ("backup-codes/retrieve/github/acme-owner/.", &[307]),
    ("../v1/backup-codes/retrieve/okta/victim", &[307]),
    ("backup-codes/retrieve/github/%2e%2e/okta/victim", &[400]),
    ("backup-codes/retrieve/github/.%2e/okta/victim", &[400]),
    ("backup-codes/retrieve/github/%2E/acme-owner", &[400]),
    ("backup-codes/retrieve/github%2f..%2fokta%2fvictim", &[400]),
    ("backup-codes/retrieve/github/acme-owner%2f..%2f..%2fokta%2fvictim", &[400]),
    ("backup-codes/retrieve/github/%252e%252e/okta/victim", &[400]),
    ("backup-codes/retrieve/github/..;/okta/victim", &[400]),
    ("backup-codes/retrieve/github/...//okta/victim", &[307]),
    ("backup-codes/retrieve/github/..%00/okta/victim", &[400]),
    ("backup-codes/retrieve/github/..%5cokta%5cvictim", &[400]),
    ("backup-codes/retrieve/github\\..\\okta\\victim", &[400]),
    // Slashes too many.
    ("/backup-codes/retrieve/github/acme-owner", &[307]),
    ("backup-codes//retrieve/github/acme-owner", &[307]),
    ("backup-codes/retrieve/github//acme-owner", &[307]),
    ("backup-codes/retrieve//github/acme-owner", &[307]),
    ("backup-codes/retrieve/%2fgithub/acme-owner", &[400]),
    ("backup-codes/retrieve/github%2f%2facme-owner", &[400]),
    ("backup-codes/retrieve/github/acme-owner/", &[400]),
    ("backup-codes/retrieve/github/acme-owner%2f", &[400]),
    ("backup-codes/retrieve/github/acme-owner//", &[307]),
    // Bytes that end or split a name elsewhere.
    ("backup-codes/retrieve/github/acme-owner%00", &[400]),
    ("backup-codes/retrieve/github/acme-owner%00.json", &[400]),
    ("backup-codes/retrieve/github/acme-owner%2500", &[400]),
    ("backup-codes/retrieve/github/acme-owner%0a", &[400]),
    ("backup-codes/retrieve/github/acme-owner%0d%0aX-Vault-Token:%20root", &[400]),
    ("backup-codes/retrieve/github/acme-owner%20", &[400]),
    ("backup-codes/retrieve/%20github/acme-owner", &[400]),
    ("backup-codes/retrieve/github/acme-owner+", &[400]),
    ("backup-codes/retrieve/github/acme-owner;x=1", &[400]),
    ("backup-codes/retrieve/github/acme-owner%3frole=admin", &[400]),
    ("backup-codes/retrieve/github/acme-owner%23x", &[400]),
    ("backup-codes/retrieve/github/acme-owner%ff", &[400]),
    ("backup-codes/retrieve/github%c0%afacme-owner", &[400]),
    ("backup-codes/retrieve/github/acme-owner%", &[400]),
    ("backup-codes/retrieve/github/acme-owner%2", &[400]),
    ("backup-codes/retrieve/github/acme-owner%zz", &[400]),
    ("backup-codes/retrieve/github/acme-owner%u002d", &[400]),
    // Another spelling of the same thing, for people or for Unicode.
    ("backup-codes/retrieve/GitHub/acme-owner", &[400]),
    ("backup-codes/retrieve/github/ACME-OWNER", &[400]),
    ("backup-codes/retrieve/github/%61cme-Owner", &[400]),
    ("backup-codes/retrieve/github/%d0%b0cme-owner", &[400]),
    ("backup-codes/retrieve/github%ef%bc%8facme-owner", &[400]),
    ("backup-codes/retrieve/github%e2%88%95acme-owner", &[400]),
    ("backup-codes/retrieve/github/acme%e2%80%8b-owner", &[400]),
    ("backup-codes/retrieve/github/acme%c2%ad-owner", &[400]),
    ("backup-codes/retrieve/github/acme%e2%80%91owner", &[400]),
    ("backup-codes/retrieve/github/acme-owner%cc%81", &[400]),
    ("backup-codes/retrieve/gith%e2%93%a4b/acme-owner", &[400]),
    ("backup-codes/retrieve/github/%ef%bc%8e%ef%bc%8e/okta/victim", &[400]),
    // Patterns where one name is due.
    ("backup-codes/retrieve/github/*", &[400]),
    ("backup-codes/retrieve/*", &[400]),
    ("backup-codes/retrieve/github/+", &[400]),
    ("backup-codes/retrieve/github/acme-owner,okta/victim", &[400]),
    ("backup-codes/retrieve/github/%7b%7bsub%7d%7d", &[400]),
    ("backup-codes/retrieve/github/[a-z]cme-owner", &[400]),
    // None at all.
    ("backup-codes/retrieve", &[400, 405]),
    ("backup-codes/retrieve/", &[400]),
    // Out of the role's reach, plainly.
    ("backup-codes/retrieve/okta/victim", &[403]),
    ("backup-codes/retrieve/%6fkta%2fvictim", &[403]),
];

/// Ways into the mount that are none.
pub const SIDE_DOORS: &[Target<'static>] = &[
    ("backup-codesx/retrieve/github/acme-owner", &[403]),
    ("backup-code/retrieve/github/acme-owner", &[403]),
    ("Backup-Codes/retrieve/github/acme-owner", &[403]),
    ("backup-codes/backup-codes/retrieve/github/acme-owner", &[404]),
    ("backup-codes/Retrieve/github/acme-owner", &[404]),
    ("backup-codes/retrievex/github/acme-owner", &[404]),
    ("backup-codes/retrieve%20/github/acme-owner", &[404]),
    ("backup-codes/retrieve:/github/acme-owner", &[404]),
    ("backup-codes%2fretrieve", &[400, 405]),
    ("v1/backup-codes/retrieve/github/acme-owner", &[403]),
    ("sys/backup-codes/retrieve/github/acme-owner", &[403]),
    ("auth/backup-codes/retrieve/github/acme-owner", &[403]),
    ("auth/jwt/backup-codes/retrieve/github/acme-owner", &[403]),
    ("sys/mounts/backup-codes/retrieve/github/acme-owner", &[403, 405]),
    ("sys/raw/accounts/github/acme-owner", &[403]),
    ("sys/wrapping/../../backup-codes/retrieve/github/acme-owner", &[307]),
    ("backup-codes/verify/backup-codes/retrieve/github/acme-owner", &[400, 403]),
    ("backup-codes/check/../retrieve/github/acme-owner", &[307]),
    ("backup-codes/config/keys/rotate", &[403]),
    ("root/backup-codes/retrieve/github/acme-owner", &[403]),
    ("ns1/backup-codes/retrieve/github/acme-owner", &[403]),
];
