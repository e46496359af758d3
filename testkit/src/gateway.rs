//! A gateway in the test's own process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use tempfile::TempDir;
use vdom_edge::Environment;
use vdom_gateway::config::{
    AuthConfig, GatewayConfig, ListenConfig, Secret, StoreConfig, StoreKind, TlsConfig,
};
use vdom_gateway::{Addresses, Gateway};

use crate::certificate::Certificate;
use crate::client::Client;
use crate::keys::{AUDIENCE, ISSUER, Keys};

/// A running gateway and what it stands on.
pub struct TestGateway {
    pub gateway: Gateway,
    pub addresses: Addresses,
    pub config: GatewayConfig,
    /// Kept as long as the store in it is used.
    pub folder: Option<TempDir>,
}

/// The configuration of a test: loopback, ports by the system, no tokens.
pub fn config() -> GatewayConfig {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    GatewayConfig {
        dev: true,
        listen: ListenConfig { grpc: any, http: any, admin: any },
        store: StoreConfig { kind: StoreKind::Memory, ..StoreConfig::default() },
        ..GatewayConfig::default()
    }
}

impl TestGateway {
    /// In memory, everyone anonymous.
    pub async fn start() -> Self {
        Self::with(config()).await
    }

    /// On an embedded store in a folder of its own.
    pub async fn embedded() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut gateway = Self::with(on_embedded(folder.path().join("store"))).await;
        gateway.folder = Some(folder);
        gateway
    }

    /// On a MongoDB deployment, in a database of its own.
    pub async fn mongodb(uri: &str, database: &str) -> Self {
        let mut config = config();
        config.store = StoreConfig {
            kind: StoreKind::MongoDb,
            uri: Secret(uri.to_owned()),
            database: database.to_owned(),
            ..StoreConfig::default()
        };
        Self::with(config).await
    }

    /// In memory, with tokens of these keys.
    pub async fn with_tokens(keys: &Keys) -> Self {
        let mut config = config();
        config.dev = false;
        config.auth = auth(keys);
        config.realms.push("other".to_owned());
        Self::with(config).await
    }

    /// In memory, everyone anonymous, with TLS.
    pub async fn over_tls(certificate: &Certificate) -> Self {
        let mut config = config();
        let (certificates, key) = (certificate.certificate.clone(), certificate.key.clone());
        config.tls = Some(TlsConfig { certificates, key });
        Self::with(config).await
    }

    pub async fn with(config: GatewayConfig) -> Self {
        crate::install_crypto();
        let gateway =
            vdom_gateway::start(config.clone(), Environment::system()).await.expect("a gateway");
        Self { addresses: gateway.addresses(), gateway, config, folder: None }
    }

    /// `http://…` of the gRPC port.
    pub fn grpc_url(&self) -> String {
        format!("http://{}", self.addresses.grpc)
    }

    /// `http://…` of the HTTP port.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.addresses.http)
    }

    /// A gRPC client without a token.
    pub async fn client(&self) -> Client {
        Client::connect(&self.grpc_url(), None).await
    }
}

/// Tokens are checked with these keys.
pub fn auth(keys: &Keys) -> AuthConfig {
    AuthConfig {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        key_files: vec![keys.public()],
        ..AuthConfig::default()
    }
}

/// The embedded store at this path.
pub fn on_embedded(path: PathBuf) -> GatewayConfig {
    GatewayConfig {
        store: StoreConfig { kind: StoreKind::Embedded, path, ..StoreConfig::default() },
        ..config()
    }
}
