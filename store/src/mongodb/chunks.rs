//! Chunks in the collection `chunks`.

use std::future::IntoFuture;

use ::mongodb::bson::{DateTime, doc};
use bytes::Bytes;

use super::documents;
use super::errors::InsertFailure;
use super::handle::MongoStore;
use crate::chunk::{Chunk, ChunkId, StoredChunk};
use crate::error::{StoreErrorKind, StoreResult};

/// So many chunks in one answer, or in one command.
const LISTED_AT_ONCE: i64 = 500;

impl MongoStore {
    pub(super) async fn write_chunk(&self, realm: &str, chunk: Chunk) -> StoreResult<()> {
        let id = chunk.id();
        if self.touch_chunk(realm, id).await? {
            return Ok(());
        }
        let document = doc! {
            "_id": documents::chunk_id(realm, id),
            "t": DateTime::now(),
            "b": documents::binary(chunk.bytes()),
        };
        let what = "write a chunk";
        let insert = self.collections.chunks.insert_one(&document).into_future();
        match self.boundary.insert(what, insert).await {
            Ok(_) => Ok(()),
            // Somebody else was faster.
            Err(InsertFailure::Duplicate) if self.touch_chunk(realm, id).await? => Ok(()),
            Err(InsertFailure::Duplicate) => {
                Err(self.boundary.unavailable(what, "another write is not done yet"))
            }
            Err(InsertFailure::NotPrimary(error)) => Err(error),
            Err(InsertFailure::Other(mut error)) => {
                // It may simply be put again.
                error.kind = StoreErrorKind::Unavailable;
                Err(error)
            }
        }
    }

    pub(super) async fn read_chunk(&self, realm: &str, id: ChunkId) -> StoreResult<Option<Bytes>> {
        let find = self.collections.chunks.find_one(doc! { "_id": documents::chunk_id(realm, id) });
        let Some(mut found) = self.boundary.within("read a chunk", find.into_future()).await?
        else {
            return Ok(None);
        };
        let bytes = documents::take_bytes(&mut found, "b").filter(|bytes| ChunkId::of(bytes) == id);
        let damaged =
            || self.boundary.damaged(&format!("chunk {id}"), "it is not what was written");
        bytes.map(Some).ok_or_else(damaged)
    }

    pub(super) async fn list_chunks(
        &self,
        realm: &str,
        after: Option<ChunkId>,
        limit: usize,
    ) -> StoreResult<Vec<StoredChunk>> {
        let mut chunks = Vec::new();
        let mut after = after.map(|after| documents::chunk_id(realm, after)).unwrap_or_default();
        while chunks.len() < limit {
            let find = self
                .collections
                .chunks
                .find(doc! { "_id": { "$gt": &after } })
                .sort(doc! { "_id": 1 })
                .projection(doc! { "_id": 1, "t": 1 })
                .limit(LISTED_AT_ONCE);
            let page = self.all(find, "list chunks").await?;
            let Some(last) = page.last() else { break };
            last.get_str("_id").unwrap_or_default().clone_into(&mut after);
            for document in &page {
                let (id, of, touched_ms) = documents::decode_touch(document).ok_or_else(|| {
                    self.boundary.damaged("a chunk", "its _id or its time cannot be read")
                })?;
                if of == realm && chunks.len() < limit {
                    chunks.push(StoredChunk { id, touched_ms });
                }
            }
        }
        Ok(chunks)
    }

    pub(super) async fn remove_chunks(
        &self,
        realm: &str,
        ids: &[ChunkId],
        touched_before_ms: u64,
    ) -> StoreResult<u64> {
        let before = DateTime::from_millis(i64::try_from(touched_before_ms).unwrap_or(i64::MAX));
        let mut deleted = 0;
        for slice in ids.chunks(LISTED_AT_ONCE as usize) {
            let ids: Vec<_> = slice.iter().map(|id| documents::chunk_id(realm, *id)).collect();
            let untouched = doc! { "_id": { "$in": ids }, "t": { "$lt": before } };
            let delete = self.collections.chunks.delete_many(untouched);
            let answer = self.boundary.within("delete chunks", delete.into_future()).await?;
            deleted += answer.deleted_count;
        }
        Ok(deleted)
    }

    /// Says that the chunk is in use, and that it stays; false where it is not stored.
    async fn touch_chunk(&self, realm: &str, id: ChunkId) -> StoreResult<bool> {
        let id = documents::chunk_id(realm, id);
        let now = doc! { "$max": { "t": DateTime::now() }, "$unset": { "s": "", "u": "" } };
        let chunks = &self.collections.chunks;
        let touch = || chunks.update_one(doc! { "_id": &id }, now.clone()).into_future();
        let touched = self.boundary.repeatable("touch a chunk", touch).await?;
        Ok(touched.matched_count > 0)
    }
}
