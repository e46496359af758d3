//! Keeps the refs and tags of git on a branch of their own.

use std::collections::HashMap;

use bytes::Bytes;
use futures::TryStreamExt;
use vdom_client::{BranchSpec, Client, random_operation_id};
use vdom_core::Diff;
use vdom_git::branch_name::REFS_BRANCH;
use vdom_git::node_path::{EncodedPath, ORIGINAL_PATH, encode_path};
use vdom_git::ref_list::RepositoryRefs;
use vdom_proto::v1::{NodeKind, OnConflict, ReadTreeRequest, WriteDiffRequest, WriteDiffsRequest};

use super::branch_pipeline::refusal;
use super::export_reader::TaggedCommit;
use crate::exit::Failure;

/// How many refs one change set brings.
const SET_MAX_REFS: usize = 2_000;
/// How much one change set brings, so that it fits a message.
const SET_MAX_BYTES: usize = 2 << 20;

/// Makes the branch hold these refs and no others; answers how many it changed.
/// A tag that led to no commit joins those that are left out.
pub(super) async fn write(
    client: &Client,
    repo: &str,
    refs: &mut RepositoryRefs,
    mut tagged: HashMap<Bytes, TaggedCommit>,
) -> Result<u64, Failure> {
    let branch = BranchSpec::new(repo, REFS_BRANCH)?;
    let mut standing = standing(client, &branch).await?;
    let mut diffs = Vec::new();
    for mut record in std::mem::take(&mut refs.records) {
        if record.commit.is_none() && record.symbolic.is_none() {
            let Some(tagged) = tagged.remove(&record.name) else {
                refs.left_out.push((record.name, "tag of something else".to_owned()));
                continue;
            };
            record.commit = Some(tagged.commit);
            record.tags = tagged.tags;
        }
        let Some(kept) = encode_path(&record.name) else {
            refs.left_out.push((record.name, "ref of a long name".to_owned()));
            continue;
        };
        let document = record.to_document();
        if standing.remove(kept.path.as_str()).as_ref() != Some(&document) {
            diffs.push(put(&kept, &document)?);
        }
        refs.records.push(record);
    }
    let gone = standing.into_keys().map(|path| WriteDiffRequest {
        path,
        diff_bson: Diff::delete(),
        ..WriteDiffRequest::default()
    });
    diffs.extend(gone);
    let changed = diffs.len() as u64;
    let mut set = Vec::new();
    let mut size_bytes = 0;
    for diff in diffs {
        if size_bytes + diff.diff_bson.len() > SET_MAX_BYTES || set.len() >= SET_MAX_REFS {
            write_set(client, &branch, std::mem::take(&mut set)).await?;
            size_bytes = 0;
        }
        size_bytes += diff.diff_bson.len();
        set.push(diff);
    }
    write_set(client, &branch, set).await?;
    Ok(changed)
}

/// The documents that the branch has so far, by path.
async fn standing(client: &Client, branch: &BranchSpec) -> Result<HashMap<String, Bytes>, Failure> {
    let request = ReadTreeRequest {
        realm: client.realm(),
        repo: branch.repo.clone(),
        branch: branch.branch.clone(),
        max_age_ms: Some(0),
        include_content: true,
        ..ReadTreeRequest::default()
    };
    let read: vdom_client::Result<HashMap<_, _>> = async {
        let entries = client.tree(request).await?;
        entries.map_ok(|entry| (entry.path, entry.content)).try_collect().await
    }
    .await;
    match read {
        Err(error) if error.is_not_found() => Ok(HashMap::new()),
        read => Ok(read?),
    }
}

fn put(kept: &EncodedPath, document: &Bytes) -> Result<WriteDiffRequest, Failure> {
    let put = Diff::put_document(document);
    let diff_bson = match &kept.original {
        None => put,
        Some(original) => {
            let set = [(ORIGINAL_PATH, original.as_str())];
            Diff::attributes_then(set, std::iter::empty(), Some(&put))?
        }
    };
    Ok(WriteDiffRequest {
        path: kept.path.to_string(),
        diff_bson,
        kind: NodeKind::Meta.into(),
        ..WriteDiffRequest::default()
    })
}

async fn write_set(
    client: &Client,
    branch: &BranchSpec,
    diffs: Vec<WriteDiffRequest>,
) -> Result<(), Failure> {
    if diffs.is_empty() {
        return Ok(());
    }
    let request = WriteDiffsRequest {
        realm: client.realm(),
        repo: branch.repo.clone(),
        branch: branch.branch.clone(),
        operation_id: random_operation_id()?,
        on_conflict: OnConflict::Overwrite.into(),
        message: "RepositoryRefs and tags as git has them".to_owned(),
        diffs,
        ..WriteDiffsRequest::default()
    };
    let answer = client.write_set(request).await?;
    if answer.success { Ok(()) } else { Err(refusal(branch, &answer)) }
}
