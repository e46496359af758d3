//! TLS for a listener, from PEM files.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use vdom_core::{Error, Result};

/// TLS 1.2 and 1.3 with this certificate chain and key, for HTTP/2 and HTTP/1.
pub fn load(certificates: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect)
        .map_err(|error| bad_file(certificates, "certificates", error))?;
    if chain.is_empty() {
        return Err(bad_file(certificates, "certificates", "there is none in it"));
    }
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| bad_file(key, "the private key", error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| bad_file(key, "the private key", error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn bad_file(path: &Path, what: &str, error: impl Display) -> Error {
    Error::invalid(format!("TLS: {what} cannot be read from {}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
