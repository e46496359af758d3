//! Which server to talk to, and as whom.

use std::path::PathBuf;
use std::time::Duration;

use vdom_client::{Client, ConnectOptions, Error, ServerAddress, Token};
use vdom_core::limits::TOKEN_MAX_BYTES;

use crate::exit::Failure;

/// The sidecar of this machine.
pub(crate) const DEFAULT_SERVER: &str = "http://127.0.0.1:50151";
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Which server to talk to, and as whom.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerOptions {
    /// Gateway or sidecar: `http://HOST:PORT`, `https://HOST:PORT` or `unix:///PATH`
    #[arg(long, env = "VDOM_SERVER", default_value = DEFAULT_SERVER, value_name = "URL")]
    pub(crate) server: ServerAddress,
    /// Bearer token (safer: --token-file, or the environment)
    #[arg(long, env = "VDOM_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<Token>,
    /// File with the bearer token; goes before --token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Realm to work in [default: the token's]
    #[arg(
        long,
        env = "VDOM_REALM",
        value_name = "REALM",
        default_value = "",
        hide_default_value = true
    )]
    realm: String,
    /// File with the certificate authority to trust, in PEM [default: the system's]
    #[arg(long, env = "VDOM_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// How long one call may take
    #[arg(long, env = "VDOM_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

impl ServerOptions {
    /// A server of our own, with a token for it.
    pub(crate) fn new(server: ServerAddress, token: &str) -> Self {
        Self {
            server,
            token: Some(Token::new(token)),
            token_file: None,
            realm: String::new(),
            ca_file: None,
            timeout: TIMEOUT_DEFAULT,
        }
    }

    /// The token, from wherever it was given.
    fn token(&self) -> Result<Option<Token>, Failure> {
        let Some(file) = &self.token_file else {
            return Ok(self.token.clone().filter(|token| !token.reveal().is_empty()));
        };
        let text = std::fs::read_to_string(file).map_err(|error| {
            Failure::failed(format!("cannot read the token file {}: {error}", file.display()))
        })?;
        let token = text.trim();
        if token.is_empty() || token.len() > TOKEN_MAX_BYTES {
            return Err(Failure::failed(format!(
                "the token file {} has {} bytes: it must hold one token, at most {TOKEN_MAX_BYTES} \
                 bytes, and nothing else",
                file.display(),
                token.len()
            )));
        }
        Ok(Some(Token::new(token)))
    }

    /// Connects, or says why that is not possible and what to do.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        self.open(self.options()?).await
    }

    /// Connects for calls that go on for so long while the server is away.
    pub(crate) async fn connect_retrying(&self, retry_for: Duration) -> Result<Client, Failure> {
        self.open(ConnectOptions { retry_for, ..self.options()? }).await
    }

    async fn open(&self, options: ConnectOptions) -> Result<Client, Failure> {
        Client::connect(options).await.map_err(|error| {
            let advice = if self.server.is_tls() {
                "is it running? A certificate authority of your own is named with --ca-file"
            } else {
                "is `vdom up` running? Start it, or name another server with --server or \
                 VDOM_SERVER"
            };
            match error {
                Error::Unreachable { .. } => Failure::from(error).advice(advice),
                error => error.into(),
            }
        })
    }

    fn options(&self) -> Result<ConnectOptions, Failure> {
        let token = self.token()?;
        let ca_pem = match &self.ca_file {
            Some(file) if self.server.is_tls() => Some(std::fs::read(file).map_err(|error| {
                Failure::failed(format!("cannot read the CA file {}: {error}", file.display()))
            })?),
            _ => None,
        };
        Ok(ConnectOptions {
            token,
            realm: self.realm.clone(),
            ca_pem,
            call_timeout: self.timeout,
            ..ConnectOptions::new(self.server.clone())
        })
    }
}
