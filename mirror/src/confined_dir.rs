//! A directory that files are written into, and never beside it: no path leads
//! out of it, neither by its name nor through a symbolic link.

mod existing;
mod safe_path;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, renameat, symlinkat, unlinkat};
use rustix::io::Errno;

pub use self::existing::ExistingFile;
pub use self::safe_path::is_safe_path;

/// What begins the name under which a file is written before it takes its place.
const TEMPORARY: &str = ".vdom-export-";
const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A directory that files are written into.
#[derive(Debug)]
pub struct ConfinedDir {
    root: OwnedFd,
    next: AtomicU64,
}

/// A file that is being written; it takes its place by [`UnfinishedFile::finish`],
/// and is gone without that.
#[derive(Debug)]
pub struct UnfinishedFile {
    folder: OwnedFd,
    name: Vec<u8>,
    temporary: String,
    file: File,
}

impl ConfinedDir {
    /// Opens a directory, and makes it first where there is none. A link to a
    /// directory is fine here: the caller named it.
    pub fn open(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: openat(CWD, directory, flags, Mode::empty())?, next: AtomicU64::new(0) })
    }

    /// Begins a file at this path.
    pub fn file(&self, path: &[u8], is_executable: bool) -> io::Result<UnfinishedFile> {
        let (folder, name) = self.folder_of(path)?;
        let mode = Mode::from_raw_mode(if is_executable { 0o777 } else { 0o666 });
        let temporary = self.temporary(&folder)?;
        let file = File::from(openat(&folder, temporary.as_str(), NEW_FILE, mode)?);
        Ok(UnfinishedFile { folder, name: name.to_vec(), temporary, file })
    }

    /// Makes a symbolic link at this path.
    pub fn link(&self, path: &[u8], target: &[u8]) -> io::Result<()> {
        let (folder, name) = self.folder_of(path)?;
        let temporary = self.temporary(&folder)?;
        symlinkat(OsStr::from_bytes(target), &folder, temporary.as_str())?;
        let renamed = renameat(&folder, temporary.as_str(), &folder, OsStr::from_bytes(name));
        if renamed.is_err() {
            remove(&folder, &temporary)?;
        }
        Ok(renamed?)
    }

    /// Makes an empty directory at this path.
    pub fn folder(&self, path: &[u8]) -> io::Result<()> {
        let (folder, name) = self.folder_of(path)?;
        enter(&folder, name).map(drop)
    }

    /// A name for the time being, which no earlier export left behind.
    fn temporary(&self, folder: &OwnedFd) -> io::Result<String> {
        let name = format!("{TEMPORARY}{}", self.next.fetch_add(1, Ordering::Relaxed));
        remove(folder, &name)?;
        Ok(name)
    }

    /// The folder of a path, made where there is none, and the last segment.
    fn folder_of<'a>(&self, path: &'a [u8]) -> io::Result<(OwnedFd, &'a [u8])> {
        let (folders, name) = Self::split(path)?;
        let mut folder = self.root.try_clone()?;
        for segment in folders {
            folder = enter(&folder, segment)?;
        }
        Ok((folder, name))
    }

    /// The folders of a path and its last segment, where files may be there.
    fn split(path: &[u8]) -> io::Result<(Vec<&[u8]>, &[u8])> {
        let mut segments: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        if let Some(segment) = segments.iter().find(|segment| !safe_path::is_safe_segment(segment))
        {
            let shown = segment.escape_ascii();
            let problem = format!("no file may be written at the segment \"{shown}\"");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let name = segments.pop().unwrap_or_default();
        Ok((segments, name))
    }
}

impl Write for UnfinishedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl UnfinishedFile {
    /// Puts the file in its place.
    pub fn finish(self) -> io::Result<()> {
        let name = OsStr::from_bytes(&self.name);
        Ok(renameat(&self.folder, self.temporary.as_str(), &self.folder, name)?)
    }
}

impl Drop for UnfinishedFile {
    fn drop(&mut self) {
        // Finished, it is there no more; else nobody can be told.
        let _is_gone = remove(&self.folder, &self.temporary);
    }
}

fn enter(folder: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
    let name = OsStr::from_bytes(name);
    match mkdirat(folder, name, Mode::from_raw_mode(0o777)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    openat(folder, name, FOLDER, Mode::empty()).map_err(|error| match error {
        Errno::LOOP | Errno::NOTDIR => io::Error::new(
            io::ErrorKind::NotADirectory,
            format!("{} stands in the way: no directory", name.display()),
        ),
        error => error.into(),
    })
}

fn remove(folder: &OwnedFd, name: &str) -> io::Result<()> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
