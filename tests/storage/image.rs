//! The files of a directory, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What a directory holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) directories: BTreeSet<PathBuf>,
    pub(super) files: BTreeMap<PathBuf, Content>,
}

/// A file; what is behind the bytes is zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) length: u64,
}

impl Image {
    /// What is in a directory of the real disk.
    pub(super) fn of(root: &Path) -> Self {
        let mut image = Self::default();
        let mut left = vec![root.to_owned()];
        while let Some(path) = left.pop() {
            let name = path.strip_prefix(root).expect("it is below").to_owned();
            if path.is_dir() {
                left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                image.directories.insert(name);
            } else {
                let bytes = fs::read(&path).unwrap();
                let length = bytes.len() as u64;
                image.files.insert(name, Content { bytes, length }.without_zeros());
            }
        }
        image
    }

    /// Makes a directory hold this.
    pub(super) fn write_to(&self, root: &Path) {
        for directory in &self.directories {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for (name, content) in &self.files {
            let mut file = File::create(root.join(name)).unwrap();
            file.write_all(&content.bytes).unwrap();
            file.set_len(content.length).unwrap();
        }
    }
}

impl Content {
    /// In large steps first, because files are extended by far.
    pub(super) fn without_zeros(mut self) -> Self {
        const STEP: usize = 4096;
        while self.bytes.len() > STEP && self.bytes[self.bytes.len() - STEP..] == [0; STEP] {
            self.bytes.truncate(self.bytes.len() - STEP);
        }
        let end = self.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        self.bytes.truncate(end);
        self
    }
}
