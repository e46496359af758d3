//! The wire types of vdom: package `virtualdom.v1`, generated from
//! `virtualdom/v1/dom.proto`. Nothing here knows what the messages mean.

mod codec;

/// Package `virtualdom.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("virtualdom.v1");
}

/// The encoded `FileDescriptorSet` of this package, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("virtualdom.v1");
