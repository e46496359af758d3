//! What an operator may set. Unknown keys are refused by the loader
//! (`vdom_edge::settings`); what does not fit together is refused here.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use vdom_core::limits::{HTTP2_MAX_CONCURRENT_STREAMS, HTTP2_MAX_CONCURRENT_STREAMS_CEILING};
use vdom_core::{Error, Result};
pub use vdom_edge::settings::{AuthConfig, LogConfig};
use vdom_edge::settings::{ByteSize, Interval};

/// The smallest cache that can hold the largest node.
const CACHE_MIN_BYTES: u64 = 4 << 20;

/// Everything that a sidecar can be told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SidecarConfig {
    /// Anonymous callers with every right; on loopback only.
    pub dev: bool,
    /// Where to listen.
    pub listen: ListenConfig,
    /// The gateway.
    pub upstream: UpstreamConfig,
    /// Which tokens are good; as the gateway has it.
    pub auth: AuthConfig,
    /// What is kept in memory.
    pub cache: CacheConfig,
    /// What keeps it true.
    pub follow: FollowConfig,
    /// What browsers get.
    pub web: WebConfig,
    /// Log lines.
    pub log: LogConfig,
    /// Bounds.
    pub limits: LimitsConfig,
}

/// Where to listen; port 0 lets the system choose.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenConfig {
    /// gRPC, gRPC-Web and REST.
    pub address: SocketAddr,
    /// The same on a unix socket; none: no socket.
    pub unix: Option<PathBuf>,
    /// Who may connect to it, in octal, such as `660`.
    pub unix_mode: String,
    /// Health and metrics.
    pub admin: SocketAddr,
}

/// The gateway.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamConfig {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub address: String,
    /// Whom to trust, in PEM; none: the system's authorities.
    pub ca_file: Option<PathBuf>,
    /// The sidecar's own token, with scope `dom.read`. Without one nothing is
    /// cached, and every call goes to the gateway.
    pub token_file: Option<PathBuf>,
}

/// What is kept in memory.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// At most; at least 4 MiB.
    pub max_bytes: ByteSize,
}

/// What keeps the cache true.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FollowConfig {
    /// How many branches are followed at the same time; reads of others go to
    /// the gateway.
    pub max_branches: usize,
    /// How long a branch is followed that nobody reads.
    pub idle_after: Interval,
    /// After so long without word from the gateway, answers say that they are
    /// stale.
    pub stale_after: Interval,
    /// For how long the last known rights hold without the gateway.
    pub offline_rights_max: Interval,
}

/// What browsers get.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    /// Origins that may call, such as `https://app.example.com`.
    pub origins: Vec<String>,
}

/// Bounds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// How many threads serve; 0: one per core.
    pub threads: usize,
    /// Connections of each thread.
    pub max_connections: usize,
    /// Streams on each HTTP/2 connection; at most 10,000.
    pub max_concurrent_streams: u32,
    /// How long requests in flight may take once the sidecar drains.
    pub drain_seconds: u64,
}

impl Default for ListenConfig {
    fn default() -> Self {
        let on = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { address: on(50151), unix: None, unix_mode: "660".to_owned(), admin: on(9465) }
    }
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self { address: "http://127.0.0.1:50051".to_owned(), ca_file: None, token_file: None }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { max_bytes: ByteSize(64 << 20) }
    }
}

impl Default for FollowConfig {
    fn default() -> Self {
        Self {
            max_branches: 64,
            idle_after: Interval(Duration::from_secs(600)),
            stale_after: Interval(Duration::from_secs(3)),
            offline_rights_max: Interval(Duration::from_secs(24 * 3_600)),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            max_connections: 10_000,
            max_concurrent_streams: HTTP2_MAX_CONCURRENT_STREAMS,
            drain_seconds: 10,
        }
    }
}

impl SidecarConfig {
    /// Refuses what does not fit together.
    pub fn check(&self) -> Result<()> {
        let open = [self.listen.address, self.listen.admin];
        if self.dev
            && let Some(open) = open.iter().find(|address| !address.ip().is_loopback())
        {
            return Err(Error::invalid(format!(
                "dev mode makes everyone anonymous and all-powerful, so it listens on loopback \
                 only: {open} is not"
            )));
        }
        if self.cache.max_bytes.0 < CACHE_MIN_BYTES {
            return Err(Error::invalid(format!(
                "`cache.max_bytes` is {}: at least {} are needed",
                self.cache.max_bytes,
                ByteSize(CACHE_MIN_BYTES)
            )));
        }
        if self.follow.max_branches == 0 {
            return Err(Error::invalid(
                "`follow.max_branches` is 0: leave out `upstream.token_file` to cache nothing",
            ));
        }
        let streams = self.limits.max_concurrent_streams;
        if !(1..=HTTP2_MAX_CONCURRENT_STREAMS_CEILING).contains(&streams) {
            return Err(Error::invalid(format!(
                "`limits.max_concurrent_streams` is {streams}: allowed are 1 to \
                 {HTTP2_MAX_CONCURRENT_STREAMS_CEILING}"
            )));
        }
        self.unix_mode().map(|_| ())
    }

    /// Who may connect to the unix socket.
    pub(crate) fn unix_mode(&self) -> Result<u32> {
        let text = &self.listen.unix_mode;
        u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777).ok_or_else(|| {
            Error::invalid(format!(
                "`listen.unix_mode` is {text:?}: write it in octal, such as 660"
            ))
        })
    }

    /// How long requests in flight may take once the sidecar drains.
    pub(crate) fn drain_deadline(&self) -> Duration {
        Duration::from_secs(self.limits.drain_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dev_mode_keeps_to_loopback() {
        let mut config = SidecarConfig { dev: true, ..SidecarConfig::default() };
        assert_eq!(config.check(), Ok(()));
        config.listen.address = SocketAddr::from(([0, 0, 0, 0], 50151));
        let error = config.check().expect_err("open to all");
        assert!(error.message.contains("0.0.0.0:50151"), "{error}");
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_name() {
        let refused = |change: fn(&mut SidecarConfig)| {
            let mut config = SidecarConfig::default();
            change(&mut config);
            config.check().expect_err("refused").message
        };
        assert!(refused(|config| config.cache.max_bytes = ByteSize(1)).contains("cache.max_bytes"));
        assert!(refused(|config| config.follow.max_branches = 0).contains("follow.max_branches"));
        assert!(refused(|config| config.limits.max_concurrent_streams = 0).contains("10000"));
        assert!(refused(|config| config.listen.unix_mode = "rw".into()).contains("unix_mode"));
    }
}
