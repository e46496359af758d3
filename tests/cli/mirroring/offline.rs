//! What happened while no mirror ran is made up for.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_get_what_they_missed() {
    let scene = Scene::start().await;
    for path in ["edited here", "edited there", "deleted here", "deleted there", "moved", "left"] {
        scene.write(path, &format!("{path}\n"));
    }
    scene.write("renamed there", "content\n");
    let mirror = scene.mirror().await;
    scene.is_in_step().await;
    let moved = scene.client.clone().read("moved").await.expect("there").node_id;
    mirror.end().await;

    scene.write("edited here", "edited\n");
    scene.write("new here", "new\n");
    fs::remove_file(scene.path("deleted here")).expect("removed");
    fs::rename(scene.path("moved"), scene.path("moved on")).expect("renamed");
    scene.put("edited there", "edited\n").await;
    scene.put("new there", "new\n").await;
    scene.change("deleted there", Diff::delete()).await;
    scene.change("renamed there", rename("renamed")).await;
    let ran = scene.once(&[]).await.succeeded();
    let expected = [
        ("edited here", "edited\n"),
        ("edited there", "edited\n"),
        ("left", "left\n"),
        ("moved on", "moved\n"),
        ("new here", "new\n"),
        ("new there", "new\n"),
        ("renamed", "content\n"),
    ];
    scene.becomes(&expected).await;
    assert_eq!(scene.client.clone().read("moved on").await.expect("there").node_id, moved);
    let told = ran.records().iter().filter(|record| !record["what"].is_null()).count();
    assert_eq!(told, 8, "{ran:?}");
    // Nothing is left to do.
    let ran = scene.once(&[]).await.succeeded();
    assert_eq!(ran.records().len(), 1, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_name_stays_where_it_is() {
    let scene = Scene::start().await;
    scene.write(".gitignore", "target/\n*.log\n!kept.log\n");
    scene.write("src/.ignore", "generated\n");
    scene.write("target/debug/program", "x");
    scene.write("a.log", "x");
    scene.write("kept.log", "x");
    scene.write("src/generated", "x");
    scene.write("src/written", "x");
    scene.write(".file.swp", "x");
    scene.write(".git/config", "x");
    let mirror = scene.mirror().await;
    let names = async || scene.in_branch().await.into_keys().collect::<Vec<_>>();
    let expected = [".gitignore", "kept.log", "src/.ignore", "src/written"];
    eventually("the others are sent", async || names().await == expected).await;
    // As with git, rules are for files that nobody added.
    scene.put("b.log", "added\n").await;
    eventually("it is there", async || scene.path("b.log").exists()).await;
    scene.write("b.log", "changed\n");
    eventually("it is mirrored", async || scene.in_branch().await["b.log"].1 == b"changed\n").await;
    scene.write("target/debug/more", "x");
    scene.write(".gitignore", "target/\n");
    eventually("what is named no longer comes", async || {
        names().await == [".gitignore", "a.log", "b.log", "kept.log", "src/.ignore", "src/written"]
    })
    .await;
    assert_eq!(fs::read(scene.path("target/debug/program")).expect("left alone"), b"x");
    mirror.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_lies_below_a_prefix_is_mirrored() {
    let scene = Scene::start().await;
    scene.put("site/pages/index", "1").await;
    scene.put("site/pagesx", "2").await;
    scene.write("new", "3");
    let prefix = ["--prefix", "site/pages"];
    scene.once(&prefix).await.succeeded();
    assert_eq!(scene.on_disk().into_keys().collect::<Vec<_>>(), ["index", "new"]);
    let expected = ["site/pages/index", "site/pages/new", "site/pagesx"];
    assert_eq!(scene.in_branch().await.into_keys().collect::<Vec<_>>(), expected);
    scene.change("site/pages/index", rename("elsewhere")).await;
    scene.once(&prefix).await.succeeded();
    assert_eq!(scene.on_disk().into_keys().collect::<Vec<_>>(), ["new"]);
    scene.once(&[]).await.refused(4, &["mirrors site/pages of site@main", ".vdom"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_no_node_can_have_come_back_as_they_were() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let scene = Scene::start().await;
    fs::create_dir_all(scene.directory()).expect("made");
    let names = [b"caf\xe9".as_slice(), b"line\nbreak", b"100%25", b"e\xcc\x81"];
    for name in names {
        fs::write(scene.directory().join(OsStr::from_bytes(name)), name).expect("written");
    }
    scene.once(&[]).await.succeeded();
    let listed = scene.in_branch().await.into_keys().collect::<Vec<_>>();
    assert_eq!(listed, ["100%2525", "caf%E9", "e%CC%81", "line%0Abreak"]);
    let other = scene.folder.path().join("other");
    let arguments = ["mirror", text(&other), "--repo", REPO, "--once"];
    scene.shell.run(&arguments).await.succeeded();
    for name in names {
        assert_eq!(fs::read(other.join(OsStr::from_bytes(name))).expect("there"), name);
    }
}
