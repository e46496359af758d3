//! Nodes that a tree of git cannot hold: a file with others below it, and names that git
//! keeps for itself.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;
use futures::TryStreamExt;
use vdom_git::file_attributes;
use vdom_mirror::confined_dir::is_safe_path;
use vdom_proto::v1::{NodeKind, ReadTreeRequest};

use super::change_origin::{ChangeOrigin, is_reserved};
use crate::commands::file_problems::FileProblems;
use crate::exit::Failure;
use crate::humanize::printable;

const BELOW: &str = "others lie below it, so that git cannot hold it: move it or them";
const NAME: &str = "git keeps such a name for itself: move it";

/// The paths of all nodes over all branches: a tree is looked at only where one of its
/// paths was a file and a folder at some time.
#[derive(Debug, Default)]
pub(super) struct TreeShape {
    files: HashSet<String>,
    folders: HashSet<String>,
    /// By branch and path, and why.
    left_out: BTreeMap<(String, String), &'static str>,
}

/// What a revision has at a path.
#[derive(Debug)]
pub(super) struct Place {
    /// Git's path of the node there, if any.
    pub(super) file: Option<Bytes>,
    pub(super) has_below: bool,
    /// Why git cannot hold a file here.
    pub(super) why_not: Option<&'static str>,
}

impl TreeShape {
    /// Notes that a node is or was there.
    pub(super) fn note(&mut self, path: &str) {
        if self.files.contains(path) {
            return;
        }
        for folder in folders_of(path) {
            if !self.folders.contains(folder) {
                self.folders.insert(folder.to_owned());
            }
        }
        self.files.insert(path.to_owned());
    }

    /// The places that may be a file and a folder, or none for git, once these nodes changed.
    pub(super) fn doubtful<'a>(
        &self,
        changed: impl Iterator<Item = &'a String>,
    ) -> BTreeSet<String> {
        let mut doubtful = BTreeSet::new();
        for path in changed {
            if self.folders.contains(path) || !is_safe_path(path.as_bytes()) {
                doubtful.insert(path.clone());
            }
            let above = folders_of(path).filter(|folder| self.files.contains(*folder));
            doubtful.extend(above.map(str::to_owned));
        }
        doubtful
    }

    pub(super) fn left_out(&mut self, branch: &str, path: &str, why: &'static str) {
        self.left_out.insert((branch.to_owned(), path.to_owned()), why);
    }

    /// What was left out of some commit, and why.
    pub(super) fn problems(&self) -> FileProblems {
        let named = self.left_out.iter().map(|((branch, path), why)| {
            (format!("{} of {branch}", printable(path)), Failure::failed(*why))
        });
        named.collect::<Vec<_>>().into()
    }
}

impl Place {
    /// Looks what is there.
    pub(super) async fn read(
        path: &str,
        revision: u64,
        origin: &ChangeOrigin<'_>,
    ) -> Result<Self, Failure> {
        let request = ReadTreeRequest {
            realm: origin.client.realm(),
            repo: origin.branch.repo.clone(),
            branch: origin.branch.branch.clone(),
            prefix: path.to_owned(),
            revision,
            epoch: origin.epoch,
            ..ReadTreeRequest::default()
        };
        let mut entries = origin.client.tree(request).await?;
        let mut place = Self { file: None, has_below: false, why_not: None };
        // To its end: a stream that is dropped is one that the connection counts as broken.
        while let Some(entry) = entries.try_next().await? {
            if entry.kind() != NodeKind::File && is_reserved(&entry.path) {
                continue;
            }
            if entry.path == path {
                let attributes = entry.attributes.into_iter().collect();
                place.file = Some(file_attributes::git_path(path, &attributes).into());
            } else {
                place.has_below = true;
            }
        }
        place.why_not = if place.has_below {
            Some(BELOW)
        } else {
            (!is_safe_path(path.as_bytes())).then_some(NAME)
        };
        Ok(place)
    }
}

fn folders_of(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}
