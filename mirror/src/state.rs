//! What both sides agreed on last, kept in a file between runs.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};
use vdom_core::NodeId;
use vdom_git::file_attributes::Attributes;

use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::{FileStat, Fingerprint};
use crate::local_path::LocalPath;
use crate::sync_plan::NodeVersion;

/// The version of the file's format.
const FORMAT: u32 = 1;

/// A node as a writer must know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownNode {
    #[serde(with = "node_id")]
    pub(crate) id: NodeId,
    /// The path of the node.
    pub(crate) path: String,
    pub(crate) version: u64,
    pub(crate) clock: BTreeMap<String, u64>,
    /// Those that say what the node is as a file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attributes: Attributes,
}

/// A file that both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgreedFile {
    /// The node; where a merge is under way, the version that it starts from.
    #[serde(flatten)]
    pub(crate) node: KnownNode,
    #[serde(rename = "shape")]
    pub(crate) fingerprint: Fingerprint,
    /// What the file system said of the file when it had that fingerprint.
    #[serde(rename = "look")]
    pub(crate) stat: Option<FileStat>,
}

/// A conflict that waits for a person: what the branch had, as it was laid beside
/// the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Conflict {
    #[serde(flatten)]
    pub(crate) node: KnownNode,
    #[serde(rename = "shape")]
    pub(crate) fingerprint: Fingerprint,
}

/// Which directory and branch belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MirrorIdentity {
    pub(crate) realm: String,
    pub(crate) repo: String,
    pub(crate) branch: String,
    pub(crate) prefix: String,
}

/// Everything that is kept between runs.
#[derive(Debug)]
pub(crate) struct MirrorState {
    pub(crate) mirrored: MirrorIdentity,
    /// Up to where the branch is known; 0 and 0: not at all.
    pub(crate) epoch: u64,
    pub(crate) revision: u64,
    pub(crate) conflicts: BTreeMap<LocalPath, Conflict>,
    files: BTreeMap<LocalPath, AgreedFile>,
    by_node: HashMap<NodeId, LocalPath>,
}

impl AgreedFile {
    /// As the planner wants it.
    pub(crate) fn version(&self) -> NodeVersion {
        NodeVersion { node: self.node.id, fingerprint: self.fingerprint }
    }
}

impl MirrorState {
    /// A state without anything agreed on.
    pub(crate) fn new(mirrored: MirrorIdentity) -> Self {
        Self {
            mirrored,
            epoch: 0,
            revision: 0,
            conflicts: BTreeMap::new(),
            files: BTreeMap::new(),
            by_node: HashMap::new(),
        }
    }

    /// Reads the file; nothing agreed on yet where there is none. Another
    /// directory's or branch's is refused.
    pub(crate) fn load(file: &Path, mirrored: MirrorIdentity) -> Result<Self> {
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
            let MirrorIdentity { realm, repo, branch, prefix } = stored.mirrored;
            let mut what = format!("{repo}@{branch}");
            if !realm.is_empty() {
                what = format!("{what} of realm {realm}");
            }
            if !prefix.is_empty() {
                what = format!("{prefix} of {what}");
            }
            let message = format!("this directory mirrors {what}");
            return Err(Error::new(ErrorKind::Conflict, message)
                .advice("name another directory; or remove its folder .vdom to begin anew"));
        }
        let mut state = Self::new(mirrored);
        (state.epoch, state.revision) = (stored.epoch, stored.revision);
        // A file written in the same tick of the clock as the state may differ and
        // look the same.
        let trusted_before = stored.saved_at_ns.saturating_sub(FileStat::TICK_NS);
        for Row { local, mut value } in stored.files {
            value.stat = value.stat.filter(|stat| stat.changed_ns < trusted_before);
            state.insert(local, value);
        }
        state.conflicts = stored.conflicts.into_iter().map(|row| (row.local, row.value)).collect();
        Ok(state)
    }

    /// Writes the file: whoever reads it sees the old one or this one.
    pub(crate) fn save(&self, file: &Path, now_ns: i64) -> Result<()> {
        let stored = Stored {
            format: FORMAT,
            mirrored: self.mirrored.clone(),
            epoch: self.epoch,
            revision: self.revision,
            saved_at_ns: now_ns,
            files: rows(&self.files),
            conflicts: rows(&self.conflicts),
        };
        let fresh = file.with_extension("new");
        let write = || {
            let mut text = serde_json::to_vec(&stored)?;
            text.push(b'\n');
            std::fs::write(&fresh, text)?;
            std::fs::File::open(&fresh)?.sync_all()?;
            std::fs::rename(&fresh, file)
        };
        write().map_err(|error| Error::failed(format!("cannot write {}: {error}", file.display())))
    }

    /// What was agreed on at this path.
    pub(crate) fn get(&self, path: &LocalPath) -> Option<&AgreedFile> {
        self.files.get(path)
    }

    /// Where a node was when both sides agreed.
    pub(crate) fn path_of(&self, node: NodeId) -> Option<&LocalPath> {
        self.by_node.get(&node)
    }

    /// Notes what both sides agree on.
    pub(crate) fn insert(&mut self, path: LocalPath, agreed: AgreedFile) {
        self.remove(&path);
        if let Some(old) = self.by_node.insert(agreed.node.id, path.clone()) {
            self.files.remove(&old);
        }
        self.files.insert(path, agreed);
    }

    /// Forgets what was agreed on at this path.
    pub(crate) fn remove(&mut self, path: &LocalPath) -> Option<AgreedFile> {
        let agreed = self.files.remove(path)?;
        self.by_node.remove(&agreed.node.id);
        Some(agreed)
    }

    /// Everything that was agreed on, by path.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&LocalPath, &AgreedFile)> {
        self.files.iter()
    }

    /// How many files were agreed on.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// Forgets what does not pass.
    pub(crate) fn retain(&mut self, keep: impl Fn(&AgreedFile) -> bool) {
        self.files.retain(|_, agreed| keep(agreed));
        let files = &self.files;
        self.by_node.retain(|_, path| files.contains_key(path));
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    #[serde(flatten)]
    mirrored: MirrorIdentity,
    epoch: u64,
    revision: u64,
    /// Nanoseconds since the Unix epoch.
    saved_at_ns: i64,
    files: Vec<Row<AgreedFile>>,
    #[serde(rename = "disputes")]
    conflicts: Vec<Row<Conflict>>,
}

#[derive(Serialize, Deserialize)]
struct Row<T> {
    /// Where the file is in the directory.
    local: LocalPath,
    #[serde(flatten)]
    value: T,
}

fn rows<T: Clone>(values: &BTreeMap<LocalPath, T>) -> Vec<Row<T>> {
    let row = |(local, value): (&LocalPath, &T)| Row { local: local.clone(), value: value.clone() };
    values.iter().map(row).collect()
}

fn unreadable(file: &Path, why: &str) -> Error {
    Error::failed(format!("cannot read {}: {why}", file.display()))
        .advice("remove it to begin anew: files that differ then become conflicts")
}

mod node_id {
    //! A node's id in the state file: hexadecimal digits.

    use serde::{Deserializer, Serializer};
    use vdom_core::NodeId;

    pub(super) fn serialize<S: Serializer>(id: &NodeId, serializer: S) -> Result<S::Ok, S::Error> {
        hex::serde::serialize(id.0, serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<NodeId, D::Error> {
        hex::serde::deserialize(deserializer).map(NodeId)
    }
}

#[cfg(test)]
mod tests;
