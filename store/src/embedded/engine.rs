//! The storage engine (fjall) behind the few calls that the store makes.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use fjall::{Database, KeyspaceCreateOptions, KvSeparationOptions, PersistMode, Readable};
use parking_lot::Mutex;

use super::keyspace::{KEYSPACES, Keyspace, UNSEGMENTED_LOGS};
use super::options::EmbeddedOptions;
use super::record;
use crate::error::{StoreError, StoreErrorKind, StoreResult};

/// Values above this are kept outside of the sorted files, which are rewritten often.
const SEPARATED_VALUE_BYTES: u32 = 16 << 10;

/// One change of a write: a sealed value to put under a key, or `None` to remove it.
pub(super) type RowChange = (Keyspace, Vec<u8>, Option<Bytes>);

/// The engine's database; there is one in a process for each store.
pub(super) struct Engine {
    database: Database,
    /// In the order of [`KEYSPACES`].
    keyspaces: [fjall::Keyspace; KEYSPACES.len()],
    /// What a store of format 1 has of its own.
    unsegmented: Mutex<Option<fjall::Keyspace>>,
    /// How many journals there were after the last write.
    journals: AtomicUsize,
}

/// The content as of the end of a write.
pub(super) struct Snapshot<'a> {
    engine: &'a Engine,
    of_engine: fjall::Snapshot,
}

impl Engine {
    pub(super) fn open(path: &Path, options: &EmbeddedOptions) -> StoreResult<Self> {
        // The engine takes for granted that its own files are what it wrote, and
        // panics where they are not.
        let opened = catch_unwind(AssertUnwindSafe(|| open(path, options)));
        let what = match opened {
            Ok(Ok(engine)) => return Ok(engine),
            Ok(Err(error)) => return Err(explain(&error, "open the store at", path)),
            Err(panic) => panic_text(&*panic),
        };
        Err(StoreError::new(
            StoreErrorKind::Damaged,
            format_args!(
                "the store at {} is damaged: {what}; restore it from a backup",
                path.display()
            ),
        ))
    }

    /// Makes an empty engine that lasts.
    pub(super) fn create(path: &Path, options: &EmbeddedOptions) -> StoreResult<()> {
        let engine = Self::open(path, options)?;
        engine.sync().map_err(|error| explain(&error, "create the store at", path))
    }

    /// The content as of the last whole write; reads outside of a snapshot could see
    /// a part of the write that is being made.
    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { engine: self, of_engine: self.database.snapshot() }
    }

    /// Writes all rows or none, each key at most once; when `durable`, answers after an fsync.
    pub(super) fn write(
        &self,
        rows: impl IntoIterator<Item = RowChange>,
        durable: bool,
    ) -> Result<(), fjall::Error> {
        let mode = if durable { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        for (keyspace, key, value) in rows {
            match value {
                Some(value) => batch.insert(self.keyspace(keyspace), key, value),
                None => batch.remove(self.keyspace(keyspace), key),
            }
        }
        batch.commit()?;
        self.release_journals()
    }

    /// When a journal was sealed, has the newest rows of all keyspaces written to their files.
    ///
    /// A journal stays, and is read at the next start, as long as any keyspace has rows of it in
    /// memory, and one that is seldom written to would keep all of them. Done about once for each
    /// journal, this leaves far fewer waiting than the engine stops writes for, which would never
    /// end where a sync has failed.
    fn release_journals(&self) -> Result<(), fjall::Error> {
        let journals = self.database.journal_count();
        if journals > self.journals.swap(journals, Ordering::AcqRel) {
            // A write to two keyspaces shall not reach the files of one of them alone.
            self.database.persist(PersistMode::SyncData)?;
            self.write_out()?;
        }
        Ok(())
    }

    /// Has the newest rows of all keyspaces written to their files, beside other calls.
    fn write_out(&self) -> Result<(), fjall::Error> {
        self.keyspaces.iter().try_for_each(|keyspace| keyspace.rotate_memtable().map(drop))
    }

    /// Makes all that was written last.
    pub(super) fn sync(&self) -> Result<(), fjall::Error> {
        self.database.persist(PersistMode::SyncAll)
    }

    /// Rewrites what holds removed rows.
    pub(super) fn reclaim(&self) -> StoreResult<()> {
        for keyspace in &self.keyspaces {
            guarded(|| {
                keyspace.rotate_memtable_and_wait()?;
                keyspace.major_compact()
            })?;
        }
        Ok(())
    }

    /// The batches of a store of format 1 in their stored form, in the order of their keys.
    pub(super) fn unsegmented(&self) -> impl Iterator<Item = StoreResult<(Bytes, Bytes)>> {
        let keyspace = self.unsegmented.lock().clone();
        keyspace.into_iter().flat_map(|keyspace| keyspace.iter()).map(unsealed)
    }

    /// Removes the batches that are in segments now; an empty keyspace would keep the journals
    /// that it had rows in.
    pub(super) fn remove_unsegmented(&self) -> Result<(), fjall::Error> {
        let keyspace = self.unsegmented.lock().take();
        keyspace.map_or(Ok(()), |keyspace| self.database.delete_keyspace(keyspace))
    }

    fn keyspace(&self, keyspace: Keyspace) -> &fjall::Keyspace {
        &self.keyspaces[keyspace as usize]
    }
}

