//! Streams that their readers drop end no other stream of the connection.

use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vdom_client::{Client, ConnectOptions, Notice, Subscription, Token};
use vdom_proto::v1::{ReadSnapshotRequest, SubscribeRequest};

use crate::cli::Shell;

/// More than a connection of HTTP/2 forgives errors in its life.
const DROPPED: usize = 1_100;
/// Several pieces, so that some are on their way when the first one is there.
const CONTENT_BYTES: usize = 4 << 20;

async fn client(server: &str, token: &str) -> Client {
    let mut options = ConnectOptions::new(server.parse().expect("an address"));
    options.token = Some(Token::new(token));
    Client::connect(options).await.expect("connected")
}

async fn next_change(watch: &mut Subscription) -> String {
    loop {
        match watch.next().await.expect("followed") {
            Notice::Event(event) if event.path.is_empty() => {}
            Notice::Event(event) => return event.path,
            Notice::Interrupted { error, .. } => panic!("the watch was cut: {error}"),
        }
    }
}

fn watch(client: &Client) -> Subscription {
    let (repo, branch) = ("site".to_owned(), "main".to_owned());
    let request = SubscribeRequest { repo, branch, ..SubscribeRequest::default() };
    Subscription::new(client.clone(), request)
}

/// Waits until it is followed.
async fn begin(watch: &mut Subscription) {
    let Notice::Event(_) = watch.next().await.expect("followed") else {
        panic!("the watch does not begin");
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_drops_many_streams_keeps_the_others() {
    let shell = Shell::start().await;
    shell.put("site", "large", &vec![b'x'; CONTENT_BYTES]).await;
    let gateway = format!("http://{}", shell.up.text("gateway.grpc"));
    let client = client(&gateway, &shell.token).await;
    let mut watch = watch(&client);
    begin(&mut watch).await;
    for _ in 0..DROPPED {
        let request = ReadSnapshotRequest {
            repo: "site".to_owned(),
            branch: "main".to_owned(),
            path: "large".to_owned(),
            ..ReadSnapshotRequest::default()
        };
        let mut content = client.read(request).await.expect("readable");
        content.pieces.next().await.expect("a piece").expect("whole");
    }
    shell.put("site", "small", b"x").await;
    assert_eq!(next_change(&mut watch).await, "small");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_go_away_cut_no_watch_of_the_same_sidecar() {
    let shell = Shell::start().await;
    shell.put("site", "large", &vec![b'x'; CONTENT_BYTES]).await;
    let client = client(&shell.server, &shell.token).await;
    let mut watch = watch(&client);
    begin(&mut watch).await;
    let sidecar = shell.server.strip_prefix("http://").expect("plain HTTP");
    let get = format!(
        "GET /v1/repos/site/branches/main/nodes/large HTTP/1.1\r\nhost: x\r\n\
         authorization: Bearer {}\r\n\r\n",
        shell.token
    );
    for _ in 0..DROPPED {
        let mut reader = TcpStream::connect(sidecar).await.expect("connected");
        reader.write_all(get.as_bytes()).await.expect("asked");
        let mut begun = [0; 100];
        assert!(reader.read(&mut begun).await.expect("answered") > 0);
        assert!(begun.starts_with(b"HTTP/1.1 200"), "{}", begun.escape_ascii());
    }
    shell.put("site", "small", b"x").await;
    assert_eq!(next_change(&mut watch).await, "small");
}
