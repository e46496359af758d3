//! Starts what the tests need: gateways, sidecars, databases, clients. Used by
//! `tests/` and `bench/` only, so it may panic where a test would.

#![allow(clippy::disallowed_methods, reason = "it waits for processes of its own")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stderr, missing_docs)]

pub mod certificate;
pub mod channel;
pub mod client;
pub mod clients;
pub mod envoy;
pub mod files;
pub mod gateway;
pub mod http;
pub mod keys;
pub mod mongo;
pub mod process;
pub mod raw;
pub mod sidecar;

use std::io::Write;
use std::path::PathBuf;

/// Says by name why a test does not run here. The caller returns then.
pub fn skipped(test: &str, reason: &str) {
    // Not `eprintln!`, which the test runner keeps to itself.
    let line = format!("skipped: {test}: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error");
}

/// Independent test data that lies beside the checkout, where it does.
pub fn shared_data(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("VDOM_SHARED")
        .map_or_else(|| workspace_root().join("../shared"), PathBuf::from);
    let path = root.join("data").join(folder);
    path.is_dir().then_some(path)
}

/// The root of the workspace.
pub fn workspace_root() -> PathBuf {
    let crate_root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    crate_root.parent().expect("testkit lies below the root").to_owned()
}

/// Installs the one cryptographic provider; harmless when it is there.
pub fn install_crypto() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Asks again until it holds, or panics after 20 s.
pub async fn eventually<F>(what: &str, mut holds: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let asked = async {
        while !holds().await {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let asked = tokio::time::timeout(std::time::Duration::from_secs(20), asked).await;
    assert!(asked.is_ok(), "not within 20 s: {what}");
}
