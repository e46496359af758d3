//! Reads: what stood where, as of which revision.

use std::rc::Rc;

use vdom_core::dom::calls::{
    GetHistory, HistoryPage, NodeSelector, ReadAt, ReadSnapshot, ReadTree, Snapshot, TreeEntry,
};
use vdom_core::{BranchAddress, Content, Error, ErrorCode, Result as Answered};

use super::answers::{Asked, Explained, equal, expect, refused};
use super::{Change, State, World};

impl World {
    pub(super) fn read(
        &mut self,
        asked: &Asked,
        read: &ReadSnapshot,
        answer: &Answered<Snapshot>,
    ) -> Explained {
        let at = |answer: &Snapshot| (answer.epoch, answer.revision);
        let Some((log, revision)) =
            self.as_of(asked, &read.address, &read.at, answer.as_ref().map(at))?
        else {
            return Ok(());
        };
        let found = match &read.node {
            NodeSelector::Id(id) => self.node(log, *id, revision).filter(|node| node.live),
            NodeSelector::Path(path) => self.node_at(log, path, revision),
        };
        match (&found, answer) {
            (Some(node), Ok(snapshot)) => {
                let shown = &snapshot.node;
                let content = match &shown.content {
                    Content::Inline(bytes) => bytes.clone(),
                    other => return Err(format!("content {other:?}")),
                };
                equal(
                    "node",
                    &(node.id, &node.path, node.kind),
                    &(shown.id, &shown.path, shown.kind),
                )?;
                equal("version", &(node.version, &node.clock), &(shown.version, &shown.clock))?;
                equal("attributes", &node.attributes, &shown.attributes)?;
                equal("author", &node.author, &shown.author)?;
                equal("changed", &node.revision, &shown.changed_revision)?;
                expect(node.content == content, || {
                    format!("content {content:?} where {:?} was expected", node.content)
                })
            }
            (None, Err(error)) if error.code == ErrorCode::NotFound => Ok(()),
            (found, answer) => Err(format!("{answer:?} where {found:?} was expected")),
        }
    }

    pub(super) fn read_tree(
        &mut self,
        asked: &Asked,
        read: &ReadTree,
        answer: &Answered<Vec<TreeEntry>>,
    ) -> Explained {
        // An empty tree does not tell of when it is.
        if let Ok(entries) = answer
            && entries.is_empty()
        {
            return self.is_empty(asked, &read.address, &read.at);
        }
        let at = |answer: &Vec<TreeEntry>| (answer[0].epoch, answer[0].revision);
        let Some((log, revision)) =
            self.as_of(asked, &read.address, &read.at, answer.as_ref().map(at))?
        else {
            return Ok(());
        };
        match answer {
            Ok(entries) => self.is_tree(log, revision, entries),
            // What it was reading is no longer kept.
            Err(error) if self.is_racing && error.code == ErrorCode::Compacted => Ok(()),
            Err(error) => Err(format!("{error:?} where a tree was expected")),
        }
    }

    /// Whether the tree at a revision is this one.
    pub fn is_tree(&self, log: usize, revision: u64, entries: &[TreeEntry]) -> Explained {
        let tree = self.tree(log, revision);
        let paths: Vec<_> = entries.iter().map(|entry| entry.node.path.as_str()).collect();
        let expected: Vec<_> = tree.keys().map(String::as_str).collect();
        let mut sorted = paths.clone();
        sorted.sort_unstable();
        equal("paths", &expected, &sorted)?;
        for entry in entries {
            let node = &tree[entry.node.path.as_str()];
            equal("as of", &revision, &entry.revision)?;
            is_entry(node, entry)?;
        }
        Ok(())
    }

    fn is_empty(&self, asked: &Asked, address: &BranchAddress, at: &ReadAt) -> Explained {
        let Some(log) = self.newest(&address.branch) else {
            return Err("a tree of no branch".to_owned());
        };
        let (from, to) = match at.revision {
            Some(revision) => (revision, revision),
            None if at.max_age_ms == Some(0) => (self.head(log), self.head(log)),
            None => (at.min_revision.unwrap_or(0), self.head(log)),
        };
        let is_empty = |log: usize| (from..=to).any(|revision| self.tree(log, revision).is_empty());
        let behind = self.is_behind(asked, &address.branch);
        expect(behind || is_empty(log), || format!("an empty tree from {from} to {to}"))
    }

