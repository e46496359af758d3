//! A certificate that nobody signed, for localhost.

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::process::Command;

/// The PEM files of a certificate and its key.
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
    _folder: TempDir,
}

impl Certificate {
    /// A new one; the reason where `openssl` is not installed.
    pub async fn generate() -> Result<Self, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            // An authority's certificate is no server's.
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .await
            .map_err(|error| format!("openssl does not run: {error}"))?;
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Ok(Self { certificate, key, _folder: folder })
    }
}
