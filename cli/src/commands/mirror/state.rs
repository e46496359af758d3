//! What both sides agreed on last, kept in a file between runs.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};
use vdom::git::node::Attributes;
use vdom_core::NodeId;

use super::disk::Look;
use super::path::LocalPath;
use super::plan::{Shape, Version};
use crate::exit::{Exit, Failure};

/// Of the file's form.
const FORMAT: u32 = 1;

/// A node as a writer must know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    #[serde(with = "node_id")]
    pub(super) id: NodeId,
    /// The path of the node.
    pub(super) path: String,
    pub(super) version: u64,
    pub(super) clock: BTreeMap<String, u64>,
    /// Those that say what the node is as a file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) attributes: Attributes,
}

/// A file that both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Agreed {
    /// The node; where a merge is under way, the version that it starts from.
    #[serde(flatten)]
    pub(super) node: Known,
    pub(super) shape: Shape,
    /// How the file stood on the disk when it had that shape.
    pub(super) look: Option<Look>,
}

/// A conflict that waits for a person: what the branch had, as it was laid beside
/// the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Disputed {
    #[serde(flatten)]
    pub(super) node: Known,
    pub(super) shape: Shape,
}

/// Which directory and branch belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mirrored {
    pub(super) realm: String,
    pub(super) repo: String,
    pub(super) branch: String,
    pub(super) prefix: String,
}

/// Everything that is kept between runs.
#[derive(Debug)]
pub(super) struct State {
    pub(super) mirrored: Mirrored,
    /// Up to where the branch is known; 0 and 0: not at all.
    pub(super) epoch: u64,
    pub(super) revision: u64,
    pub(super) disputes: BTreeMap<LocalPath, Disputed>,
    files: BTreeMap<LocalPath, Agreed>,
    by_node: HashMap<NodeId, LocalPath>,
}

impl Agreed {
    /// As the planner wants it.
    pub(super) fn version(&self) -> Version {
        Version { node: self.node.id, shape: self.shape }
    }
}

impl State {
    /// Nothing agreed on yet.
    pub(super) fn new(mirrored: Mirrored) -> Self {
        Self {
            mirrored,
            epoch: 0,
            revision: 0,
            disputes: BTreeMap::new(),
            files: BTreeMap::new(),
            by_node: HashMap::new(),
        }
    }

    /// Reads the file; nothing agreed on yet where there is none. Another
    /// directory's or branch's is refused.
    pub(super) fn load(file: &Path, mirrored: Mirrored) -> Result<Self, Failure> {
        let text = match std::fs::read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::new(mirrored));
            }
            Err(error) => return Err(unreadable(file, &error.to_string())),
        };
        let stored: Stored =
            serde_json::from_slice(&text).map_err(|error| unreadable(file, &error.to_string()))?;
        if stored.format != FORMAT {
            return Err(unreadable(file, "it was written by another version of vdom"));
        }
        if stored.mirrored != mirrored {
            let Mirrored { realm, repo, branch, prefix } = stored.mirrored;
            let mut what = format!("{repo}@{branch}");
            if !realm.is_empty() {
                what = format!("{what} of realm {realm}");
            }
            if !prefix.is_empty() {
                what = format!("{prefix} of {what}");
            }
            let message = format!("this directory mirrors {what}");
            return Err(Failure::new(Exit::Conflict, message)
                .advice("name another directory; or remove its folder .vdom to begin anew"));
        }
        let mut state = Self::new(mirrored);
        (state.epoch, state.revision) = (stored.epoch, stored.revision);
        // A file written in the same tick of the clock as the state may differ and
        // look the same.
        let trusted_before = stored.saved_at_ns.saturating_sub(Look::TICK_NS);
        for Row { local, mut value } in stored.files {
            value.look = value.look.filter(|look| look.changed_ns < trusted_before);
            state.insert(local, value);
        }
        state.disputes = stored.disputes.into_iter().map(|row| (row.local, row.value)).collect();
        Ok(state)
    }

    /// Writes the file: whoever reads it sees the old one or this one.
    pub(super) fn save(&self, file: &Path, now_ns: i64) -> Result<(), Failure> {
        let stored = Stored {
            format: FORMAT,
            mirrored: self.mirrored.clone(),
            epoch: self.epoch,
            revision: self.revision,
            saved_at_ns: now_ns,
            files: rows(&self.files),
            disputes: rows(&self.disputes),
        };
        let fresh = file.with_extension("new");
        let write = || {
            let mut text = serde_json::to_vec(&stored)?;
            text.push(b'\n');
            std::fs::write(&fresh, text)?;
            std::fs::File::open(&fresh)?.sync_all()?;
            std::fs::rename(&fresh, file)
        };
        write()
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", file.display())))
    }

    /// What was agreed on at this path.
    pub(super) fn get(&self, path: &LocalPath) -> Option<&Agreed> {
        self.files.get(path)
    }

    /// Where a node was when both sides agreed.
    pub(super) fn path_of(&self, node: NodeId) -> Option<&LocalPath> {
        self.by_node.get(&node)
    }

    /// Notes what both sides agree on.
    pub(super) fn insert(&mut self, path: LocalPath, agreed: Agreed) {
        self.remove(&path);
        if let Some(old) = self.by_node.insert(agreed.node.id, path.clone()) {
            self.files.remove(&old);
        }
        self.files.insert(path, agreed);
    }

    /// Forgets a path.
    pub(super) fn remove(&mut self, path: &LocalPath) -> Option<Agreed> {
        let agreed = self.files.remove(path)?;
        self.by_node.remove(&agreed.node.id);
        Some(agreed)
    }

    /// Everything that was agreed on, by path.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&LocalPath, &Agreed)> {
        self.files.iter()
    }

    /// How many files were agreed on.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Forgets what does not pass.
    pub(super) fn retain(&mut self, keep: impl Fn(&Agreed) -> bool) {
        self.files.retain(|_, agreed| keep(agreed));
        let files = &self.files;
        self.by_node.retain(|_, path| files.contains_key(path));
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    #[serde(flatten)]
    mirrored: Mirrored,
    epoch: u64,
    revision: u64,
    /// Nanoseconds since the Unix epoch.
    saved_at_ns: i64,
    files: Vec<Row<Agreed>>,
    disputes: Vec<Row<Disputed>>,
}

#[derive(Serialize, Deserialize)]
struct Row<T> {
    /// On the disk.
    local: LocalPath,
    #[serde(flatten)]
    value: T,
}

fn rows<T: Clone>(values: &BTreeMap<LocalPath, T>) -> Vec<Row<T>> {
    let row = |(local, value): (&LocalPath, &T)| Row { local: local.clone(), value: value.clone() };
    values.iter().map(row).collect()
}

fn unreadable(file: &Path, why: &str) -> Failure {
    Failure::failed(format!("cannot read {}: {why}", file.display()))
        .advice("remove it to begin anew: files that differ then become conflicts")
}

mod node_id {
    //! A node's id in the state file.

    use serde::{Deserializer, Serializer};
    use vdom_core::NodeId;

    use super::super::hexadecimal;

    pub(super) fn serialize<S: Serializer>(id: &NodeId, serializer: S) -> Result<S::Ok, S::Error> {
        hexadecimal::serialize(&id.0, serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<NodeId, D::Error> {
        hexadecimal::deserialize(deserializer).map(NodeId)
    }
}

#[cfg(test)]
mod tests;
