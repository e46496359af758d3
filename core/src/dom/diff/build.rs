//! Writes diffs as BSON, for clients and for the store.

use bytes::Bytes;

use crate::document::DocumentBuilder;
use crate::dom::node::ContentChunk;
use crate::error::{Error, Result};
use crate::names::NodePath;

use super::{Diff, PatchOperation, PutContent, TextOperation};

impl Diff {
    /// `put` of a FILE's bytes.
    pub fn put_file(content: &[u8]) -> Bytes {
        let mut diff = start("put", content.len());
        diff.append_bytes("v", content);
        diff.finish()
    }

    /// `put` of an INTENT's or META's document.
    pub fn put_document(document: &[u8]) -> Bytes {
        let mut diff = start("put", document.len());
        diff.append_document("v", document);
        diff.finish()
    }

    /// The stored form of a FILE's `put` whose content was staged as chunks.
    pub fn stored_chunks(chunks: &[ContentChunk]) -> Bytes {
        Self::stored_put(chunks, false)
    }

    /// The stored form of a document's `put` that was staged as chunks.
    pub fn stored_document_chunks(chunks: &[ContentChunk]) -> Bytes {
        Self::stored_put(chunks, true)
    }

    fn stored_put(chunks: &[ContentChunk], is_document: bool) -> Bytes {
        let list = array(chunks, |list, key, chunk| {
            let mut entry = DocumentBuilder::new();
            entry.append_bytes("h", chunk.hash.as_bytes());
            // A chunk has at most 1 MiB.
            entry.append_i32("n", i32::try_from(chunk.length).unwrap_or(i32::MAX));
            list.append_document(key, &entry.finish());
        });
        let mut diff = start("put", list.len());
        diff.append_array("c", &list);
        if is_document {
            diff.append_bool("d", true);
        }
        diff.finish()
    }

    /// The stored form of this diff, its `put` replaced by staged chunks.
    ///
    /// # Errors
    /// Internal where the diff has no `put`.
    pub fn stored_with_chunks(&self, chunks: &[ContentChunk]) -> Result<Bytes> {
        match self {
            Self::Put(PutContent::Document(_) | PutContent::DocumentChunks(_)) => {
                Ok(Self::stored_document_chunks(chunks))
            }
            Self::Put(_) => Ok(Self::stored_chunks(chunks)),
            Self::Attributes { edit, then: Some(then) } => {
                let then = then.stored_with_chunks(chunks)?;
                let set = edit.set.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                Self::attributes_then(set, edit.unset.iter().map(String::as_str), Some(&then))
            }
            Self::Rename { to, then: Some(then) } => {
                Ok(Self::rename(to, Some(&then.stored_with_chunks(chunks)?)))
            }
            _ => Err(Error::internal(format!("a {} has no content to stage", self.kind_name()))),
        }
    }

    /// `text` with these operations.
    pub fn text(operations: &[TextOperation]) -> Bytes {
        let list = array(operations, |list, key, operation| {
            let mut entry = DocumentBuilder::new();
            match operation {
                TextOperation::Retain(bytes) => entry.append_i64("r", length(*bytes)),
                TextOperation::Insert(text) => entry.append_str("i", text.as_str()),
                TextOperation::Delete(bytes) => entry.append_i64("d", length(*bytes)),
            };
            list.append_document(key, &entry.finish());
        });
        let mut diff = start("text", list.len());
        diff.append_array("ops", &list);
        diff.finish()
    }

    /// `patch` with these operations.
    pub fn patch(operations: &[PatchOperation]) -> Bytes {
        let list = array(operations, |list, key, operation| {
            list.append_document(key, &operation.to_document());
        });
        let mut diff = start("patch", list.len());
        diff.append_array("ops", &list);
        diff.finish()
    }

    /// `attr` that sets and unsets these. Refuses names that BSON cannot say.
    pub fn attributes<'a>(
        set: impl IntoIterator<Item = (&'a str, &'a str)>,
        unset: impl IntoIterator<Item = &'a str>,
    ) -> Result<Bytes> {
        Self::attributes_then(set, unset, None)
    }

    /// As [`Diff::attributes`], with a `put`, `text` or `patch` in the same change; with
    /// a `put` it may create the node.
    pub fn attributes_then<'a>(
        set: impl IntoIterator<Item = (&'a str, &'a str)>,
        unset: impl IntoIterator<Item = &'a str>,
        then: Option<&Bytes>,
    ) -> Result<Bytes> {
        let mut values = DocumentBuilder::new();
        for (name, value) in set {
            if name.contains('\0') {
                return Err(Error::invalid(format!("attribute {name:?} contains NUL")));
            }
            values.append_str(name, value);
        }
        let names: Vec<_> = unset.into_iter().collect();
        let names = array(&names, |list, key, name| {
            list.append_str(key, name);
        });
        let mut diff = start("attr", 256 + then.map_or(0, Bytes::len));
        diff.append_document("set", &values.finish());
        diff.append_array("unset", &names);
        if let Some(then) = then {
            diff.append_document("then", then);
        }
        Ok(diff.finish())
    }

    /// `delete`.
    pub fn delete() -> Bytes {
        start("delete", 0).finish()
    }

    /// `rename`, with an edit in the same change where one is given.
    pub fn rename(to: &NodePath, then: Option<&Bytes>) -> Bytes {
        let mut diff = start("rename", to.as_str().len() + then.map_or(0, Bytes::len));
        diff.append_str("to", to.as_str());
        if let Some(then) = then {
            diff.append_document("then", then);
        }
        diff.finish()
    }
}

fn start(kind: &str, content_bytes: usize) -> DocumentBuilder {
    let mut diff = DocumentBuilder::with_capacity(content_bytes + 64);
    diff.append_str("t", kind);
    diff
}

fn array<T>(items: &[T], mut append: impl FnMut(&mut DocumentBuilder, &str, &T)) -> Bytes {
    let mut list = DocumentBuilder::with_capacity(items.len() * 32 + 8);
    for (index, item) in items.iter().enumerate() {
        append(&mut list, &index.to_string(), item);
    }
    list.finish()
}

fn length(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
