//! A person with a browser: the console in Chromium, direct and through Envoy.

use std::path::PathBuf;

use tokio::process::Command;
use vdom_testkit::envoy::Envoy;
use vdom_testkit::files::Files;
use vdom_testkit::gateway::{TestGateway, config};
use vdom_testkit::sidecar::TestSidecar;
use vdom_testkit::{process, skipped, workspace_root};

const TEST: &str = "the_console_is_live_in_a_browser";

#[tokio::test(flavor = "multi_thread")]
async fn the_console_is_live_in_a_browser() {
    let console = workspace_root().join("web/console/dist");
    let journey = workspace_root().join("tests/browser");
    for (needed, how) in [
        (console.join("index.html"), "make web"),
        (journey.join("node_modules"), "make bootstrap"),
        (PathBuf::from("/usr/bin/chromium"), "make bootstrap"),
    ] {
        if !needed.exists() {
            return skipped(TEST, &format!("{} is missing: run `{how}`", needed.display()));
        }
    }
    let Some(files) = Files::vendored(400) else {
        return skipped(TEST, "nothing is vendored: run `make bootstrap`");
    };
    let mut settings = config();
    settings.web.console = Some(console);
    let gateway = TestGateway::with(settings).await;
    let sidecar = TestSidecar::start(&gateway.grpc_url()).await;
    let imported = process::command(["import"])
        .arg(files.folder.path())
        .args(["--repo", "journey", "--server", &gateway.grpc_url()])
        .output()
        .await
        .expect("vdom runs");
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));

    let screenshots = std::env::var_os("VDOM_TOOLS")
        .map_or_else(std::env::temp_dir, PathBuf::from)
        .join("screenshots");
    let mut node = Command::new("node");
    node.arg("journey.mjs")
        .current_dir(journey)
        .env("VDOM_HTTP", gateway.http_url())
        .env("VDOM_SIDECAR", sidecar.url())
        .env("VDOM_REPO", "journey")
        .env("VDOM_EXPECT_DIR", files.folder.path())
        .env("VDOM_SCREENSHOTS", screenshots)
        .kill_on_drop(true);
    let envoy = match Envoy::start(gateway.addresses, &[]).await {
        Ok(envoy) => {
            node.env("VDOM_ENVOY", &envoy.url);
            Some(envoy)
        }
        Err(reason) => {
            skipped("the console through Envoy", &reason);
            None
        }
    };
    let ran = node.output().await.expect("node runs");
    drop(envoy);
    assert!(
        ran.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
    sidecar.sidecar.drain().await;
    gateway.gateway.drain().await.expect("drained");
}
