//! The standalone host, small on purpose: seal, tokens, wrapping and the `sys/` paths that clients need.

pub mod answer;
pub mod call;
pub mod envelope;
pub mod ident;
pub mod seal;
pub mod sys;
pub mod tokens;
pub mod wrapping;
