//! The only wiring, and the only place that names a backend.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vdom_api::dom::grpc::MemoryReads;
use vdom_api::dom::grpc::fast_path::FastPathService;
use vdom_core::{Error, ErrorCode, Result};
use vdom_dom::maintenance::MaintainedStore;
use vdom_dom::{DocumentRoom, DomMetrics, Quotas, Retention, RoomBounds};
use vdom_edge::Environment;
use vdom_edge::observe::Metrics;
use vdom_edge::serve::{
    Bind, Drained, Listener, RequestContext, RequestService, ServeSettings, Server, tls,
};
use vdom_security::{Authority, GuardedStore};
use vdom_store::embedded::{EmbeddedOptions, EmbeddedStore};
use vdom_store::memory::MemoryStore;
use vdom_store::{Store, StoreError};

use crate::config::{GatewayConfig, RetentionConfig, StoreConfig, StoreKind};
use crate::lifecycle::Lifecycle;
use crate::transport::{grpc, http};

/// A gateway that serves. Dropping it stops it at once; [`Gateway::drain`] ends
/// it in order.
pub struct Gateway {
    addresses: Addresses,
    servers: Vec<Server>,
    admin: Server,
    room: Arc<DocumentRoom>,
    store: Arc<dyn Store>,
    draining: CancellationToken,
    drain_deadline: Duration,
}

/// Where a gateway listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// gRPC over HTTP/2.
    pub grpc: SocketAddr,
    /// gRPC-Web, REST and the console.
    pub http: SocketAddr,
    /// Health and metrics.
    pub admin: SocketAddr,
}

/// Starts a gateway and serves until `shutdown` comes, then drains.
pub async fn run(config: GatewayConfig, shutdown: impl Future<Output = ()>) -> Result<()> {
    let gateway = start(config, Environment::system()).await?;
    shutdown.await;
    gateway.drain().await
}

/// Opens the store, then the ports; an error says in one line why not.
pub async fn start(config: GatewayConfig, environment: Environment) -> Result<Gateway> {
    config.check()?;
    // Ports first: who finds one taken must not have touched the store.
    let grpc = listen(config.listen.grpc).await?;
    let http = listen(config.listen.http).await?;
    let admin = listen(config.listen.admin).await?;
    let tokens = config.auth.clone().load(config.dev).await?;
    let store = open_store(&config.store).await?;
    let guarantees = store.guarantees();
    tracing::info!(
        backend = guarantees.backend,
        durability = guarantees.durability,
        "store is open"
    );
    for warning in &guarantees.warnings {
        tracing::warn!(backend = guarantees.backend, "{warning}");
    }

    let draining = CancellationToken::new();
    let (authority, permits) = Authority::new(config.realm_names()?);
    let metrics = Metrics::new("vdom_gateway", env!("CARGO_PKG_VERSION"));
    let dom_metrics = DomMetrics::new();
    dom_metrics.register(&metrics);
    let bounds = bounds(&config);
    let room = DocumentRoom::new(
        GuardedStore::new(store.clone()),
        environment.clone(),
        authority,
        permits,
        dom_metrics,
        bounds,
    );
    if let Some(retention) = retention(&config.retention) {
        room.keep_compacted(retention, config.retention.check_every.0);
    }
    let collect_every = config.collection.check_every.0;
    if !collect_every.is_zero() {
        room.keep_collected(collect_every);
    }
    let room = Arc::new(room);
    let lifecycle = Lifecycle::new(store.clone(), draining.clone());
    let tls = match &config.tls {
        Some(files) => Some(tls::load(&files.certificates, &files.key)?),
        None => None,
    };

    let (grpc_routes, health) = grpc::router(room.clone())?;
    let http_routes = http::router(room.clone(), &config.web, metrics.clone(), lifecycle.clone())?;
    let admin_routes = vdom_edge::observe::admin::router(metrics.clone(), lifecycle.clone());
    let looked_after = lifecycle.clone();
    let look = move || {
        let lifecycle = looked_after.clone();
        async move { lifecycle.look().await }
    };
    tokio::spawn(vdom_api::report_health(health, lifecycle, draining.clone(), look));

    let addresses = Addresses { grpc: tcp(&grpc)?, http: tcp(&http)?, admin: tcp(&admin)? };
    let context = RequestContext {
        tokens,
        environment: environment.clone(),
        route_labels: vdom_api::route_labels(),
        metrics: metrics.requests(),
        transport: if tls.is_some() { "tls" } else { "tcp" },
        draining: draining.clone(),
    };
    let settings = ServeSettings {
        tls,
        max_connections: config.limits.max_connections,
        max_concurrent_streams: config.limits.max_concurrent_streams,
        metrics: Some(metrics.requests()),
        ..ServeSettings::default()
    };
    let usual = RequestService::new(grpc_routes, context.clone());
    let grpc = if store.guarantees().shared {
        // A read asks the store whether it is current.
        Server::start(grpc, usual, settings.clone())
    } else {
        let path = usual.path().clone();
        let reads = FastPathService::new(MemoryReads::new(room.clone()), path, usual);
        Server::start(grpc, reads, settings.clone())
    };
    let servers = vec![
        grpc,
        Server::start(http, RequestService::new(http_routes, context), settings.clone()),
    ];
    // Plain text, without the path of requests: for probes and scrapers.
    let admin = Server::start(admin, admin_routes, ServeSettings { tls: None, ..settings });
    tracing::info!(grpc = %addresses.grpc, http = %addresses.http, admin = %addresses.admin, "gateway serves");
    let drain_deadline = config.drain_deadline();
    Ok(Gateway { addresses, servers, admin, room, store, draining, drain_deadline })
}

