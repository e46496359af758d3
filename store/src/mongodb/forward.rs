//! Writes that only move forward: conditional upserts, in bulk, safe to repeat.

use std::future::IntoFuture;

use ::mongodb::bson::{Bson, Document, doc};

use super::MongoStore;
use crate::contract::StoreResult;

const DUPLICATE_KEY: i32 = 11000;

/// One command carries so much; the server takes 16 MB.
const COMMAND_BYTES: usize = 8 << 20;
const COMMAND_UPDATES: usize = 500;

/// A document that replaces the stored one if that is older by `fields`, compared
/// from left to right.
pub(super) struct Forward {
    pub(super) document: Document,
    pub(super) fields: &'static [&'static str],
    /// About how much the document takes.
    pub(super) bytes: usize,
}

impl MongoStore {
    /// Writes what is newer than what is stored; losing is success.
    pub(super) async fn write_forward(
        &self,
        collection: &str,
        writes: Vec<Forward>,
    ) -> StoreResult<()> {
        let mut slice = Vec::new();
        let mut bytes = 0;
        for write in writes {
            if slice.len() >= COMMAND_UPDATES || bytes + write.bytes > COMMAND_BYTES {
                self.write_slice(collection, std::mem::take(&mut slice)).await?;
                bytes = 0;
            }
            bytes += write.bytes;
            slice.push(write);
        }
        self.write_slice(collection, slice).await
    }

    async fn write_slice(&self, collection: &str, slice: Vec<Forward>) -> StoreResult<()> {
        // Where a newer document stands, an upsert fails as a duplicate. It fails, too,
        // where an older one was inserted at this moment: so they are tried once more,
        // without inserting.
        let lost = self.update(collection, &slice, true).await?;
        let again: Vec<_> = (slice.into_iter().enumerate())
            .filter(|(at, _)| lost.contains(at))
            .map(|(_, write)| write)
            .collect();
        self.update(collection, &again, false).await.map(|_| ())
    }

    /// Gives back which of the writes were duplicates.
    async fn update(
        &self,
        collection: &str,
        writes: &[Forward],
        upsert: bool,
    ) -> StoreResult<Vec<usize>> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let updates: Vec<_> = writes.iter().map(|write| write.update(upsert)).collect();
        let patience_ms = (self.boundary.deadline.as_millis() * 4 / 5) as i64;
        let command = doc! {
            "update": collection,
            "updates": updates,
            "ordered": false,
            "writeConcern": { "w": "majority", "j": true, "wtimeout": patience_ms },
        };
        let what = format!("write {collection}");
        let command = self.collections.database.run_command(command);
        let answer = self.boundary.within(&what, command.into_future()).await?;
        if let Ok(error) = answer.get_document("writeConcernError") {
            return Err(self.boundary.unavailable(&what, error));
        }
        let mut lost = Vec::new();
        for error in answer.get_array("writeErrors").into_iter().flatten() {
            let number = |field: &str| error.as_document().and_then(|error| integer(error, field));
            match (number("index"), number("code")) {
                (Some(index), Some(DUPLICATE_KEY)) => lost.push(index as usize),
                _ => return Err(self.boundary.unavailable(&what, error)),
            }
        }
        Ok(lost)
    }
}

impl Forward {
    fn update(&self, upsert: bool) -> Document {
        let mut older: Vec<Document> = Vec::with_capacity(self.fields.len());
        for (at, field) in self.fields.iter().enumerate() {
            let mut condition = Document::new();
            for equal in &self.fields[..at] {
                condition.insert(*equal, self.value(equal));
            }
            condition.insert(*field, doc! { "$lt": self.value(field) });
            older.push(condition);
        }
        doc! {
            "q": { "_id": self.value("_id"), "$or": older },
            "u": self.document.clone(),
            "upsert": upsert,
        }
    }

    fn value(&self, field: &str) -> Bson {
        self.document.get(field).cloned().unwrap_or(Bson::Null)
    }
}

fn integer(document: &Document, field: &str) -> Option<i32> {
    match document.get(field)? {
        Bson::Int32(value) => Some(*value),
        Bson::Int64(value) => i32::try_from(*value).ok(),
        Bson::Double(value) => Some(*value as i32),
        _ => None,
    }
}
