//! gRPC calls by name with messages as bytes: well-formed or not, offered or
//! not, of whatever kind.

use bytes::{Buf, BufMut, Bytes};
use futures::stream;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status, Streaming};

use crate::channel::AnyChannel;

/// Sends `messages` to a call of `virtualdom.v1.MemoryGateway`; the answers
/// follow.
pub async fn call(
    channel: &AnyChannel,
    method: &str,
    messages: Vec<Bytes>,
) -> Result<Streaming<Bytes>, Status> {
    let path = format!("/virtualdom.v1.MemoryGateway/{method}");
    let path = PathAndQuery::try_from(path).expect("a path");
    let mut client = Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let messages = Request::new(stream::iter(messages));
    Ok(client.streaming(messages, path, AsBytes).await?.into_inner())
}

/// The first answer of [`call`]; `None` where it ends without one.
pub async fn first_answer(
    channel: &AnyChannel,
    method: &str,
    messages: Vec<Bytes>,
) -> Result<Option<Bytes>, Status> {
    call(channel, method, messages).await?.message().await
}

#[derive(Clone, Copy)]
struct AsBytes;

impl Codec for AsBytes {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AsBytes {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(message);
        Ok(())
    }
}

impl Decoder for AsBytes {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
