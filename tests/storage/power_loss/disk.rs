//! A disk that loses its power: which of the recorded operations are on it afterwards.
//!
//! **Contents.** What a file held when a finished `fsync` or `fdatasync` of it began
//! is there. Of what was written later: nothing, all, the beginning, the beginning with
//! a write torn at a sector, the length alone (zeros), or each sector as it comes.
//!
//! **Names**, in one of two ways:
//!
//! - [`Names::InOrder`], as file systems with one journal do it (ext4, XFS): every
//!   finished `fsync` makes all earlier names last; of the later ones, the first few do.
//! - [`Names::OneByOne`], as little as others promise: a name lasts with a finished
//!   `fsync` of its directory, of the file itself, or of a file below it; any of the
//!   others may be lost while later ones are there. A rename is never half done.
//!   The name of the store itself lasts with its directory alone, as POSIX has it.
//!
//! An operation that had not ended may have happened.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::super::image::{Content, Image};
use super::super::workload::Random;
use super::trace::{Node, Operation, ROOT, Trace, What};

const SECTOR: usize = 512;

/// How a file system keeps names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    InOrder,
    OneByOne,
}

/// What becomes of the writes to a file that nothing made last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsynced {
    Lost,
    Kept,
    Beginning,
    Torn,
    Zeros,
    SectorBySector,
}

/// How the power goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// What began at this moment or later has not happened.
    pub(super) at: usize,
    pub(super) names: Names,
    /// For all files; `None`: for each as it comes.
    pub(super) unsynced: Option<Unsynced>,
    pub(super) seed: u64,
}

impl Cut {
    pub(super) fn by_seed(at: usize, seed: u64) -> Self {
        let mut random = Random(seed);
        let names = if random.one_in(2) { Names::InOrder } else { Names::OneByOne };
        let unsynced = match random.below(6) {
            0 => Some(Unsynced::Lost),
            1 => Some(Unsynced::Kept),
            2 => Some(Unsynced::Torn),
            _ => None,
        };
        Self { at, names, unsynced, seed: random.next() }
    }

    /// Without a cut: all that was done.
    fn none(trace: &Trace) -> Self {
        let unsynced = Some(Unsynced::Kept);
        Self { at: trace.end + 1, names: Names::InOrder, unsynced, seed: 0 }
    }

    /// What the disk holds after the cut.
    pub(super) fn image(&self, trace: &Trace) -> Image {
        let mut random = Random(self.seed);
        let done: Vec<_> =
            trace.operations.iter().filter(|operation| operation.began < self.at).collect();
        let entries = self.names(&done, &mut random);
        let contents = self.contents(&done, &mut random);
        let mut image = Image::default();
        image.fill(ROOT, Path::new(""), &entries, &contents, &trace.directories);
        image
    }

    fn names(&self, done: &[&Operation], random: &mut Random) -> BTreeMap<(Node, String), Node> {
        let lasts = self.lasting_names(done);
        let changes = done.iter().filter(|operation| operation.changes_names());
        let (kept, lost): (Vec<_>, Vec<_>) =
            changes.map(|operation| (operation, lasts(operation))).partition(|(_, lasts)| *lasts);
        let unsure = lost.len() as u64;
        let mut budget = match self.unsynced {
            Some(Unsynced::Lost) => 0,
            Some(Unsynced::Kept) => unsure,
            _ => random.below(unsure + 1),
        };
        let one_by_one = self.names == Names::OneByOne && self.unsynced.is_none();
        let mut happened: Vec<_> = kept.into_iter().map(|(operation, _)| *operation).collect();
        for (operation, _) in lost {
            let happens = if one_by_one { random.one_in(2) } else { budget > 0 };
            budget = budget.saturating_sub(1);
            if happens {
                happened.push(operation);
            }
        }
        happened.sort_by_key(|operation| operation.ended);
        let mut entries = BTreeMap::new();
        for operation in happened {
            match &operation.what {
                What::Create { directory, name, node } => {
                    entries.insert((*directory, name.clone()), *node);
                }
                What::Rename { from, to, node } => {
                    entries.remove(from);
                    entries.insert(to.clone(), *node);
                }
                What::Remove { directory, name } => {
                    entries.remove(&(*directory, name.clone()));
                }
                _ => {}
            }
        }
        entries
    }

    /// Tells whether a change of a name is certainly there.
    fn lasting_names(&self, done: &[&Operation]) -> impl Fn(&Operation) -> bool {
        // When the last finished sync began: of anything, of a node (a directory's own),
        // and of a node or something below it.
        let mut of_anything = None;
        let (mut of_node, mut of_link) = (HashMap::new(), HashMap::new());
        for operation in done.iter().filter(|operation| operation.ended < self.at) {
            if let What::Sync { nodes, all: true } = &operation.what {
                of_anything = of_anything.max(Some(operation.began));
                raise(&mut of_node, nodes[0], operation.began);
                for node in nodes {
                    raise(&mut of_link, *node, operation.began);
                }
            }
        }
        let names = self.names;
        move |operation| {
            let after = |synced: Option<&usize>| synced.is_some_and(|at| operation.ended < *at);
            if names == Names::InOrder {
                return after(of_anything.as_ref());
            }
            match &operation.what {
                What::Create { directory, node, .. } => {
                    after(of_node.get(directory)) || *directory != ROOT && after(of_link.get(node))
                }
                What::Rename { from, to, node } => {
                    let directories = after(of_node.get(&from.0)) && after(of_node.get(&to.0));
                    directories || after(of_link.get(node))
                }
                What::Remove { directory, .. } => after(of_node.get(directory)),
                _ => false,
            }
        }
    }

