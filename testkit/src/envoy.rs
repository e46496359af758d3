//! A real Envoy before a gateway, with a certificate of its own.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use vdom_gateway::Addresses;

use crate::certificate::Certificate;
use crate::clients::tool;
use crate::http::{HttpClient, Place};
use crate::workspace_root;

/// A running Envoy, ended with its handle.
pub struct Envoy {
    /// `https://…`, with a certificate that nobody signed.
    pub url: String,
    /// What a client may be told to trust.
    pub certificate: Certificate,
    _process: Child,
    _folder: TempDir,
}

impl Envoy {
    /// Starts it with these of its settings; the reason where it is not installed.
    pub async fn start(gateway: Addresses, settings: &[(&str, &str)]) -> Result<Self, String> {
        let program = tool("venv/bin/envoy")?;
        let folder = tempfile::tempdir().expect("a folder");
        let certificate = Certificate::generate().await?;
        let rendered = Command::new(workspace_root().join("envoy/render"))
            .env("VDOM_ENVOY_HOST", "127.0.0.1")
            .env("VDOM_ENVOY_PORT", "0")
            .env("VDOM_ENVOY_ADMIN_PORT", "0")
            .env("VDOM_GATEWAY_GRPC_PORT", gateway.grpc.port().to_string())
            .env("VDOM_GATEWAY_HTTP_PORT", gateway.http.port().to_string())
            .env("VDOM_ENVOY_CERTIFICATE", &certificate.certificate)
            .env("VDOM_ENVOY_KEY", &certificate.key)
            .envs(settings.iter().copied())
            .output()
            .await
            .expect("envoy/render runs");
        assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
        let config = folder.path().join("envoy.yaml");
        fs::write(&config, rendered.stdout).expect("written");
        let admin = folder.path().join("admin");
        let process = Command::new(program)
            .arg("--config-path")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin)
            .args(["--use-dynamic-base-id", "--log-level", "error", "--concurrency", "1"])
            .stdin(Stdio::null())
            // Its access log.
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("envoy does not run: {error}"))?;
        let port = listening_port(&admin).await;
        let url = format!("https://127.0.0.1:{port}");
        Ok(Self { url, certificate, _process: process, _folder: folder })
    }
}

/// The port that the system gave to Envoy's listener, once it is there and its
/// clusters are healthy.
async fn listening_port(admin: &std::path::Path) -> u16 {
    let asked = async {
        loop {
            if let Ok(address) = fs::read_to_string(admin)
                && let Ok(address) = address.trim().parse()
                && let Some(port) = ask(HttpClient::new(Place::Tcp(address), None)).await
            {
                return port;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asked).await.expect("Envoy listens within 30 s")
}

async fn ask(admin: HttpClient) -> Option<u16> {
    let ready = admin.get("/ready").await;
    let listeners = admin.get("/listeners?format=json").await.json();
    let listener = listeners["listener_statuses"].as_array()?.first()?.clone();
    let port =
        listener.pointer("/local_address/socket_address/port_value").and_then(Value::as_u64)?;
    let is_ready = ready.status.is_success() && port != 0;
    is_ready.then(|| u16::try_from(port).ok()).flatten()
}
