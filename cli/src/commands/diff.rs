//! `vdom diff`: what differs between two moments of a branch, or two branches.

pub(crate) mod text;

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use futures::TryStreamExt;
use serde_json::{Value, json};
use vdom_client::{BranchSpec, Client};
use vdom_core::limits::CHUNK_BYTES;
use vdom_git::node_path::RESERVED_FOLDER;
use vdom_proto::v1::{
    GetHistoryRequest, NodeKind, ReadSnapshotRequest, ReadTreeRequest, TreeEntry,
};

use self::text::{DiffSide, unified};
use super::ls::kind_name;
use super::revision_spec::RevisionSpec;
use crate::exit::Failure;
use crate::humanize::{printable, size};
use crate::names::parse_prefix;
use crate::output::{Output, Painter, Tone};
use crate::server::ServerOptions;

/// Show what differs between two revisions or branches
///
/// Without --from and --to, what the last change or change set did.
#[derive(clap::Args, Debug)]
pub(crate) struct DiffArguments {
    /// Branch to read
    #[arg(value_name = "REPO[@BRANCH]")]
    branch: BranchSpec,
    /// Only this node and what lies below it
    #[arg(value_parser = parse_prefix, default_value = "", hide_default_value = true)]
    prefix: String,
    /// The older side: a revision, or another branch [default: before the last change]
    #[arg(long, value_name = "REVISION|BRANCH[@REVISION]")]
    from: Option<RevisionSpec>,
    /// The newer side [default: the latest]
    #[arg(long, value_name = "REVISION|BRANCH[@REVISION]")]
    to: Option<RevisionSpec>,
    /// Only which nodes differ, not how
    #[arg(long)]
    names: bool,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) async fn run(arguments: DiffArguments, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.server.connect().await?;
    let branch = &arguments.branch;
    let to = arguments.to.unwrap_or(RevisionSpec { branch: None, revision: None });
    let to_branch = to.of(branch);
    let from = match arguments.from {
        Some(from) => from,
        None => before_last(&client, &to_branch, to.revision).await?,
    };
    let old =
        BranchSnapshot::read(&client, from.of(branch), from.revision, &arguments.prefix).await?;
    let new = BranchSnapshot::read(&client, to_branch, to.revision, &arguments.prefix).await?;
    for difference in differences(&old, &new, &arguments.prefix) {
        let Some(shown) = NodeDiff::new(&client, &old, &new, difference, arguments.names).await?
        else {
            continue;
        };
        output.result(|| shown.record(), |painter| shown.lines(painter))?;
    }
    Ok(())
}

/// Where the branch was before its last change or change set up to `revision`.
async fn before_last(
    client: &Client,
    branch: &BranchSpec,
    revision: Option<u64>,
) -> Result<RevisionSpec, Failure> {
    let request = GetHistoryRequest {
        realm: client.realm(),
        repo: branch.repo.clone(),
        branch: branch.branch.clone(),
        before_revision: revision.map_or(0, |revision| revision.saturating_add(1)),
        limit: 1,
        ..GetHistoryRequest::default()
    };
    let page = client.history(request).await?;
    let before = page.changes.first().map_or(0, |last| {
        let earlier = last.change_set.as_ref().map_or(0, |position| position.index);
        last.revision.saturating_sub(u64::from(earlier) + 1)
    });
    Ok(RevisionSpec { branch: Some(branch.branch.clone()), revision: Some(before) })
}

/// The nodes of a branch at a revision.
struct BranchSnapshot {
    branch: BranchSpec,
    by_path: BTreeMap<String, TreeEntry>,
    path_of: HashMap<Bytes, String>,
}

