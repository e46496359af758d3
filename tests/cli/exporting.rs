//! Writing branches into directories.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{Shell, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_goes_in_and_comes_out_the_same() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (source, target) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir_all(source.join("a/b")).expect("made");
    fs::write(source.join("a/b/text"), "x\n").expect("written");
    fs::write(source.join("large"), vec![7; 3 << 20]).expect("written");
    fs::write(source.join("run.sh"), "#!").expect("written");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(source.join("run.sh"), executable).expect("set");
    std::os::unix::fs::symlink("a/b/text", source.join("link")).expect("linked");
    shell.run(&["import", text(&source), "--repo", "site"]).await.succeeded();
    shell.run_with(b"{\"a\": 1}", &["put", "site", "about", "--kind", "meta"]).await.succeeded();

    let export = ["export", text(&target), "--repo", "site"];
    let summary = shell.run(&[&["--json"], export.as_slice()].concat()).await.succeeded();
    assert_eq!(summary.records()[0]["files"], 5);
    assert_eq!(fs::read(target.join("a/b/text")).expect("there"), b"x\n");
    assert_eq!(fs::read(target.join("large")).expect("there"), vec![7; 3 << 20]);
    assert_eq!(fs::read_link(target.join("link")).expect("a link").to_str(), Some("a/b/text"));
    let mode = |name: &str| fs::metadata(target.join(name)).expect("there").permissions().mode();
    assert_eq!((mode("run.sh") & 0o100, mode("large") & 0o100), (0o100, 0));
    let about = fs::read(target.join("about")).expect("there");
    let about: serde_json::Value = serde_json::from_slice(&about).expect("JSON");
    assert_eq!(about["a"]["$numberInt"], "1");

    shell.run(&export).await.refused(4, &["is not empty", "--overwrite"]);
    shell.run(&[export.as_slice(), &["--overwrite"]].concat()).await.succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_revision_can_be_written() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    shell.put("site", "a", b"one").await;
    shell.put("site", "a", b"two").await;
    let old = folder.path().join("old");
    shell.run(&["export", text(&old), "--repo", "site", "--revision", "1"]).await.succeeded();
    assert_eq!(fs::read(old.join("a")).expect("there"), b"one");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_where_git_or_the_world_would_notice() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("out");
    shell.put("site", ".git/hooks/post-checkout", b"#!/bin/sh\n").await;
    shell.put("site", "a/.GIT/config", b"[core]\n").await;
    shell.put("site", "good", b"x").await;
    let ran = shell.run(&["export", text(&target), "--repo", "site"]).await;
    ran.refused(1, &["2 files were not written", ".git/hooks/post-checkout", "a/.GIT/config"]);
    assert!(target.join("good").is_file());
    assert!(!target.join(".git").exists());

    // A folder of the directory that leads elsewhere is not followed.
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).expect("made");
    std::os::unix::fs::symlink(&outside, target.join("docs")).expect("linked");
    shell.put("docs", "docs/page", b"x").await;
    let ran = shell.run(&["export", text(&target), "--repo", "docs", "--overwrite"]).await;
    ran.refused(1, &["docs stands in the way"]);
    assert!(!outside.join("page").exists());
}
