//! Whatever happens on both sides, following the plan ends with the same files on
//! both, and with nothing lost that either side wrote.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::*;
use crate::fingerprint::FileType;

const PATHS: [&str; 5] = ["a", "b", "c/a", "c/d", "e"];
/// More passes than this are a loop.
const PASSES_MAX: usize = 12;

/// A file as the set of things that were ever written into it.
type Content = BTreeSet<u32>;

#[derive(Clone, Copy, Debug)]
enum Edit {
    Write,
    Add,
    Delete,
    Rename(usize),
}

#[derive(Clone, Copy, Debug)]
enum Event {
    OnDisk(usize, Edit),
    InBranch(usize, Edit),
    /// The mirror looks; merges are clean or not as this says.
    Sync {
        merges: bool,
    },
    /// A person ends all conflicts, keeping the file or taking the branch's.
    Settle {
        keeps: bool,
    },
}

#[derive(Clone, Debug, Default)]
struct World {
    disk: BTreeMap<LocalPath, Content>,
    branch: BTreeMap<LocalPath, (NodeId, Content)>,
    base: BTreeMap<LocalPath, (NodeId, Content)>,
    theirs: BTreeMap<LocalPath, (NodeId, Content)>,
    refused: BTreeMap<LocalPath, (NodeId, Content)>,
    written: u32,
    nodes: u8,
}

fn fingerprint(content: &Content) -> Fingerprint {
    let mut sha256 = [0; 32];
    for token in content {
        sha256[*token as usize / 8 % 32] |= 1 << (token % 8);
    }
    Fingerprint { file_type: FileType::Plain, sha256, size_bytes: content.len() as u64 }
}

fn version((node, content): &(NodeId, Content)) -> NodeVersion {
    NodeVersion { node: *node, fingerprint: fingerprint(content) }
}

impl World {
    fn token(&mut self) -> u32 {
        self.written += 1;
        self.written
    }

    fn node(&mut self) -> NodeId {
        self.nodes += 1;
        NodeId([self.nodes; 16])
    }

    fn edit_disk(&mut self, at: &LocalPath, edit: Edit) {
        let token = self.token();
        match edit {
            Edit::Write => {
                self.disk.insert(at.clone(), [token].into());
            }
            Edit::Add => {
                self.disk.entry(at.clone()).or_default().insert(token);
            }
            Edit::Delete => {
                self.disk.remove(at);
            }
            Edit::Rename(to) => {
                let to = path(to);
                if !self.disk.contains_key(&to)
                    && let Some(content) = self.disk.remove(at)
                {
                    self.disk.insert(to, content);
                }
            }
        }
    }

    fn edit_branch(&mut self, at: &LocalPath, edit: Edit) {
        let token = self.token();
        let fresh = self.node();
        match edit {
            Edit::Write => {
                self.branch.entry(at.clone()).or_insert((fresh, Content::new())).1 = [token].into();
            }
            Edit::Add => {
                self.branch.entry(at.clone()).or_insert((fresh, Content::new())).1.insert(token);
            }
            Edit::Delete => {
                self.branch.remove(at);
            }
            Edit::Rename(to) => {
                let to = path(to);
                if !self.branch.contains_key(&to)
                    && let Some(node) = self.branch.remove(at)
                {
                    self.branch.insert(to, node);
                }
            }
        }
    }

    fn sides(&self) -> BTreeMap<LocalPath, PathState> {
        let paths = self.disk.keys().chain(self.branch.keys()).chain(self.base.keys());
        paths
            .map(|path| {
                let branch = self.branch.get(path);
                let sides = PathState {
                    base: self.base.get(path).map(version),
                    local: self.disk.get(path).map(fingerprint),
                    branch: branch.map(version),
                    is_held: self.theirs.contains_key(path),
                    is_refused: branch.is_some() && branch == self.refused.get(path),
                };
                (path.clone(), sides)
            })
            .collect()
    }

    fn sync(&mut self, merges: bool) {
        for _ in 0..PASSES_MAX {
            let steps = plan(&self.sides());
            let waits = |step: &SyncStep| matches!(step, SyncStep::Record | SyncStep::Wait);
            let is_done = steps.values().all(waits);
            // What goes makes room for what comes.
            let (gone, rest): (Vec<_>, Vec<_>) =
                steps.into_iter().partition(|(_, step)| *step == SyncStep::RemoveLocal);
            for (path, step) in gone.into_iter().chain(rest) {
                self.take(&path, step, merges);
            }
            if is_done {
                return;
            }
        }
        panic!("no end: {self:?}");
    }

