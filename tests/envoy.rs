//! A real Envoy with our configuration: streams and calls have limits of their own.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tonic::Code;
use vdom_client::{ConnectOptions, open_channel};
use vdom_testkit::client::Client;
use vdom_testkit::clients::program;
use vdom_testkit::envoy::Envoy;
use vdom_testkit::gateway::{TestGateway, config};
use vdom_testkit::{eventually, skipped};

/// How many streams Envoy lets through at once.
const STREAMS: usize = 12;
/// Fewer than streams: Envoy has streams share them.
const GATEWAY_CONNECTIONS: usize = 8;
/// A refusal that takes longer is none: the caller was kept waiting.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);

async fn gateway() -> TestGateway {
    let mut config = config();
    config.limits.max_connections = GATEWAY_CONNECTIONS;
    let gateway = TestGateway::with(config).await;
    gateway.client().await.overwrite("node", b"first").await.expect("written");
    gateway
}

async fn envoy(gateway: &TestGateway) -> Result<Envoy, String> {
    let limit = STREAMS.to_string();
    Envoy::start(gateway.addresses, &[("VDOM_ENVOY_MAX_STREAMS", &limit)]).await
}

async fn client(envoy: &Envoy) -> Client {
    let mut options = ConnectOptions::new(envoy.url.parse().expect("a URL"));
    options.ca_pem = Some(std::fs::read(&envoy.certificate.certificate).expect("readable"));
    Client::over(open_channel(&options).await.expect("connected"), None)
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_streams_leave_calls_alone_and_one_too_many_is_refused() {
    let gateway = gateway().await;
    let envoy = match envoy(&gateway).await {
        Ok(envoy) => envoy,
        Err(reason) => {
            let test = "grpc_streams_leave_calls_alone_and_one_too_many_is_refused";
            return skipped(test, &reason);
        }
    };
    let mut client = client(&envoy).await;
    let mut watches = Vec::new();
    for _ in 0..STREAMS {
        let mut watch = client.subscribe(None).await.expect("followed");
        // It has begun.
        watch.message().await.expect("followed").expect("it goes on");
        watches.push(watch);
    }

    client.overwrite("node", b"second").await.expect("a call passes");
    assert_eq!(client.read("node").await.expect("a call passes").content, "second");
    let refused = tokio::time::timeout(REFUSED_WITHIN, client.subscribe(None)).await;
    let refused = refused.expect("an answer").expect_err("one stream too many");
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert!(refused.message().contains("overflow"), "{refused:?}");

    // Those that are there go on, and one that leaves makes room.
    for watch in &mut watches {
        while watch.message().await.expect("followed").expect("it goes on").path != "node" {}
    }
    drop(watches.pop());
    eventually("a stream that left makes room", || {
        let mut client = client.clone();
        async move { client.subscribe(None).await.is_ok() }
    })
    .await;
}

/// curl, through Envoy.
struct Curl {
    program: PathBuf,
    version: &'static str,
    envoy: Envoy,
}

impl Curl {
    fn command(&self, path: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["--silent", "--show-error", "--disable", "--no-buffer", self.version])
            .arg("--cacert")
            .arg(&self.envoy.certificate.certificate)
            .arg(format!("{}/v1/repos/repo/branches/main{path}", self.envoy.url))
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// A watch that has begun.
    async fn watch(&self) -> Child {
        let mut curl = self.command("/changes").spawn().expect("curl runs");
        let mut lines = BufReader::new(curl.stdout.as_mut().expect("its output")).lines();
        let begun = tokio::time::timeout(REFUSED_WITHIN, async {
            while let Some(line) = lines.next_line().await.expect("readable") {
                if line == "event: progress" {
                    return true;
                }
            }
            false
        });
        assert!(begun.await.expect("in time"), "the watch ended");
        curl
    }

    /// The status of a whole answer.
    async fn status(&self, path: &str) -> String {
        let mut curl = self.command(path);
        let seconds = REFUSED_WITHIN.as_secs().to_string();
        curl.args(["--max-time", &seconds, "--write-out", "\n%{http_code}"]);
        let ran = curl.output().await.expect("curl runs");
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(ran.status.success(), "{path}: {}", String::from_utf8_lossy(&ran.stderr));
        said.lines().last().unwrap_or_default().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rest_streams_leave_calls_alone_and_one_too_many_is_refused() {
    const TEST: &str = "rest_streams_leave_calls_alone_and_one_too_many_is_refused";
    let gateway = gateway().await;
    for version in ["--http1.1", "--http2"] {
        let (program, envoy) = match (program("curl"), envoy(&gateway).await) {
            (Ok(program), Ok(envoy)) => (program, envoy),
            (Err(reason), _) | (_, Err(reason)) => return skipped(TEST, &reason),
        };
        let curl = Curl { program, version, envoy };
        let mut watches = Vec::new();
        for _ in 0..STREAMS {
            watches.push(curl.watch().await);
        }
        assert_eq!(curl.status("/nodes/node").await, "200", "{version}: a call passes");
        assert_eq!(curl.status("/changes").await, "503", "{version}: one stream too many");
        drop(watches.pop());
        eventually("a stream that left makes room", || async {
            let mut curl = curl.command("/changes");
            let ran = curl.args(["--max-time", "1", "--write-out", "\n%{http_code}"]).output();
            let said = ran.await.expect("curl runs").stdout;
            String::from_utf8_lossy(&said).ends_with("\n200")
        })
        .await;
    }
}
