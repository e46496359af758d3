//! What no mirror does, and how it says so.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_has_one_mirror_and_one_branch() {
    let scene = Scene::start().await;
    scene.write("a", "x");
    let mirror = scene.mirror().await;
    scene.once(&[]).await.refused(4, &["another mirror runs"]);
    mirror.end().await;
    scene.once(&["--branch", "other"]).await.refused(4, &["mirrors site@main"]);
    scene.once(&["--branch", "a b"]).await.refused(2, &["branch"]);
    let file = scene.path("a");
    let arguments = ["mirror", text(&file), "--repo", REPO, "--once"];
    scene.shell.run(&arguments).await.refused(1, &["cannot use"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_is_gone_takes_no_file_with_it() {
    let scene = Scene::start().await;
    scene.write("a", "x");
    scene.once(&[]).await.succeeded();
    scene.shell.run(&["branch", "delete", "site@main"]).await.succeeded();
    scene.once(&[]).await.refused(3, &["site@main is gone", "no file was touched"]);
    assert!(scene.path("a").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_where_git_the_mirror_or_the_world_would_notice() {
    let scene = Scene::start().await;
    let outside = scene.folder.path().join("outside");
    fs::create_dir_all(&outside).expect("made");
    fs::create_dir_all(scene.directory()).expect("made");
    scene.put(".git/hooks/post-checkout", "#!/bin/sh\n").await;
    scene.put("a/.GIT/config", "[core]\n").await;
    scene.put("b/.vdom/mirror/state.json", "{}").await;
    scene.put("docs/page", "x").await;
    scene.put("good", "x").await;
    let documents = ["put", REPO, "about", "--kind", "meta"];
    scene.shell.run_with(b"{\"a\": 1}", &documents).await.succeeded();
    scene.write("about", "a file");
    std::os::unix::fs::symlink(&outside, scene.path("docs")).expect("linked");
    let ran = scene.once(&[]).await;
    assert_eq!(ran.exit, 1, "{ran:?}");
    let problems: Vec<_> = ran
        .records()
        .iter()
        .filter(|record| record["event"] == "problem")
        .map(|record| record["path"].as_str().expect("a path").to_owned())
        .collect();
    for path in [".git/hooks/post-checkout", "a/.GIT/config", "b/.vdom/mirror/state.json", "about"]
    {
        assert!(problems.contains(&path.to_owned()), "{path} is not in {problems:?}");
    }
    assert!(problems.contains(&"docs/page".to_owned()), "{problems:?}");
    assert!(!outside.join("page").exists() && scene.path("good").exists());
    assert_eq!(fs::read(scene.path("about")).expect("left alone"), b"a file");
    assert!(!scene.path(".git").exists());
    // The link itself is a file like others.
    assert_eq!(scene.in_branch().await["docs"].0, "120000");
    assert_eq!(scene.in_branch().await["docs/page"].1, b"x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_the_way_is_told_and_waited_for() {
    let scene = Scene::start().await;
    scene.write(".gitignore", "kept\n");
    let mirror = scene.mirror().await;
    scene.write("folder/kept", "ignored");
    scene.put("folder", "a file of the branch").await;
    let problem = mirror.heard("the problem", |event| event["event"] == "problem").await;
    assert_eq!(problem["path"], "folder");
    assert!(
        problem["problem"].as_str().is_some_and(|text| text.contains("directory")),
        "{problem}"
    );
    assert_eq!(fs::read(scene.path("folder/kept")).expect("left alone"), b"ignored");
    fs::remove_file(scene.path("folder/kept")).expect("removed");
    scene.becomes(&[(".gitignore", "kept\n"), ("folder", "a file of the branch")]).await;
    mirror.end().await;
}