impl Snapshot<'_> {
    /// The value of a key, its checksum verified and removed.
    pub(super) fn get(&self, keyspace: Keyspace, key: &[u8]) -> StoreResult<Option<Bytes>> {
        let value = guarded(|| self.of_engine.get(self.engine.keyspace(keyspace), key))?;
        value.map(|value| record::unseal(key, &value.into())).transpose()
    }

    /// Rows in ascending order of their keys; `next_back` for descending.
    pub(super) fn range(
        &self,
        keyspace: Keyspace,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = StoreResult<(Bytes, Bytes)>> {
        let rows = is_forward(from, to)
            .then(|| self.of_engine.range::<&[u8], _>(self.engine.keyspace(keyspace), (from, to)));
        rows.into_iter().flatten().map(unsealed)
    }
}

fn unsealed(row: fjall::Guard) -> StoreResult<(Bytes, Bytes)> {
    let (key, value) = guarded(|| row.into_inner())?;
    let value = record::unseal(&key, &value.into())?;
    Ok((key.into(), value))
}

fn open(path: &Path, options: &EmbeddedOptions) -> Result<Engine, fjall::Error> {
    let database = Database::builder(path)
        .cache_size(options.cache_bytes)
        .max_cached_files(Some(options.open_files.max(10)))
        .worker_threads(1)
        .open()?;
    let create = |keyspace: Keyspace| {
        let separated = KvSeparationOptions::default().separation_threshold(SEPARATED_VALUE_BYTES);
        KeyspaceCreateOptions::default()
            .max_memtable_size(options.memtable_bytes)
            .with_kv_separation(matches!(keyspace, Keyspace::Chunks).then_some(separated))
    };
    let [index, views, chunks] =
        KEYSPACES.map(|(keyspace, name)| database.keyspace(name, || create(keyspace)));
    let unsegmented = database.keyspace_exists(UNSEGMENTED_LOGS);
    let unsegmented =
        unsegmented.then(|| database.keyspace(UNSEGMENTED_LOGS, KeyspaceCreateOptions::default));
    let unsegmented = unsegmented.transpose()?;
    let keyspaces = [index?, views?, chunks?];
    let unsegmented = Mutex::new(unsegmented);
    Ok(Engine { keyspaces, unsegmented, journals: AtomicUsize::new(1), database })
}

/// The engine panics when a range is empty because it is upside down.
fn is_forward(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from <= to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from < to,
        _ => true,
    }
}

/// A read that finds damage says so, in whichever way the engine notices.
fn guarded<T>(read: impl FnOnce() -> Result<T, fjall::Error>) -> StoreResult<T> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) if is_damage(&error) => Err(StoreError::new(
            StoreErrorKind::Damaged,
            format_args!("the store is damaged: {error}"),
        )),
        Ok(Err(error)) => {
            Err(StoreError::new(StoreErrorKind::Unavailable, format_args!("cannot read: {error}")))
        }
        Err(panic) => Err(StoreError::new(
            StoreErrorKind::Damaged,
            format_args!("the store is damaged: {}", panic_text(&*panic)),
        )),
    }
}

fn explain(error: &fjall::Error, what: &str, path: &Path) -> StoreError {
    let path = path.display();
    if matches!(error, fjall::Error::Locked) {
        let message = format!("cannot {what} {path}: it is already open in another process");
        return StoreError::new(StoreErrorKind::AlreadyOpen, message);
    }
    if is_damage(error) {
        let message = format!("cannot {what} {path}: {error}; restore it from a backup");
        return StoreError::new(StoreErrorKind::Damaged, message);
    }
    StoreError::new(StoreErrorKind::Unavailable, format_args!("cannot {what} {path}: {error}"))
}

/// Everything but trouble with the disk itself speaks of what is on it.
fn is_damage(error: &fjall::Error) -> bool {
    use std::io::ErrorKind;
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => matches!(
            error.kind(),
            ErrorKind::UnexpectedEof
                | ErrorKind::InvalidData
                | ErrorKind::InvalidInput
                | ErrorKind::NotFound
                | ErrorKind::Other
        ),
        fjall::Error::Poisoned | fjall::Error::Locked | fjall::Error::KeyspaceDeleted => false,
        _ => true,
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("its files are not what was written").to_owned()
}
