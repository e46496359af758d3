//! Events as gRPC frames: each with its prefix, compressed where that is worth it,
//! ready to be sent as it is to all who watch.

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue};
use prost::Message;
use vdom_core::dom::events::{BatchEvent, EventEncoder, EventSlice};
use vdom_core::limits::COMPRESS_ABOVE_BYTES;
use vdom_core::{BranchAddress, Result};

use super::compression::Compression;
use super::protobuf::put_change_event;
use crate::dom::convert::encode;

/// Whether the message is compressed, and its length.
const HEAD_BYTES: usize = 5;
const ACCEPTED: &str = "grpc-accept-encoding";

/// How the frames of an answer are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventEncoding {
    /// Not at all.
    Plain,
    /// `gzip`.
    Gzip,
    /// `zstd`.
    Zstd,
}

impl EventEncoding {
    /// What the peer names first of what we can do.
    pub(super) fn accepted(headers: &HeaderMap, compression: Compression) -> Self {
        let accepted = headers.get(ACCEPTED).and_then(|value| value.to_str().ok());
        let known = |name: &str| match name.trim() {
            "gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        };
        match (compression, accepted) {
            (Compression::WhereAccepted, Some(names)) => names.split(',').find_map(known),
            _ => None,
        }
        .unwrap_or(Self::Plain)
    }

    /// What the head of an answer says of it.
    pub(super) fn header(self) -> Option<HeaderValue> {
        match self {
            Self::Plain => None,
            Self::Gzip => Some(HeaderValue::from_static("gzip")),
            Self::Zstd => Some(HeaderValue::from_static("zstd")),
        }
    }

    /// The frames of events, which all who get them so encoded share.
    ///
    /// # Errors
    /// `DataLoss` where a stored change cannot be read.
    pub(super) fn frames(self, events: &EventSlice) -> Result<Bytes> {
        match self {
            Self::Plain => events.encoded::<PlainFrames>(),
            Self::Gzip => events.encoded::<GzipFrames>(),
            Self::Zstd => events.encoded::<ZstdFrames>(),
        }
    }

    fn put_event(
        self,
        address: &BranchAddress,
        event: &BatchEvent,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if let BatchEvent::Stored(change) = event {
            return self.put(out, |out| put_change_event(address, change, out));
        }
        let message = encode::event(event.to_event()?, address);
        out.reserve(HEAD_BYTES + message.encoded_len());
        self.put(out, |out| {
            message.encode_raw(out);
            Ok(())
        })
    }

    fn put(
        self,
        out: &mut Vec<u8>,
        message: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let at = out.len();
        out.extend_from_slice(&[0; HEAD_BYTES]);
        message(out)?;
        let start = at + HEAD_BYTES;
        if out.len() - start > COMPRESS_ABOVE_BYTES
            && let Some(compressed) = self.compressed(&out[start..])
        {
            out.truncate(start);
            out.extend_from_slice(&compressed);
            out[at] = 1;
        }
        let length = (out.len() - start) as u32;
        out[at + 1..start].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// The message where it is smaller like that.
    fn compressed(self, message: &[u8]) -> Option<Vec<u8>> {
        let compressed = match self {
            Self::Plain => return None,
            Self::Gzip => gzip(message),
            Self::Zstd => zstd::bulk::compress(message, zstd::DEFAULT_COMPRESSION_LEVEL),
        };
        match compressed {
            Ok(compressed) => (compressed.len() < message.len()).then_some(compressed),
            Err(error) => {
                tracing::warn!("an event is sent as it is: it cannot be compressed: {error}");
                None
            }
        }
    }
}

/// Frames of [`EventEncoding::Plain`].
struct PlainFrames;

/// Frames of [`EventEncoding::Gzip`].
struct GzipFrames;

/// Frames of [`EventEncoding::Zstd`].
struct ZstdFrames;

impl EventEncoder for PlainFrames {
    fn encode(address: &BranchAddress, event: &BatchEvent, out: &mut Vec<u8>) -> Result<()> {
        EventEncoding::Plain.put_event(address, event, out)
    }
}

impl EventEncoder for GzipFrames {
    fn encode(address: &BranchAddress, event: &BatchEvent, out: &mut Vec<u8>) -> Result<()> {
        EventEncoding::Gzip.put_event(address, event, out)
    }
}

impl EventEncoder for ZstdFrames {
    fn encode(address: &BranchAddress, event: &BatchEvent, out: &mut Vec<u8>) -> Result<()> {
        EventEncoding::Zstd.put_event(address, event, out)
    }
}

fn gzip(message: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(message)?;
    encoder.finish()
}
