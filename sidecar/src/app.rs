//! The only wiring.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;
use vdom_api::dom::grpc::fast_path::FastPathService;
use vdom_api::dom::grpc::{Compression, web};
use vdom_api::dom::rest;
use vdom_core::{Error, Result};
use vdom_edge::caller;
use vdom_edge::cors;
use vdom_edge::error::{to_response, to_status};
use vdom_edge::observe::{Metrics, admin};
use vdom_edge::serve::{Bind, Listener, RequestContext, RequestService, ServeSettings, Server};

use crate::branch::StalenessPolicy;
use crate::branches::BranchSettings;
use crate::cached_reads::CachedReads;
use crate::config::SidecarConfig;
use crate::identity::OwnIdentity;
use crate::observe::{self, Health};
use crate::sidecar::{Sidecar, SidecarSettings};
use crate::upstream::{Connectivity, Upstream, UpstreamAddress};
use crate::workers::{Services, Workers};
use vdom_edge::Environment;

/// How often a gateway is looked for that is away.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often one is asked that was there.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// A sidecar that serves; [`Running::drain`] ends it in order.
pub struct Running {
    addresses: Addresses,
    workers: Workers,
    admin: Server,
    sidecar: Sidecar,
    draining: CancellationToken,
    drain_deadline: Duration,
}

/// Where a sidecar listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// gRPC, gRPC-Web and REST.
    pub tcp: SocketAddr,
    /// The same on a unix socket.
    pub unix: Option<PathBuf>,
    /// Health and metrics.
    pub admin: SocketAddr,
}

/// Starts a sidecar and serves until `shutdown` comes, then drains.
pub async fn run(config: SidecarConfig, shutdown: impl Future<Output = ()>) -> Result<()> {
    let running = start(config, Environment::system()).await?;
    shutdown.await;
    running.drain().await;
    Ok(())
}

/// Opens the ports; an error says in one line why not. The gateway need not be
/// there yet.
pub async fn start(config: SidecarConfig, environment: Environment) -> Result<Running> {
    config.check()?;
    let admin = listen(&Bind::Tcp { address: config.listen.admin, reuse_port: false }).await?;
    let unix = match &config.listen.unix {
        Some(path) => Some(unix_socket(path, config.unix_mode()?).await?),
        None => None,
    };
    let tokens = config.auth.clone().load(config.dev).await?;
    let identity = identity(&config)?;
    let address = UpstreamAddress {
        url: config.upstream.address.clone(),
        ca_file: config.upstream.ca_file.clone(),
    };
    let upstream = Upstream::new(&address, identity.clone(), environment.clone())?;
    let sidecar =
        Sidecar::new(upstream, environment.clone(), &settings(&config), Handle::current());

    let draining = CancellationToken::new();
    let metrics = Metrics::new("vdom_sidecar", env!("CARGO_PKG_VERSION"));
    observe::register(&metrics, sidecar.clone());
    let health = Health::new(sidecar.clone(), draining.clone());
    let (routes, reporter) = routes(&sidecar, &config)?;
    tokio::spawn(identity.keep_fresh(draining.clone()));
    let looked_after = sidecar.clone();
    tokio::spawn(vdom_api::report_health(reporter, health.clone(), draining.clone(), move || {
        look(looked_after.clone())
    }));

    let context = |transport| RequestContext {
        tokens: tokens.clone(),
        environment: environment.clone(),
        route_labels: vdom_api::route_labels(),
        metrics: metrics.requests(),
        transport,
        draining: draining.clone(),
    };
    let serve = ServeSettings {
        max_connections: config.limits.max_connections,
        max_concurrent_streams: config.limits.max_concurrent_streams,
        metrics: Some(metrics.requests()),
        ..ServeSettings::default()
    };
    let way = |transport| {
        let usual = RequestService::new(routes.clone(), context(transport));
        let path = usual.path().clone();
        FastPathService::new(CachedReads::new(sidecar.clone()), path, usual)
    };
    let services = || Services { tcp: way("tcp"), unix: way("unix"), settings: serve.clone() };
    let workers =
        Workers::start(config.listen.address, threads(config.limits.threads), services).await?;
    let addresses = Addresses {
        tcp: workers.address(),
        unix: config.listen.unix.clone(),
        admin: admin
            .local_address()
            .tcp()
            .ok_or_else(|| Error::internal("a TCP listener without an address"))?,
    };
    if let Some(listener) = unix {
        workers.hand_out(listener);
    }
    // Without the path of requests: for probes and scrapers.
    let admin = Server::start(admin, admin::router(metrics, health), serve);
    tracing::info!(
        address = %addresses.tcp,
        unix = addresses.unix.as_deref().map(|path| path.display().to_string()),
        admin = %addresses.admin,
        gateway = config.upstream.address,
        "sidecar serves"
    );
    let drain_deadline = config.drain_deadline();
    Ok(Running { addresses, workers, admin, sidecar, draining, drain_deadline })
}

