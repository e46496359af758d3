//! A client for the few calls around a load; the load itself is made by
//! `crate::load`.

use std::net::SocketAddr;

use vdom_client::{ConnectOptions, Token};

use crate::Result;

/// Calls a gateway or a sidecar with a token.
pub(crate) type Client = vdom_client::RawClient;

/// Connects to a gateway or a sidecar, with a token.
pub(crate) async fn connect(address: SocketAddr, token: &str) -> Result<Client> {
    let mut options = ConnectOptions::new(format!("http://{address}").parse()?);
    options.token = Some(Token::new(token));
    Ok(vdom_client::Client::connect(options).await?.raw())
}