    pub(super) fn history(
        &mut self,
        asked: &Asked,
        history: &GetHistory,
        answer: &Answered<HistoryPage>,
    ) -> Explained {
        if self.gateways > 1 && refused(ErrorCode::Compacted, answer).is_ok() {
            return Ok(());
        }
        let at = |answer: &HistoryPage| (answer.epoch, answer.revision);
        let when = ReadAt::default();
        let Some((log, revision)) =
            self.as_of(asked, &history.address, &when, answer.as_ref().map(at))?
        else {
            return Ok(());
        };
        let oldest = self.oldest(log);
        let kept = |change: &Rc<Change>| change.revision > oldest;
        let mut expected = self.changes(log, revision);
        expected.retain(kept);
        if let Some(NodeSelector::Path(path)) = &history.node {
            let Some(node) = self.last_at(log, path, revision) else {
                return refused(ErrorCode::NotFound, answer);
            };
            expected.retain(|change| change.node.id == node.id);
        }
        let page = match answer {
            Ok(page) => page,
            // It was there when nothing is kept of.
            Err(error)
                if error.code == ErrorCode::NotFound
                    && oldest > 0
                    && matches!(&history.node, Some(NodeSelector::Path(path))
                        if self.node_at(log, path, revision).is_none()) =>
            {
                return Ok(());
            }
            // Of a node of which nothing is kept.
            Err(error) if expected.is_empty() && error.code == ErrorCode::NotFound => return Ok(()),
            Err(error) if self.is_racing && error.code == ErrorCode::Compacted => {
                return Ok(());
            }
            Err(error) => return Err(format!("{error:?} where a history was expected")),
        };
        let told = page.changes.iter().rev();
        let found: Vec<_> =
            told.map(|event| (event.change.revision, event.change.node_id)).collect();
        let expected: Vec<_> =
            expected.iter().map(|change| (change.revision, change.node.id)).collect();
        // A gateway may not have heard of the limit yet.
        let tail = found.len().saturating_sub(expected.len());
        // What a branch continues may be kept for longer.
        let continues = self.logs[log].parent.is_some();
        if self.gateways > 1 || continues {
            return equal("history", &expected.as_slice(), &&found[tail..]);
        }
        equal("history", &expected, &found)
    }

    /// The log and revision that an answer is as of; `None`: there is no more to compare.
    fn as_of(
        &mut self,
        asked: &Asked,
        address: &BranchAddress,
        at: &ReadAt,
        answer: Result<(u64, u64), &Error>,
    ) -> Result<Option<(usize, u64)>, String> {
        let name = &address.branch;
        let open = self.open(name);
        let is_confirmed = at.max_age_ms == Some(0) || self.gateways == 1;
        let told = match answer {
            Ok(told) => Some(told),
            Err(error) => error.epoch.zip(error.revision),
        };
        // An incarnation that is gone, as its gateway knows it.
        if self.is_behind(asked, name) && !is_confirmed {
            let ended = told.is_some_and(|(epoch, _)| {
                self.logs.iter().any(|log| log.name == *name && log.closed && log.epoch == epoch)
            });
            if ended || answer.is_err() {
                return Ok(None);
            }
        }
        let Some(log) = open else {
            return match answer {
                Err(error) if error.code == ErrorCode::NotFound => Ok(None),
                answer => Err(format!("{answer:?} of no branch")),
            };
        };
        let head = self.head(log);
        if let Some(revision) = at.revision {
            if revision > head {
                return match answer {
                    Err(error) if error.code == ErrorCode::NotFound => Ok(None),
                    answer => Err(format!("{answer:?} of a revision to come")),
                };
            }
            if revision < self.oldest(log) {
                return match answer {
                    Err(error) if error.code == ErrorCode::Compacted => Ok(None),
                    // It has not heard of the limit.
                    answer if is_confirmed => Err(format!("{answer:?} of what is compacted")),
                    _ => Ok(Some((log, revision))),
                };
            }
            return Ok(Some((log, revision)));
        }
        let Some((epoch, revision)) = told else {
            return Err(format!("{answer:?} where {head} stands"));
        };
        equal("epoch", &self.logs[log].epoch, &epoch)?;
        let known = self.answered.get(&(asked.gateway, log)).copied().unwrap_or(0);
        let least = if is_confirmed { head } else { known.max(at.min_revision.unwrap_or(0)) };
        expect((least..=head).contains(&revision), || {
            format!("as of {revision}, where {least} to {head} was expected")
        })?;
        self.answered.insert((asked.gateway, log), revision);
        Ok(Some((log, revision)))
    }
}

fn is_entry(node: &State, entry: &TreeEntry) -> Explained {
    let shown = &entry.node;
    equal("node", &(node.id, node.kind), &(shown.id, shown.kind))?;
    equal("version", &(node.version, &node.clock), &(shown.version, &shown.clock))?;
    equal("attributes", &node.attributes, &shown.attributes)?;
    equal("changed", &node.revision, &shown.changed_revision)?;
    equal("size", &(node.content.len() as u64), &entry.size_bytes)?;
    match &entry.content {
        Some(content) => expect(node.content == *content, || {
            format!("content {content:?} where {:?} was expected", node.content)
        }),
        None => Ok(()),
    }
}
