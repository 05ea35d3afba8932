//! What people say about an account.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

/// What people say about an account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct About {
    /// Who answers for it.
    #[n(0)]
    pub owner: String,
    /// The name to log in with.
    #[n(1)]
    pub login_name: String,
    /// Where the code is typed.
    #[n(2)]
    pub login_url: String,
    /// Issuer names, `host-seal` or accounts that hang on it.
    #[n(3)]
    pub protects: Vec<String>,
    /// Free labels.
    #[n(4)]
    pub labels: BTreeMap<String, String>,
}
