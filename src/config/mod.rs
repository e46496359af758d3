//! What an operator may set. Unknown keys are refused by the loader
//! (`vdom_edge::settings`); what does not fit together is refused here.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use vdom_core::limits::{
    CONTENT_MAX_BYTES, HTTP2_MAX_CONCURRENT_STREAMS, HTTP2_MAX_CONCURRENT_STREAMS_CEILING,
    STAGED_MAX_BYTES_PER_CALLER,
};
use vdom_core::{Error, RealmName, Result};
pub use vdom_edge::settings::{AuthConfig, LogConfig};
use vdom_edge::settings::{ByteSize, Interval};

/// Everything that a gateway can be told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// Anonymous callers with every right; on loopback only.
    pub dev: bool,
    /// The tenants that exist.
    pub realms: Vec<String>,
    /// Where to listen.
    pub listen: ListenConfig,
    /// Certificates for gRPC and HTTP; none: plain text.
    pub tls: Option<TlsConfig>,
    /// Where the logs, views and chunks are.
    pub store: StoreConfig,
    /// Which tokens are good.
    pub auth: AuthConfig,
    /// What browsers get.
    pub web: WebConfig,
    /// Log lines.
    pub log: LogConfig,
    /// Bounds.
    pub limits: LimitsConfig,
    /// How much history is kept.
    pub retention: RetentionConfig,
    /// When what nothing names any more is deleted.
    pub collection: CollectionConfig,
    /// How much each realm may hold.
    pub quotas: QuotasConfig,
    /// What is kept in memory.
    pub cache: CacheConfig,
}

/// How much history is kept at least; what is beyond both bounds is compacted.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// So many of the newest changes of each branch; 0: the count decides nothing.
    pub changes: u64,
    /// What is younger than this; `0s`: age decides nothing.
    pub age: Interval,
    /// How often to look.
    pub check_every: Interval,
}

/// When what nothing names any more is deleted.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollectionConfig {
    /// About how often to look; `0s`: never, which leaves it to `vdom compact`.
    pub check_every: Interval,
}

/// How much each realm may hold.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuotasConfig {
    /// Live nodes of all branches; 0: any number.
    pub nodes: u64,
    /// Bytes of their contents; 0: any number.
    pub bytes: ByteSize,
}

/// What is kept in memory.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// For nodes that were read or written lately.
    pub max_bytes: ByteSize,
}

/// Where to listen; port 0 lets the system choose.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenConfig {
    /// gRPC over HTTP/2.
    pub grpc: SocketAddr,
    /// gRPC-Web, REST and the console.
    pub http: SocketAddr,
    /// Health and metrics.
    pub admin: SocketAddr,
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The chain, leaf first.
    pub certificates: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The backends.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// In a directory of this machine.
    #[default]
    Embedded,
    /// On a MongoDB deployment.
    MongoDb,
    /// In memory; lost at the end.
    Memory,
}

/// Where the logs, views and chunks are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// Which backend.
    pub kind: StoreKind,
    /// Of the embedded store.
    pub path: PathBuf,
    /// Of the MongoDB deployment; may hold a password, so it is never logged.
    pub uri: Secret,
    /// In the MongoDB deployment.
    pub database: String,
}

impl StoreConfig {
    /// The directory of an embedded store.
    pub fn directory(&self) -> Option<&Path> {
        matches!(self.kind, StoreKind::Embedded).then_some(&*self.path)
    }
}

/// Text that must not show.
#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(if self.0.is_empty() { "unset" } else { "set" })
    }
}

/// What browsers get.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    /// Other origins that may call, such as `https://app.example.com`.
    pub origins: Vec<String>,
    /// Where the built console is; none: beside the program or in the checkout.
    pub console: Option<PathBuf>,
}

/// Bounds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Connections on each port.
    pub max_connections: usize,
    /// Streams on each HTTP/2 connection; at most 10,000.
    pub max_concurrent_streams: u32,
    /// How long requests in flight may take once the gateway drains.
    pub drain_seconds: u64,
    /// What the unfinished uploads of each caller may hold in the store.
    pub max_staged_bytes_per_caller: ByteSize,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            dev: false,
            realms: vec![RealmName::DEFAULT.to_owned()],
            listen: ListenConfig::default(),
            tls: None,
            store: StoreConfig::default(),
            auth: AuthConfig::default(),
            web: WebConfig::default(),
            log: LogConfig::default(),
            limits: LimitsConfig::default(),
            retention: RetentionConfig::default(),
            collection: CollectionConfig::default(),
            quotas: QuotasConfig::default(),
            cache: CacheConfig::default(),
        }
    }
}

