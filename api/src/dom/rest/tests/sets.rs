//! Change sets, reverts, branches and conflicts as JSON.

use vdom_core::NodePath;
use vdom_core::document::Value as BsonValue;
use vdom_core::dom::calls::{AckLevel, DiffSource};
use vdom_core::dom::diff::{PatchOperation, Pointer, TextOperation};

use super::*;

const BRANCH: &str = "/v1/repos/vdom/branches/main";
const CHANGES: &str = "/v1/repos/vdom/branches/main/changes";

#[tokio::test]
async fn a_set_is_written_as_one_and_answered_in_order() {
    let door = Door::new();
    let body = json!({
        "message": "why",
        "metadata": { "ticket": "7" },
        "author": "bea",
        "authored_at": "2001-09-09T01:46:40.005Z",
        "operation_id": "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
        "diffs": [
            { "path": "a", "put": "one", "message": "its own" },
            { "path": "b", "put": STANDARD.encode(b"\xff"), "encoding": "base64" },
            { "path": "m", "put": { "n": 1 } },
        ],
    });
    let answer = door.post(CHANGES, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let set = answer.json();
    assert_eq!((set["first_revision"].clone(), set["last_revision"].clone()), (json!(1), json!(3)));
    assert_eq!(set["operation_id"], "0f1e2d3c4b5a69788796a5b4c3d2e1f0");
    assert_eq!(set["ack"], "committed");
    let versions: Vec<_> = set["results"].as_array().expect("results").iter().collect();
    assert_eq!(versions.iter().map(|it| &it["revision"]).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(&door.get(&format!("{NODES}/b"), &[]).await.body[..], b"\xff");
    assert_eq!(door.get(&format!("{NODES}/m"), &[]).await.header("x-vdom-kind"), "meta");

    let arrived = door.dom.sets().remove(0);
    assert_eq!((&*arrived.message, arrived.metadata["ticket"].as_str()), ("why", "7"));
    assert_eq!(arrived.author.as_deref(), Some("bea"));
    assert_eq!(arrived.authored_at_ms, Some(1_000_000_000_005));
    assert_eq!(arrived.min_ack, AckLevel::Committed);
    assert_eq!(door.dom.written()[0].message, "its own");
}

#[tokio::test]
async fn every_kind_of_diff_has_a_form() {
    let door = Door::new();
    let id = "01".repeat(16);
    let body = json!({ "on_conflict": "overwrite", "diffs": [
        { "path": "a", "put": "x", "kind": "file", "actor": "pod-7" },
        { "path": "b", "node_id": id, "vector_clock": { "ann": 3 }, "on_conflict": "merge",
          "text": [{ "r": 1 }, { "i": "é" }, { "d": 2 }] },
        { "path": "c", "patch": [{ "op": "replace", "path": "/n", "value": 2 }] },
        { "path": "d", "attr": { "set": { "mode": "755" }, "unset": ["target"] } },
        { "path": "e", "rename": "f" },
        { "path": "g", "rename": "h", "put": "y" },
        { "path": "i", "delete": true },
    ]});
    // The room refuses to edit what is not there, after it took the diffs.
    assert_eq!(door.post(CHANGES, &body).await.status, 404);
    let written = door.dom.written();
    let path = |text| NodePath::parse(text).expect("a path");
    let two = BsonValue { tag: 0x10, bytes: Bytes::from_static(&[2, 0, 0, 0]) };
    let pointer = Pointer::parse("/n").expect("a pointer");
    let wanted = [
        Diff::put_file(b"x"),
        Diff::text(&[
            TextOperation::Retain(1),
            TextOperation::insert("é"),
            TextOperation::Delete(2),
        ]),
        Diff::patch(&[PatchOperation::Replace { path: pointer, value: two }]),
        Diff::attributes([("mode", "755")], ["target"]).expect("names"),
        Diff::rename(&path("f"), None),
        Diff::rename(&path("h"), Some(&Diff::put_file(b"y"))),
        Diff::delete(),
    ];
    for (diff, wanted) in written.iter().zip(wanted) {
        let DiffSource::Bson(bytes) = &diff.diff else { panic!("no bytes: {diff:?}") };
        assert_eq!(Diff::parse(bytes), Diff::parse(&wanted), "{:?}", diff.path);
    }
    assert_eq!(written.len(), 7);
    assert_eq!(written[0].actor.as_deref(), Some("pod-7"));
    assert_eq!(
        (written[0].on_conflict, written[0].kind),
        (OnConflict::Overwrite, Some(NodeKind::File))
    );
    assert_eq!(written[1].node_id.map(|id| id.to_string()), Some(id));
    assert_eq!(written[1].clock.entries()["ann"], 3);
    assert_eq!(written[1].on_conflict, OnConflict::Merge);
}

#[tokio::test]
async fn a_refused_set_says_for_each_diff_what_stands_in_its_way() {
    let door = Door::new();
    door.put(&format!("{NODES}/a"), &[], "stands").await;
    let body = json!({ "diffs": [{ "path": "new", "put": "x" }, { "path": "a", "put": "y" }] });
    let refused = door.post(CHANGES, &body).await;
    assert_eq!(refused.status, 409);
    let problem = refused.json();
    assert_eq!(
        (problem["code"].clone(), problem["revision"].clone()),
        (json!("Conflict"), json!(1))
    );
    assert_eq!(problem["conflicts"][0], Value::Null);
    assert_eq!(problem["conflicts"][1]["reason"], "path_exists");
    assert_eq!(problem["conflicts"][1]["current_content"], "stands");
    assert_eq!(door.get(&format!("{NODES}/new"), &[]).await.status, 404);

    let moved = json!({ "expected_revision": 9, "diffs": [{ "path": "b", "put": "x" }] });
    assert_eq!(door.post(CHANGES, &moved).await.status, 412);
}

#[tokio::test]
async fn a_set_that_makes_no_sense_is_refused_with_its_place() {
    let door = Door::new();
    let good = json!({ "path": "a", "put": "x" });
    for (wrong, words) in [
        (json!({ "path": "b" }), "diff 1: a diff says one of put"),
        (json!({ "path": "b", "put": "x", "text": [] }), "diff 1: a diff says one of put"),
        (json!({ "path": "b", "put": "x", "delete": true }), "diff 1: a diff says one of put"),
        (json!({ "path": "b", "put": 7 }), "diff 1: the content and its encoding do not fit"),
        (json!({ "path": "b", "put": "x", "encoding": "extended-json" }), "do not fit"),
        (json!({ "path": "b", "put": "!", "encoding": "base64" }), "no base64"),
        (json!({ "path": "b", "put": { "a": { "$oid": "no" } } }), "extended JSON"),
        (json!({ "path": "b", "putt": "x" }), "unknown field `putt`"),
        (json!({ "path": "b", "put": "x", "kind": "folder" }), "unknown variant `folder`"),
        (json!({ "path": "b", "put": "x", "node_id": "ab" }), "diff 1: node_id `ab`"),
        (json!({ "path": "../b", "put": "x" }), "diff 1: "),
        (json!({ "path": "b", "text": [{ "r": -1 }] }), "line 1"),
        (json!({ "path": "b", "rename": "c/../d" }), "diff 1: "),
    ] {
        let answer = door.post(CHANGES, &json!({ "diffs": [good, wrong] })).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
        let detail = answer.json()["detail"].as_str().expect("text").to_owned();
        assert!(detail.contains(words), "{wrong}: {detail}");
    }
    for (body, words) in [
        (json!({}), "missing field `diffs`"),
        (json!({ "diffs": [] }), "no diff"),
        (json!({ "diffs": [good], "operation_id": "x" }), "no operation id"),
        (json!({ "diffs": [good], "authored_at": "today" }), "RFC 3339"),
        (json!({ "diffs": [good], "message": "x".repeat(65_537) }), "message has 65537 bytes"),
    ] {
        let answer = door.post(CHANGES, &body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.text().contains(words), "{}", answer.text());
    }
    let body = json!({ "diffs": [good] }).to_string();
    let plain = door.ask(Method::POST, CHANGES, &[("content-type", "text/plain")], body.clone());
    assert_eq!(plain.await.status, 400);
    let headers = [("content-type", "application/json"), ("idempotency-key", &*"ab".repeat(16))];
    let two = json!({ "diffs": [good], "operation_id": "cd".repeat(16) }).to_string();
    let two = door.ask(Method::POST, CHANGES, &headers, two).await;
    assert!(two.text().contains("two operations"), "{}", two.text());
    assert!(door.dom.written().is_empty());
    let one = door.ask(Method::POST, CHANGES, &headers, body).await;
    assert_eq!(one.json()["operation_id"], "ab".repeat(16));
}

#[tokio::test]
async fn a_range_of_changes_is_undone() {
    let door = Door::new();
    door.put(&format!("{NODES}/a"), &[], "one").await;
    door.put(&format!("{NODES}/a"), &[], "two").await;
    let reverts = format!("{BRANCH}/reverts");
    let undone = door.post(&reverts, &json!({ "first_revision": 2, "last_revision": 2 })).await;
    assert_eq!(undone.status, 200, "{}", undone.text());
    assert_eq!(undone.json()["last_revision"], 3);
    assert_eq!(door.get(&format!("{NODES}/a"), &[]).await.text(), "one");
    for (body, status) in [
        (json!({ "first_revision": 2, "last_revision": 1 }), 400),
        (json!({ "first_revision": 2 }), 400),
        (json!({ "first_revision": 1, "last_revision": 99 }), 404),
    ] {
        assert_eq!(door.post(&reverts, &body).await.status, status, "{body}");
    }
}

#[tokio::test]
async fn branches_come_and_go() {
    let door = Door::new();
    door.put(&format!("{NODES}/a"), &[], "x").await;
    let branches = "/v1/repos/vdom/branches";
    let body = json!({ "name": "topic/x", "from": "main", "at_revision": 1 });
    let created = door.post(branches, &body).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let location = created.header("location").to_owned();
    assert_eq!(location, "/v1/repos/vdom/branches/topic%2Fx");
    let branch = door.get(&location, &[]).await.json();
    assert_eq!(branch, created.json());
    assert_eq!((branch["from"].clone(), branch["at_revision"].clone()), (json!("main"), json!(1)));
    assert_eq!(door.get(BRANCH, &[]).await.json()["from"], Value::Null);
    assert_eq!(door.post(branches, &body).await.status, 409);
    for (wrong, status) in [
        (json!({ "name": "a..b" }), 400),
        (json!({ "name": "a", "at_revision": 3 }), 400),
        (json!({ "name": "a", "from": "nowhere" }), 404),
    ] {
        assert_eq!(door.post(branches, &wrong).await.status, status, "{wrong}");
    }
    let deleted = door.ask(Method::DELETE, &location, &[], Body::empty()).await;
    assert_eq!((deleted.status, deleted.body.len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(door.get(&location, &[]).await.status, 404);
}

#[tokio::test]
async fn a_conflict_is_kept_listed_and_resolved() {
    let door = Door::new();
    let path = format!("{NODES}/src/a");
    door.put(&path, &[], "stands").await;
    let refused =
        door.put(&format!("{path}?on_conflict=reject&keep_conflict=true"), &[], "refused").await;
    assert_eq!(refused.status, 409);
    let id = refused.json()["conflict"]["conflict_id"].as_str().expect("an id").to_owned();

    let conflicts = format!("{BRANCH}/conflicts");
    let page = door.get(&format!("{conflicts}?paths=src&limit=1"), &[]).await.json();
    assert_eq!(
        (page["more"].clone(), page["conflicts"][0]["id"].clone()),
        (json!(false), json!(id))
    );
    let kept = &page["conflicts"][0];
    assert_eq!(kept["subject"], "ann");
    assert_eq!(kept["conflict"]["current_content"], "stands");
    assert_eq!(kept["request"]["path"], "src/a");
    assert_eq!(kept["request"]["diff_bson"], STANDARD.encode(Diff::put_file(b"refused")));
    for none in [format!("{conflicts}?paths=lib"), format!("{conflicts}?after={id}")] {
        assert_eq!(door.get(&none, &[]).await.json()["conflicts"], json!([]), "{none}");
    }
    assert_eq!(door.get(&format!("{conflicts}?limit=101"), &[]).await.status, 400);

    let conflict = format!("{conflicts}/{id}");
    for wrong in [
        json!({}),
        json!({ "resolution": "fight" }),
        json!({ "resolution": "manual" }),
        json!({ "resolution": "ours", "content": "x" }),
    ] {
        assert_eq!(door.post(&conflict, &wrong).await.status, 400, "{wrong}");
    }
    let stale = json!({ "resolution": "theirs", "vector_clock": { "ann": 9 } });
    let stale = door.post(&conflict, &stale).await;
    assert_eq!(
        (stale.status, stale.json()["conflict"]["path"].clone()),
        (StatusCode::CONFLICT, json!("src/a"))
    );
    let resolved =
        door.post(&conflict, &json!({ "resolution": "manual", "content": "by hand" })).await;
    assert_eq!(
        (resolved.status, resolved.json()["written"]["revision"].clone()),
        (StatusCode::OK, json!(2))
    );
    assert_eq!(door.get(&path, &[]).await.text(), "by hand");
    assert_eq!(door.post(&conflict, &json!({ "resolution": "ours" })).await.status, 404);
    assert_eq!(
        door.post(&format!("{conflicts}/7"), &json!({ "resolution": "ours" })).await.status,
        400
    );
}

#[tokio::test]
async fn a_merge_takes_the_version_that_the_writer_had_seen() {
    let door = Door::new();
    let path = format!("{NODES}/a");
    let seen = door.put(&path, &[], "one").await.header("etag").to_owned();
    door.put(&path, &[], "two").await;
    let merge = format!("{path}?on_conflict=merge");
    let merged = door.put(&merge, &[("if-match", &seen)], "three").await;
    assert_eq!((merged.status, merged.json()["merged"].clone()), (StatusCode::OK, json!(true)));
    assert_eq!(door.dom.written()[2].clock.entries()["ann"], 1, "the clock of version 1");

    let other = format!("\"{}.1\"", "07".repeat(16));
    assert_eq!(door.put(&merge, &[("if-match", &other)], "four").await.status, 412);
    let blind = door.put(&merge, &[], "four").await;
    assert_eq!(
        (blind.status, blind.json()["conflict"]["reason"].clone()),
        (StatusCode::CONFLICT, json!("path_exists"))
    );
}
