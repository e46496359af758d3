//! `vdom up`, `gateway`, `sidecar`, `token` and `status`.

use std::path::Path;

use vdom_testkit::process::ServerProcess;

use super::{Ran, Shell, alone, finish, text};

async fn up(data: &Path, more: &[&str]) -> Ran {
    let ports = ["--grpc", "--http", "--admin", "--sidecar", "--sidecar-admin"];
    let free = ports.iter().filter(|port| !more.contains(port)).flat_map(|port| [*port, "0"]);
    let arguments: Vec<_> =
        ["up", "--data", text(data)].into_iter().chain(free).chain(more.iter().copied()).collect();
    finish(alone(&arguments), b"").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_or_store_is_named_with_what_to_do() {
    let shell = Shell::start().await;
    let other = tempfile::tempdir().expect("a folder");
    for (flag, taken) in [
        ("--grpc", "gateway.grpc"),
        ("--http", "gateway.http"),
        ("--admin", "gateway.admin"),
        ("--sidecar", "sidecar.address"),
        ("--sidecar-admin", "sidecar.admin"),
    ] {
        let address = shell.up.text(taken);
        let refused = up(other.path(), &[flag, &address]).await;
        refused.refused(1, &[&format!("cannot listen on {address}"), flag, "vdom up"]);
    }
    let data = shell.up.text("data");
    up(Path::new(&data), &[]).await.refused(1, &["already open", &data]);
    up(other.path(), &["--dev", "--http", "0.0.0.0:0"])
        .await
        .refused(2, &["loopback", "0.0.0.0:0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_termination_ends_it_in_order_and_the_store_opens_again() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 1..=2_u64 {
        let mut up = ServerProcess::up(folder.path(), &["--log", "error"]).await;
        let server = up.text("sidecar.address");
        let token = up.text("token");
        let put = alone(&["--json", "put", "site", "a", "--server", &server, "--token", &token]);
        let written = finish(put, b"x").await.succeeded();
        assert_eq!(written.records()[0]["version"], round);
        let pid = up.child.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.expect("kill runs").success());
        assert_eq!(up.child.wait().await.expect("it ends").code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_has_the_rights_that_it_was_minted_with() {
    let shell = Shell::start().await;
    shell.put("site", "a", b"x").await;
    let data = shell.up.text("data");
    let mint = |scope: &'static str| {
        alone(&["token", "--subject", "bob", "--scope", scope, "--data", &data])
    };
    let minted = finish(mint("dom.read"), b"").await.succeeded().text();
    let token = minted.trim();
    shell.run(&["cat", "site", "a", "--token", token]).await.succeeded();
    let refused = shell.run_with(b"y", &["put", "site", "a", "--token", token]).await;
    refused.refused(5, &["dom.write"]);
    let file = Path::new(&data).join("bob.token");
    std::fs::write(&file, &minted).expect("written");
    shell.run(&["ls", "site", "--token-file", text(&file)]).await.succeeded();
    finish(mint("dom.fly"), b"").await.refused(2, &["dom.fly", "dom.read"]);
    let keyless =
        finish(alone(&["token", "--subject", "bob", "--data", "/nonexistent"]), b"").await;
    keyless.refused(1, &["no signing key", "--key"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_how_the_servers_are_and_what_they_hold() {
    let shell = Shell::start().await;
    shell.put("site@feature/a", "a", b"x").await;
    let all = shell.run(&["status"]).await.succeeded().text();
    assert!(all.contains("health  serving"), "{all}");
    assert!(all.contains("site@feature/a  at "), "{all}");
    let admin = shell.up.text("gateway.admin");
    let gateway = shell.up.text("gateway.grpc");
    let arguments = ["status", "site@feature/a", "--server", &gateway, "--admin", &admin, "--json"];
    let records = shell.run(&arguments).await.succeeded().records();
    let readiness = &records[0]["readiness"][0];
    assert_eq!(readiness["ready"], true);
    let checks = readiness["checks"].as_array().expect("checks");
    let store = checks.iter().find(|check| check["name"] == "store").expect("the store");
    assert!(store["detail"].as_str().is_some_and(|detail| detail.contains("fsync")), "{store}");
    assert_eq!((&records[1]["revision"], &records[1]["stale"]), (&1.into(), &false.into()));
    shell.run(&["status", "site@none"]).await.refused(3, &["site@none"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_setting_is_refused_with_the_nearest_one() {
    for verb in ["gateway", "sidecar"] {
        let ran = finish(alone(&[verb, "--set", "limits.drain_secondz=1"]), b"").await;
        ran.refused(2, &["limits.drain_secondz", "limits.drain_seconds"]);
    }
    let ran = finish(alone(&["gateway", "--dev", "--grpc", "0.0.0.0:0"]), b"").await;
    ran.refused(2, &["loopback"]);
}
