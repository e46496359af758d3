//! Where a server is.

use std::fmt;
use std::str::FromStr;

use tonic::codegen::http::Uri;

/// The address of a gateway or a sidecar: `http://HOST:PORT`, `https://HOST:PORT` or
/// `unix:///PATH`. Without a scheme it is `http://`.
///
/// ```
/// use vdom_client::ServerAddress;
///
/// let address: ServerAddress = "localhost:50051".parse()?;
/// assert_eq!(address.as_str(), "http://localhost:50051");
/// assert!("ftp://localhost".parse::<ServerAddress>().is_err());
/// # Ok::<(), vdom_client::InvalidAddress>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress(String);

/// Why a text is no [`ServerAddress`], and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidAddress(String);

impl ServerAddress {
    /// The address as a URL, with its scheme.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True where TLS is spoken.
    pub fn is_tls(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Host and port of an `http://` URL; `None` for the other schemes.
    pub fn plain_authority(&self) -> Option<&str> {
        let rest = self.0.strip_prefix("http://")?;
        rest.split('/').next()
    }
}

impl FromStr for ServerAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let refused = |problem: String| Err(InvalidAddress(problem));
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') {
                Ok(Self(format!("unix://{path}")))
            } else {
                refused(
                    "a unix socket needs an absolute path: unix:///run/vdom/sidecar.sock"
                        .to_owned(),
                )
            };
        }
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let parsed = match url.parse::<Uri>() {
            Ok(parsed) => parsed,
            Err(error) => {
                return refused(format!(
                    "{error}: give http://HOST:PORT, https://HOST:PORT or unix:///PATH"
                ));
            }
        };
        match (parsed.scheme_str(), parsed.authority()) {
            (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => {
                Ok(Self(url))
            }
            _ => refused("give http://HOST:PORT, https://HOST:PORT or unix:///PATH".to_owned()),
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for InvalidAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for InvalidAddress {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_in_three_ways() {
        let parse = |text: &str| text.parse::<ServerAddress>().map(|address| address.0);
        assert_eq!(parse("localhost:50051"), Ok("http://localhost:50051".into()));
        assert_eq!(parse("https://gateway:50051"), Ok("https://gateway:50051".into()));
        assert_eq!(parse("unix:/run/vdom.sock"), Ok("unix:///run/vdom.sock".into()));
        assert_eq!(parse("unix:///run/vdom.sock"), Ok("unix:///run/vdom.sock".into()));
    }

    #[test]
    fn another_scheme_or_a_relative_socket_is_refused_with_the_right_form() {
        for text in ["ftp://host", "unix:relative", "http://", ":50051", "unix://"] {
            let refused = text.parse::<ServerAddress>().expect_err(text).to_string();
            assert!(refused.contains("unix:///"), "{text}: {refused}");
        }
    }
}
