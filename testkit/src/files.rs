//! Real files: what `cargo vendor` makes of this workspace's dependencies.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Files below a folder, by their path relative to it.
pub struct Files {
    pub folder: TempDir,
    pub contents: BTreeMap<String, Vec<u8>>,
}

impl Files {
    /// Whole packages of the vendored tree, about so many files, and the largest
    /// files of all. `None` where `make bootstrap` has not vendored it.
    pub fn vendored(about: usize) -> Option<Self> {
        let root = PathBuf::from(std::env::var_os("VDOM_VENDOR")?);
        let mut packages: Vec<_> =
            fs::read_dir(&root).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        packages.sort();
        let mut chosen = Vec::new();
        let mut large = Vec::new();
        for package in packages {
            let files = files_below(&package);
            large.extend(files.iter().filter(|file| size(file) > 4 << 20).cloned());
            if chosen.len() < about && files.len() < about / 4 {
                chosen.extend(files);
            }
        }
        large.sort_by_key(|file| std::cmp::Reverse(size(file)));
        chosen.extend(large.into_iter().take(2));
        let folder = tempfile::tempdir().expect("a folder");
        let mut contents = BTreeMap::new();
        for file in chosen {
            let path = file.strip_prefix(&root).expect("below the root");
            let target = folder.path().join(path);
            fs::create_dir_all(target.parent().expect("a folder")).expect("created");
            fs::copy(&file, &target).expect("copied");
            let name = path.to_str().expect("UTF-8").to_owned();
            contents.insert(name, fs::read(&file).expect("read"));
        }
        Some(Self { folder, contents })
    }
}

/// Every regular file below a folder, in order.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry.expect("readable");
            let kind = entry.file_type().expect("known");
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    files
}

fn size(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}