impl BranchSnapshot {
    async fn read(
        client: &Client,
        branch: BranchSpec,
        revision: Option<u64>,
        prefix: &str,
    ) -> Result<Self, Failure> {
        if revision == Some(0) {
            return Ok(Self { branch, by_path: BTreeMap::new(), path_of: HashMap::new() });
        }
        let request = ReadTreeRequest {
            realm: client.realm(),
            repo: branch.repo.clone(),
            branch: branch.branch.clone(),
            prefix: prefix.to_owned(),
            revision: revision.unwrap_or_default(),
            ..ReadTreeRequest::default()
        };
        let entries = client.tree(request).await?;
        let by_path: BTreeMap<_, _> =
            entries.map_ok(|entry| (entry.path.clone(), entry)).try_collect().await?;
        let path_of =
            by_path.iter().map(|(path, entry)| (entry.node_id.clone(), path.clone())).collect();
        Ok(Self { branch, by_path, path_of })
    }

    fn of_node(&self, node_id: &Bytes) -> Option<&TreeEntry> {
        self.by_path.get(self.path_of.get(node_id)?)
    }

    async fn content(
        &self,
        client: &Client,
        entry: &TreeEntry,
    ) -> Result<ComparedContent, Failure> {
        if entry.size_bytes > CHUNK_BYTES as u64 {
            return Ok(ComparedContent::Large(entry.size_bytes));
        }
        let request = ReadSnapshotRequest {
            realm: client.realm(),
            repo: self.branch.repo.clone(),
            branch: self.branch.branch.clone(),
            path: entry.path.clone(),
            revision: entry.revision,
            epoch: entry.epoch,
            ..ReadSnapshotRequest::default()
        };
        Ok(ComparedContent::Whole(client.read(request).await?.collect().await?))
    }
}

/// A content, as far as it is compared.
#[derive(PartialEq, Eq)]
enum ComparedContent {
    Whole(Bytes),
    Large(u64),
}

/// A node on both sides; `None` where it is not.
type Difference<'a> = (Option<&'a TreeEntry>, Option<&'a TreeEntry>);

/// Nodes that may differ, by the newer path.
fn differences<'a>(
    old: &'a BranchSnapshot,
    new: &'a BranchSnapshot,
    prefix: &str,
) -> Vec<Difference<'a>> {
    // What vdom keeps for itself is shown where it is asked for.
    let is_shown = |path: &str| {
        prefix.starts_with(RESERVED_FOLDER) || path.split('/').next() != Some(RESERVED_FOLDER)
    };
    let mut differences = BTreeMap::new();
    for (path, now) in &new.by_path {
        let before = old.of_node(&now.node_id).or_else(|| {
            // Another node of that name, unless that one is elsewhere now.
            let same_path = old.by_path.get(path)?;
            new.of_node(&same_path.node_id).is_none().then_some(same_path)
        });
        if is_shown(path) && before.is_none_or(|before| may_differ(before, now)) {
            differences.insert(path.as_str(), (before, Some(now)));
        }
    }
    for (path, before) in &old.by_path {
        let is_gone = new.of_node(&before.node_id).is_none() && !new.by_path.contains_key(path);
        if is_shown(path) && is_gone {
            differences.insert(path, (Some(before), None));
        }
    }
    differences.into_values().collect()
}

fn may_differ(before: &TreeEntry, now: &TreeEntry) -> bool {
    before.path != now.path
        || before.node_id != now.node_id
        || before.version != now.version
        || before.changed_revision != now.changed_revision
        || before.epoch != now.epoch
}

/// A difference with what it is made of.
struct NodeDiff {
    old_path: Option<String>,
    path: Option<String>,
    kind: NodeKind,
    contents: Option<(Option<ComparedContent>, Option<ComparedContent>)>,
    sizes: (u64, u64),
    attributes: Vec<(String, Option<String>, Option<String>)>,
}

