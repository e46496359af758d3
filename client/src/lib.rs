//! The client of vdom for Rust programs: one connection to a gateway or a
//! sidecar, with typed calls that try again while the server is away.
//!
//! ```no_run
//! use vdom_client::{BranchSpec, Client, ConnectOptions};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let options = ConnectOptions::new("http://127.0.0.1:50151".parse()?);
//! let client = Client::connect(options).await?;
//! let branch: BranchSpec = "site@main".parse()?;
//! if let Some(node) = client.stat(&branch, "index.html").await? {
//!     println!("version {}", node.version);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A call that is not here goes through [`Client::raw`], the generated client with
//! the token on every request. The messages are those of `vdom_proto::v1`.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may look at the clock"))]

mod address;
mod branch_spec;
mod change_set_upload;
mod change_set_writer;
mod client;
mod connection;
mod error;
mod read;
mod retry;
mod subscription;
mod token;
mod write;

pub use address::{InvalidAddress, ServerAddress};
pub use branch_spec::{BranchSpec, DEFAULT_BRANCH, InvalidBranchSpec};
pub use change_set_upload::ChangeSetUpload;
pub use change_set_writer::ChangeSetWriter;
pub use client::{Client, RawClient};
pub use connection::{ConnectOptions, Credentials, open_channel};
pub use error::{Error, Refusal, Result};
pub use read::NodeContent;
pub use subscription::{Notice, ResumePosition, Subscription, is_resume_point};
pub use token::Token;
pub use write::{put_without_content, random_operation_id};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
