//! Reads diffs from BSON: one way for what clients send, a wider one for what
//! the store keeps.

mod fields;
mod operations;

use bytes::Bytes;

use crate::document::{self, Element, Elements};
use crate::dom::node::ContentChunk;
use crate::error::{Error, ErrorCode, Result};
use crate::identifiers::Hash;
use crate::limits::CHUNK_BYTES;
use crate::names::NodePath;

use super::{Diff, PutContent};
use fields::Place;

pub(super) fn parse(bytes: &Bytes) -> Result<Diff> {
    Reader { source: bytes, stored: false }.read()
}

pub(super) fn parse_stored(bytes: &Bytes) -> Result<Diff> {
    Reader { source: bytes, stored: true }.read().map_err(|error| {
        Error::new(ErrorCode::DataLoss, "a stored diff cannot be read").context(error)
    })
}

/// Whether a stored diff has a `put` of staged chunks, however deep it stands.
pub(super) fn names_chunks(bytes: &Bytes) -> bool {
    fn in_elements(elements: Elements<'_>) -> bool {
        elements.into_iter().any(|element| match element.key {
            "c" => true,
            "then" => {
                element.as_document().is_some_and(|then| in_elements(document::elements(then)))
            }
            _ => false,
        })
    }
    // It was checked before it was stored.
    in_elements(document::elements(bytes))
}

struct Reader<'a> {
    source: &'a Bytes,
    /// Also forms that clients may not send.
    stored: bool,
}

/// What a diff is the `then` of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    Rename,
    Attributes,
}

impl<'a> Reader<'a> {
    fn read(&self) -> Result<Diff> {
        document::check(self.source)
            .and_then(|()| {
                self.diff(&Place::root(), document::elements(self.source), Within::Nothing)
            })
            .map_err(|error| Error { message: format!("diff_bson: {}", error.message), ..error })
    }

    fn diff(&self, place: &Place<'_>, elements: Elements<'a>, within: Within) -> Result<Diff> {
        let allowed = match within {
            Within::Nothing => "put, text, patch, attr, delete or rename",
            Within::Rename => "put, text, patch or attr",
            Within::Attributes => "put, text or patch",
        };
        let Some(kind) = elements.clone().find(|element| element.key == "t") else {
            let why = format_args!("the field `t` is missing: it names the kind, {allowed}");
            return Err(place.refuse(why));
        };
        match place.child(&kind).text(&kind)? {
            "put" => self.put(place, elements),
            "text" => {
                let [_, list] = place.fields(elements, ["t", "ops"])?;
                let list = place.required("ops", list)?;
                self.text_edit(&place.child(&list), &list).map(Diff::Text)
            }
            "patch" => {
                let [_, list] = place.fields(elements, ["t", "ops"])?;
                let list = place.required("ops", list)?;
                self.json_patch(&place.child(&list), &list).map(Diff::Patch)
            }
            "attr" if within != Within::Attributes => {
                let [_, set, unset, then] =
                    place.fields(elements, ["t", "set", "unset", "then"])?;
                let edit = operations::attribute_edit(place, set, unset)?;
                let then = self.then(place, then, Within::Attributes)?;
                Ok(Diff::Attributes { edit, then })
            }
            "delete" if within == Within::Nothing => {
                let [_] = place.fields(elements, ["t"])?;
                Ok(Diff::Delete)
            }
            "rename" if within == Within::Nothing => {
                let [_, to, then] = place.fields(elements, ["t", "to", "then"])?;
                self.rename(place, place.required("to", to)?, then)
            }
            other => {
                let other: String = other.chars().take(64).collect();
                Err(place.child(&kind).refuse(format_args!("{other:?} is not one of {allowed}")))
            }
        }
    }

    fn put(&self, place: &Place<'_>, elements: Elements<'a>) -> Result<Diff> {
        if self.stored && elements.clone().any(|element| element.key == "c") {
            let [_, list, document] = place.fields(elements, ["t", "c", "d"])?;
            let list = place.required("c", list)?;
            let chunks = chunks(&place.child(&list), &list)?;
            let is_document = document.is_some_and(|document| document.as_bool() == Some(true));
            return Ok(Diff::Put(if is_document {
                PutContent::DocumentChunks(chunks)
            } else {
                PutContent::Chunks(chunks)
            }));
        }
        let [_, value] = place.fields(elements, ["t", "v"])?;
        let value = place.required("v", value)?;
        let bytes = self.slice(&value);
        match (value.binary_subtype(), value.as_document()) {
            // The bytes of a binary follow its length and subtype.
            (Some(0), _) => Ok(Diff::Put(PutContent::Bytes(bytes.slice(5..)))),
            (Some(subtype), _) => Err(place.child(&value).refuse(format_args!(
                "the binary has subtype {subtype}: the bytes of a FILE have subtype 0"
            ))),
            (None, Some(_)) => Ok(Diff::Put(PutContent::Document(bytes))),
            (None, None) => {
                Err(place.child(&value).unexpected("a binary (FILE) or a document", &value))
            }
        }
    }

    fn rename(
        &self,
        place: &Place<'_>,
        to: Element<'a>,
        then: Option<Element<'a>>,
    ) -> Result<Diff> {
        let to_place = place.child(&to);
        let to =
            NodePath::parse(to_place.text(&to)?).map_err(|error| to_place.refuse(error.message))?;
        let then = self.then(place, then, Within::Rename)?;
        Ok(Diff::Rename { to, then })
    }

    fn then(
        &self,
        place: &Place<'_>,
        then: Option<Element<'a>>,
        within: Within,
    ) -> Result<Option<Box<Diff>>> {
        let Some(then) = then else {
            return Ok(None);
        };
        let place = place.child(&then);
        let then = self.diff(&place, place.document(&then)?, within)?;
        Ok(Some(Box::new(then)))
    }

    /// The value of an element, sharing the diff's bytes.
    fn slice(&self, element: &Element<'_>) -> Bytes {
        self.source.slice(element.offset..element.offset + element.value.len())
    }
}

fn chunks(place: &Place<'_>, list: &Element<'_>) -> Result<Vec<ContentChunk>> {
    let mut chunks = Vec::new();
    for item in place.array(list)? {
        let place = place.child(&item);
        let [hash, length] = place.fields(place.document(&item)?, ["h", "n"])?;
        let (hash, length) = (place.required("h", hash)?, place.required("n", length)?);
        let hash = hash
            .as_bytes()
            .and_then(|bytes| Hash::from_slice(bytes).ok())
            .ok_or_else(|| place.child(&hash).unexpected("a binary of 32 bytes", &hash))?;
        let length = length
            .as_integer()
            .and_then(|length| u32::try_from(length).ok())
            .filter(|length| *length as usize <= CHUNK_BYTES)
            .ok_or_else(|| place.child(&length).unexpected("the size of a chunk", &length))?;
        chunks.push(ContentChunk { hash, length });
    }
    Ok(chunks)
}
