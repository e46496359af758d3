//! BSON documents, field by field.

use std::collections::HashMap;

use bytes::Bytes;

use crate::document::{self, DocumentBuilder, Element};
use crate::dom::calls::ConflictHunk;
use crate::dom::diff::Pointer;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{CONFLICT_FIELD_MAX_BYTES, CONFLICT_MAX_HUNKS};

use super::{Merged, settled};

/// Merges documents by field, and documents within them likewise; any other
/// value, an array too, is one whole, equal when its bytes are.
///
/// The fields stand in `current`'s order, those that only `proposed` has after
/// them; values keep their bytes. A conflict's field is a JSON Pointer
/// (RFC 6901). A document in which a field stands twice is one whole.
/// `DataLoss` where a document cannot be read.
pub fn merge_document(base: &Bytes, current: &Bytes, proposed: &Bytes) -> Result<Merged<Bytes>> {
    for document in [base, current, proposed] {
        document::check(document).map_err(|error| {
            Error::new(ErrorCode::DataLoss, "the stored document cannot be read").context(error)
        })?;
    }
    if let Some(document) = settled(base, current, proposed) {
        return Ok(Merged::Clean(document.clone()));
    }
    let mut merge = Merge::default();
    Ok(match merge.documents(base, current, proposed) {
        Some(document) if merge.conflicts.is_empty() => Merged::Clean(document),
        _ => Merged::Conflicting(merge.conflicts),
    })
}

/// The merge so far.
#[derive(Default)]
struct Merge<'a> {
    /// The keys down to the document at hand.
    path: Vec<&'a str>,
    conflicts: Vec<ConflictHunk>,
}

impl<'a> Merge<'a> {
    /// The document of all fields that merge; `None` where the documents are
    /// wholes. Goes as deep as documents nest, which the guard has limited.
    fn documents(
        &mut self,
        base: &'a [u8],
        current: &'a [u8],
        proposed: &'a [u8],
    ) -> Option<Bytes> {
        let (Some(base), Some(current), Some(proposed)) =
            (Fields::read(base), Fields::read(current), Fields::read(proposed))
        else {
            self.conflict();
            return None;
        };
        let mut merged = DocumentBuilder::new();
        let added = proposed.in_order.iter().filter(|field| current.get(field.key).is_none());
        for Element { key, .. } in current.in_order.iter().chain(added) {
            let sides = [base.get(key), current.get(key), proposed.get(key)];
            match settled(&sides[0], &sides[1], &sides[2]) {
                Some(Some(field)) => {
                    merged.append_element(field);
                }
                Some(None) => {}
                None => self.field(key, sides, &mut merged),
            }
        }
        Some(merged.finish())
    }

    /// A field that both sides changed.
    fn field(
        &mut self,
        key: &'a str,
        sides: [Option<Element<'a>>; 3],
        merged: &mut DocumentBuilder,
    ) {
        self.path.push(key);
        match sides.map(|field| field.and_then(|field| field.as_document())) {
            [Some(base), Some(current), Some(proposed)] => {
                if let Some(document) = self.documents(base, current, proposed) {
                    merged.append_document(key, &document);
                }
            }
            _ => self.conflict(),
        }
        self.path.pop();
    }

    /// Notes that the place at hand conflicts.
    fn conflict(&mut self) {
        if self.conflicts.len() == CONFLICT_MAX_HUNKS {
            return;
        }
        let mut bytes = 0;
        let named = self.path.iter().copied().take_while(|key| {
            bytes += key.len();
            bytes <= CONFLICT_FIELD_MAX_BYTES
        });
        let field = Pointer::from_tokens(named).to_string();
        self.conflicts.push(ConflictHunk { field, ..ConflictHunk::default() });
    }
}

/// The fields of a document, by their order and by their key.
struct Fields<'a> {
    in_order: Vec<Element<'a>>,
    by_key: HashMap<&'a str, usize>,
}

impl<'a> Fields<'a> {
    /// `None` where a field stands twice.
    fn read(document: &'a [u8]) -> Option<Self> {
        // Two fields are the same wherever they stand.
        let in_order: Vec<_> =
            document::elements(document).map(|element| Element { offset: 0, ..element }).collect();
        let by_key: HashMap<_, _> =
            in_order.iter().enumerate().map(|(index, field)| (field.key, index)).collect();
        (by_key.len() == in_order.len()).then_some(Self { in_order, by_key })
    }

    fn get(&self, key: &str) -> Option<Element<'a>> {
        self.by_key.get(key).map(|index| self.in_order[*index])
    }
}
