//! The file of a backup.
//!
//! ```text
//! "vdom backup 1\n" │ record … │ end
//! record: tag (1 byte), length of the payload (u32 LE), payload
//! ```
//!
//! | tag | payload |
//! |---|---|
//! | `L` | a log's descriptor (CBOR); its batches follow |
//! | `B` | a batch in its stored form; their numbers are 1, 2, 3 … |
//! | `C` | a chunk: the length of its realm's name (1 byte), that name, the bytes |
//! | `E` | SHA-256 of everything before this record |

use std::io::{Read, Write};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use vdom_core::{Error, ErrorCode, Result};
use vdom_store::{BATCH_MAX_BYTES, Batch, CHUNK_MAX_BYTES, LogDescriptor};

use super::unreadable;

const MAGIC: &[u8] = b"vdom backup 1\n";
const LOG: u8 = b'L';
const BATCH: u8 = b'B';
const CHUNK: u8 = b'C';
const END: u8 = b'E';

/// No payload is larger.
const PAYLOAD_MAX_BYTES: usize =
    if BATCH_MAX_BYTES > CHUNK_MAX_BYTES { BATCH_MAX_BYTES } else { CHUNK_MAX_BYTES } + 1_024;

/// What a backup holds.
pub(super) enum Record {
    /// The batches that follow are this log's.
    Log(LogDescriptor),
    /// The next batch of the log.
    Batch(Box<Batch>),
    /// A chunk of a realm.
    Chunk(String, Bytes),
}

/// Writes a backup.
pub(super) struct Writer<W> {
    file: W,
    hash: Sha256,
}

impl<W: Write> Writer<W> {
    pub(super) fn begin(file: W) -> Result<Self> {
        let mut writer = Self { file, hash: Sha256::new() };
        writer.write(MAGIC)?;
        Ok(writer)
    }

    /// A log; its batches follow.
    pub(super) fn log(&mut self, log: &LogDescriptor) -> Result<()> {
        self.record(LOG, &[&minicbor::to_vec(log).map_err(Error::internal)?])
    }

    /// The next batch of the log.
    pub(super) fn batch(&mut self, encoded: &[u8]) -> Result<()> {
        self.record(BATCH, &[encoded])
    }

    pub(super) fn chunk(&mut self, realm: &str, bytes: &[u8]) -> Result<()> {
        let length = u8::try_from(realm.len()).map_err(Error::internal)?;
        self.record(CHUNK, &[&[length], realm.as_bytes(), bytes])
    }

    /// Ends it; gives the file back for it to be made durable.
    pub(super) fn end(mut self) -> Result<W> {
        let hash = self.hash.clone().finalize();
        self.record(END, &[&hash])?;
        self.file.flush().map_err(|error| unreadable("write the backup", &error))?;
        Ok(self.file)
    }

    fn record(&mut self, tag: u8, parts: &[&[u8]]) -> Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let length = u32::try_from(length).map_err(Error::internal)?;
        self.write(&[tag])?;
        self.write(&length.to_le_bytes())?;
        parts.iter().try_for_each(|part| self.write(part))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.file.write_all(bytes).map_err(|error| unreadable("write the backup", &error))
    }
}

/// Reads a backup; a record is given out before the end of the file was seen.
pub(super) struct Reader<R> {
    file: R,
    hash: Sha256,
    read: u64,
}

impl<R: Read> Reader<R> {
    /// Begins at the start of the file.
    pub(super) fn begin(file: R) -> Result<Self> {
        let mut reader = Self { file, hash: Sha256::new(), read: 0 };
        let mut magic = [0; MAGIC.len()];
        reader.fill(&mut magic)?;
        if magic != *MAGIC {
            return Err(Error::invalid(
                "the file is no backup of this release: it does not begin with `vdom backup 1`",
            ));
        }
        Ok(reader)
    }

    /// The next record; `None` at an end whose hash is right.
    pub(super) fn next(&mut self) -> Result<Option<Record>> {
        let before = self.hash.clone();
        let mut head = [0; 5];
        self.fill(&mut head)?;
        let [tag, length @ ..] = head;
        let length = u32::from_le_bytes(length) as usize;
        if length > PAYLOAD_MAX_BYTES {
            return Err(self.damaged("a record is longer than any can be"));
        }
        let mut payload = vec![0; length];
        self.fill(&mut payload)?;
        match tag {
            LOG => minicbor::decode(&payload)
                .map(|log| Some(Record::Log(log)))
                .map_err(|_| self.damaged("a log's name cannot be read")),
            BATCH => Batch::decode(&payload.into())
                .map(|batch| Some(Record::Batch(Box::new(batch))))
                .map_err(|error| self.damaged(&error.message)),
            CHUNK => self.chunk(&payload.into()).map(Some),
            END if payload == before.finalize().as_slice() => Ok(None),
            END => Err(self.damaged("its hash is another one")),
            _ => Err(self.damaged("a record is of no known kind")),
        }
    }

    fn chunk(&self, payload: &Bytes) -> Result<Record> {
        let length = payload.first().map_or(0, |length| usize::from(*length));
        let realm = payload.get(1..=length).and_then(|name| std::str::from_utf8(name).ok());
        let realm = realm.ok_or_else(|| self.damaged("a chunk names no realm"))?.to_owned();
        Ok(Record::Chunk(realm, payload.slice(1 + length..)))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        match self.file.read_exact(bytes) {
            Ok(()) => {
                self.hash.update(&*bytes);
                self.read += bytes.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(self.damaged("it ends too early"))
            }
            Err(error) => Err(unreadable("read the backup", &error)),
        }
    }

    fn damaged(&self, what: &str) -> Error {
        Error::new(
            ErrorCode::DataLoss,
            format!("the backup is damaged near byte {}: {what}; use another one", self.read),
        )
    }
}
