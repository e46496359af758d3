//! `vdom gateway`: runs a gateway.

use std::net::SocketAddr;
use std::path::PathBuf;

use vdom_edge::settings;
use vdom_gateway::GatewayConfig;

use super::serve::{self, SettingsOptions};
use crate::exit::Failure;

/// What the environment variables of its settings begin with.
pub(crate) const PREFIX: &str = "VDOM_GATEWAY";

/// Run a gateway
///
/// Every setting can be given in a file, as a variable (`store.uri` is
/// `VDOM_GATEWAY__STORE__URI`) or with --set. SIGTERM ends it in order.
#[derive(clap::Args, Debug)]
pub(crate) struct GatewayArguments {
    /// Take callers without a token and let them do everything; on loopback only
    #[arg(long)]
    dev: bool,
    /// gRPC [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDRESS", value_parser = serve::parse_address)]
    grpc: Option<SocketAddr>,
    /// gRPC-Web, REST and the console [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", value_parser = serve::parse_address)]
    http: Option<SocketAddr>,
    /// Health and metrics [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDRESS", value_parser = serve::parse_address)]
    admin: Option<SocketAddr>,
    /// Where the logs are: `embedded`, `mongodb` or `memory` [default: embedded]
    #[arg(long, value_name = "KIND")]
    store: Option<String>,
    /// Directory of the embedded store [default: vdom-data]
    #[arg(long, value_name = "DIR")]
    store_path: Option<PathBuf>,
    /// Public key (PEM) or secret that tokens are checked with
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    #[command(flatten)]
    settings: SettingsOptions,
}

/// Serves until SIGINT or SIGTERM, then drains.
pub(crate) async fn run(arguments: GatewayArguments) -> Result<(), Failure> {
    let shutdown = serve::termination()?;
    let config = config(arguments)?;
    serve::install_log(&config.log.format, &config.log.filter)?;
    vdom_gateway::run(config, shutdown).await.map_err(serve::not_started)
}

fn config(arguments: GatewayArguments) -> Result<GatewayConfig, Failure> {
    let address = |address: Option<SocketAddr>| address.map(|address| address.to_string());
    let flags = [
        ("dev", arguments.dev.then(|| "true".to_owned())),
        ("listen.grpc", address(arguments.grpc)),
        ("listen.http", address(arguments.http)),
        ("listen.admin", address(arguments.admin)),
        ("store.kind", arguments.store),
        ("store.path", serve::path_setting(arguments.store_path.as_deref())),
        ("auth.key_files", serve::paths_setting(&arguments.key)),
    ];
    let sources = arguments.settings.sources(PREFIX, flags);
    let config: GatewayConfig = settings::load(&sources).map_err(serve::wrong_settings)?;
    config.check().map_err(serve::wrong_settings)?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: GatewayArguments,
    }

    fn parse(line: &[&str]) -> Result<GatewayConfig, Failure> {
        let line = Line::try_parse_from([&["gateway"], line].concat()).expect("valid flags");
        config(line.arguments)
    }

    #[test]
    fn flags_become_settings() {
        let config =
            parse(&["--dev", "--grpc", "0", "--store", "memory", "--set", "auth.issuer=me"]);
        let config = config.expect("valid");
        assert!(config.dev);
        assert_eq!(config.listen.grpc.port(), 0);
        assert_eq!(config.auth.issuer, "me");
    }

    #[test]
    fn an_unknown_setting_is_wrong_usage_and_names_the_nearest() {
        let failure = parse(&["--set", "listen.gprc=x"]).expect_err("unknown");
        assert_eq!(failure.exit, crate::exit::Exit::Usage);
        assert!(failure.message.contains("listen.grpc"), "{failure}");
    }
}
