//! `vdom up`: a gateway on the embedded store and a sidecar, in one process.

mod demo;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use vdom_client::InvalidAddress;
use vdom_core::RealmName;
use vdom_core::access::Scopes;
use vdom_edge::settings::{self, Sources};
use vdom_edge::token::Grant;
use vdom_gateway::GatewayConfig;
use vdom_sidecar::SidecarConfig;

use super::{gateway, serve, sidecar};
use crate::data::{AUDIENCE, DataDirectory, DataOptions, ISSUER, expires_at};
use crate::exit::Failure;
use crate::output::{Output, Painter, Tone};
use crate::server::ServerOptions;

/// How long the sidecar's own token is good; it is renewed after half of that.
const SIDECAR_TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3_600);
/// The longest path of a unix socket, with its closing NUL.
const SOCKET_PATH_MAX_BYTES: usize = 108;

/// Run everything on this machine: a gateway with its own store, and a sidecar
///
/// Makes the store and a signing key on the first start, and prints addresses,
/// a token and commands to try. Ctrl-C ends it in order. Other settings of the
/// two are taken from variables: `VDOM_GATEWAY__LIMITS__DRAIN_SECONDS=30`.
#[derive(clap::Args, Debug)]
pub(crate) struct UpArguments {
    #[command(flatten)]
    data: DataOptions,
    /// Take callers without a token and let them do everything; on loopback only
    #[arg(long)]
    dev: bool,
    /// Put a small repo to look at into an empty store
    #[arg(long)]
    demo: bool,
    /// Gateway: gRPC
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:50051", value_parser = serve::parse_address)]
    grpc: SocketAddr,
    /// Gateway: gRPC-Web, REST and the console
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = serve::parse_address)]
    http: SocketAddr,
    /// Gateway: health and metrics
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464", value_parser = serve::parse_address)]
    admin: SocketAddr,
    /// Sidecar: gRPC, gRPC-Web and REST
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:50151", value_parser = serve::parse_address)]
    sidecar: SocketAddr,
    /// Sidecar: health and metrics
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9465", value_parser = serve::parse_address)]
    sidecar_admin: SocketAddr,
    /// Sidecar: unix socket [default: sidecar.sock in the data directory]
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// For whom the printed token is [default: the user's name]
    #[arg(
        long,
        value_name = "NAME",
        env = "USER",
        hide_env = true,
        default_value = "me",
        hide_default_value = true
    )]
    subject: String,
    /// How long it is good
    #[arg(long, default_value = "30d", value_name = "TIME", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// Log lines: `human` or `json`
    #[arg(long, default_value = "human", value_name = "FORMAT")]
    log_format: String,
    /// What to log: a level, or directives such as `info,vdom::access=debug`
    #[arg(long, default_value = "warn", value_name = "FILTER")]
    log: String,
}

/// Serves until SIGINT or SIGTERM, then drains the sidecar and the gateway.
pub(crate) async fn run(arguments: UpArguments, output: &mut Output) -> Result<(), Failure> {
    let shutdown = serve::termination()?;
    serve::install_log(&arguments.log_format, &arguments.log)?;
    let data = arguments.data.directory()?;
    data.prepare()?;
    data.renew_sidecar_token(SIDECAR_TOKEN_LIFETIME)?;

    let config = gateway_config(&arguments, &data)?;
    config.check().map_err(serve::wrong_settings)?;
    let gateway = vdom_gateway::start(config, vdom_edge::Environment::system())
        .await
        .map_err(|error| name_flag(error, &arguments))?;
    let config = sidecar_config(&arguments, &data, gateway.addresses().grpc)?;
    let sidecar = match vdom_sidecar::start(config, vdom_edge::Environment::system()).await {
        Ok(sidecar) => sidecar,
        Err(error) => {
            gateway.drain().await?;
            return Err(name_flag(error, &arguments));
        }
    };
    let renewal = tokio::spawn(keep_sidecar_token(data.clone()));

    let grant = Grant {
        subject: arguments.subject.clone(),
        realm: None,
        scopes: Scopes::all(),
        lifetime: arguments.ttl,
    };
    let running = RunningServers {
        gateway: gateway.addresses(),
        sidecar: sidecar.addresses().clone(),
        token: data.mint(&grant)?,
        expires_at: expires_at(arguments.ttl),
        subject: arguments.subject,
        is_dev: arguments.dev,
        data,
    };
    if arguments.demo && !fill(&running).await? {
        output.note("the store is not empty, so it gets no demo")?;
    }
    output.result(|| running.record(), |painter| running.text(painter))?;
    output.flush()?;

    shutdown.await;
    output.note("ending: what is in flight is answered first")?;
    renewal.abort();
    sidecar.drain().await;
    Ok(gateway.drain().await?)
}

/// Puts the demo into an empty store; false where it is not empty.
async fn fill(running: &RunningServers) -> Result<bool, Failure> {
    let url = format!("http://{}", running.gateway.grpc);
    let url =
        url.parse().map_err(|problem: InvalidAddress| Failure::failed(problem.to_string()))?;
    demo::fill(&ServerOptions::new(url, &running.token).connect().await?).await
}

/// The gateway and the sidecar that run here, and how to call them.
struct RunningServers {
    gateway: vdom_gateway::Addresses,
    sidecar: vdom_sidecar::Addresses,
    data: DataDirectory,
    subject: String,
    token: String,
    expires_at: String,
    is_dev: bool,
}

