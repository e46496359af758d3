//! What is in a confined directory already: looked at, read, moved and removed, and no
//! symbolic link followed on the way.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, openat, readlinkat, renameat, renameat_with, unlinkat,
};
use rustix::io::Errno;

use super::{ConfinedDir, FOLDER};

/// Whether something may stand already where a file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExistingFile {
    /// The file is written over.
    Overwrite,
    /// Else it is an error, [`io::ErrorKind::AlreadyExists`].
    Refuse,
}

impl ConfinedDir {
    /// What stands at this path, links themselves included; `None`: nothing.
    pub fn stat(&self, path: &[u8]) -> io::Result<Option<Metadata>> {
        let Some((folder, name)) = self.existing_folder_of(path)? else { return Ok(None) };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&folder, name, flags, Mode::empty()) {
            Ok(found) => File::from(found).metadata().map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the regular file at this path for reading.
    pub fn read(&self, path: &[u8]) -> io::Result<File> {
        let (folder, name) = self.existing_folder_of(path)?.ok_or_else(not_found)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(File::from(openat(&folder, name, flags, Mode::empty())?))
    }

    /// The target of the symbolic link at this path.
    pub fn read_link(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        let (folder, name) = self.existing_folder_of(path)?.ok_or_else(not_found)?;
        Ok(OsString::from_vec(readlinkat(&folder, name, Vec::new())?.into_bytes()).into_vec())
    }

    /// Moves a finished file from another folder of the same file system to this
    /// path.
    pub fn take_in(
        &self,
        from: impl AsFd,
        name: &str,
        path: &[u8],
        target: ExistingFile,
    ) -> io::Result<()> {
        let (folder, to) = self.folder_of(path)?;
        let to = OsStr::from_bytes(to);
        let rename = || match target {
            ExistingFile::Overwrite => renameat(&from, name, &folder, to),
            ExistingFile::Refuse => renameat_with(&from, name, &folder, to, RenameFlags::NOREPLACE),
        };
        match rename() {
            // A folder that is left over, without any file.
            Err(Errno::ISDIR | Errno::EXIST)
                if unlinkat(&folder, to, AtFlags::REMOVEDIR).is_ok() =>
            {
                Ok(rename()?)
            }
            outcome => Ok(outcome?),
        }
    }

    /// Swaps a finished file of another folder with the one at this path, in one step;
    /// false where the file system cannot.
    pub fn exchange(&self, from: impl AsFd, name: &str, path: &[u8]) -> io::Result<bool> {
        let (folder, to) = self.existing_folder_of(path)?.ok_or_else(not_found)?;
        match renameat_with(&from, name, &folder, to, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(true),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves what is at this path to another folder of the same file system, where the
    /// name is free.
    pub fn take_out(&self, path: &[u8], into: impl AsFd, name: &str) -> io::Result<()> {
        let (folder, from) = self.existing_folder_of(path)?.ok_or_else(not_found)?;
        Ok(renameat_with(&folder, from, &into, name, RenameFlags::NOREPLACE)?)
    }

    /// Moves a file within the directory, where its new path is free.
    pub fn rename(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        let (old_folder, old_name) = self.existing_folder_of(from)?.ok_or_else(not_found)?;
        let (folder, name) = self.folder_of(to)?;
        let name = OsStr::from_bytes(name);
        renameat_with(&old_folder, old_name, &folder, name, RenameFlags::NOREPLACE)?;
        self.prune(from)
    }

    /// Removes a file, and the folders that are empty without it.
    pub fn remove(&self, path: &[u8]) -> io::Result<()> {
        let Some((folder, name)) = self.existing_folder_of(path)? else { return Ok(()) };
        match unlinkat(&folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => self.prune(path),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the folders of a path, from the innermost on, as far as they are
    /// empty.
    pub fn prune(&self, path: &[u8]) -> io::Result<()> {
        let mut path = path;
        while let Some(end) = path.iter().rposition(|byte| *byte == b'/') {
            path = &path[..end];
            let Some((folder, name)) = self.existing_folder_of(path)? else { continue };
            match unlinkat(&folder, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                // Something is in it, or it is no folder or not ours to remove.
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// The folder of a path and the last segment; `None` where there is no such
    /// folder.
    fn existing_folder_of<'a>(&self, path: &'a [u8]) -> io::Result<Option<(OwnedFd, &'a OsStr)>> {
        let (folders, name) = Self::split(path)?;
        let mut folder = self.root.try_clone()?;
        for segment in folders {
            folder = match openat(&folder, OsStr::from_bytes(segment), FOLDER, Mode::empty()) {
                Ok(folder) => folder,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
        }
        Ok(Some((folder, OsStr::from_bytes(name))))
    }
}

fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}
