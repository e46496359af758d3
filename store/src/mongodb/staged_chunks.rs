//! Chunks that uploads hold: staged, and discarded when their uploads come to nothing.
//!
//! Beside `t`, such a document has `u`, who holds it, and `s`, which is `t` as it was staged. Both
//! go when anybody else puts the chunk. A gateway of a release that knows no uploads moves `t`
//! alone, which shows as well: staged chunks are dated back by more than clocks differ.

use std::future::IntoFuture;
use std::time::Duration;

use ::mongodb::bson::{DateTime, Document, doc};

use super::documents;
use super::errors::InsertFailure;
use super::handle::MongoStore;
use crate::chunk::{Chunk, ChunkId, Holders, UploadId, touched_at_ms};
use crate::error::{StoreErrorKind, StoreResult};

/// By how much staged chunks are dated back; a small part of the time that chunks are kept.
const DATED_BACK: Duration = Duration::from_secs(60 * 60);

/// How often a write is made again that another one came before.
const ATTEMPTS_MAX: u32 = 4;

/// A chunk that uploads hold, as it stood when it was read.
struct HeldChunk {
    touched: DateTime,
    holders: Holders,
}

impl HeldChunk {
    /// What a chunk is that uploads alone have put; `None`: it stays.
    fn of(document: &mut Document) -> Option<Self> {
        let touched = *document.get_datetime("t").ok()?;
        let staged = *document.get_datetime("s").ok()?;
        let holders = documents::take_bytes(document, "u")?;
        let holders = Holders::decode(&holders)?;
        (staged == touched).then_some(Self { touched, holders })
    }

    /// The chunk, if it is as it was read.
    fn unchanged(&self, id: &str) -> Document {
        let holders = documents::binary(&self.holders.encode());
        doc! { "_id": id, "t": self.touched, "s": self.touched, "u": holders }
    }
}

impl MongoStore {
    pub(super) async fn write_staged_chunk(
        &self,
        realm: &str,
        chunk: Chunk,
        upload: UploadId,
    ) -> StoreResult<()> {
        let name = documents::chunk_id(realm, chunk.id());
        let now_ms = i64::try_from(touched_at_ms()).unwrap_or(i64::MAX);
        let dated_ms = now_ms.saturating_sub(DATED_BACK.as_millis() as i64);
        for _ in 0..ATTEMPTS_MAX {
            let Some(mut found) = self.find_holders(&name).await? else {
                let dated = DateTime::from_millis(dated_ms);
                let document = doc! {
                    "_id": &name,
                    "t": dated,
                    "s": dated,
                    "u": documents::binary(&Holders::first(upload).encode()),
                    "b": documents::binary(chunk.bytes()),
                };
                let insert = self.collections.chunks.insert_one(&document).into_future();
                match self.boundary.insert("stage a chunk", insert).await {
                    Ok(_) => return Ok(()),
                    Err(InsertFailure::Duplicate) => continue,
                    Err(InsertFailure::NotPrimary(error)) => return Err(error),
                    Err(InsertFailure::Other(mut error)) => {
                        // It may simply be staged again.
                        error.kind = StoreErrorKind::Unavailable;
                        return Err(error);
                    }
                }
            };
            let Some(held) = HeldChunk::of(&mut found) else { break };
            let Some(holders) = held.holders.clone().with(upload) else { break };
            let dated = DateTime::from_millis(dated_ms.max(held.touched.timestamp_millis()));
            let holders = documents::binary(&holders.encode());
            let join = self.collections.chunks.update_one(
                held.unchanged(&name),
                doc! { "$set": { "t": dated, "s": dated, "u": holders } },
            );
            if self.boundary.within("stage a chunk", join.into_future()).await?.matched_count > 0 {
                return Ok(());
            }
        }
        // It stays, or too many come at once to tell who holds it: then it stays as well.
        self.write_chunk(realm, chunk).await
    }

    pub(super) async fn let_go_of_chunks(
        &self,
        realm: &str,
        ids: &[ChunkId],
        upload: UploadId,
    ) -> StoreResult<u64> {
        let mut removed = 0;
        for id in ids {
            removed += u64::from(self.let_go_of_chunk(realm, *id, upload).await?);
        }
        Ok(removed)
    }

    /// True where it was removed.
    async fn let_go_of_chunk(
        &self,
        realm: &str,
        id: ChunkId,
        upload: UploadId,
    ) -> StoreResult<bool> {
        let name = documents::chunk_id(realm, id);
        for _ in 0..ATTEMPTS_MAX {
            let Some(mut found) = self.find_holders(&name).await? else { return Ok(false) };
            let Some(held) = HeldChunk::of(&mut found) else { return Ok(false) };
            let Some(left) = held.holders.without(upload) else { return Ok(false) };
            let (chunks, unchanged) = (&self.collections.chunks, held.unchanged(&name));
            let is_done = if left.is_empty() {
                let delete = chunks.delete_one(unchanged);
                self.boundary.within("discard a chunk", delete.into_future()).await?.deleted_count
            } else {
                let left = doc! { "$set": { "u": documents::binary(&left.encode()) } };
                let leave = chunks.update_one(unchanged, left);
                self.boundary.within("discard a chunk", leave.into_future()).await?.matched_count
            };
            if is_done > 0 {
                return Ok(left.is_empty());
            }
        }
        // Others put it all the time: it is in use, and left to its collector.
        Ok(false)
    }

    /// All but the bytes.
    async fn find_holders(&self, name: &str) -> StoreResult<Option<Document>> {
        let find = self
            .collections
            .chunks
            .find_one(doc! { "_id": name })
            .projection(doc! { "_id": 1, "t": 1, "s": 1, "u": 1 });
        self.boundary.within("read a chunk", find.into_future()).await
    }
}