impl RunningServers {
    fn record(&self) -> serde_json::Value {
        json!({
            "gateway": {
                "grpc": self.gateway.grpc.to_string(),
                "http": self.gateway.http.to_string(),
                "admin": self.gateway.admin.to_string(),
            },
            "sidecar": {
                "address": self.sidecar.tcp.to_string(),
                "socket": self.sidecar.unix,
                "admin": self.sidecar.admin.to_string(),
            },
            "data": self.data.root(),
            "dev": self.is_dev,
            "realm": RealmName::DEFAULT,
            "subject": self.subject,
            "token": self.token,
            "expires_at": self.expires_at,
        })
    }

    fn text(&self, painter: &Painter) -> String {
        let Self { gateway, sidecar, data, token, .. } = self;
        let mut lines = vec![
            painter.paint(Tone::Strong, "vdom is up"),
            String::new(),
            format!("  gateway   gRPC {}   HTTP http://{}", gateway.grpc, gateway.http),
            format!("            health and metrics http://{}", gateway.admin),
            format!("  sidecar   gRPC and REST http://{}", sidecar.tcp),
            format!("            health and metrics http://{}", sidecar.admin),
        ];
        if let Some(socket) = &sidecar.unix {
            lines.push(format!("            unix://{}", socket.display()));
        }
        lines.push(format!("  data      {}", data.root().display()));
        lines.push(String::new());
        if self.is_dev {
            let warning =
                "DEV MODE: whoever reaches these ports may do everything, without a token";
            lines.push(painter.paint(Tone::Bad, warning));
        }
        lines.push(format!("Token for {} until {}; to use it:", self.subject, self.expires_at));
        lines.push(String::new());
        lines.push(format!("  export VDOM_TOKEN={token}"));
        let server = format!("http://{}", sidecar.tcp);
        lines.push(format!("  export VDOM_SERVER={server}"));
        lines.push(String::new());
        lines.push("Then try:".to_owned());
        lines.push(String::new());
        lines.push(
            "  curl -X PUT -H \"Authorization: Bearer $VDOM_TOKEN\" --data-binary 'hello' \
             $VDOM_SERVER/v1/repos/demo/branches/main/nodes/hello.txt"
                .to_owned(),
        );
        lines.push(format!("  vdom ls --long {}", demo::REPO));
        lines.push(format!("  http://{}/ in a browser", gateway.http));
        lines.push(String::new());
        lines.push("Ctrl-C ends it.".to_owned());
        lines.join("\n")
    }
}

fn gateway_config(arguments: &UpArguments, data: &DataDirectory) -> Result<GatewayConfig, Failure> {
    load(
        gateway::PREFIX,
        [
            ("dev", arguments.dev.to_string()),
            ("listen.grpc", arguments.grpc.to_string()),
            ("listen.http", arguments.http.to_string()),
            ("listen.admin", arguments.admin.to_string()),
            ("store.path", data.store().display().to_string()),
            ("auth.issuer", ISSUER.to_owned()),
            ("auth.audience", AUDIENCE.to_owned()),
            ("auth.key_files", data.public_key().display().to_string()),
        ],
    )
}

fn sidecar_config(
    arguments: &UpArguments,
    data: &DataDirectory,
    gateway: SocketAddr,
) -> Result<SidecarConfig, Failure> {
    let mut flags = vec![
        ("dev", arguments.dev.to_string()),
        ("listen.address", arguments.sidecar.to_string()),
        ("listen.admin", arguments.sidecar_admin.to_string()),
        ("upstream.address", format!("http://{gateway}")),
        ("upstream.token_file", data.sidecar_token().display().to_string()),
        ("auth.issuer", ISSUER.to_owned()),
        ("auth.audience", AUDIENCE.to_owned()),
        ("auth.key_files", data.public_key().display().to_string()),
    ];
    match &arguments.socket {
        Some(socket) => flags.push(("listen.unix", socket.display().to_string())),
        None if data.socket().as_os_str().len() < SOCKET_PATH_MAX_BYTES => {
            flags.push(("listen.unix", data.socket().display().to_string()));
        }
        None => {}
    }
    load(sidecar::PREFIX, flags)
}

fn load<T: serde::de::DeserializeOwned>(
    prefix: &str,
    flags: impl IntoIterator<Item = (&'static str, String)>,
) -> Result<T, Failure> {
    let sources = Sources {
        file: None,
        environment: std::env::vars().collect(),
        prefix: prefix.to_owned(),
        flags: flags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
    };
    settings::load(&sources).map_err(serve::wrong_settings)
}

/// A start that failed for a port names the flag that moves it.
fn name_flag(error: vdom_core::Error, arguments: &UpArguments) -> Failure {
    let flags = [
        ("--grpc", arguments.grpc),
        ("--http", arguments.http),
        ("--admin", arguments.admin),
        ("--sidecar", arguments.sidecar),
        ("--sidecar-admin", arguments.sidecar_admin),
    ];
    let failure = serve::not_started(error);
    let taken = |(_, address): &&(_, SocketAddr)| {
        failure.message.starts_with(&format!("cannot listen on {address}:"))
    };
    match flags.iter().find(taken) {
        Some((flag, _)) => failure.advice(format!(
            "is `vdom up` running already? `vdom status` asks it; else choose another port with \
             {flag}, 0 for any"
        )),
        None => failure,
    }
}

/// The sidecar reads its token again and again; a machine may be up for long.
async fn keep_sidecar_token(data: DataDirectory) {
    loop {
        tokio::time::sleep(SIDECAR_TOKEN_LIFETIME / 2).await;
        if let Err(failure) = data.renew_sidecar_token(SIDECAR_TOKEN_LIFETIME) {
            tracing::error!("the sidecar's token is not renewed: {failure}");
        }
    }
}
