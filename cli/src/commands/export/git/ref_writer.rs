//! The refs and tags of a repo, as git had them or as its branches say.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Write;

use bytes::Bytes;
use futures::TryStreamExt;
use vdom_client::Client;
use vdom_git::branch_name::{REFS_BRANCH, SIDE_BRANCHES};
use vdom_git::command::{ObjectName, StreamCommand, TagCommand};
use vdom_git::identity::readable_person;
use vdom_git::record::RefRecord;
use vdom_proto::v1::ReadTreeRequest;

use super::branch_histories::BranchTip;
use super::git_stream::GitStream;
use crate::exit::Failure;

const HEADS: &str = "refs/heads/";

/// What could not be written as it is.
pub(super) struct WrittenRefs {
    /// What is otherwise, for people.
    pub(super) notes: Vec<String>,
}

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
/// since to its last commit.
pub(super) fn write<W: Write>(
    git: &mut GitStream<W>,
    records: &[RefRecord],
    tips: &BTreeMap<String, BranchTip>,
) -> Result<WrittenRefs, Failure> {
    let mut written = HashSet::new();
    let with_commit = records.iter().filter(|record| record.commit.is_some());
    let mut taken: BTreeSet<_> = with_commit.map(|record| record.name.clone()).collect();
    let mut notes = Vec::new();
    let mut tagged = Vec::new();
    for record in records {
        let Some(commit) = &record.commit else { continue };
        let went_on = record.branch.as_ref().and_then(|branch| tips.get(branch));
        written.extend(record.branch.as_deref());
        let mut name = record.name.clone();
        if name == "HEAD" {
            // A stream that sets HEAD would set the branch that it names.
            name = free_name("detached-HEAD", &taken);
            taken.insert(name.clone());
            notes.push(format!("HEAD was detached: its commits are at {}", name.escape_ascii()));
        }
        if let Some(BranchTip { mark: Some(mark), is_from_git: false }) = went_on {
            git.point(name, *mark)?;
            continue;
        }
        let mark = git.mark_of(commit).ok_or_else(|| {
            let name = name.escape_ascii();
            let commit = commit.escape_ascii();
            Failure::failed(format!("{name} points to {commit}, which no branch has"))
                .advice("run the import again to bring in what is missing")
        })?;
        if record.tags.is_empty() {
            git.point(name, mark)?;
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
            let name = free_name(branch, &taken);
            if name.strip_prefix(HEADS.as_bytes()) != Some(branch.as_bytes()) {
                notes.push(format!(
                    "the branch {branch} is {} there: git cannot have it beside the others",
                    name.escape_ascii()
                ));
            }
            taken.insert(name.clone());
            git.point(name, mark)?;
        }
    }
    for name in write_tags(git, tagged)? {
        notes.push(format!(
            "{} points to its commit: the tag between them has no ref",
            name.escape_ascii()
        ));
    }
    git.forget_scratch()?;
    Ok(WrittenRefs { notes })
}

/// A ref for a branch that can be beside those that are taken: to git a name is a file, and
/// one that goes on after a `/` lies in a folder.
fn free_name(branch: &str, taken: &BTreeSet<Bytes>) -> Bytes {
    let flat = branch.replace('/', "-");
    let numbered = (2..).map(|number| format!("{flat}-{number}"));
    let names = [branch.to_owned(), flat.clone()].into_iter().chain(numbered);
    let is_free = |name: &String| {
        let mut above = name.match_indices('/').map(|(at, _)| &name.as_bytes()[..at]);
        let below = format!("{name}/");
        let next = taken.range(Bytes::from(below.clone())..).next();
        !taken.contains(name.as_bytes())
            && !above.any(|above| taken.contains(above))
            && !next.is_some_and(|next| next.starts_with(below.as_bytes()))
    };
    names.map(|name| format!("{HEADS}{name}")).find(is_free).unwrap_or_default().into()
}

/// Writes annotated tags, those of tags after the tags that they point to. Answers with the
/// tags of a tag that no ref names: they point to the commit instead.
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
            tagger: tag.tagger.as_deref().map(|tagger| readable_person(tagger).into()),
            message: tag.message.clone(),
        }))?;
    }
    Ok(shortened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_that_git_cannot_have_beside_others_gets_another_name() {
        let taken: BTreeSet<_> = ["a", "b/c", "b-c", "b-c-2", "d!/x"]
            .map(|name| Bytes::from(format!("{HEADS}{name}")))
            .into();
        for (branch, name) in [
            ("main", "main"),
            ("a", "a-2"),
            ("a/x", "a-x"),
            ("a/x/y", "a-x-y"),
            ("b", "b-2"),
            ("b/c/d", "b-c-d"),
            ("b/c", "b-c-3"),
            ("d", "d"),
        ] {
            assert_eq!(free_name(branch, &taken), format!("{HEADS}{name}"), "{branch}");
        }
    }
}
