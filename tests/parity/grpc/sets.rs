//! Change sets, conflicts and branches.

use bytes::Bytes;
use tonic::Status;
use vdom_proto::v1;
use vdom_proto::v1::resolve_conflict_request::Resolution;
use vdom_proto::v1::write_diffs_chunk::Chunk;
use vdom_testkit::client::operation_id;

use super::super::answer::{Answer, At, Change, Resolve, Set, Write};
use super::{GrpcDoor, pieces};

impl GrpcDoor {
    /// Where contents come in pieces, the set streams.
    pub(super) async fn set(&mut self, set: &Set) -> Result<Answer, Status> {
        let header = v1::WriteDiffsRequest {
            expected_revision: set.expected.unwrap_or_default(),
            operation_id: set.operation.map(operation_id).unwrap_or_default(),
            ..self.header()
        };
        let diffs: Vec<_> = set.writes.iter().map(|write| self.write_request(write)).collect();
        let streams = set.writes.iter().any(|write| matches!(write.change, Change::Streamed(_)));
        let answer = if streams {
            let diffs = set.writes.iter().zip(diffs);
            let chunks = diffs.flat_map(|(write, diff)| {
                let content = match &write.change {
                    Change::Streamed(content) => content.clone(),
                    _ => Bytes::new(),
                };
                [Chunk::Diff(diff)].into_iter().chain(pieces(&content))
            });
            let chunks: Vec<_> = [Chunk::Header(header)].into_iter().chain(chunks).collect();
            self.send(chunks).await?
        } else {
            let request = v1::WriteDiffsRequest { diffs, ..header };
            self.client.write_diffs(request).await?.into_inner()
        };
        Ok(self.set_answer(&set.writes, answer))
    }

    fn set_answer(&mut self, writes: &[Write], answer: v1::WriteDiffsResponse) -> Answer {
        if !answer.success {
            let reasons =
                answer.results.into_iter().map(|result| result.conflict.as_ref().map(reason));
            return Answer::SetConflicts(reasons.collect());
        }
        let writes = writes.iter().map(Some).chain(std::iter::repeat(None));
        let results = answer.results.iter().zip(writes);
        let results = results.map(|(result, write)| self.written(write, result));
        let results = results.collect();
        Answer::Set { revisions: (answer.first_revision, answer.last_revision), results }
    }

    pub(super) async fn revert(&mut self, first: u64, last: u64) -> Result<Answer, Status> {
        let request = v1::RevertChangesRequest {
            repo: self.repo.clone(),
            branch: "main".to_owned(),
            first_revision: first,
            last_revision: last,
            ..Default::default()
        };
        let answer = self.client.revert_changes(request).await?.into_inner();
        Ok(self.set_answer(&[], answer))
    }

    pub(super) async fn read_many(&mut self, paths: &[&str]) -> Result<Answer, Status> {
        let at = self.read_request(At::Latest);
        let request = v1::ReadSnapshotsRequest {
            repo: at.repo,
            branch: at.branch,
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            min_revision: at.min_revision,
            min_epoch: at.min_epoch,
            ..Default::default()
        };
        let mut answers = self.client.read_snapshots(request).await?.into_inner();
        let mut nodes = Vec::new();
        while let Some(read) = answers.message().await? {
            nodes.push(self.node(read));
        }
        Ok(Answer::Nodes(nodes))
    }

    async fn list_conflicts(&mut self) -> Result<Vec<v1::StoredConflict>, Status> {
        let request = v1::ListConflictsRequest {
            repo: self.repo.clone(),
            branch: "main".to_owned(),
            ..Default::default()
        };
        Ok(self.client.list_conflicts(request).await?.into_inner().conflicts)
    }

    pub(super) async fn explain(&mut self) -> Result<Answer, Status> {
        let first = self.list_conflicts().await?.swap_remove(0);
        let request = v1::ExplainConflictRequest {
            repo: self.repo.clone(),
            branch: "main".to_owned(),
            conflict_id: first.conflict_id.clone(),
            ..Default::default()
        };
        let explained = self.client.explain_conflict(request).await?.into_inner();
        assert_eq!(explained.conflict.as_ref(), Some(&first), "as it is listed");
        let merge = explained.merge().as_str_name().replace("MERGE_", "").to_lowercase();
        let unseen = explained.unseen.expect("a history").changes;
        Ok(Answer::Explanation {
            path: first.conflict.expect("a conflict").path,
            unseen: unseen.iter().map(|change| change.revision).collect(),
            merge,
            hunks: explained.hunks.len(),
        })
    }

    pub(super) async fn conflicts(&mut self) -> Result<Answer, Status> {
        let conflicts = self.list_conflicts().await?.into_iter().map(|stored| {
            let conflict = stored.conflict.expect("a conflict");
            (conflict.path.clone(), reason(&conflict))
        });
        Ok(Answer::Conflicts(conflicts.collect()))
    }

    pub(super) async fn resolve(&mut self, how: Resolve) -> Result<Answer, Status> {
        let first = self.list_conflicts().await?.swap_remove(0);
        let (resolution, content) = match how {
            Resolve::Ours => (Resolution::Ours, ""),
            Resolve::Theirs => (Resolution::Theirs, ""),
            Resolve::Manual(content) => (Resolution::Manual, content),
        };
        let request = v1::ResolveConflictRequest {
            repo: self.repo.clone(),
            branch: "main".to_owned(),
            conflict_id: first.conflict_id,
            resolution: resolution.into(),
            content: Bytes::from_static(content.as_bytes()),
            ..Default::default()
        };
        let Some(written) = self.client.resolve_conflict(request).await?.into_inner().written
        else {
            return Ok(Answer::Done);
        };
        if !written.success {
            return Ok(Answer::Conflict);
        }
        self.last = (written.epoch, written.revision);
        let node = self.numbers.of(&hex::encode(&written.node_id));
        Ok(Answer::Written { node, version: written.new_version, revision: written.revision })
    }

    pub(super) async fn create_branch(&mut self, name: &str, at: u64) -> Result<Answer, Status> {
        let request = v1::CreateBranchRequest {
            repo: self.repo.clone(),
            branch: name.to_owned(),
            from_branch: "main".to_owned(),
            at_revision: at,
            ..Default::default()
        };
        let answer = self.client.create_branch(request).await?.into_inner();
        let branch = answer.branch.expect("a branch");
        let from =
            (!branch.from_branch.is_empty()).then_some((branch.from_branch, branch.from_revision));
        Ok(Answer::Branch { name: branch.name, revision: branch.revision, from })
    }

    pub(super) async fn delete_branch(&mut self, name: &str) -> Result<Answer, Status> {
        let request = v1::DeleteBranchRequest {
            repo: self.repo.clone(),
            branch: name.to_owned(),
            ..Default::default()
        };
        self.client.delete_branch(request).await?;
        Ok(Answer::Done)
    }
}

fn reason(conflict: &v1::ConflictInfo) -> String {
    conflict.reason().as_str_name().replace("REASON_", "").to_lowercase()
}
