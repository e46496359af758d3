//! Hard histories by seed, made by git itself: merges, criss-cross, renames,
//! modes, links, submodules, tags, empty commits, and names that are no text.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use super::repository::{Repository, Signed};

/// Names and words as people should not choose them.
const FOLDERS: [&[u8]; 7] =
    [b"", b"src/", b"a b/", b"caf\xe9/", "e\u{301}/".as_bytes(), b".vdom/", b"d%41/"];
const NAMES: [&[u8]; 14] = [
    b"a",
    b"lib.rs",
    b"sp ace",
    b"quo\"te",
    b"back\\slash",
    b"tab\tbed",
    b"\xff\xfe",
    "u\u{308}.txt".as_bytes(),
    "\u{fc}.txt".as_bytes(),
    b"git-commit",
    b"100%",
    b"%FF",
    b"%~x",
    b"-dash",
];
const PEOPLE: [(&[u8], &[u8]); 5] = [
    (b"Ann Lee", b"ann@example.org"),
    (b"J\xf6rg", b"joerg@example.org"),
    ("Zo\u{eb}".as_bytes(), b""),
    (b"x", b"not an address"),
    ("\u{738b}".as_bytes(), b"\xff@example.org"),
];
const MESSAGES: [&[u8]; 8] = [
    b"Say what was done\n",
    b"",
    b"no line break at the end",
    b"\n\n  spaces and lines around  \n\n\n",
    b"Gr\xfc\xdfe\n",
    "Gr\u{fc}\u{df}e\n".as_bytes(),
    b"data 5\nfrom :1\nM 100644 :2 x\n",
    b"# no comment\n",
];
const HEADS: [&[u8]; 7] = [
    b"topic/a",
    b"fix#1",
    b"\xc3\xbcber",
    b"caf\xe9",
    b"git/side/x",
    b"_x41",
    b"a-name-that-is-longer-than-any-branch-of-a-repo-may-be-because-somebody-put-the-whole-title-of-the-issue-into-it-and-then-some-more-words",
];

