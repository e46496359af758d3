//! The end of a file as a crash may leave it: torn, or whole in memory alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::errors::unavailable;
use crate::error::{StoreError, StoreResult};

/// What files are extended by, in long runs.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// What was cut from a file, in a file beside it or above.
pub(super) struct TornEnd {
    directory: PathBuf,
    kept: PathBuf,
}

impl TornEnd {
    /// Cuts a file to a length; what is cut is kept in `directory`.
    pub(super) fn make(directory: &Path, file: &Path, length: u64) -> io::Result<Self> {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".cut");
        let kept = directory.join(name);
        let source = OpenOptions::new().read(true).write(true).open(file)?;
        let mut copy = File::create(&kept)?;
        self::copy(&source, length, end_of_contents(&source, length)?, &mut copy)?;
        copy.sync_all()?;
        File::open(directory)?.sync_all()?;
        source.set_len(length)?;
        source.sync_all()?;
        Ok(Self { directory: directory.to_owned(), kept })
    }

    /// Says where what was cut is kept, of a store that is damaged.
    pub(super) fn add_to(&self, error: &StoreError) -> StoreError {
        let kept = self.kept.display();
        StoreError::new(error.kind, format_args!("{error}; the end of its journal is in {kept}"))
    }

    /// Takes what was cut for the torn end that a crash leaves.
    pub(super) fn forget(self) -> StoreResult<()> {
        let failed = |error| unavailable(&self.directory, "cannot remove a file of", &error);
        fs::remove_file(&self.kept).map_err(failed)
    }
}

/// Writes the beginning of a file again, as it stands there, and makes it last.
pub(super) fn renew(file: &Path, length: u64) -> io::Result<()> {
    let source = File::open(file)?;
    let mut target = OpenOptions::new().write(true).open(file)?;
    copy(&source, 0, length, &mut target)?;
    target.sync_all()
}

/// Where the last block ends, from a place on, that does not hold zeros alone.
pub(super) fn end_of_contents(file: &File, from: u64) -> io::Result<u64> {
    let mut file = BufReader::with_capacity(ZEROS.len(), file);
    let mut at = file.seek(SeekFrom::Start(from))?;
    let mut end = at;
    loop {
        let block = file.fill_buf()?;
        if block.is_empty() {
            return Ok(end);
        }
        at += block.len() as u64;
        if block != &ZEROS[..block.len()] {
            end = at;
        }
        let length = block.len();
        file.consume(length);
    }
}

/// Copies bytes from where they stand. Block by block: a copy by the system may leave
/// the disk alone.
fn copy(source: &File, from: u64, to: u64, target: &mut File) -> io::Result<()> {
    let mut source = BufReader::with_capacity(ZEROS.len(), source);
    source.seek(SeekFrom::Start(from))?;
    let mut source = source.take(to.saturating_sub(from));
    loop {
        let block = source.fill_buf()?;
        if block.is_empty() {
            return Ok(());
        }
        target.write_all(block)?;
        let length = block.len();
        source.consume(length);
    }
}
