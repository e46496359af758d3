//! Writes that only move forward: in bulk, and safe to repeat.
//!
//! A document is inserted; where one stands already, it is replaced if it is older.
//! So no write ever depends on an upsert, which servers treat differently when two
//! race. Rows of histories, and of new nodes, take the insert alone.

use std::future::IntoFuture;

use ::mongodb::bson::{Bson, Document, doc};

use super::handle::MongoStore;
use crate::error::StoreResult;

const DUPLICATE_KEY: i32 = 11000;

/// One command carries so much; the server takes 16 MB.
const COMMAND_BYTES: usize = 8 << 20;
const COMMAND_WRITES: usize = 500;

/// A document that replaces the stored one if that is older by `fields`, compared
/// from left to right.
pub(super) struct ForwardWrite {
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
        writes: Vec<ForwardWrite>,
    ) -> StoreResult<()> {
        let (mut slice, mut bytes) = (Vec::new(), 0);
        for write in writes {
            if slice.len() >= COMMAND_WRITES || bytes + write.bytes > COMMAND_BYTES {
                self.write_slice(collection, &std::mem::take(&mut slice)).await?;
                bytes = 0;
            }
            bytes += write.bytes;
            slice.push(write);
        }
        self.write_slice(collection, &slice).await
    }

    async fn write_slice(&self, collection: &str, slice: &[ForwardWrite]) -> StoreResult<()> {
        if slice.is_empty() {
            return Ok(());
        }
        let documents: Vec<_> = slice.iter().map(|write| write.document.clone()).collect();
        let insert = doc! { "insert": collection, "documents": documents };
        let standing = self.write_command(collection, insert).await?;
        if standing.is_empty() {
            return Ok(());
        }
        let updates: Vec<_> =
            standing.iter().filter_map(|at| slice.get(*at)).map(ForwardWrite::update).collect();
        let update = doc! { "update": collection, "updates": updates };
        self.write_command(collection, update).await.map(|_| ())
    }

    /// Runs a write command; gives back which of its writes were duplicates.
    async fn write_command(
        &self,
        collection: &str,
        mut command: Document,
    ) -> StoreResult<Vec<usize>> {
        let patience_ms = (self.boundary.deadline.as_millis() * 4 / 5) as i64;
        command.insert("ordered", false);
        command
            .insert("writeConcern", doc! { "w": "majority", "j": true, "wtimeout": patience_ms });
        let what = format!("write {collection}");
        let command = self.collections.database.run_command(command);
        let answer = self.boundary.within(&what, command.into_future()).await?;
        if let Ok(error) = answer.get_document("writeConcernError") {
            return Err(self.boundary.unavailable(&what, error));
        }
        let mut duplicates = Vec::new();
        for error in answer.get_array("writeErrors").into_iter().flatten() {
            let number = |field: &str| error.as_document().and_then(|error| integer(error, field));
            match (number("index"), number("code")) {
                (Some(index), Some(DUPLICATE_KEY)) => duplicates.extend(usize::try_from(index)),
                _ => return Err(self.boundary.unavailable(&what, error)),
            }
        }
        Ok(duplicates)
    }
}

impl ForwardWrite {
    /// Replaces the standing document if it is older.
    fn update(&self) -> Document {
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
            "upsert": false,
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