impl Gateway {
    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Answers what is in flight, completes the views, and closes the store.
    pub async fn drain(self) -> Result<()> {
        tracing::info!("gateway drains");
        self.draining.cancel();
        let drains = self.servers.into_iter().map(|server| server.drain(self.drain_deadline));
        futures::future::join_all(drains).await.into_iter().collect::<Drained>().log();
        // Views that stay behind are completed at the next start.
        if tokio::time::timeout(self.drain_deadline, self.room.close()).await.is_err() {
            tracing::warn!("views are not complete: the next start completes them");
        }
        drop(self.room);
        self.admin.drain(Duration::from_secs(1)).await;
        self.store.close().await.map_err(cannot_open)?;
        tracing::info!("gateway has ended");
        Ok(())
    }
}

/// Opens the store that the settings name.
async fn open_store(config: &StoreConfig) -> Result<Arc<dyn Store>> {
    match config.kind {
        StoreKind::Memory => Ok(Arc::new(MemoryStore::new(0))),
        StoreKind::Embedded => {
            let path = config.path.clone();
            let open = move || EmbeddedStore::open(path, EmbeddedOptions::default());
            let opened = tokio::task::spawn_blocking(open).await.map_err(Error::internal)?;
            Ok(Arc::new(opened.map_err(cannot_open)?))
        }
        #[cfg(feature = "mongodb")]
        StoreKind::MongoDb => {
            use vdom_store::mongodb::{MongoOptions, MongoStore};
            let options =
                MongoOptions { database: config.database.clone(), ..MongoOptions::default() };
            let connected = MongoStore::connect(&config.uri.0, options).await;
            Ok(Arc::new(connected.map_err(cannot_open)?))
        }
        #[cfg(not(feature = "mongodb"))]
        StoreKind::MongoDb => Err(Error::invalid(
            "this gateway was built without MongoDB: build it with the feature `mongodb`",
        )),
    }
}

/// Opens the store that the settings name to maintain it, while no gateway runs on it.
///
/// # Errors
/// Where it cannot be opened; the message says what to do.
pub async fn open_maintained_store(config: &StoreConfig) -> Result<MaintainedStore> {
    let store = GuardedStore::new(open_store(config).await?);
    let (authority, permits) = Authority::new([]);
    Ok(MaintainedStore::new(store, authority, permits))
}

fn bounds(config: &GatewayConfig) -> RoomBounds {
    let set = |quota: u64| Some(quota).filter(|quota| *quota > 0);
    let quotas = Quotas { nodes: set(config.quotas.nodes), bytes: set(config.quotas.bytes.0) };
    let staged_bytes_per_caller = config.limits.max_staged_bytes_per_caller.0;
    RoomBounds { quotas, cache_bytes: config.cache.max_bytes.0, staged_bytes_per_caller }
}

/// How much history is kept; `None`: all of it.
fn retention(config: &RetentionConfig) -> Option<Retention> {
    let changes = Some(config.changes).filter(|changes| *changes > 0);
    let age = Some(config.age.0).filter(|age| !age.is_zero());
    (changes.is_some() || age.is_some()).then_some(Retention { changes, age })
}

async fn listen(address: SocketAddr) -> Result<Listener> {
    Listener::bind(&Bind::Tcp { address, reuse_port: false }).await
}

fn tcp(listener: &Listener) -> Result<SocketAddr> {
    listener.local_address().tcp().ok_or_else(|| Error::internal("a TCP listener without address"))
}

/// The operator's error: the store's own words.
fn cannot_open(error: StoreError) -> Error {
    Error::new(ErrorCode::FailedPrecondition, error.message)
}
