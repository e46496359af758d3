//! From a step to a call: what the step leaves open is found in the model.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use vdom_core::document::{DocumentBuilder, elements};
use vdom_core::dom::calls::{
    AckLevel, CreateBranch, DeleteBranch, DiffSource, GetHistory, ListConflicts, NodeSelector,
    ReadAt, ReadSnapshot, ReadTree, ResolveConflict, RevertChanges, WriteDiff, WriteDiffs,
};
use vdom_core::dom::calls::{OnConflict as OnConflictInCall, Resolution as ResolutionInCall};
use vdom_core::dom::diff::TextOperation;
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{BranchAddress, Diff, NodeKind, NodePath, OperationId, VectorClock};

use crate::model::answers::{Asked, Call};
use crate::model::{State, World};
use crate::steps::{Action, At, Edit, OnConflict, Resolution, Seen, Who, Write};

const PATHS: [&str; 7] = ["a", "b", "d/a", "d/b", "d", "e/x/y", "z"];
const BRANCHES: [&str; 5] = ["main", "next", "third", "fourth", "last"];
const CLIENTS: [&str; 3] = ["anna", "bert", "cleo"];

/// Makes calls of steps.
#[derive(Debug, Default)]
pub(super) struct Requests {
    operations: u64,
    large: u64,
}

/// Which branch.
pub(super) fn address(branch: u8) -> BranchAddress {
    let name = BRANCHES[usize::from(branch) % BRANCHES.len()];
    BranchAddress::parse("", "repo", name).expect("valid")
}

/// Which path.
pub(super) fn path(path: u8) -> NodePath {
    NodePath::parse(PATHS[usize::from(path) % PATHS.len()]).expect("valid")
}

/// Who.
pub(super) fn subject(client: u8) -> String {
    CLIENTS[usize::from(client) % CLIENTS.len()].to_owned()
}

impl Requests {
    /// The call of a step; `None` where there is nothing to ask for.
    pub(super) fn call(&mut self, world: &World, who: Who, action: &Action) -> Option<Asked> {
        let address = address(who.branch);
        let log = world.open(&address.branch);
        let head = log.map_or(0, |log| world.head(log));
        let call = match action {
            Action::Write(write) => Call::Write(Box::new(self.write(world, who, write))),
            Action::Set { items, named, expected } => {
                let on_conflict = items.first().map_or(OnConflict::Reject, |item| item.on_conflict);
                let items: Vec<_> = items
                    .iter()
                    .map(|item| {
                        let item = Write { named: false, keep: false, ..item.clone() };
                        self.write(world, who, &item)
                    })
                    .collect();
                let set = WriteDiffs {
                    address,
                    operation_id: named.then(|| self.operation()),
                    expected_revision: expected.then_some(head),
                    on_conflict: in_call(on_conflict),
                    min_ack: AckLevel::Committed,
                    author: None,
                    authored_at_ms: None,
                    message: String::new(),
                    metadata: BTreeMap::new(),
                };
                Call::Set(Box::new(set), items)
            }
            Action::Revert { back, count, on_conflict, named } => {
                let last = head.checked_sub(u64::from(*back)).filter(|last| *last > 0)?;
                Call::Revert(RevertChanges {
                    address,
                    first_revision: (last + 1).saturating_sub(u64::from(*count).max(1)).max(1),
                    last_revision: last,
                    epoch: None,
                    on_conflict: in_call(*on_conflict),
                    author: None,
                    message: String::new(),
                    operation_id: named.then(|| self.operation()),
                })
            }
            Action::Resolve { which, resolution, named } => {
                let open = world.logs[log?].conflicts.iter().filter(|(_, kept)| kept.open);
                let open: Vec<_> = open.collect();
                let (id, kept) = open.get(usize::from(*which) % open.len().max(1))?;
                Call::Resolve(ResolveConflict {
                    address,
                    id: **id,
                    resolution: match resolution {
                        Resolution::Ours => ResolutionInCall::Ours,
                        Resolution::Theirs => ResolutionInCall::Theirs,
                        Resolution::Merge => ResolutionInCall::Merge,
                        Resolution::Manual(value) => {
                            ResolutionInCall::Manual(manual(kept.request.kind, *value))
                        }
                    },
                    clock: VectorClock::default(),
                    message: String::new(),
                    operation_id: named.then(|| self.operation()),
                })
            }
            Action::Fork { from, back, named } => {
                let from = from.map(|from| crate::driver::requests::address(from).branch);
                let parent = from.as_ref().and_then(|from| world.open(from));
                let at = parent
                    .zip(*back)
                    .map(|(parent, back)| world.head(parent).saturating_sub(u64::from(back)));
                Call::Fork(CreateBranch {
                    address,
                    from,
                    at_revision: at,
                    operation_id: named.then(|| self.operation()),
                })
            }
            Action::DeleteBranch { named } => Call::Delete(DeleteBranch {
                address,
                operation_id: named.then(|| self.operation()),
            }),
            Action::Read { path: at_path, by_id, at } => {
                let path = path(*at_path);
                let known = log.and_then(|log| world.last_at(log, &path, head));
                let node = match known.filter(|_| *by_id) {
                    Some(node) => NodeSelector::Id(node.id),
                    None => NodeSelector::Path(path),
                };
                Call::Read(ReadSnapshot { at: when(world, who, log, *at), address, node })
            }
            Action::Tree { at } => Call::Tree(ReadTree {
                at: when(world, who, log, *at),
                address,
                prefix: String::new(),
                include_content: true,
            }),
            Action::History { path: of } => Call::History(GetHistory {
                address,
                node: of.map(|of| NodeSelector::Path(path(of))),
                before_revision: None,
                limit: 1_000,
                include_diffs: true,
            }),
            Action::Conflicts => Call::Conflicts(ListConflicts {
                address,
                paths: Vec::new(),
                limit: 100,
                after: None,
            }),
            Action::Branches => Call::Branches(address),
            Action::Compact { keep } => Call::Compact(address, u64::from(*keep)),
        };
        Some(Asked { subject: subject(who.client), gateway: who.gateway, call })
    }

