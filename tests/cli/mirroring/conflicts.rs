//! What both sides changed and nobody can merge: reported, kept, and ended by a
//! person.

use super::*;

fn said<'a>(ran: &'a [Value], event: &str) -> Vec<&'a Value> {
    ran.iter().filter(|record| record["event"] == event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_differ_at_first_are_conflicts_and_nothing_is_lost() {
    let scene = Scene::start().await;
    scene.put("both", "of the branch\n").await;
    scene.put("same", "same\n").await;
    scene.put("theirs", "1\n").await;
    scene.write("both", "of the disk\n");
    scene.write("same", "same\n");
    scene.write("ours", "2\n");
    let ran = scene.once(&[]).await;
    assert_eq!(ran.exit, 4, "{ran:?}");
    let records = ran.records();
    let conflict = said(&records, "conflict")[0];
    assert_eq!(
        (&conflict["path"], &conflict["theirs"]),
        (&"both".into(), &"both.vdom-theirs".into())
    );
    assert!(conflict["advice"].as_str().is_some_and(|advice| advice.contains("remove")));
    assert_eq!(said(&records, "in_step")[0]["conflicts"], 1);
    let on_disk = scene.on_disk();
    let content = |path: &str| String::from_utf8_lossy(&on_disk[path].1).into_owned();
    assert_eq!(content("both"), "of the disk\n");
    assert_eq!(content("both.vdom-theirs"), "of the branch\n");
    assert_eq!((content("theirs"), content("ours")), ("1\n".to_owned(), "2\n".to_owned()));
    let in_branch = scene.in_branch().await;
    assert_eq!(in_branch["both"].1, b"of the branch\n");
    assert_eq!(in_branch.len(), 4, "the version beside the file is not mirrored");

    // It is told again, and still nothing is overwritten.
    let ran = scene.once(&[]).await;
    assert_eq!((ran.exit, said(&ran.records(), "conflict").len()), (4, 1));
    assert_eq!(scene.in_branch().await, in_branch);

    // To keep the file, its neighbour is removed.
    fs::remove_file(scene.path("both.vdom-theirs")).expect("removed");
    let ran = scene.once(&[]).await.succeeded();
    assert_eq!(said(&ran.records(), "settled")[0]["path"], "both");
    assert_eq!(scene.in_branch().await["both"].1, b"of the disk\n");
    assert_eq!(scene.in_branch().await, scene.on_disk());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_waits_while_everything_else_goes_on() {
    let scene = Scene::start().await;
    scene.write("text", "one\n");
    let mirror = scene.mirror().await;
    scene.is_in_step().await;
    mirror.signal("STOP");
    scene.put("text", "of the branch\n").await;
    scene.write("text", "of the disk\n");
    mirror.signal("CONT");
    mirror.heard("the conflict", |event| event["event"] == "conflict").await;
    // Edits of the file wait; those of others do not.
    scene.write("text", "of both\n");
    scene.write("other", "x");
    eventually("the other goes on", async || {
        scene.in_branch().await.get("other").is_some_and(|file| file.1 == b"x")
    })
    .await;
    assert_eq!(scene.in_branch().await["text"].1, b"of the branch\n");
    // The branch goes on too: what the person has not seen is merged or told again.
    scene.put("text", "of the branch, later\n").await;
    fs::remove_file(scene.path("text.vdom-theirs")).expect("removed");
    eventually("it is told again", async || {
        let events = mirror.events.lock().await;
        events.iter().filter(|event| event["event"] == "conflict").count() == 2
    })
    .await;
    let theirs = fs::read(scene.path("text.vdom-theirs")).expect("laid again");
    assert_eq!(theirs, b"of the branch, later\n");
    // To take the branch's version, it is moved over the file.
    fs::rename(scene.path("text.vdom-theirs"), scene.path("text")).expect("moved");
    scene.becomes(&[("other", "x"), ("text", "of the branch, later\n")]).await;
    scene.write("text", "and on\n");
    scene.becomes(&[("other", "x"), ("text", "and on\n")]).await;
    mirror.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_side_deletes_and_the_other_changes_stays() {
    let scene = Scene::start().await;
    scene.write("a", "one\n");
    scene.write("b", "one\n");
    scene.once(&[]).await.succeeded();
    fs::remove_file(scene.path("a")).expect("removed");
    scene.put("a", "changed\n").await;
    scene.write("b", "changed\n");
    scene.change("b", Diff::delete()).await;
    let ran = scene.once(&[]).await.succeeded();
    let records = ran.records();
    let kept: Vec<_> = records
        .iter()
        .filter(|record| record["what"] == "kept")
        .map(|record| (record["event"].as_str(), record["path"].as_str()))
        .collect();
    assert_eq!(kept, [(Some("received"), Some("a")), (Some("sent"), Some("b"))]);
    scene.becomes(&[("a", "changed\n"), ("b", "changed\n")]).await;
}
