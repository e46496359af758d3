//! Bearer tokens (JWT): checking them, and minting them for people who have no
//! issuer of their own.

mod check;
mod claims;
mod fetch;
mod keys;
mod mint;

pub use check::{Identity, TokenCheck, TokenSettings};
pub use mint::{Grant, TokenMint, generate_key_pair, generate_secret_file};

#[cfg(test)]
mod tests;
