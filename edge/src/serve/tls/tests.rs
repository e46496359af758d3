//! TLS as a client meets it.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http_body_util::{BodyExt, Empty};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::serve::{Bind, Listener, ServeSettings, Server};

struct Files {
    folder: tempfile::TempDir,
    certificate: CertificateDer<'static>,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).expect("written");
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem())
            .expect("written");
        Self { folder, certificate: made.cert.der().clone() }
    }

    fn load(&self, certificates: &str, key: &str) -> Result<Arc<ServerConfig>> {
        load(&self.folder.path().join(certificates), &self.folder.path().join(key))
    }
}

#[tokio::test]
async fn tls_speaks_http2_and_http1_and_drops_who_does_not_shake_hands() {
    let files = Files::new();
    let router = Router::new().route("/", get(|| async { "hello" }));
    let address = "127.0.0.1:0".parse().expect("an address");
    let listener =
        Listener::bind(&Bind::Tcp { address, reuse_port: false }).await.expect("a listener");
    let settings = ServeSettings {
        tls: Some(files.load("cert.pem", "key.pem").expect("TLS")),
        handshake_deadline: Duration::from_secs(2),
        ..ServeSettings::default()
    };
    let server = Server::start(listener, router, settings);
    let port =
        server.local_address().and_then(crate::serve::LocalAddress::tcp).expect("TCP").port();

    let mut roots = RootCertStore::empty();
    roots.add(files.certificate.clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    for http2 in [true, false] {
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
        let connector =
            if http2 { builder.enable_http2().build() } else { builder.enable_http1().build() };
        let client: Client<_, Empty<bytes::Bytes>> =
            Client::builder(TokioExecutor::new()).http2_only(http2).build(connector);
        let uri = format!("https://localhost:{port}/").parse().expect("a URL");
        let response = client.get(uri).await.expect("an answer");
        assert_eq!(response.version() == http::Version::HTTP_2, http2);
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(&body[..], b"hello");
    }

    let plain = async |bytes: &[u8]| {
        let mut stream =
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
        stream.write_all(bytes).await.expect("written");
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let closed = tokio::time::timeout(Duration::from_secs(10), read).await;
        assert!(closed.is_ok(), "not dropped");
        assert!(!answer.starts_with(b"HTTP"), "nothing is served in plain text");
    };
    tokio::join!(plain(b""), plain(b"GET / HTTP/1.1\r\n\r\n"));
}

#[test]
fn files_that_do_not_fit_are_named() {
    let files = Files::new();
    let other = Files::new();
    std::fs::copy(other.folder.path().join("key.pem"), files.folder.path().join("other.pem"))
        .expect("copied");
    std::fs::write(files.folder.path().join("empty.pem"), "").expect("written");
    for (certificates, key, named) in [
        ("missing.pem", "key.pem", "missing.pem"),
        ("empty.pem", "key.pem", "empty.pem"),
        ("cert.pem", "cert.pem", "private key cannot be read"),
        ("cert.pem", "other.pem", "other.pem"),
    ] {
        let error = files.load(certificates, key).expect_err("refused");
        assert!(error.message.contains(named), "{named}: {error}");
    }
}