impl Default for ListenConfig {
    fn default() -> Self {
        let on = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { grpc: on(50051), http: on(8080), admin: on(9464) }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            kind: StoreKind::Embedded,
            path: PathBuf::from("vdom-data"),
            uri: Secret::default(),
            database: "vdom".to_owned(),
        }
    }
}

impl Default for RetentionConfig {
    fn default() -> Self {
        let (none, often) = (Interval(Duration::ZERO), Interval(Duration::from_secs(600)));
        Self { changes: 0, age: none, check_every: often }
    }
}

impl Default for CollectionConfig {
    fn default() -> Self {
        Self { check_every: Interval(Duration::from_secs(6 * 60 * 60)) }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { max_bytes: ByteSize(48 << 20) }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_concurrent_streams: HTTP2_MAX_CONCURRENT_STREAMS,
            drain_seconds: 10,
            max_staged_bytes_per_caller: ByteSize(STAGED_MAX_BYTES_PER_CALLER),
        }
    }
}

impl GatewayConfig {
    /// Refuses what does not fit together.
    pub fn check(&self) -> Result<()> {
        let listening = [self.listen.grpc, self.listen.http, self.listen.admin];
        if self.dev
            && let Some(open) = listening.iter().find(|address| !address.ip().is_loopback())
        {
            return Err(Error::invalid(format!(
                "dev mode makes everyone anonymous and all-powerful, so it listens on loopback \
                 only: {open} is not"
            )));
        }
        if self.realms.is_empty() {
            return Err(Error::invalid("`realms` is empty: name at least one, such as `default`"));
        }
        if self.store.kind == StoreKind::MongoDb && self.store.uri.0.is_empty() {
            return Err(Error::invalid(
                "`store.kind` is `mongodb`, but `store.uri` is empty: set it, or \
                 VDOM_GATEWAY__STORE__URI",
            ));
        }
        let streams = self.limits.max_concurrent_streams;
        if !(1..=HTTP2_MAX_CONCURRENT_STREAMS_CEILING).contains(&streams) {
            return Err(Error::invalid(format!(
                "`limits.max_concurrent_streams` is {streams}: allowed are 1 to \
                 {HTTP2_MAX_CONCURRENT_STREAMS_CEILING}"
            )));
        }
        if self.limits.max_staged_bytes_per_caller.0 < CONTENT_MAX_BYTES {
            return Err(Error::invalid(format!(
                "`limits.max_staged_bytes_per_caller` has no room for the largest content of \
                 {CONTENT_MAX_BYTES} bytes: write at least 100MiB"
            )));
        }
        if self.retention.check_every.0.is_zero() {
            return Err(Error::invalid(
                "`retention.check_every` is 0: write how often, such as 10m",
            ));
        }
        self.realm_names().map(|_| ())
    }

    /// The tenants, by the rule of names.
    pub fn realm_names(&self) -> Result<Vec<RealmName>> {
        self.realms.iter().map(|name| RealmName::parse(name)).collect()
    }

    /// How long requests in flight may take once the gateway drains.
    pub fn drain_deadline(&self) -> Duration {
        Duration::from_secs(self.limits.drain_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dev_mode_keeps_to_loopback() {
        let mut config = GatewayConfig { dev: true, ..GatewayConfig::default() };
        assert_eq!(config.check(), Ok(()));
        config.listen.http = SocketAddr::from(([0, 0, 0, 0], 8080));
        let error = config.check().expect_err("open to all");
        assert!(error.message.contains("0.0.0.0:8080"), "{error}");
        config.dev = false;
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |change: fn(&mut GatewayConfig)| {
            let mut config = GatewayConfig::default();
            change(&mut config);
            config.check().expect_err("refused").message
        };
        assert!(refused(|config| config.realms.clear()).contains("`realms`"));
        assert!(refused(|config| config.realms.push("a/b".into())).contains("realm"));
        assert!(refused(|config| config.store.kind = StoreKind::MongoDb).contains("store.uri"));
        assert!(refused(|config| config.limits.max_concurrent_streams = 0).contains("10000"));
        let no_room = |config: &mut GatewayConfig| {
            config.limits.max_staged_bytes_per_caller = ByteSize(1 << 20);
        };
        assert!(refused(no_room).contains("100MiB"));
    }

    #[test]
    fn a_database_password_does_not_show() {
        let mut config = GatewayConfig::default();
        config.store.uri = Secret("mongodb://anna:hunter2@db".into());
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
