//! The README's tour: every command in it works, in order, as it stands there.

use tokio::process::Command;
use vdom_testkit::process::{ServerProcess, vdom};
use vdom_testkit::workspace_root;

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_tour_works() {
    let readme = std::fs::read_to_string(workspace_root().join("README.md")).expect("readable");
    let tour = readme.split("## Five minutes").nth(1).expect("a tour");
    let tour = tour.split("\n## ").next().expect("its end");
    let blocks: Vec<_> = tour
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split("```").next().expect("an end"))
        .collect();
    assert!(blocks.len() >= 4, "only {} blocks", blocks.len());

    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let up = ServerProcess::up(&data, &[]).await;
    let program = vdom();
    let programs = program.parent().expect("a folder").display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").expect("a PATH"));
    for block in blocks {
        let ran = Command::new("bash")
            .args(["-e", "-u", "-o", "pipefail", "-c", block])
            .current_dir(folder.path())
            .env("PATH", &path)
            .env("HOME", folder.path())
            .env("VDOM_TOKEN", up.text("token"))
            .env("VDOM_SERVER", format!("http://{}", up.text("sidecar.address")))
            .output()
            .await
            .expect("bash runs");
        assert!(
            ran.status.success(),
            "{block}\n{}\n{}",
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr)
        );
        if block.contains("vdom ls demo") {
            assert!(String::from_utf8_lossy(&ran.stdout).contains("src/main.rs"));
        }
    }
}
