//! Every call of `MemoryGateway`, at every door that speaks gRPC.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message;
use prost_types::FileDescriptorSet;
use vdom_core::Diff;
use vdom_proto::v1;
use vdom_testkit::channel::{AnyChannel, grpc_web, http2, unix};
use vdom_testkit::raw;

use super::{EVERY_SCOPE, Fixture, Needs, assert_denied, each_missing, tokens};
use crate::refusal::Refusal;

/// A call, a good request of it, and what it needs.
struct Row {
    call: &'static str,
    messages: Vec<Bytes>,
    needs: Needs,
    /// The refusal that the request ends with once it is let in, where what it
    /// asks for is not there.
    then: Option<&'static str>,
}

const READ: Needs = Needs::Scopes(&["dom.read"]);
const WRITE: Needs = Needs::Scopes(&["dom.write"]);
const WRITE_AS: Needs = Needs::Scopes(&["dom.write", "dom.author"]);
const ADMINISTER: Needs = Needs::Scopes(&["dom.admin"]);

/// One row a call, or more where a call has several rights; all in `realm`.
fn rows(realm: &str) -> Vec<Row> {
    fn row(call: &'static str, request: &impl Message, needs: Needs) -> Row {
        Row { call, messages: vec![request.encode_to_vec().into()], needs, then: None }
    }
    let ending = |row, then| Row { then: Some(then), ..row };
    let (repo, branch) = (|| "repo".to_owned(), || "main".to_owned());
    let realm = || realm.to_owned();
    let write = v1::WriteDiffRequest {
        realm: realm(),
        repo: repo(),
        branch: branch(),
        path: "a".to_owned(),
        diff_bson: Diff::put_file(b"content"),
        on_conflict: v1::OnConflict::Overwrite.into(),
        ..Default::default()
    };
    let read = v1::ReadSnapshotRequest {
        realm: realm(),
        repo: repo(),
        branch: branch(),
        path: "there".to_owned(),
        ..Default::default()
    };
    let tree = v1::ReadTreeRequest {
        realm: realm(),
        repo: repo(),
        branch: branch(),
        ..Default::default()
    };
    let subscribe = v1::SubscribeRequest {
        realm: realm(),
        repo: repo(),
        branch: branch(),
        ..Default::default()
    };
    let history = v1::GetHistoryRequest {
        realm: realm(),
        repo: repo(),
        branch: branch(),
        ..Default::default()
    };
    let header = v1::WriteDiffsRequest {
        realm: realm(),
        repo: repo(),
        branch: branch(),
        ..Default::default()
    };
    let set = v1::WriteDiffsRequest { diffs: vec![write.clone()], ..header.clone() };
    let set_in_anothers_name = v1::WriteDiffsRequest { author: "bob".to_owned(), ..set.clone() };
    let snapshots = v1::ReadSnapshotsRequest {
        realm: realm(),
        repo: repo(),
        branch: branch(),
        paths: vec!["there".to_owned()],
        ..Default::default()
    };
    let revert = v1::RevertChangesRequest {
        realm: realm(),
        repo: repo(),
        branch: branch(),
        first_revision: 1_000_000,
        last_revision: 1_000_000,
        ..Default::default()
    };
    let revert_in_anothers_name =
        v1::RevertChangesRequest { author: "bob".to_owned(), ..revert.clone() };
    let list_conflicts = v1::ListConflictsRequest {
        realm: realm(),
        repo: repo(),
        branch: branch(),
        ..Default::default()
    };
    let resolve = v1::ResolveConflictRequest {
        realm: realm(),
        repo: repo(),
        branch: branch(),
        conflict_id: vec![7; 16].into(),
        resolution: v1::resolve_conflict_request::Resolution::Ours.into(),
        ..Default::default()
    };
    let explain = v1::ExplainConflictRequest {
        realm: realm(),
        repo: repo(),
        branch: branch(),
        conflict_id: vec![7; 16].into(),
    };
    let create = v1::CreateBranchRequest {
        realm: realm(),
        repo: repo(),
        branch: branch(),
        ..Default::default()
    };
    let delete = v1::DeleteBranchRequest {
        realm: realm(),
        repo: repo(),
        branch: "nowhere".to_owned(),
        ..Default::default()
    };
    let streamed = [
        v1::write_diffs_chunk::Chunk::Header(header.clone()),
        v1::write_diffs_chunk::Chunk::Diff(write.clone()),
    ];
    let streamed = streamed.map(|chunk| v1::WriteDiffsChunk { chunk: Some(chunk) }.encode_to_vec());
    let list_branches =
        v1::ListBranchesRequest { realm: realm(), repo: repo(), ..Default::default() };
    let in_anothers_name = v1::WriteDiffRequest { author: "bob".to_owned(), ..write.clone() };
    vec![
        row("WriteDiff", &write, WRITE),
        row("WriteDiff", &in_anothers_name, WRITE_AS),
        Row {
            call: "WriteDiffsStream",
            messages: streamed.into_iter().map(Bytes::from).collect(),
            needs: WRITE,
            then: None,
        },
        row("ReadSnapshot", &read, READ),
        row("ReadSnapshotStream", &read, READ),
        row("ReadTree", &tree, READ),
        row("SubscribeChanges", &subscribe, READ),
        row("GetHistory", &history, READ),
        row("ListRepos", &v1::ListReposRequest { realm: realm(), ..Default::default() }, READ),
        row("ListBranches", &list_branches, READ),
        row("WriteDiffs", &set, WRITE),
        row("WriteDiffs", &set_in_anothers_name, WRITE_AS),
        row("ReplayDiffs", &write, WRITE),
        row("ReadSnapshots", &snapshots, READ),
        row("CollaborativeSession", &v1::SessionMessage::default(), Needs::NotOffered),
        ending(row("RevertChanges", &revert, WRITE), "NotFound"),
        ending(row("RevertChanges", &revert_in_anothers_name, WRITE_AS), "NotFound"),
        row("ListConflicts", &list_conflicts, READ),
        ending(row("ExplainConflict", &explain, READ), "NotFound"),
        ending(row("ResolveConflict", &resolve, WRITE), "NotFound"),
        ending(row("CreateBranch", &create, WRITE), "AlreadyExists"),
        ending(row("DeleteBranch", &delete, ADMINISTER), "NotFound"),
    ]
}