impl Running {
    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Answers what is in flight, then ends.
    pub async fn drain(self) {
        tracing::info!("sidecar drains");
        self.draining.cancel();
        self.workers.drain(self.drain_deadline).await.log();
        self.sidecar.stop();
        self.admin.drain(Duration::from_secs(1)).await;
        tracing::info!("sidecar has ended");
    }
}

/// gRPC and gRPC-Web, REST, health and reflection, all on one port.
fn routes(sidecar: &Sidecar, config: &SidecarConfig) -> Result<(Router, HealthReporter)> {
    let dom = Arc::new(sidecar.clone());
    // Peers are on the same host: compressing would only cost.
    let calls = web::web_router(Arc::clone(&dom), Compression::Never);
    let (other_services, reporter) = vdom_api::with_health_and_reflection(Routes::default())?;
    let routes = cors::admit(calls.merge(rest::router(dom)), &config.web.origins)?
        .merge(other_services.prepare().into_axum_router())
        .fallback(nothing_here);
    Ok((routes, reporter))
}

/// The refusal of a path that is nobody's, in the caller's protocol.
async fn nothing_here(request: axum::extract::Request) -> http::Response<axum::body::Body> {
    let request_id = caller::request_id(request.extensions());
    let is_grpc = request
        .headers()
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    let path = request.uri().path();
    if is_grpc {
        to_status(Error::unimplemented(path), &request_id).into_http()
    } else {
        to_response(&Error::not_found(format!("nothing is at {path}")), &request_id)
    }
}

/// Looks for the gateway while nothing else does; answers after how long to look again.
async fn look(sidecar: Sidecar) -> Duration {
    sidecar.upstream().probe().await;
    match sidecar.upstream().connectivity() {
        Connectivity::There => ASK_EVERY,
        _ => LOOK_EVERY,
    }
}

fn settings(config: &SidecarConfig) -> SidecarSettings {
    SidecarSettings {
        cache_max_bytes: config.cache.max_bytes.0,
        branches: BranchSettings {
            max_branches: config.follow.max_branches,
            staleness: StalenessPolicy {
                stale_after: config.follow.stale_after.0,
                offline_max: config.follow.offline_rights_max.0,
            },
        },
        idle_after: config.follow.idle_after.0,
    }
}

fn identity(config: &SidecarConfig) -> Result<OwnIdentity> {
    match &config.upstream.token_file {
        Some(file) => OwnIdentity::from_file(file),
        None if config.dev => Ok(OwnIdentity::anonymous()),
        None => {
            tracing::warn!(
                "no upstream.token_file: without an identity of its own the sidecar caches nothing"
            );
            Ok(OwnIdentity::nobody())
        }
    }
}

fn threads(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    }
}

async fn listen(bind: &Bind) -> Result<Listener> {
    Listener::bind(bind).await
}

async fn unix_socket(path: &Path, mode: u32) -> Result<Listener> {
    listen(&Bind::Unix { path: path.to_owned(), mode }).await
}

#[cfg(test)]
mod tests;
