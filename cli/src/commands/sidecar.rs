//! `vdom sidecar`: runs a sidecar.

use std::net::SocketAddr;
use std::path::PathBuf;

use vdom_edge::settings;
use vdom_sidecar::SidecarConfig;

use super::serve::{self, SettingsOptions};
use crate::exit::Failure;

/// What the environment variables of its settings begin with.
pub(crate) const PREFIX: &str = "VDOM_SIDECAR";

/// Run a sidecar
///
/// Every setting can be given in a file, as a variable (`cache.max_bytes` is
/// `VDOM_SIDECAR__CACHE__MAX_BYTES`) or with --set. SIGTERM ends it in order.
#[derive(clap::Args, Debug)]
pub(crate) struct SidecarArguments {
    /// Take callers without a token and let them do everything; on loopback only
    #[arg(long)]
    dev: bool,
    /// gRPC, gRPC-Web and REST [default: 127.0.0.1:50151]
    #[arg(long, value_name = "ADDRESS", value_parser = serve::parse_address)]
    listen: Option<SocketAddr>,
    /// The same on a unix socket
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// Health and metrics [default: 127.0.0.1:9465]
    #[arg(long, value_name = "ADDRESS", value_parser = serve::parse_address)]
    admin: Option<SocketAddr>,
    /// The gateway [default: `http://127.0.0.1:50051`]
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// File with the sidecar's own token; without one nothing is cached
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Public key (PEM) or secret that tokens are checked with
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    #[command(flatten)]
    settings: SettingsOptions,
}

/// Serves until SIGINT or SIGTERM, then drains.
pub(crate) async fn run(arguments: SidecarArguments) -> Result<(), Failure> {
    let shutdown = serve::termination()?;
    let config = config(arguments)?;
    serve::install_log(&config.log.format, &config.log.filter)?;
    vdom_sidecar::run(config, shutdown).await.map_err(serve::not_started)
}

fn config(arguments: SidecarArguments) -> Result<SidecarConfig, Failure> {
    let address = |address: Option<SocketAddr>| address.map(|address| address.to_string());
    let flags = [
        ("dev", arguments.dev.then(|| "true".to_owned())),
        ("listen.address", address(arguments.listen)),
        ("listen.unix", serve::path_setting(arguments.socket.as_deref())),
        ("listen.admin", address(arguments.admin)),
        ("upstream.address", arguments.gateway),
        ("upstream.token_file", serve::path_setting(arguments.token_file.as_deref())),
        ("auth.key_files", serve::paths_setting(&arguments.key)),
    ];
    let sources = arguments.settings.sources(PREFIX, flags);
    let config: SidecarConfig = settings::load(&sources).map_err(serve::wrong_settings)?;
    config.check().map_err(serve::wrong_settings)?;
    Ok(config)
}