/// Makes the call; `None` where it was let in.
async fn refusal(channel: &AnyChannel, row: &Row) -> Option<Refusal> {
    let answer = raw::first_answer(channel, row.call, row.messages.clone()).await;
    let refusal = answer.err().map(|status| Refusal::from_grpc(&status));
    // Also a realm that is not configured is not found: that is no way in.
    let is_in = |refusal: &Refusal| {
        Some(&*refusal.code) == row.then && !refusal.message.contains("`realms`")
    };
    refusal.filter(|refusal| !is_in(refusal))
}

impl Fixture {
    /// The doors that speak gRPC, with this token.
    async fn grpc_doors(&self, token: Option<&str>) -> [(&'static str, AnyChannel); 5] {
        let (gateway, sidecar) = (&self.gateway, &self.sidecar);
        [
            ("gRPC", http2(&gateway.grpc_url(), token).await),
            ("gRPC-Web", grpc_web(&gateway.http_url(), token)),
            ("a sidecar's gRPC", http2(&sidecar.url(), token).await),
            ("a sidecar's gRPC-Web", grpc_web(&sidecar.url(), token)),
            ("a sidecar's unix socket", unix(&sidecar.socket(), token).await),
        ]
    }

    /// What every row gets at every door with this token.
    async fn grpc_refusals(
        &self,
        token: Option<&str>,
        rows: Vec<Row>,
    ) -> Vec<(String, Needs, Option<Refusal>)> {
        let mut refusals = Vec::new();
        for (door, channel) in self.grpc_doors(token).await {
            for row in &rows {
                let what = format!("{} over {door}", row.call);
                refusals.push((what, row.needs, refusal(&channel, row).await));
            }
        }
        refusals
    }
}

#[test]
fn every_call_of_the_contract_has_a_row() {
    let contract = FileDescriptorSet::decode(vdom_proto::FILE_DESCRIPTOR_SET).expect("descriptors");
    let services = contract.file.iter().flat_map(|file| &file.service);
    let service = services
        .clone()
        .find(|service| service.name() == "MemoryGateway")
        .expect("the service is in the contract");
    assert_eq!(services.count(), 1, "a service without rows");
    let calls: BTreeSet<_> = service.method.iter().map(|method| method.name().to_owned()).collect();
    let rows: BTreeSet<_> = rows("").iter().map(|row| row.call.to_owned()).collect();
    assert_eq!(rows, calls);
}

#[tokio::test]
async fn no_call_takes_a_token_that_is_no_good() {
    let fixture = Fixture::start().await;
    for (kind, token, words) in tokens::refused(&fixture.keys) {
        for (what, _, refusal) in fixture.grpc_refusals(token.as_deref(), rows("")).await {
            let refusal = refusal.unwrap_or_else(|| panic!("{what}: let in with a token {kind}"));
            assert_eq!(refusal.code, "Unauthenticated", "{what}: {kind}: {refusal:?}");
            assert!(refusal.message.contains(words), "{what}: {kind}: {refusal:?}");
        }
    }
}

#[tokio::test]
async fn each_scope_that_a_call_needs_is_asked_for() {
    let fixture = Fixture::start().await;
    for missing in EVERY_SCOPE.split(' ') {
        let scopes = each_missing(&[missing]).remove(0).1;
        let token = fixture.keys.token("anna", &scopes);
        for (what, needs, refusal) in fixture.grpc_refusals(Some(&token), rows("")).await {
            let what = format!("{what} without {missing}");
            match needs {
                Needs::Scopes(needed) if needed.contains(&missing) => {
                    let refusal = refusal.unwrap_or_else(|| panic!("{what}: let in"));
                    assert_denied(&refusal, missing, &what);
                    assert!(refusal.message.contains(missing), "{what}: {refusal:?}");
                }
                Needs::Scopes(_) => assert_eq!(refusal, None, "{what}"),
                _ => assert_not_offered(refusal.as_ref(), &what),
            }
        }
    }
}

#[tokio::test]
async fn the_scopes_that_a_call_needs_are_enough() {
    let fixture = Fixture::start().await;
    for row in rows("default") {
        let needed = match row.needs {
            Needs::Scopes(needed) => needed.join(" "),
            _ => String::new(),
        };
        let token = fixture.keys.token("anna", &needed);
        for (what, needs, refusal) in fixture.grpc_refusals(Some(&token), vec![row]).await {
            match needs {
                Needs::Scopes(_) => assert_eq!(refusal, None, "{what}"),
                _ => assert_not_offered(refusal.as_ref(), &what),
            }
        }
    }
}

#[tokio::test]
async fn a_token_opens_no_realm_but_its_own() {
    let fixture = Fixture::start().await;
    let foreign = fixture.keys.token_for("anna", EVERY_SCOPE, "other");
    // A realm that does not exist is refused alike: who may not enter must not
    // learn what exists.
    for realm in ["default", "default-that-is-not"] {
        for (what, needs, refusal) in fixture.grpc_refusals(Some(&foreign), rows(realm)).await {
            let what = format!("{what} in realm {realm}");
            match needs {
                Needs::Scopes(_) => {
                    let refusal = refusal.unwrap_or_else(|| panic!("{what}: let in"));
                    assert_denied(&refusal, "realm", &what);
                }
                _ => assert_not_offered(refusal.as_ref(), &what),
            }
        }
    }
}

#[tokio::test]
async fn a_realm_that_is_not_configured_is_not_found() {
    let fixture = Fixture::start().await;
    let token = fixture.keys.token_for("anna", EVERY_SCOPE, "nowhere");
    for (what, needs, refusal) in fixture.grpc_refusals(Some(&token), rows("")).await {
        match needs {
            Needs::Scopes(_) => {
                let refusal = refusal.unwrap_or_else(|| panic!("{what}: let in"));
                assert_eq!(refusal.code, "NotFound", "{what}: {refusal:?}");
                assert!(refusal.message.contains("`nowhere`"), "{what}: {refusal:?}");
            }
            _ => assert_not_offered(refusal.as_ref(), &what),
        }
    }
}

fn assert_not_offered(refusal: Option<&Refusal>, what: &str) {
    let refusal = refusal.unwrap_or_else(|| panic!("{what}: offered"));
    assert_eq!(refusal.code, "Unimplemented", "{what}: {refusal:?}");
    let call = what.split(' ').next().expect("its name");
    assert!(refusal.message.contains(call), "{what}: {refusal:?}");
}