type Tree = BTreeMap<Vec<u8>, (&'static str, String)>;

/// Makes a history of so many commits; the same seed makes the same one.
pub(crate) fn make(path: &Path, seed: u64, commits: usize) -> Repository {
    let mut making = Making {
        repository: Repository::new(path),
        random: Random(seed),
        heads: BTreeMap::new(),
        clock: 1_700_000_000,
    };
    making.heads.insert(b"main".to_vec(), (String::new(), Tree::new()));
    for _ in 0..commits {
        making.step();
    }
    making.finish()
}

struct Making {
    repository: Repository,
    random: Random,
    /// The last commit of each branch, and its tree.
    heads: BTreeMap<Vec<u8>, (String, Tree)>,
    clock: i64,
}

impl Making {
    fn step(&mut self) {
        let names: Vec<_> = self.heads.keys().cloned().collect();
        let name = self.random.of(&names).clone();
        let (commit, tree) = self.heads[&name].clone();
        match self.random.below(20) {
            // A branch of its own, from here or from nothing.
            0..=2 if self.heads.len() < 6 => {
                let new = self.random.of(&HEADS).to_vec();
                let begins = if self.random.below(4) == 0 {
                    (String::new(), Tree::new())
                } else {
                    (commit, tree)
                };
                if !self.heads.contains_key(&new) {
                    let (parent, tree) = begins;
                    let parents: Vec<_> =
                        (!parent.is_empty()).then_some(parent).into_iter().collect();
                    self.commit(&new, &parents, tree, 2);
                }
            }
            // A merge, perhaps of several.
            3..=8 if self.heads.len() > 1 => {
                let count = if self.random.below(5) == 0 { 3 } else { 1 };
                let mut parents = vec![commit];
                let mut merged = tree;
                for _ in 0..count {
                    let (other, theirs) = self.heads[self.random.of(&names)].clone();
                    if !other.is_empty() && !parents.contains(&other) {
                        parents.push(other);
                        for (path, file) in theirs {
                            if self.random.below(2) == 0 {
                                put(&mut merged, path, file);
                            }
                        }
                    }
                }
                parents.retain(|parent| !parent.is_empty());
                let edits = self.random.below(2);
                self.commit(&name, &parents, merged, edits);
            }
            // A branch whose name goes; merged before or not.
            9 if self.heads.len() > 3 && name != b"main" => {
                let (_, theirs) = &self.heads[&name];
                let (trunk, mut tree) = self.heads[b"main".as_slice()].clone();
                for (path, file) in theirs.clone() {
                    put(&mut tree, path, file);
                }
                if !trunk.is_empty() && trunk != commit {
                    self.commit(b"main", &[trunk, commit], tree, 0);
                }
                self.heads.remove(&name);
            }
            10 => self.commit_on(&name, 0),
            kind => {
                let edits = 1 + self.random.below(if kind == 11 { 40 } else { 5 });
                self.commit_on(&name, edits);
            }
        }
    }

    fn commit_on(&mut self, name: &[u8], edits: usize) {
        let (commit, tree) = self.heads[name].clone();
        let parents: Vec<_> = (!commit.is_empty()).then_some(commit).into_iter().collect();
        self.commit(name, &parents, tree, edits);
    }

    fn commit(&mut self, name: &[u8], parents: &[String], mut tree: Tree, edits: usize) {
        for _ in 0..edits {
            self.edit(&mut tree);
        }
        let tree_id = self.write_tree(&tree);
        let signed = self.signed();
        let message = self.message(&signed);
        let mut arguments = vec!["commit-tree".to_owned(), tree_id];
        for parent in parents {
            arguments.extend(["-p".to_owned(), parent.clone()]);
        }
        let arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
        let commit = self.repository.run_as(&signed, &arguments, &message);
        self.heads.insert(name.to_vec(), (commit, tree));
    }

    fn edit(&mut self, tree: &mut Tree) {
        let paths: Vec<_> = tree.keys().cloned().collect();
        if paths.is_empty() || self.random.below(3) == 0 {
            let path = self.path();
            let file = self.file();
            return put(tree, path, file);
        }
        let path = self.random.of(&paths).clone();
        let (mode, content) = tree[&path].clone();
        match self.random.below(7) {
            0 => drop(tree.remove(&path)),
            1 | 2 => {
                let to = self.path();
                tree.remove(&path);
                put(tree, to, (mode, content));
            }
            // Renamed and changed, or copied.
            3 => {
                let to = self.path();
                if self.random.below(2) == 0 {
                    tree.remove(&path);
                }
                let changed = if mode == "160000" { content } else { self.lines(Some(&content)) };
                put(tree, to, (mode, changed));
            }
            4 => {
                let modes = ["100644", "100755", "120000"];
                let mode = if mode == "160000" { mode } else { *self.random.of(&modes) };
                tree.insert(path, (mode, content));
            }
            5 => {
                let below = [path.as_slice(), b"/below"].concat();
                tree.remove(&path);
                put(tree, below, (mode, content));
            }
            _ => {
                let file = self.file();
                tree.insert(path, file);
            }
        }
    }

    fn path(&mut self) -> Vec<u8> {
        let mut path = self.random.of(&FOLDERS).to_vec();
        if self.random.below(40) == 0 {
            path.extend(b"long/".repeat(210));
        }
        path.extend_from_slice(self.random.of::<&[u8]>(&NAMES));
        path
    }

    fn file(&mut self) -> (&'static str, String) {
        match self.random.below(12) {
            0 => ("120000", self.blob(b"../some/target")),
            1 => ("120000", self.blob(b"no\xfftext")),
            2 => ("160000", format!("{:040x}", self.random.next())),
            3 => ("100755", self.lines(None)),
            4 => ("100644", self.blob(b"")),
            5 => ("100644", self.blob(b"\0\x01\xff binary")),
            _ => ("100644", self.lines(None)),
        }
    }

    /// Lines of text; those of another blob with one more where one is given.
    fn lines(&mut self, of: Option<&str>) -> String {
        let mut content = match of {
            Some(blob) => self.repository.run(&["cat-file", "blob", blob]),
            None => (0..20 + self.random.below(20))
                .flat_map(|line| format!("line {line} {}\n", self.random.next()).into_bytes())
                .collect(),
        };
        content.extend(format!("last {}\n", self.random.next()).into_bytes());
        self.blob(&content)
    }

    fn blob(&self, content: &[u8]) -> String {
        let id = self.repository.run_with(&["hash-object", "-w", "--stdin"], content);
        String::from_utf8(id).expect("an id").trim().to_owned()
    }

    fn write_tree(&self, tree: &Tree) -> String {
        self.repository.run(&["read-tree", "--empty"]);
        let mut index = Vec::new();
        for (path, (mode, id)) in tree {
            index.extend(format!("{mode} {id}\t").into_bytes());
            index.extend_from_slice(path);
            index.push(0);
        }
        self.repository.run_with(&["update-index", "-z", "--index-info"], &index);
        let id = self.repository.run(&["write-tree", "--missing-ok"]);
        String::from_utf8(id).expect("an id").trim().to_owned()
    }

    fn signed(&mut self) -> Signed {
        self.clock += 1 + i64::try_from(self.random.below(100_000)).expect("small");
        let zone = *self.random.of(&["+0000", "-0330", "+1400", "+0545"]);
        // Also long ago, and before the commit that it follows.
        let authored = match self.random.below(6) {
            0 => 1,
            1 => self.clock - 50_000_000,
            _ => self.clock,
        };
        let (author, email) = *self.random.of(&PEOPLE);
        Signed {
            author: author.to_vec(),
            email: email.to_vec(),
            date: format!("@{authored} {zone}"),
            committer_date: format!("@{} +0100", self.clock),
            encoding: (self.random.below(5) == 0).then_some("ISO-8859-1"),
        }
    }

    fn message(&mut self, signed: &Signed) -> Vec<u8> {
        loop {
            let message = *self.random.of(&MESSAGES);
            // Said to be Latin-1, UTF-8 would be another text.
            if signed.encoding.is_none() || message.is_ascii() || message == b"Gr\xfc\xdfe\n" {
                return message.to_vec();
            }
        }
    }

    /// Makes refs and tags, and forgets what no ref keeps.
    fn finish(mut self) -> Repository {
        let mut refs = Vec::new();
        let mut add = |name: &[u8], id: &str| {
            refs.extend_from_slice(b"create ");
            refs.extend_from_slice(name);
            refs.extend(format!("\0{id}\0").into_bytes());
        };
        let mut last = String::new();
        for (name, (commit, _)) in self.heads.clone() {
            if commit.is_empty() {
                continue;
            }
            add(&[b"refs/heads/", name.as_slice()].concat(), &commit);
            last = commit;
        }
        add(b"refs/heads/same-as-another", &last);
        add(b"refs/tags/light", &last);
        add(b"refs/notes-of-ours/x\xff", &last);
        let annotated = self.tag(&last, "commit", "v1");
        add(b"refs/tags/v1", &annotated);
        let of_tag = self.tag(&annotated, "tag", "v1-again");
        add(b"refs/tags/v1-again", &of_tag);
        self.repository.run_with(&["update-ref", "--stdin", "-z"], &refs);
        self.repository
    }

    fn tag(&mut self, object: &str, kind: &str, name: &str) -> String {
        let message = String::from_utf8_lossy(self.random.of::<&[u8]>(&MESSAGES)).into_owned();
        let tag = format!(
            "object {object}\ntype {kind}\ntag {name}\ntagger T\u{eb} <t@x> 1700000000 -0200\n\n\
             {message}"
        );
        let id = self.repository.run_with(&["mktag", "--no-strict"], tag.as_bytes());
        String::from_utf8(id).expect("an id").trim().to_owned()
    }
}

/// Puts a file where no folder may be, and a folder where no file may be.
fn put(tree: &mut Tree, path: Vec<u8>, file: (&'static str, String)) {
    let folder = [path.as_slice(), b"/"].concat();
    tree.retain(|other, _| {
        !other.starts_with(&folder) && !path.starts_with(&[other.as_slice(), b"/"].concat())
    });
    tree.insert(path, file);
}

/// Numbers by seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}
