//! The refs and tags of a repo, as git had them or as its branches say.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;

use bytes::Bytes;
use futures::TryStreamExt;
use vdom_client::Client;
use vdom_git::branch_name::{REFS_BRANCH, SIDE_BRANCHES};
use vdom_git::command::{ObjectName, StreamCommand, TagCommand};
use vdom_git::record::RefRecord;
use vdom_proto::v1::ReadTreeRequest;

use super::branch_histories::BranchTip;
use super::git_stream::GitStream;
use crate::exit::Failure;

/// Reads the refs that an import kept; none in a repo that did not come from git.
pub(super) async fn read(client: &Client, repo: &str) -> Result<Vec<RefRecord>, Failure> {
    let request = ReadTreeRequest {
        realm: client.realm(),
        repo: repo.to_owned(),
        branch: REFS_BRANCH.to_owned(),
        include_content: true,
        ..ReadTreeRequest::default()
    };
    let mut entries = match client.tree(request).await {
        Ok(entries) => entries,
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut records = Vec::new();
    loop {
        match entries.try_next().await {
            Ok(Some(entry)) => records.extend(RefRecord::from_document(&entry.content)),
            Ok(None) => return Ok(records),
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes where the refs point: to what git had, and a branch that has gone on
/// since to its last commit. Answers with the tags of a tag that no ref names: they
/// point to the commit instead.
pub(super) fn write<W: Write>(
    git: &mut GitStream<W>,
    records: &[RefRecord],
    tips: &BTreeMap<String, BranchTip>,
) -> Result<Vec<Bytes>, Failure> {
    let mut written = HashSet::new();
    let mut tagged = Vec::new();
    for record in records {
        let Some(commit) = &record.commit else { continue };
        let went_on = record.branch.as_ref().and_then(|branch| tips.get(branch));
        written.extend(record.branch.as_deref());
        if let Some(BranchTip { mark: Some(mark), is_from_git: false }) = went_on {
            git.point(record.name.clone(), *mark)?;
            continue;
        }
        let mark = git.mark_of(commit).ok_or_else(|| {
            let name = record.name.escape_ascii();
            let commit = commit.escape_ascii();
            Failure::failed(format!("{name} points to {commit}, which no branch has"))
                .advice("run the import again to bring in what is missing")
        })?;
        if record.tags.is_empty() {
            git.point(record.name.clone(), mark)?;
        } else {
            tagged.push((record, mark));
        }
    }
    for (branch, tip) in tips {
        // Git has a ref for it no more, or never had one.
        let is_forgotten =
            tip.is_from_git && (!records.is_empty() || branch.starts_with(SIDE_BRANCHES));
        if let Some(mark) = tip.mark
            && !written.contains(branch.as_str())
            && !is_forgotten
        {
            git.point(Bytes::from(format!("refs/heads/{branch}")), mark)?;
        }
    }
    let shortened = write_tags(git, tagged)?;
    git.forget_scratch()?;
    Ok(shortened)
}

/// Writes annotated tags, those of tags after the tags that they point to.
fn write_tags<W: Write>(
    git: &mut GitStream<W>,
    mut tagged: Vec<(&RefRecord, u64)>,
) -> Result<Vec<Bytes>, Failure> {
    tagged.sort_by_key(|(record, _)| record.tags.len());
    let inner = |record: &RefRecord| record.tags.iter().rev().nth(1).map(|tag| tag.id.clone());
    let pointed_to: HashSet<_> = tagged.iter().filter_map(|(record, _)| inner(record)).collect();
    let mut marks = HashMap::new();
    let mut shortened = Vec::new();
    for (record, commit) in tagged {
        let Some(tag) = record.tags.last() else { continue };
        let from = match inner(record) {
            None => commit,
            Some(inner) => marks.get(&inner).copied().unwrap_or_else(|| {
                shortened.push(record.name.clone());
                commit
            }),
        };
        // Older gits take no mark here, so only where it is needed.
        let mark = pointed_to.contains(&tag.id).then(|| git.new_mark());
        marks.extend(mark.map(|mark| (tag.id.clone(), mark)));
        git.write(&StreamCommand::Tag(TagCommand {
            name: tag.name.clone(),
            mark,
            from: ObjectName::Mark(from),
            original_id: (!tag.id.is_empty()).then(|| tag.id.clone()),
            tagger: tag.tagger.clone(),
            message: tag.message.clone(),
        }))?;
    }
    Ok(shortened)
}
