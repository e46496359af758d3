//! A client for the few calls around a load; the load itself is made by
//! `crate::load`.

use std::net::SocketAddr;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use vdom_proto::v1::memory_gateway_client::MemoryGatewayClient;

use crate::Result;

/// Calls a gateway or a sidecar with a token.
pub(crate) type Client = MemoryGatewayClient<InterceptedService<Channel, Bearer>>;

/// Puts the token into every call.
#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Connects.
pub(super) async fn connect(address: SocketAddr, token: &str) -> Result<Client> {
    let channel = Endpoint::new(format!("http://{address}"))?.connect().await?;
    let bearer = Bearer(format!("Bearer {token}").parse()?);
    Ok(MemoryGatewayClient::with_interceptor(channel, bearer))
}
