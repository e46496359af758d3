//! Which server to talk to, and as whom.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

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
    pub(crate) server: ServerUrl,
    /// Bearer token (safer: --token-file, or the environment)
    #[arg(long, env = "VDOM_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<Secret>,
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
    pub(crate) realm: String,
    /// File with the certificate authority to trust, in PEM [default: the system's]
    #[arg(long, env = "VDOM_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// How long one call may take
    #[arg(long, env = "VDOM_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
}

impl ServerOptions {
    /// A server of our own, with a token for it.
    pub(crate) fn new(server: ServerUrl, token: &str) -> Self {
        Self {
            server,
            token: Some(Secret(token.to_owned())),
            token_file: None,
            realm: String::new(),
            ca_file: None,
            timeout: TIMEOUT_DEFAULT,
        }
    }

    /// The token, from wherever it was given.
    pub(crate) fn token(&self) -> Result<Option<Secret>, Failure> {
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
        Ok(Some(Secret(token.to_owned())))
    }
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerUrl(String);

impl ServerUrl {
    /// As it is given to the transport.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// True where TLS is spoken.
    pub(crate) fn is_tls(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Host and port of an `http://` URL.
    pub(crate) fn plain_authority(&self) -> Option<&str> {
        let rest = self.0.strip_prefix("http://")?;
        rest.split('/').next()
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') {
                Ok(Self(format!("unix://{path}")))
            } else {
                Err("a unix socket needs an absolute path: unix:///run/vdom/sidecar.sock"
                    .to_owned())
            };
        }
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let parsed = url.parse::<tonic::codegen::http::Uri>().map_err(|error| {
            format!("{error}: give http://HOST:PORT, https://HOST:PORT or unix:///PATH")
        })?;
        match (parsed.scheme_str(), parsed.authority()) {
            (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => {
                Ok(Self(url))
            }
            _ => Err("give http://HOST:PORT, https://HOST:PORT or unix:///PATH".to_owned()),
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Text that is never printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text itself.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.trim().to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_in_three_ways() {
        let parse = |text: &str| text.parse::<ServerUrl>().map(|url| url.0);
        assert_eq!(parse("localhost:50051"), Ok("http://localhost:50051".into()));
        assert_eq!(parse("https://gateway:50051"), Ok("https://gateway:50051".into()));
        assert_eq!(parse("unix:/run/vdom.sock"), Ok("unix:///run/vdom.sock".into()));
        assert_eq!(parse("unix:///run/vdom.sock"), Ok("unix:///run/vdom.sock".into()));
    }

    #[test]
    fn another_scheme_or_a_relative_socket_is_refused_with_the_right_form() {
        for text in ["ftp://host", "unix:relative", "http://", ":50051", "unix://"] {
            let refused = text.parse::<ServerUrl>().expect_err(text);
            assert!(refused.contains("unix:///"), "{text}: {refused}");
        }
    }

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        let secret = "very-private".parse::<Secret>();
        assert!(!format!("{secret:?}").contains("private"));
    }
}
