//! Rows and watermarks in the collections `views` and `watermarks`.

use std::collections::HashMap;
use std::future::IntoFuture;

use ::mongodb::bson::{Document, doc};
use bytes::Bytes;

use super::documents;
use super::forward_write::ForwardWrite;
use super::handle::MongoStore;
use crate::error::StoreResult;
use crate::log::LogId;
use crate::view::{PathRange, View, ViewKind, ViewWrite, Watermark};

/// So many `_id`s in one command.
const DELETED_AT_ONCE: usize = 500;

/// What a row takes beside path and value.
const ROW_BYTES: usize = 1024;

impl MongoStore {
    pub(super) async fn write_rows(&self, log: LogId, writes: &[ViewWrite]) -> StoreResult<()> {
        // Of one call only the newest state of a row is of use.
        let mut newest: HashMap<(ViewKind, &[u8]), &View> = HashMap::new();
        for ViewWrite { kind, view } in writes {
            let row = newest.entry((*kind, &view.id)).or_insert(view);
            if view.position > row.position {
                *row = view;
            }
        }
        let forward = |((kind, _), view): ((ViewKind, &[u8]), &View)| {
            let path_bytes = view.path.as_ref().map_or(0, String::len);
            Ok(ForwardWrite {
                document: documents::encode_row(log, kind, view)?,
                fields: &["e", "r"],
                bytes: ROW_BYTES + path_bytes + view.value.len(),
            })
        };
        let writes = newest.into_iter().map(forward).collect::<StoreResult<Vec<_>>>()?;
        self.write_forward("views", writes).await
    }

    pub(super) async fn write_watermark(
        &self,
        log: LogId,
        watermark: Watermark,
    ) -> StoreResult<()> {
        let document = documents::encode_watermark(log, watermark)?;
        let write = ForwardWrite { document, fields: &["e", "r", "n"], bytes: ROW_BYTES };
        self.write_forward("watermarks", vec![write]).await
    }

    pub(super) async fn read_watermark(&self, log: LogId) -> StoreResult<Watermark> {
        let find = self.collections.watermarks.find_one(doc! { "_id": log.to_string() });
        let found = self.boundary.within("read a watermark", find.into_future()).await?;
        let Some(document) = found else { return Ok(Watermark::default()) };
        documents::decode_watermark(&document).ok_or_else(|| {
            self.boundary.damaged(&format!("the watermark of log {log}"), "it cannot be decoded")
        })
    }

    pub(super) async fn row(
        &self,
        log: LogId,
        kind: ViewKind,
        id: &[u8],
    ) -> StoreResult<Option<View>> {
        let find =
            self.collections.views.find_one(doc! { "_id": documents::row_id(log, kind, id) });
        let found = self.boundary.within("read a row", find.into_future()).await?;
        found.map(|document| documents::decode_row(&self.boundary, document)).transpose()
    }

    pub(super) async fn live_rows_at(
        &self,
        log: LogId,
        kind: ViewKind,
        path: &str,
    ) -> StoreResult<Vec<View>> {
        let mut filter = rows_of(log, kind);
        filter.insert("p", path);
        filter.insert("a", true);
        self.rows(filter, doc! { "_id": 1 }, usize::MAX).await
    }

    pub(super) async fn rows_by_path(
        &self,
        log: LogId,
        kind: ViewKind,
        range: &PathRange,
    ) -> StoreResult<Vec<View>> {
        let PathRange { prefix, after, include_tombstones, limit } = range;
        // What is at the prefix comes before what is below it, siblings lie between.
        let parts = if prefix.is_empty() {
            vec![doc! { "$gte": "" }]
        } else {
            vec![
                doc! { "$eq": prefix },
                doc! { "$gte": format!("{prefix}/"), "$lt": format!("{prefix}0") },
            ]
        };
        let mut views = Vec::new();
        for part in parts {
            if views.len() >= *limit {
                break;
            }
            let mut filter = rows_of(log, kind);
            filter.insert("p", part);
            if !include_tombstones {
                filter.insert("a", true);
            }
            if let Some((path, id)) = after {
                let id = documents::row_id(log, kind, id);
                let beyond =
                    [doc! { "p": { "$gt": path } }, doc! { "p": path, "_id": { "$gt": id } }];
                filter.insert("$or", beyond.to_vec());
            }
            let rest = limit - views.len();
            views.extend(self.rows(filter, doc! { "p": 1, "_id": 1 }, rest).await?);
        }
        Ok(views)
    }

    pub(super) async fn rows_in_reverse(
        &self,
        log: LogId,
        kind: ViewKind,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> StoreResult<Vec<View>> {
        let [from, to] = [from, to].map(|id| documents::row_id(log, kind, id));
        let filter = doc! { "_id": { "$gte": from, "$lte": to } };
        self.rows(filter, doc! { "_id": -1 }, limit).await
    }

    pub(super) async fn delete_rows(
        &self,
        log: LogId,
        kind: ViewKind,
        ids: &[Bytes],
    ) -> StoreResult<()> {
        for slice in ids.chunks(DELETED_AT_ONCE) {
            let ids: Vec<_> = slice.iter().map(|id| documents::row_id(log, kind, id)).collect();
            let delete = self.collections.views.delete_many(doc! { "_id": { "$in": ids } });
            self.boundary.within("delete rows", delete.into_future()).await?;
        }
        Ok(())
    }

    pub(super) async fn delete_all_rows(&self, log: LogId) -> StoreResult<()> {
        // The watermark first: without it, what is left counts for nothing.
        let watermark = self.collections.watermarks.delete_one(doc! { "_id": log.to_string() });
        self.boundary.within("delete a watermark", watermark.into_future()).await?;
        let rows = self.collections.views.delete_many(doc! { "l": log.to_string() });
        self.boundary.within("delete rows", rows.into_future()).await.map(|_| ())
    }

    async fn rows(
        &self,
        filter: Document,
        order: Document,
        limit: usize,
    ) -> StoreResult<Vec<View>> {
        // To the server, no limit at all is 0.
        if limit == 0 {
            return Ok(Vec::new());
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX).min(i64::from(i32::MAX));
        let find = self.collections.views.find(filter).sort(order).limit(limit);
        let documents = self.all(find, "read rows").await?;
        documents
            .into_iter()
            .map(|document| documents::decode_row(&self.boundary, document))
            .collect()
    }
}

fn rows_of(log: LogId, kind: ViewKind) -> Document {
    doc! { "l": log.to_string(), "k": i32::from(kind.number) }
}
