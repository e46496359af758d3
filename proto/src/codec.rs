//! How messages are encoded and decoded: as tonic does it, with smaller buffers.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::ProstCodec;

/// What is allocated for a message that is sent before its size is known.
const SENT_BYTES: usize = 1 << 10;
/// The same for one that is received: tonic makes room for it a second time once it knows the
/// size, so this is enough for 1 KB. Decoded `bytes` share the buffer that they came in, and hold
/// all of it for as long as somebody keeps them.
const RECEIVED_BYTES: usize = 2_560;
/// So much of a stream is gathered before it is sent: what tonic takes.
const YIELD_BYTES: usize = 32 << 10;

/// Encodes `T` and decodes `U`.
#[derive(Clone, Debug)]
pub(crate) struct SmallBufferCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for SmallBufferCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for SmallBufferCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = <ProstCodec<T, U> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(buffers(SENT_BYTES))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(buffers(RECEIVED_BYTES))
    }
}

fn buffers(bytes: usize) -> BufferSettings {
    BufferSettings::new(bytes, YIELD_BYTES)
}