    fn write(&mut self, world: &World, who: Who, write: &Write) -> WriteDiff {
        let address = address(who.branch);
        let log = world.open(&address.branch);
        let at = path(write.path);
        let node = log.and_then(|log| Some((log, world.last_at(log, &at, world.head(log))?)));
        let seen = node.as_ref().and_then(|(log, node)| seen(world, *log, node, write.seen));
        let base = seen.as_ref().filter(|seen| seen.live).map(|seen| &**seen);
        let diff = self.diff(&write.edit, base);
        let (node_id, clock) = match (&seen, write.seen) {
            (Some(seen), Seen::Ahead) => (Some(seen.id), seen.clock.incremented("zoe", |_| 0)),
            (Some(seen), _) => (Some(seen.id), seen.clock.clone()),
            (None, _) => (None, VectorClock::default()),
        };
        let kind = matches!(write.edit, Edit::Field(..)).then_some(NodeKind::Meta);
        let subject = subject(who.client);
        WriteDiff {
            address,
            node_id,
            path: (node_id.is_none() || write.path.is_multiple_of(2)).then_some(at),
            kind,
            diff: DiffSource::Bson(diff),
            clock,
            on_conflict: in_call(write.on_conflict),
            min_ack: AckLevel::Committed,
            keep_conflict: write.keep,
            actor: write.second_actor.then(|| format!("{subject}'s pad")),
            author: None,
            message: String::new(),
            metadata: BTreeMap::new(),
            operation_id: write.named.then(|| self.operation()),
        }
    }

    fn diff(&mut self, edit: &Edit, base: Option<&State>) -> Bytes {
        let of_file = base.filter(|base| base.kind == NodeKind::File);
        match edit {
            Edit::Line(line, value) => Diff::put_file(&with_line(of_file, *line, *value)),
            Edit::Insert(at, value) => {
                let length = of_file.map_or(0, |base| base.content.len() as u64);
                let at = u64::from(*at).min(length);
                let mut operations = vec![TextOperation::insert(&format!("<{value}>"))];
                if at > 0 {
                    operations.insert(0, TextOperation::Retain(at));
                }
                Diff::text(&operations)
            }
            Edit::Large(value) => {
                self.large += 1;
                let line = format!("large {value} {}\n", self.large);
                Diff::put_file(line.repeat(CHUNK_BYTES / line.len() + 1).as_bytes())
            }
            Edit::Field(field, value) => Diff::put_document(&with_field(base, *field, *value)),
            Edit::Attribute(name, value) => {
                let (name, value) = (format!("attribute{}", name % 3), value.to_string());
                Diff::attributes([(name.as_str(), value.as_str())], []).expect("valid")
            }
            Edit::NoAttribute(name) => {
                let name = format!("attribute{}", name % 3);
                Diff::attributes([], [name.as_str()]).expect("valid")
            }
            Edit::Delete => Diff::delete(),
            Edit::Rename(to, then) => {
                let then =
                    then.map(|(line, value)| Diff::put_file(&with_line(of_file, line, value)));
                Diff::rename(&path(*to), then.as_ref())
            }
        }
    }