    fn take(&mut self, path: &LocalPath, step: SyncStep, merges: bool) {
        match step {
            SyncStep::Wait => {}
            SyncStep::Record => {
                self.theirs.remove(path);
                match self.branch.get(path) {
                    Some(node) => self.agree(path, node.clone()),
                    None => drop(self.base.remove(path)),
                }
            }
            SyncStep::WriteLocal { .. } => {
                let node = self.branch[path].clone();
                self.disk.insert(path.clone(), node.1.clone());
                self.agree(path, node);
            }
            SyncStep::RemoveLocal => {
                assert_eq!(self.disk.remove(path), Some(self.base[path].1.clone()));
                self.base.remove(path);
            }
            SyncStep::CreateNode { .. } => {
                assert!(!self.branch.contains_key(path), "something stands there");
                let node = (self.node(), self.disk[path].clone());
                self.branch.insert(path.clone(), node.clone());
                self.agree(path, node);
            }
            SyncStep::UpdateNode => self.change(path, merges),
            SyncStep::RenameNode { from } => {
                let (id, standing) = self.branch.remove(&from).expect("it stands there");
                assert_eq!(id, self.base[&from].0);
                self.branch.insert(path.clone(), (id, standing));
                let base = self.base.remove(&from).expect("it was agreed on");
                self.agree(path, base);
            }
            SyncStep::DeleteNode => {
                assert_eq!(self.branch.remove(path).as_ref(), self.base.get(path));
                self.base.remove(path);
            }
            SyncStep::Conflict => {
                self.theirs.insert(path.clone(), self.branch[path].clone());
            }
        }
    }

    fn change(&mut self, path: &LocalPath, merges: bool) {
        let (base, disk) = (self.base[path].clone(), self.disk[path].clone());
        let (id, standing) = self.branch[path].clone();
        if standing == base.1 {
            self.branch.insert(path.clone(), (id, disk.clone()));
            self.agree(path, (id, disk));
        } else if merges {
            let merged = disk.union(&standing).copied().collect();
            self.branch.insert(path.clone(), (id, merged));
            self.agree(path, (id, disk));
        } else {
            self.refused.insert(path.clone(), (id, standing));
        }
    }

    fn agree(&mut self, path: &LocalPath, node: (NodeId, Content)) {
        self.base.retain(|_, agreed| agreed.0 != node.0);
        self.base.insert(path.clone(), node);
    }

    fn settle(&mut self, keeps: bool) {
        for (path, theirs) in std::mem::take(&mut self.theirs) {
            if !keeps {
                self.disk.insert(path.clone(), theirs.1.clone());
            }
            let elsewhere =
                self.base.iter().any(|(agreed, node)| node.0 == theirs.0 && *agreed != path);
            if !elsewhere {
                self.agree(&path, theirs);
            }
        }
    }

    /// What either side has that was written since both agreed.
    fn fresh(&self) -> Content {
        let agreed: Content =
            self.base.values().flat_map(|(_, content)| content).copied().collect();
        self.standing().difference(&agreed).copied().collect()
    }

    fn standing(&self) -> Content {
        let branch = self.branch.values().map(|(_, content)| content);
        self.disk.values().chain(branch).flatten().copied().collect()
    }

    /// Also beside the files.
    fn everything(&self) -> Content {
        let theirs = self.theirs.values().flat_map(|(_, content)| content).copied();
        self.standing().into_iter().chain(theirs).collect()
    }
}

fn path(number: usize) -> LocalPath {
    LocalPath::new(PATHS[number].as_bytes()).expect("a path")
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        Just(Edit::Write),
        Just(Edit::Add),
        Just(Edit::Add),
        Just(Edit::Delete),
        (0..PATHS.len()).prop_map(Edit::Rename),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..PATHS.len(), edit()).prop_map(|(path, edit)| Event::OnDisk(path, edit)),
        4 => (0..PATHS.len(), edit()).prop_map(|(path, edit)| Event::InBranch(path, edit)),
        2 => any::<bool>().prop_map(|merges| Event::Sync { merges }),
        1 => any::<bool>().prop_map(|keeps| Event::Settle { keeps }),
    ]
}

proptest! {
    #![proptest_config(Config {
        cases: 2_000,
        rng_seed: RngSeed::Fixed(11),
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn both_sides_become_the_same_and_nothing_is_lost(
        events in proptest::collection::vec(event(), 1..60),
    ) {
        let mut world = World::default();
        for event in events {
            match event {
                Event::OnDisk(at, edit) => world.edit_disk(&path(at), edit),
                Event::InBranch(at, edit) => world.edit_branch(&path(at), edit),
                Event::Settle { keeps } => world.settle(keeps),
                Event::Sync { merges } => {
                    let fresh = world.fresh();
                    world.sync(merges);
                    let lost: Vec<_> = fresh.difference(&world.everything()).copied().collect();
                    prop_assert!(lost.is_empty(), "lost {lost:?}: {world:?}");
                }
            }
        }
        world.sync(true);
        for _ in 0..PATHS.len() {
            world.settle(true);
            world.sync(true);
        }
        let branch: BTreeMap<_, _> =
            world.branch.iter().map(|(path, node)| (path.clone(), node.1.clone())).collect();
        prop_assert_eq!(&world.disk, &branch);
        prop_assert_eq!(&world.base, &world.branch);
    }
}