    fn contents(&self, done: &[&Operation], random: &mut Random) -> BTreeMap<Node, Content> {
        let mut synced = HashMap::new();
        let mut writes: BTreeMap<Node, Vec<&Operation>> = BTreeMap::new();
        for operation in done {
            match &operation.what {
                What::Sync { nodes, .. } if operation.ended < self.at => {
                    raise(&mut synced, nodes[0], operation.began);
                }
                What::Write { file, .. } | What::SetLength { file, .. } => {
                    writes.entry(*file).or_default().push(operation);
                }
                _ => {}
            }
        }
        let contents = writes.into_iter().map(|(file, writes)| {
            let is_synced = |operation: &&Operation| {
                synced.get(&file).is_some_and(|began| operation.ended < *began)
            };
            let lasting = writes.iter().take_while(|operation| is_synced(operation)).count();
            let mut content = Content::default();
            content.apply_all(&writes[..lasting]);
            let unsynced = self.unsynced.unwrap_or_else(|| Unsynced::any(random));
            content.lose(&writes[lasting..], unsynced, random);
            (file, content)
        });
        contents.collect()
    }
}

impl Operation {
    fn changes_names(&self) -> bool {
        matches!(self.what, What::Create { .. } | What::Rename { .. } | What::Remove { .. })
    }
}

impl Unsynced {
    fn any(random: &mut Random) -> Self {
        use Unsynced::{Beginning, Kept, Lost, SectorBySector, Torn, Zeros};
        [Lost, Kept, Beginning, Torn, Zeros, SectorBySector][random.index(6)]
    }
}

impl Content {
    fn apply_all(&mut self, operations: &[&Operation]) {
        for operation in operations {
            self.apply(operation, None);
        }
    }

    /// Applies an operation; of a write, only its first sectors where told so.
    fn apply(&mut self, operation: &Operation, sectors: Option<u64>) {
        match &operation.what {
            What::SetLength { length, .. } => {
                self.bytes.truncate(*length as usize);
                self.length = *length;
            }
            What::Write { at, bytes, .. } => {
                let at = *at as usize;
                // A tear is where a sector of the disk ends.
                let end = sectors
                    .map_or(at + bytes.len(), |sectors| (at / SECTOR + sectors as usize) * SECTOR);
                let length = end.saturating_sub(at).min(bytes.len());
                if length > 0 {
                    let end = at + length;
                    if self.bytes.len() < end {
                        self.bytes.resize(end, 0);
                    }
                    self.bytes[at..end].copy_from_slice(&bytes[..length]);
                    self.length = self.length.max(end as u64);
                }
            }
            _ => {}
        }
    }

    fn lose(&mut self, writes: &[&Operation], unsynced: Unsynced, random: &mut Random) {
        let some = random.index(writes.len() + 1);
        match unsynced {
            Unsynced::Lost => {}
            Unsynced::Kept => self.apply_all(writes),
            Unsynced::Beginning => self.apply_all(&writes[..some]),
            Unsynced::Torn => {
                self.apply_all(&writes[..some]);
                if let Some(torn) = writes.get(some) {
                    let length =
                        if let What::Write { bytes, .. } = &torn.what { bytes.len() } else { 0 };
                    self.apply(torn, Some(random.below((length / SECTOR) as u64 + 2)));
                }
            }
            Unsynced::Zeros => {
                let mut later = self.clone();
                later.apply_all(&writes[..some]);
                self.bytes.truncate(later.length as usize);
                self.length = later.length;
            }
            Unsynced::SectorBySector => {
                let mut later = self.clone();
                later.apply_all(writes);
                let mut length = self.clone();
                length.apply_all(&writes[..some]);
                let longest = self.bytes.len().max(later.bytes.len());
                self.bytes.resize(longest, 0);
                later.bytes.resize(longest, 0);
                for (old, new) in self.bytes.chunks_mut(SECTOR).zip(later.bytes.chunks(SECTOR)) {
                    if random.one_in(2) {
                        old.copy_from_slice(new);
                    }
                }
                self.length = length.length;
                self.bytes.truncate(self.length as usize);
            }
        }
    }
}

impl Image {
    /// All that was done.
    pub(super) fn at_the_end(trace: &Trace) -> Self {
        Cut::none(trace).image(trace)
    }

    fn fill(
        &mut self,
        directory: Node,
        path: &Path,
        entries: &BTreeMap<(Node, String), Node>,
        contents: &BTreeMap<Node, Content>,
        directories: &[Node],
    ) {
        self.directories.insert(path.to_owned());
        let first = (directory, String::new());
        for ((_, name), node) in entries.range(first..).take_while(|(key, _)| key.0 == directory) {
            let path = path.join(name);
            if directories.contains(node) {
                self.fill(*node, &path, entries, contents, directories);
            } else {
                let content = contents.get(node).cloned().unwrap_or_default();
                self.files.insert(path, content.without_zeros());
            }
        }
    }
}

fn raise(moments: &mut HashMap<Node, usize>, node: Node, moment: usize) {
    let last = moments.entry(node).or_insert(moment);
    *last = moment.max(*last);
}
