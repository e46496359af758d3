//! Generates the wire types without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = protox::compile(["virtualdom/v1/dom.proto"], ["."])?;
    let descriptor_path =
        std::path::PathBuf::from(std::env::var("OUT_DIR")?).join("virtualdom.v1.bin");
    std::fs::write(&descriptor_path, protox::prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure()
        .bytes(".virtualdom.v1")
        .btree_map(".virtualdom.v1")
        .codec_path("crate::codec::SmallBufferCodec")
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=virtualdom/v1/dom.proto");
    Ok(())
}
