//! What a process did to the files of a directory, from the record that `strace` made.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::image::{Content, Image};

/// What `strace` records: all that changes files, and what tells which file is meant.
/// A question mark: not every machine has the call.
const CALLS: &str = "trace=?open,openat,?creat,close,write,pwrite64,writev,pwritev,pwritev2,\
    lseek,ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range,?rename,renameat,renameat2,\
    ?link,linkat,?symlink,symlinkat,?unlink,unlinkat,?mkdir,mkdirat,?rmdir,copy_file_range,\
    sendfile,splice,mmap,dup,?dup2,dup3,fcntl";

/// A file or directory, whatever its name at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Node(pub(super) usize);

/// The moment at which the record begins; before it, only what was there already.
pub(super) const START: usize = 2;

/// The directory that is watched.
pub(super) const ROOT: Node = Node(0);

/// What was done, and between which moments (lines of the record): it was asked for
/// at `began`, and the process knew that it was done at `ended`.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) began: usize,
    pub(super) ended: usize,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Write {
        file: Node,
        at: u64,
        bytes: Vec<u8>,
    },
    SetLength {
        file: Node,
        length: u64,
    },
    /// `all` is false for `fdatasync`. `nodes`: the one asked for, then the directories
    /// that it is in.
    Sync {
        nodes: Vec<Node>,
        all: bool,
    },
    Create {
        directory: Node,
        name: String,
        node: Node,
    },
    Rename {
        from: (Node, String),
        to: (Node, String),
        node: Node,
    },
    Remove {
        directory: Node,
        name: String,
    },
}

/// The record of a process, in the order in which things were done.
#[derive(Default)]
pub(super) struct Trace {
    pub(super) operations: Vec<Operation>,
    /// What the process reported on its standard output, and when.
    pub(super) reports: Vec<(usize, String)>,
    /// The last moment.
    pub(super) end: usize,
    /// Which nodes are directories.
    pub(super) directories: Vec<Node>,
}

/// The command that records what the program does.
pub(super) fn recorder(record: &Path, program: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "--seccomp-bpf", "-xx", "-s", "20000000", "-e", CALLS, "-o"]);
    command.arg(record).arg(program);
    command
}

/// Why nothing can be recorded here.
pub(super) fn cannot_record() -> Option<String> {
    match recorder(Path::new("/dev/null"), Path::new("true")).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("strace: {error}")),
    }
}

impl Trace {
    /// How much was done, for people.
    pub(super) fn summary(&self) -> String {
        let mut counts = [0; 6];
        for operation in &self.operations {
            counts[match operation.what {
                What::Write { .. } => 0,
                What::SetLength { .. } => 1,
                What::Sync { .. } => 2,
                What::Create { .. } => 3,
                What::Rename { .. } => 4,
                What::Remove { .. } => 5,
            }] += 1;
        }
        let [writes, lengths, syncs, creations, renames, removals] = counts;
        format!(
            "{writes} writes, {lengths} lengths, {syncs} syncs, {creations} creations, \
             {renames} renames, {removals} removals, {} acknowledgements",
            self.reports.len()
        )
    }

    /// Reads what was done below `root`, which held `before` for certain.
    pub(super) fn read(record: &[u8], root: &Path, before: &Image) -> Self {
        let mut reader = Reader {
            root: root.to_owned(),
            trace: Trace { directories: vec![ROOT], ..Trace::default() },
            entries: BTreeMap::new(),
            parents: HashMap::new(),
            lengths: vec![0],
            handles: HashMap::new(),
        };
        reader.put(before);
        let mut unfinished: HashMap<&[u8], (usize, Vec<u8>)> = HashMap::new();
        for (moment, line) in (START..).zip(record.split(|byte| *byte == b'\n')) {
            let Some(space) = line.iter().position(|byte| *byte == b' ') else { continue };
            let (process, line) = (&line[..space], line[space..].trim_ascii_start());
            if let Some(asked) = line.strip_suffix(b" <unfinished ...>") {
                let call = text(asked);
                reader.report(moment, call);
                if call.starts_with("close(") {
                    // Its number may be used again before it is said to have ended.
                    reader.close(call);
                }
                unfinished.insert(process, (moment, asked.to_vec()));
            } else if line.starts_with(b"<... ") {
                let resumed = line.iter().position(|byte| *byte == b'>').expect("a name") + 1;
                let (began, mut call) = unfinished.remove(process).expect("a beginning");
                call.extend(&line[resumed..]);
                if !call.starts_with(b"close(") {
                    reader.take(began, moment, text(&call));
                }
            } else if !line.starts_with(b"+++") && !line.starts_with(b"---") {
                reader.report(moment, text(line));
                reader.take(moment, moment, text(line));
            }
            reader.trace.end = moment;
        }
        reader.trace
    }
}

