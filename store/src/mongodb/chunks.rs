//! Chunks in the collection `chunks`.

use std::future::IntoFuture;

use ::mongodb::bson::{DateTime, doc};
use bytes::Bytes;

use super::errors::InsertFailure;
use super::{MongoStore, documents};
use crate::contract::{ChunkId, StoreErrorKind, StoreResult};

impl MongoStore {
    pub(super) async fn write_chunk(
        &self,
        realm: &str,
        id: ChunkId,
        bytes: Bytes,
    ) -> StoreResult<()> {
        if self.touch_chunk(realm, id).await? {
            return Ok(());
        }
        let document = doc! {
            "_id": documents::chunk_id(realm, id),
            "t": DateTime::now(),
            "b": documents::binary(&bytes),
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

    /// Says that the chunk is in use; false where it is not stored.
    async fn touch_chunk(&self, realm: &str, id: ChunkId) -> StoreResult<bool> {
        let touch = self.collections.chunks.update_one(
            doc! { "_id": documents::chunk_id(realm, id) },
            doc! { "$max": { "t": DateTime::now() } },
        );
        let touched = self.boundary.within("touch a chunk", touch.into_future()).await?;
        Ok(touched.matched_count > 0)
    }
}
