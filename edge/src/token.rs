//! Bearer tokens (JWT): verifying them, and issuing them for people who have no
//! issuer of their own.

mod caching;
mod claims;
mod fetch;
mod identity;
mod issue;
mod keys;
mod verifier;

pub use caching::{CachingVerifier, VerifiedToken};
pub use identity::Identity;
pub use issue::{Grant, TokenIssuer, generate_key_pair, generate_secret_file};
pub use verifier::{TokenSettings, TokenVerifier};

#[cfg(test)]
mod tests;