/// The state of the process as its record is read.
struct Reader {
    root: PathBuf,
    trace: Trace,
    entries: BTreeMap<(Node, String), Node>,
    parents: HashMap<Node, Node>,
    /// By node.
    lengths: Vec<u64>,
    handles: HashMap<u64, Handle>,
}

/// An open file.
struct Handle {
    node: Node,
    offset: u64,
    appends: bool,
}

impl Reader {
    /// Takes what was there for written and synced before the record begins.
    fn put(&mut self, image: &Image) {
        let mut nodes = vec![ROOT];
        let directories = image.directories.iter().map(|path| (path, None));
        let files = image.files.iter().map(|(path, content)| (path, Some(content)));
        for (path, content) in directories.chain(files).filter(|(path, _)| *path != Path::new("")) {
            let place = self.place(ROOT, path).expect("directories come before what they hold");
            let node = self.create(0, 0, place);
            nodes.push(node);
            let Some(Content { bytes, length }) = content.cloned() else {
                self.trace.directories.push(node);
                continue;
            };
            self.lengths[node.0] = length;
            let written = What::Write { file: node, at: 0, bytes };
            for what in [written, What::SetLength { file: node, length }] {
                self.trace.operations.push(Operation { began: 0, ended: 0, what });
            }
        }
        for node in nodes {
            let what = What::Sync { nodes: vec![node], all: true };
            self.trace.operations.push(Operation { began: 1, ended: 1, what });
        }
    }

    /// Standard output is told before the call ends: the write was acknowledged then.
    fn report(&mut self, moment: usize, call: &str) {
        if let Some(written) = call.strip_prefix("write(1, ") {
            let written = bytes(written.split(',').next().unwrap_or_default());
            let reports = text(&written).lines().filter_map(|line| line.split_once("reports: "));
            for (_, report) in reports {
                self.trace.reports.push((moment, report.to_owned()));
            }
        }
    }

    fn take(&mut self, began: usize, ended: usize, call: &str) {
        let (asked, answer) = call.rsplit_once(" = ").expect("an answer");
        let answer = answer.split(' ').next().unwrap_or_default();
        if answer.starts_with('-') {
            return;
        }
        // Some answers are addresses, and what has no answer never ended.
        let answer = answer.parse().unwrap_or(u64::MAX);
        let (name, arguments) = asked.split_once('(').expect("arguments");
        let arguments = arguments.trim_end();
        let arguments: Vec<_> =
            arguments.strip_suffix(')').unwrap_or(arguments).split(", ").collect();
        let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
        let path_at = |reader: &Self, at: usize| {
            if name.contains("at") && name != "creat" {
                reader.locate(arguments[at], arguments[at + 1])
            } else {
                reader.locate("AT_FDCWD", arguments[at])
            }
        };
        let mut done = |what| self.trace.operations.push(Operation { began, ended, what });
        let handle = number(0).and_then(|number| self.handles.get_mut(&number));
        match (name, handle) {
            ("write" | "pwrite64", Some(handle)) => {
                let length = &mut self.lengths[handle.node.0];
                let at = match number(3) {
                    Some(at) => at,
                    None if handle.appends => *length,
                    None => handle.offset,
                };
                let mut bytes = bytes(arguments[1]);
                bytes.truncate(answer as usize);
                let end = at + bytes.len() as u64;
                *length = end.max(*length);
                if name == "write" {
                    handle.offset = end;
                }
                done(What::Write { file: handle.node, at, bytes });
            }
            ("lseek", Some(handle)) => handle.offset = answer,
            ("ftruncate", Some(handle)) => {
                let length = number(1).expect("a length");
                self.lengths[handle.node.0] = length;
                done(What::SetLength { file: handle.node, length });
            }
            ("fallocate", Some(handle)) if number(1) == Some(0) => {
                let end = number(2).zip(number(3)).map(|(from, length)| from + length);
                let length = self.lengths[handle.node.0].max(end.expect("a length"));
                self.lengths[handle.node.0] = length;
                done(What::SetLength { file: handle.node, length });
            }
            ("fsync" | "fdatasync", Some(handle)) => {
                let mut nodes = vec![handle.node];
                while let Some(parent) = nodes.last().and_then(|node| self.parents.get(node)) {
                    nodes.push(*parent);
                }
                done(What::Sync { nodes, all: name == "fsync" });
            }
            ("close", _) => self.close(asked),
            ("fcntl", Some(_)) => assert!(!arguments[1].contains("DUP"), "not modelled: {asked}"),
            ("open" | "creat" | "openat", _) => {
                self.handles.remove(&answer);
                let Some((directory, name)) = path_at(self, 0) else { return };
                self.open(began, ended, (directory, name), asked, answer);
            }
            ("mkdir" | "mkdirat", _) => {
                if let Some(place) = path_at(self, 0) {
                    let node = self.create(began, ended, place);
                    self.trace.directories.push(node);
                }
            }
            ("rename" | "renameat" | "renameat2", _) => {
                let to = if name == "rename" { 1 } else { 2 };
                let places = (path_at(self, 0), path_at(self, to));
                let (Some(from), Some(to)) = places else { return };
                let node = self.entries.remove(&from).expect("something to rename");
                self.entries.insert(to.clone(), node);
                self.parents.insert(node, to.0);
                let what = What::Rename { from, to, node };
                self.trace.operations.push(Operation { began, ended, what });
            }
            ("unlink" | "unlinkat" | "rmdir", _) => {
                if let Some((directory, name)) = path_at(self, 0) {
                    self.entries.remove(&(directory, name.clone())).expect("something to remove");
                    let what = What::Remove { directory, name };
                    self.trace.operations.push(Operation { began, ended, what });
                }
            }
            ("mmap", _) => {
                let file = number(4).and_then(|number| self.handles.get(&number));
                let writes = asked.contains("PROT_WRITE") && asked.contains("MAP_SHARED");
                assert!(file.is_none() || !writes, "not modelled: {asked}");
            }
            (_, Some(_)) => panic!("not modelled: {}", &asked[..asked.len().min(200)]),
            ("link" | "linkat" | "symlink" | "symlinkat" | "truncate", None) => {
                let root = self.root.to_str().expect("a path of text");
                let names = arguments.iter().any(|path| text(&bytes(path)).starts_with(root));
                assert!(!names, "not modelled: {asked}");
            }
            _ => {}
        }
    }

