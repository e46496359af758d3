//! The refs of a repository, as `git for-each-ref` lists them.

use bytes::Bytes;

use crate::branch_name::{DETACHED_BRANCH, encode_branch};
use crate::object_id::ObjectId;
use crate::record::RefRecord;

/// What `git for-each-ref --format` is to print: five fields, separated by NUL.
pub const FORMAT: &str = "%(objectname)%00%(objecttype)%00%(*objecttype)%00%(symref)%00%(refname)";

const HEADS: &[u8] = b"refs/heads/";
/// The heads that claim the commits that they share, first ones first.
const TRUNKS: [&[u8]; 4] = [b"main", b"master", b"trunk", b"develop"];

/// The refs of a repository.
#[derive(Debug, Default)]
pub struct RepositoryRefs {
    /// What is kept of each; of a tag, its commit and tags are told by the stream.
    pub records: Vec<RefRecord>,
    /// Branches, with the name of the branch of the repo, in the order in which
    /// they may claim commits.
    pub heads: Vec<(String, ObjectId)>,
    /// Refs to something that is no commit, and what it is.
    pub left_out: Vec<(Bytes, String)>,
}

impl RepositoryRefs {
    /// Reads what `git for-each-ref` prints with the format [`FORMAT`].
    ///
    /// # Errors
    ///
    /// The line that is none of that format.
    pub fn parse(listed: &[u8]) -> Result<Self, &[u8]> {
        let mut refs = Self::default();
        for line in listed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let fields: Vec<&[u8]> = line.splitn(5, |byte| *byte == 0).collect();
            let [id, kind, points_to, symbolic, name] = fields[..] else {
                return Err(line);
            };
            refs.add(id, kind, points_to, symbolic, name).ok_or(line)?;
        }
        Ok(refs)
    }

    /// Notes what HEAD names: that branch claims the commits that it shares.
    pub fn set_head(&mut self, head: Bytes) {
        self.sort_heads(&encode_branch(head.strip_prefix(HEADS).unwrap_or(&head)));
        let name = Bytes::from_static(b"HEAD");
        self.records.push(RefRecord { name, symbolic: Some(head), ..RefRecord::default() });
    }

    /// Notes that no ref leads to the commit that HEAD is at: it gets a branch of our own.
    pub fn set_detached_head(&mut self, commit: ObjectId) {
        self.sort_heads("");
        self.heads.push((DETACHED_BRANCH.to_owned(), commit));
        self.records.push(RefRecord {
            name: Bytes::from_static(b"HEAD"),
            commit: Some(commit.to_string().into()),
            branch: Some(DETACHED_BRANCH.to_owned()),
            ..RefRecord::default()
        });
    }

    fn sort_heads(&mut self, trunk: &str) {
        self.heads.sort_by_key(|(name, _)| {
            let place = TRUNKS.iter().position(|trunk| name.as_bytes() == *trunk);
            (*name != trunk, place.unwrap_or(TRUNKS.len()), name.clone())
        });
    }

    fn add(
        &mut self,
        id: &[u8],
        kind: &[u8],
        points_to: &[u8],
        symbolic: &[u8],
        name: &[u8],
    ) -> Option<()> {
        let mut record = RefRecord { name: Bytes::copy_from_slice(name), ..RefRecord::default() };
        if !symbolic.is_empty() {
            record.symbolic = Some(Bytes::copy_from_slice(symbolic));
        } else if kind == b"commit" {
            record.commit = Some(Bytes::copy_from_slice(id));
            if let Some(head) = name.strip_prefix(HEADS) {
                let branch = encode_branch(head);
                record.branch = Some(branch.clone());
                self.heads.push((branch, ObjectId::parse(id)?));
            }
        } else if kind != b"tag" || matches!(points_to, b"tree" | b"blob") {
            let kind = if kind == b"tag" { points_to } else { kind };
            self.left_out.push((record.name, String::from_utf8_lossy(kind).into_owned()));
            return Some(());
        }
        self.records.push(record);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_are_told_apart_and_head_claims_first() {
        let id = "9223a7da1efd7ef7266fefad8ba66876ada0429e";
        let listed = format!(
            "{id}\0commit\0\0\0refs/heads/main\n{id}\0commit\0\0\0refs/heads/topic\n\
             {id}\0tag\0commit\0\0refs/tags/v1\n{id}\0tag\0blob\0\0refs/tags/key\n"
        );
        let mut refs = RepositoryRefs::parse(listed.as_bytes()).expect("understood");
        refs.set_head(Bytes::from_static(b"refs/heads/topic"));
        let heads: Vec<_> = refs.heads.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(heads, ["topic", "main"]);
        assert_eq!(refs.left_out, [(Bytes::from_static(b"refs/tags/key"), "blob".to_owned())]);
        assert_eq!(refs.records.len(), 4);
        assert_eq!(RepositoryRefs::parse(b"x\0y").expect_err("garbled"), b"x\0y");
    }
}