impl NodeDiff {
    /// `None`: it does not differ after all.
    async fn new(
        client: &Client,
        old: &BranchSnapshot,
        new: &BranchSnapshot,
        (before, now): Difference<'_>,
        names: bool,
    ) -> Result<Option<Self>, Failure> {
        let old_content = match before {
            Some(entry) => Some(old.content(client, entry).await?),
            None => None,
        };
        let new_content = match now {
            Some(entry) => Some(new.content(client, entry).await?),
            None => None,
        };
        let of_both = |name: &String| {
            let value = |entry: Option<&TreeEntry>| entry?.attributes.get(name).cloned();
            (name.clone(), value(before), value(now))
        };
        let mut names_of_attributes: Vec<_> = [before, now]
            .into_iter()
            .flatten()
            .flat_map(|entry| entry.attributes.keys().cloned())
            .collect();
        names_of_attributes.sort();
        names_of_attributes.dedup();
        let mut attributes: Vec<_> = names_of_attributes.iter().map(of_both).collect();
        attributes.retain(|(_, before, now)| before != now);
        let is_same = old_content == new_content
            && !matches!(old_content, Some(ComparedContent::Large(_)))
            && attributes.is_empty();
        let path = |entry: Option<&TreeEntry>| entry.map(|entry| entry.path.clone());
        if is_same && path(before) == path(now) {
            return Ok(None);
        }
        let size_of = |entry: Option<&TreeEntry>| entry.map_or(0, |entry| entry.size_bytes);
        let kind = now.or(before).map_or(NodeKind::File, TreeEntry::kind);
        Ok(Some(Self {
            old_path: path(before),
            path: path(now),
            kind,
            contents: (!names).then_some((old_content, new_content)),
            sizes: (size_of(before), size_of(now)),
            attributes,
        }))
    }

    fn change(&self) -> &'static str {
        match (&self.old_path, &self.path) {
            (None, _) => "added",
            (_, None) => "deleted",
            (Some(old), Some(new)) if old != new => "renamed",
            _ => "changed",
        }
    }

    fn record(&self) -> Value {
        let mut record = json!({
            "change": self.change(),
            "path": self.path.as_ref().or(self.old_path.as_ref()),
            "kind": kind_name(self.kind),
            "old_size_bytes": self.sizes.0,
            "size_bytes": self.sizes.1,
        });
        if self.change() == "renamed" {
            record["old_path"] = self.old_path.clone().into();
        }
        if !self.attributes.is_empty() {
            let attributes = self.attributes.iter().map(|(name, before, now)| {
                (name.clone(), json!({ "before": before, "after": now }))
            });
            record["attributes"] = attributes.collect::<serde_json::Map<_, _>>().into();
        }
        if self.contents.is_some() {
            record["diff"] = self.content_lines(&Painter::colorless()).into();
        }
        record
    }

    fn lines(&self, painter: &Painter) -> String {
        let tone = match self.change() {
            "added" => Tone::Good,
            "deleted" => Tone::Bad,
            _ => Tone::Strong,
        };
        let path = self.path.as_ref().or(self.old_path.as_ref()).cloned().unwrap_or_default();
        let mut text = painter.paint(tone, self.change());
        text.extend([" ", &printable(&path)]);
        if self.change() == "renamed" {
            let old = self.old_path.as_deref().unwrap_or_default();
            text.extend([" from ", &printable(old)]);
        }
        for (name, before, now) in &self.attributes {
            let value = |value: &Option<String>| {
                value.as_deref().map_or_else(|| "none".to_owned(), printable)
            };
            let line = format!("\n  {}: {} -> {}", printable(name), value(before), value(now));
            text.push_str(&painter.paint(Tone::Faint, &line));
        }
        let content = self.content_lines(painter);
        if !content.is_empty() {
            text.push('\n');
            text.push_str(&content);
        }
        text
    }

    fn content_lines(&self, painter: &Painter) -> String {
        let Some((old, new)) = &self.contents else { return String::new() };
        let bytes = |content: &Option<ComparedContent>| match content {
            None => Some(Bytes::new()),
            Some(ComparedContent::Whole(bytes)) => Some(bytes.clone()),
            Some(ComparedContent::Large(_)) => None,
        };
        let (Some(old), Some(new)) = (bytes(old), bytes(new)) else {
            return format!("(large: {} -> {})", size(self.sizes.0), size(self.sizes.1));
        };
        let name = |path: &Option<String>| {
            path.as_deref().map_or_else(|| "/dev/null".to_owned(), printable)
        };
        let (old_name, new_name) = (name(&self.old_path), name(&self.path));
        let old = DiffSide { name: &old_name, content: &old };
        let new = DiffSide { name: &new_name, content: &new };
        unified(&old, &new, self.kind, painter)
    }
}