    fn open(
        &mut self,
        began: usize,
        ended: usize,
        place: (Node, String),
        asked: &str,
        number: u64,
    ) {
        let node = match self.entries.get(&place) {
            Some(node) => *node,
            None if place.1.is_empty() => place.0,
            None => self.create(began, ended, place),
        };
        if asked.contains("O_TRUNC") && self.lengths[node.0] > 0 {
            self.lengths[node.0] = 0;
            let what = What::SetLength { file: node, length: 0 };
            self.trace.operations.push(Operation { began, ended, what });
        }
        let appends = asked.contains("O_APPEND");
        self.handles.insert(number, Handle { node, offset: 0, appends });
    }

    fn create(&mut self, began: usize, ended: usize, place: (Node, String)) -> Node {
        let node = Node(self.lengths.len());
        self.lengths.push(0);
        self.parents.insert(node, place.0);
        self.entries.insert(place.clone(), node);
        let (directory, name) = place;
        let what = What::Create { directory, name, node };
        self.trace.operations.push(Operation { began, ended, what });
        node
    }

    fn close(&mut self, call: &str) {
        let number = call.strip_prefix("close(").and_then(|rest| rest.split(')').next());
        if let Some(number) = number.and_then(|number| number.trim().parse().ok()) {
            self.handles.remove(&number);
        }
    }

    /// The directory and name that a path below the root means; an empty name where
    /// it is the root.
    fn locate(&self, base: &str, path: &str) -> Option<(Node, String)> {
        let path = bytes(path);
        let path = Path::new(text(&path));
        if path.is_absolute() {
            self.place(ROOT, path.strip_prefix(&self.root).ok()?)
        } else {
            let base = base.parse::<u64>().ok()?;
            self.place(self.handles.get(&base)?.node, path)
        }
    }

    fn place(&self, mut directory: Node, path: &Path) -> Option<(Node, String)> {
        let mut names: Vec<_> =
            path.iter().map(|name| name.to_str().expect("a name of text").to_owned()).collect();
        let last = names.pop().unwrap_or_default();
        for name in names {
            directory = *self.entries.get(&(directory, name))?;
        }
        Some((directory, last))
    }
}

/// The bytes of a string of `\x2f\x74`.
fn bytes(shown: &str) -> Vec<u8> {
    let shown = shown.trim_matches('"').as_bytes();
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or_default() as u8;
    shown.chunks_exact(4).map(|byte| digit(byte[2]) << 4 | digit(byte[3])).collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
