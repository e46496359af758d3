//! Names, paths and the small fields of a write.

use vdom_proto::v1;

use super::{Server, check_refused};

at_both_doors! {
    names_keep_their_rules
    paths_keep_their_rule
    the_small_fields_keep_their_rules
    reads_name_one_node_and_one_place
}

async fn names_keep_their_rules(mut server: Server) {
    let long = "n".repeat(129);
    let plain = [
        ("", "is empty"),
        (long.as_str(), "129 bytes, at most 128"),
        ("a/b", "'/' at byte 1"),
        ("a b", "' ' at byte 1"),
        ("gr\u{fc}n", "'\u{fc}' at byte 2"),
        ("..", "`..` is not a name"),
        (".", "`.` is not a name"),
        ("a\0", "at byte 1"),
    ];
    for (name, words) in plain {
        let base = server.client.put_request("new", b"x");
        if !name.is_empty() {
            let request = v1::WriteDiffRequest { realm: name.to_owned(), ..base.clone() };
            server.refuse(name, request, "InvalidArgument", &["realm ", words]).await;
        }
        let request = v1::WriteDiffRequest { repo: name.to_owned(), ..base };
        server.refuse(name, request, "InvalidArgument", &["repo ", words]).await;
    }
    for (name, words) in [
        ("", "is empty"),
        (long.as_str(), "129 bytes"),
        ("a b", "' ' at byte 1"),
        ("/a", "empty segment"),
        ("a/", "empty segment"),
        ("a//b", "empty segment"),
        ("a..b", "`..`"),
        ("a/.b", "starts with `.`"),
        ("a.lock", "`.lock`"),
        ("a.", "end with `.`"),
        ("-a", "start with `-`"),
        ("a~1", "'~' at byte 1"),
        ("@", "at byte 0"),
    ] {
        let base = server.client.put_request("new", b"x");
        let request = v1::WriteDiffRequest { branch: name.to_owned(), ..base };
        server.refuse(name, request, "InvalidArgument", &["branch ", words]).await;
    }
    let elsewhere =
        v1::WriteDiffRequest { realm: "nowhere".into(), ..server.client.put_request("new", b"") };
    server.refuse("unknown realm", elsewhere, "NotFound", &["realm `nowhere`", "`realms`"]).await;
    server.check_serves().await;
}

async fn paths_keep_their_rule(mut server: Server) {
    let long = format!("{}/{}", "p".repeat(512), "q".repeat(512));
    for (path, words) in [
        ("", "path"),
        ("/a", "empty segment"),
        ("a/", "empty segment"),
        ("a//b", "empty segment"),
        ("./a", "segment `.`"),
        ("a/../../etc/passwd", "segment `..`"),
        ("a\0b", "U+0000 at byte 1"),
        ("a\nb", "U+000A at byte 1"),
        ("a\u{85}b", "U+0085 at byte 1"),
        ("e\u{301}", "normalization form C"),
        (long.as_str(), "1025 bytes, at most 1024"),
    ] {
        let request = server.client.put_request(path, b"x");
        server.refuse(&format!("{path:?}"), request, "InvalidArgument", &["path", words]).await;
    }
    server.check_serves().await;
}

async fn the_small_fields_keep_their_rules(mut server: Server) {
    type Change = fn(&mut v1::WriteDiffRequest);
    let rows: [(&str, Change, &[&str]); 8] = [
        ("kind", |it| it.kind = 9, &["kind 9", "virtualdom.v1"]),
        ("on_conflict", |it| it.on_conflict = 17, &["on_conflict 17"]),
        ("min_ack", |it| it.min_ack = -1, &["min_ack -1"]),
        (
            "operation_id",
            |it| it.operation_id = vec![1; 17].into(),
            &["operation_id has 17 bytes, needs 16"],
        ),
        ("actor", |it| it.actor.push('\u{7}'), &["actor", "control"]),
        ("author", |it| it.author = "a".repeat(257), &["author", "256 bytes"]),
        ("message", |it| it.message = "m".repeat(65_537), &["message", "65537", "65536"]),
        (
            "metadata",
            |it| it.metadata = (0..65).map(|key| (key.to_string(), String::new())).collect(),
            &["metadata", "65 entries", "64"],
        ),
    ];
    for (what, change, words) in rows {
        let mut request = server.client.put_request("new", b"x");
        change(&mut request);
        server.refuse(what, request, "InvalidArgument", words).await;
    }
    // A gateway never promises it, a sidecar does not do so yet.
    let code = if server.sidecar.is_some() { "Unimplemented" } else { "InvalidArgument" };
    let mut local = server.client.put_request("new", b"x");
    local.min_ack = v1::AckLevel::Local.into();
    server.refuse("LOCAL", local, code, &["LOCAL", "sidecar", "COMMITTED"]).await;
    let mut large = server.client.put_request("new", b"x");
    large.metadata = [("key".to_owned(), "v".repeat(8_192))].into();
    server.refuse("large metadata", large, "InvalidArgument", &["8195 bytes", "8192"]).await;
    server.check_serves().await;
}

async fn reads_name_one_node_and_one_place(mut server: Server) {
    let base = server.client.read_request("file");
    let node_id = server.file.node_id.clone();
    for (what, request, code, words) in [
        (
            "no node",
            v1::ReadSnapshotRequest { path: String::new(), ..base.clone() },
            "InvalidArgument",
            &["node_id", "path"][..],
        ),
        (
            "two nodes",
            v1::ReadSnapshotRequest { node_id, ..base.clone() },
            "InvalidArgument",
            &["node_id and path", "one of them"],
        ),
        ("no such node", server.client.read_request("nothing"), "NotFound", &["nothing"]),
        (
            "no such branch",
            v1::ReadSnapshotRequest { branch: "none".to_owned(), ..base.clone() },
            "NotFound",
            &["none"],
        ),
        (
            "a revision to come",
            v1::ReadSnapshotRequest { revision: 99, ..base.clone() },
            "NotFound",
            &["99"],
        ),
        (
            "another epoch",
            v1::ReadSnapshotRequest { revision: 1, epoch: 7, ..base },
            "EpochChanged",
            &["epoch"],
        ),
    ] {
        let answer = server.client.raw.read_snapshot(request).await;
        check_refused(what, answer, code, words);
    }
    for (what, request, words) in [
        ("a revision of no epoch", (0, 5), "from_epoch"),
        ("an epoch that was never", (7, 0), "epoch"),
    ]
    .map(|(what, from, words)| (what, Some(from), words))
    {
        let answer = server.client.subscribe(request).await;
        let code = if what.contains("never") { "EpochChanged" } else { "InvalidArgument" };
        check_refused(what, answer, code, &[words]);
    }
    let request = v1::SubscribeRequest {
        repo: "repo".to_owned(),
        branch: "main".to_owned(),
        from_earliest: true,
        from_epoch: 1,
        ..Default::default()
    };
    let answer = server.client.raw.subscribe_changes(request).await;
    check_refused("two places to start from", answer, "InvalidArgument", &["from_earliest"]);
    server.check_serves().await;
}
