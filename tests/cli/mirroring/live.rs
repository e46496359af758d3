//! What changes on one side while the mirror runs shows on the other.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use vdom_core::Diff;

use super::*;

async fn node_id(scene: &Scene, path: &str) -> bytes::Bytes {
    scene.client.clone().read(path).await.expect("there").node_id
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_on_the_disk_goes_to_the_branch() {
    let scene = Scene::start().await;
    let mirror = scene.mirror().await;
    scene.write("a.txt", "one\n");
    scene.write("deep/er/b.txt", "two\n");
    scene.becomes(&[("a.txt", "one\n"), ("deep/er/b.txt", "two\n")]).await;
    let id = node_id(&scene, "a.txt").await;

    scene.write("a.txt", "one more\n");
    scene.becomes(&[("a.txt", "one more\n"), ("deep/er/b.txt", "two\n")]).await;
    fs::create_dir(scene.path("other")).expect("made");
    fs::rename(scene.path("a.txt"), scene.path("other/renamed.txt")).expect("renamed");
    fs::remove_dir_all(scene.path("deep")).expect("removed");
    scene.becomes(&[("other/renamed.txt", "one more\n")]).await;
    assert_eq!(node_id(&scene, "other/renamed.txt").await, id, "a renamed file keeps its node");

    // An editor that writes another file and moves it over the first.
    scene.write("other/.renamed.txt.new", "saved\n");
    fs::rename(scene.path("other/.renamed.txt.new"), scene.path("other/renamed.txt"))
        .expect("renamed");
    scene.becomes(&[("other/renamed.txt", "saved\n")]).await;
    assert_eq!(node_id(&scene, "other/renamed.txt").await, id);
    mirror.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_in_the_branch_goes_to_the_disk() {
    let scene = Scene::start().await;
    scene.put("a.txt", "one\n").await;
    scene.put("deep/er/b.txt", "two\n").await;
    let mirror = scene.mirror().await;
    scene.becomes(&[("a.txt", "one\n"), ("deep/er/b.txt", "two\n")]).await;
    scene.put("a.txt", "one more\n").await;
    scene.change("deep/er/b.txt", Diff::delete()).await;
    scene.becomes(&[("a.txt", "one more\n")]).await;
    // A folder goes after the last file in it.
    eventually("no empty folder is left", async || !scene.path("deep").exists()).await;
    scene.change("a.txt", rename("other/renamed.txt")).await;
    scene.becomes(&[("other/renamed.txt", "one more\n")]).await;
    mirror.heard("a rename", |event| event["what"] == "renamed").await;
    // What is written to the disk does not come back as a change.
    let log = scene.shell.run(&["log", REPO, "-n", "0", "--json"]).await.succeeded();
    assert_eq!(log.records().len(), 5);
    mirror.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_links_and_contents_of_every_kind_go_both_ways() {
    let scene = Scene::start().await;
    let mirror = scene.mirror().await;
    let binary: Vec<u8> = (0..=255).cycle().take(4_000).collect();
    let large: Vec<u8> = (0..5_000_000_u32).map(|number| (number / 7) as u8).collect();
    scene.write("empty", "");
    fs::write(scene.path("binary"), &binary).expect("written");
    fs::write(scene.path("large"), &large).expect("written");
    scene.write("run.sh", "#!/bin/sh\n");
    fs::set_permissions(scene.path("run.sh"), Permissions::from_mode(0o755)).expect("set");
    symlink("../outside", scene.path("link")).expect("linked");
    let expected: BTreeMap<String, File> = [
        ("binary", ("100644", binary)),
        ("empty", ("100644", Vec::new())),
        ("large", ("100644", large.clone())),
        ("link", ("120000", b"../outside".to_vec())),
        ("run.sh", ("100755", b"#!/bin/sh\n".to_vec())),
    ]
    .map(|(path, file)| (path.to_owned(), file))
    .into();
    eventually("the branch has all", async || scene.in_branch().await == expected).await;

    // The other way, and on.
    scene.change("empty", executable()).await;
    let unset = Diff::attributes([], ["mode"]).expect("valid");
    scene.change("run.sh", unset).await;
    let link = Diff::attributes([("symlink", "elsewhere")], []).expect("valid");
    scene.change("link", link).await;
    let mode = |path: &str| fs::metadata(scene.path(path)).expect("there").permissions().mode();
    eventually("the disk has it", async || {
        mode("empty") & 0o100 != 0
            && mode("run.sh") & 0o111 == 0
            && fs::read_link(scene.path("link")).expect("a link") == Path::new("elsewhere")
    })
    .await;
    fs::remove_file(scene.path("link")).expect("removed");
    scene.write("link", "a file now");
    fs::set_permissions(scene.path("large"), Permissions::from_mode(0o755)).expect("set");
    fs::write(scene.path("binary"), &large[1..]).expect("written");
    fs::set_permissions(scene.path("binary"), Permissions::from_mode(0o755)).expect("set");
    eventually("the branch has a file where the link was", async || {
        let there = scene.in_branch().await;
        there["link"] == ("100644", b"a file now".to_vec())
            && there["large"] == ("100755", large.clone())
            && there["binary"] == ("100755", large[1..].to_vec())
    })
    .await;
    mirror.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_at_once_are_one_change_set() {
    let scene = Scene::start().await;
    let mirror = scene.mirror().await;
    // In one step for those who look: a whole folder comes under its name.
    let folder = scene.folder.path().join("aside");
    fs::create_dir(&folder).expect("made");
    for number in 0..300 {
        fs::write(folder.join(number.to_string()), number.to_string()).expect("written");
    }
    fs::rename(&folder, scene.path("many")).expect("renamed");
    scene.is_in_step().await;
    let log = scene.shell.run(&["log", REPO, "-n", "0", "--json"]).await.succeeded();
    let sizes: Vec<_> =
        log.records().iter().map(|record| record["change_set"]["size"].as_u64()).collect();
    assert_eq!(sizes, vec![Some(300); 300]);
    mirror.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_of_both_sides_to_one_text_are_merged() {
    let scene = Scene::start().await;
    let lines = |first: &str, last: &str| format!("{first}\ntwo\nthree\nfour\n{last}\n");
    scene.write("text", &lines("one", "five"));
    let mirror = scene.mirror().await;
    scene.is_in_step().await;
    // While it cannot look, both sides change.
    mirror.signal("STOP");
    scene.put("text", &lines("ONE", "five")).await;
    scene.write("text", &lines("one", "FIVE"));
    mirror.signal("CONT");
    scene.becomes(&[("text", &lines("ONE", "FIVE"))]).await;
    // And an edit of a file that was renamed meanwhile.
    mirror.signal("STOP");
    scene.change("text", rename("moved")).await;
    scene.write("text", &lines("ONE", "five again"));
    mirror.signal("CONT");
    scene.becomes(&[("moved", &lines("ONE", "five again"))]).await;
    mirror.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_directories_of_one_branch_stay_the_same() {
    let scene = Scene::start().await;
    let other = scene.folder.path().join("other");
    let one = scene.mirror().await;
    let arguments = ["--json", "mirror", text(&other), "--repo", REPO];
    let two = Mirror::start(scene.shell.command(&arguments));
    two.heard("in step", |event| event["event"] == "in_step").await;
    scene.write("a", "from one");
    eventually("it arrives", async || on_disk(&other) == scene.on_disk()).await;
    for number in 0..20 {
        scene.write(&format!("one/{number}"), "x");
        fs::write(other.join(format!("{number}")), "y").expect("written");
    }
    eventually("all are everywhere", async || {
        scene.on_disk().len() == 41 && on_disk(&other) == scene.on_disk()
    })
    .await;
    scene.is_in_step().await;
    one.end().await;
    two.end().await;
}