    /// An operation id that was never used.
    fn operation(&mut self) -> OperationId {
        self.operations += 1;
        OperationId((u128::from(self.operations) << 64).to_be_bytes())
    }
}

/// The same call for something else, under the same operation id; `None` where nothing in
/// it can be something else.
pub(super) fn altered(asked: &Asked) -> Option<Asked> {
    let mut asked = asked.clone();
    let other = || DiffSource::Bson(Diff::put_file(b"something else\n"));
    match &mut asked.call {
        Call::Write(write) => write.diff = other(),
        Call::Set(_, items) => items.first_mut()?.diff = other(),
        Call::Revert(revert) => revert.last_revision += 1,
        Call::Resolve(resolve) => resolve.resolution = ResolutionInCall::Manual(Bytes::new()),
        _ => return None,
    }
    Some(asked)
}

fn seen(world: &World, log: usize, node: &Rc<State>, seen: Seen) -> Option<Rc<State>> {
    let back = match seen {
        Seen::Nothing => return None,
        Seen::Ahead => 0,
        Seen::AllBut(back) => usize::from(back),
    };
    let changes = world.changes(log, world.head(log));
    let states: Vec<_> = changes.iter().filter(|change| change.node.id == node.id).collect();
    let at = states.len().checked_sub(1)?.saturating_sub(back);
    states.get(at).map(|change| change.node.clone())
}

fn with_line(base: Option<&State>, line: u8, value: u8) -> Vec<u8> {
    let old = base.filter(|base| base.content.len() < CHUNK_BYTES);
    let text = old.map(|base| String::from_utf8_lossy(&base.content).into_owned());
    let text = text.unwrap_or_else(|| "0\n1\n2\n3\n4\n5\n6\n7\n8\n".to_owned());
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let at = usize::from(line) % lines.len().max(1);
    match lines.get_mut(at) {
        Some(line) => *line = format!("{at}:{value}"),
        None => lines.push(value.to_string()),
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text.into_bytes()
}

fn with_field(base: Option<&State>, field: u8, value: u8) -> Bytes {
    let name = format!("f{}", field % 4);
    let mut document = DocumentBuilder::new();
    let old = base.filter(|base| base.kind.is_document()).map(|base| base.content.clone());
    for element in old.iter().flat_map(|old| elements(old)) {
        if element.key != name {
            document.append_element(&element);
        }
    }
    document.append_i64(&name, i64::from(value));
    document.finish()
}

fn manual(kind: Option<NodeKind>, value: u8) -> Bytes {
    match kind {
        Some(kind) if kind.is_document() => with_field(None, 0, value),
        _ => Bytes::from(with_line(None, 0, value)),
    }
}

fn when(world: &World, who: Who, log: Option<usize>, at: At) -> ReadAt {
    let known = ReadAt::default();
    let Some(log) = log else {
        // Of a branch that is gone, perhaps through a gateway that has not heard of it.
        let max_age_ms = (at == At::Confirmed).then_some(0);
        return ReadAt { max_age_ms, ..known };
    };
    let (epoch, head) = (world.logs[log].epoch, world.head(log));
    match at {
        At::Known => known,
        At::Confirmed => ReadAt { max_age_ms: Some(0), ..known },
        At::AtLeastNewest => ReadAt { min_revision: Some(head), min_epoch: Some(epoch), ..known },
        At::Back(share) => {
            let back = head * u64::from(share.min(100)) / 100;
            let mut revision = head - back;
            while !world.is_boundary(log, revision) {
                revision += 1;
            }
            ReadAt { revision: Some(revision), ..known }
        }
        At::AfterOperation => {
            let subject = subject(who.client);
            let of_client = world.logs[log].operations.keys().rfind(|(of, _)| *of == subject);
            ReadAt { after_operation: of_client.map(|(_, id)| *id), ..known }
        }
    }
}

fn in_call(on_conflict: OnConflict) -> OnConflictInCall {
    match on_conflict {
        OnConflict::Reject => OnConflictInCall::Reject,
        OnConflict::Merge => OnConflictInCall::Merge,
        OnConflict::Overwrite => OnConflictInCall::Overwrite,
    }
}
