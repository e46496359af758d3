//! Files of one crate do not import one another in a circle.
//!
//! A folder and the file that opens it are one: what a module and its descendants take
//! from each other does not count. A name that a module passes on (`pub use`) is
//! followed to the file that has it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::architecture::{CRATES, root, sources};

/// Folder of a crate, and files of it that may import one another in a circle. A circle
/// that is gone leaves the table.
const KNOWN_CYCLES: &[(&str, &[&str])] = &[
    ("api", &["dom/convert/decode/conflicts.rs", "dom/convert/decode/responses.rs"]),
    ("api", &["dom/convert/encode/conflicts.rs", "dom/convert/encode/responses.rs"]),
    ("core", &["document/build.rs", "document/read.rs"]),
    ("core", &["dom/calls/conflicts.rs", "dom/calls/writes.rs"]),
];

/// The path of a module below its crate's root.
type Module = Vec<String>;

struct Sources {
    files: BTreeMap<Module, String>,
    code: BTreeMap<Module, String>,
    /// Where a module has a name from that it passes on.
    passed_on: BTreeMap<Module, Module>,
}

impl Sources {
    fn of(folder: &Path) -> Self {
        let (mut files, mut code) = (BTreeMap::new(), BTreeMap::new());
        for path in sources(folder) {
            let relative = path.strip_prefix(folder).expect("below the folder");
            let file = relative.to_string_lossy().into_owned();
            let mut module: Module =
                file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            if module.iter().any(|part| part == "tests") {
                continue;
            }
            if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
                module.pop();
            }
            code.insert(module.clone(), code_of(&path));
            files.insert(module, file);
        }
        let mut all = Self { files, code, passed_on: BTreeMap::new() };
        let mut passed_on = BTreeMap::new();
        for (module, code) in &all.code {
            for (statement, is_passed_on) in use_statements(code) {
                for path in leaves(statement).iter().filter(|_| is_passed_on) {
                    let (path, name) = path.split_once(" as ").unwrap_or((path, path));
                    let name = name.rsplit("::").next().unwrap_or(name);
                    if let Some(origin) = all.absolute(module, path) {
                        let mut known_as = module.clone();
                        known_as.push(name.trim().to_owned());
                        passed_on.insert(known_as, origin);
                    }
                }
            }
        }
        all.passed_on = passed_on;
        all
    }

    /// A path as from the root of the crate; `None`: it is of another crate.
    fn absolute(&self, module: &[String], path: &str) -> Option<Module> {
        let mut segments = path.split("::").map(str::trim).peekable();
        let mut absolute = match *segments.peek()? {
            "crate" => Module::new(),
            "self" | "super" => module.to_vec(),
            first => {
                let child: Module = module.iter().cloned().chain([first.to_owned()]).collect();
                self.files.contains_key(&child).then(|| module.to_vec())?
            }
        };
        for segment in segments {
            match segment {
                "crate" | "self" => {}
                "super" => drop(absolute.pop()),
                name => absolute.push(name.to_owned()),
            }
        }
        Some(absolute)
    }

    /// The module that has what a path names.
    fn owner(&self, path: &[String], depth: usize) -> Option<Module> {
        let end = (0..=path.len()).rev().find(|end| self.files.contains_key(&path[..*end]))?;
        let name = path.get(..=end);
        match name.and_then(|name| self.passed_on.get(name)) {
            Some(origin) if depth > 0 => {
                let origin: Module = origin.iter().chain(&path[end + 1..]).cloned().collect();
                self.owner(&origin, depth - 1)
            }
            _ => Some(path[..end].to_vec()),
        }
    }

    /// The modules that a module uses, but for its ancestors and descendants.
    fn uses(&self, module: &[String]) -> BTreeSet<Module> {
        let code = &self.code[module];
        let mut paths: Vec<String> = Vec::new();
        let mut rest = code.clone();
        for (statement, is_passed_on) in use_statements(code) {
            rest = rest.replace(statement, "");
            if !is_passed_on {
                paths.extend(leaves(statement));
            }
        }
        for marker in ["crate::", "super::"] {
            for (at, _) in rest.match_indices(marker) {
                if !rest[..at].ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c)) {
                    let end =
                        rest[at..].find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
                    paths.push(rest[at..][..end.unwrap_or(rest.len() - at)].to_owned());
                }
            }
        }
        let owners = paths.iter().filter_map(|path| {
            let path = path.split(" as ").next().unwrap_or(path);
            self.owner(&self.absolute(module, path)?, 8)
        });
        owners.filter(|owner| !owner.starts_with(module) && !module.starts_with(owner)).collect()
    }

    /// Groups of files that import one another in a circle.
    fn cycles(&self) -> BTreeSet<Vec<&str>> {
        let direct: BTreeMap<&Module, BTreeSet<Module>> =
            self.files.keys().map(|module| (module, self.uses(module))).collect();
        let reached = |from: &Module| {
            let mut reached = BTreeSet::new();
            let mut waiting: Vec<&Module> = direct[from].iter().collect();
            while let Some(module) = waiting.pop() {
                if reached.insert(module) {
                    waiting.extend(&direct[module]);
                }
            }
            reached
        };
        let all: BTreeMap<_, _> =
            self.files.keys().map(|module| (module, reached(module))).collect();
        all.iter()
            .filter(|(module, reached)| reached.contains(*module))
            .map(|(module, reached)| {
                let circle = reached.iter().filter(|other| all[*other].contains(module));
                circle.map(|module| self.files[*module].as_str()).collect()
            })
            .collect()
    }
}

/// The code of a file, without comments, strings and its own tests.
fn code_of(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("readable");
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(&text);
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// The `use` statements from the first path to the semicolon, and whether they pass on.
fn use_statements(code: &str) -> Vec<(&str, bool)> {
    let mut statements = Vec::new();
    for (at, marker) in code.match_indices("use ") {
        let line = code[..at].rsplit('\n').next().unwrap_or_default().trim();
        let is_passed_on = line.starts_with("pub");
        if !line.is_empty() && !is_passed_on {
            continue;
        }
        let statement = &code[at + marker.len()..];
        let end = statement.find(';').unwrap_or(statement.len());
        statements.push((&statement[..end], is_passed_on));
    }
    statements
}

/// Every path of a `use` tree by itself.
fn leaves(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((prefix, rest)) = tree.split_once('{') else { return vec![tree.to_owned()] };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, letter) in inner.char_indices().chain([(inner.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let branch = inner[start..at].trim();
                if !branch.is_empty() {
                    found.extend(leaves(branch).iter().map(|leaf| format!("{prefix}{leaf}")));
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

#[test]
fn no_files_import_one_another_in_a_circle() {
    let folders = CRATES.iter().map(|(_, folder, _)| *folder).chain(["testkit", "bench"]);
    let mut found = BTreeSet::new();
    for folder in folders {
        let sources = Sources::of(&root().join(folder).join("src"));
        let cycles = sources.cycles();
        found.extend(cycles.iter().map(|cycle| (folder.to_owned(), cycle.join(" "))));
    }
    let known: BTreeSet<_> =
        KNOWN_CYCLES.iter().map(|(folder, cycle)| (folder.to_string(), cycle.join(" "))).collect();
    let new: Vec<_> = found.difference(&known).collect();
    assert!(new.is_empty(), "files import one another in a circle: {new:#?}");
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(gone.is_empty(), "these circles are gone, take them out of the table: {gone:#?}");
}
