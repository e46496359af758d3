//! A sidecar in the test's own process, on TCP and a unix socket.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use tempfile::TempDir;
use vdom_edge::Environment;
use vdom_sidecar::{Addresses, Running, SidecarConfig};

use crate::keys::{AUDIENCE, ISSUER, Keys};

/// A running sidecar and the folder of its socket.
pub struct TestSidecar {
    pub sidecar: Running,
    pub addresses: Addresses,
    _folder: TempDir,
}

impl TestSidecar {
    /// Before the gateway at this URL, everyone anonymous.
    pub async fn start(gateway: &str) -> Self {
        Self::with(gateway, |config| config.dev = true).await
    }

    /// With tokens of these keys, and with one of its own, so that it caches.
    pub async fn with_tokens(gateway: &str, keys: &Keys) -> Self {
        let own_token = keys.public().with_file_name("sidecar.token");
        std::fs::write(&own_token, keys.token("sidecar", "dom.read")).expect("written");
        Self::with(gateway, |config| {
            ISSUER.clone_into(&mut config.auth.issuer);
            AUDIENCE.clone_into(&mut config.auth.audience);
            config.auth.key_files = vec![keys.public()];
            config.upstream.token_file = Some(own_token);
        })
        .await
    }

    /// As `change` makes it.
    pub async fn with(gateway: &str, change: impl FnOnce(&mut SidecarConfig)) -> Self {
        crate::install_crypto();
        let folder = tempfile::tempdir().expect("a folder");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = SidecarConfig::default();
        config.listen.address = any;
        config.listen.admin = any;
        config.listen.unix = Some(folder.path().join("vdom.sock"));
        config.upstream.address = gateway.to_owned();
        change(&mut config);
        let sidecar = vdom_sidecar::start(config, Environment::system()).await.expect("a sidecar");
        let addresses = sidecar.addresses().clone();
        Self { sidecar, addresses, _folder: folder }
    }

    /// `http://…` of gRPC, gRPC-Web and REST.
    pub fn url(&self) -> String {
        format!("http://{}", self.addresses.tcp)
    }

    /// The same on a unix socket.
    pub fn socket(&self) -> PathBuf {
        self.addresses.unix.clone().expect("a socket was asked for")
    }
}
