//! Reads the operations of `text` and `patch`, and the fields of `attr`.

use crate::document::{Element, Value};
use crate::error::{Error, Result};
use crate::limits::DIFF_MAX_OPERATIONS;

use super::super::{
    AttributeEdit, JsonPatch, PatchOperation, Pointer, TextEdit, TextOperation, Utf8Bytes,
};
use super::Reader;
use super::fields::Place;

impl<'a> Reader<'a> {
    pub(super) fn text_edit(&self, place: &Place<'_>, list: &Element<'a>) -> Result<TextEdit> {
        let mut operations = Vec::new();
        for item in place.array(list)? {
            check_count(operations.len())?;
            operations.push(self.text_operation(&place.child(&item), &item)?);
        }
        Ok(TextEdit::new(operations))
    }

    fn text_operation(&self, place: &Place<'_>, item: &Element<'a>) -> Result<TextOperation> {
        const ALLOWED: &str = "{r: bytes} to retain, {i: text} to insert or {d: bytes} to delete";
        let mut fields = place.document(item)?;
        let (Some(field), None) = (fields.next(), fields.next()) else {
            return Err(place.refuse(format_args!("an operation has one field: {ALLOWED}")));
        };
        let place = place.child(&field);
        match field.key {
            "r" => count(&place, &field).map(TextOperation::Retain),
            "d" => count(&place, &field).map(TextOperation::Delete),
            "i" => {
                place.text(&field)?;
                // The text stands between its length and its NUL.
                let text = self.slice(&field).slice(4..field.value.len() - 1);
                Ok(TextOperation::Insert(Utf8Bytes::from_checked(text)))
            }
            _ => Err(place.refuse(format_args!("unknown operation, allowed here: {ALLOWED}"))),
        }
    }

    pub(super) fn json_patch(&self, place: &Place<'_>, list: &Element<'a>) -> Result<JsonPatch> {
        let mut operations = Vec::new();
        for item in place.array(list)? {
            check_count(operations.len())?;
            let place = place.child(&item);
            let operation = self.patch_operation(&place, &item)?;
            operation.check().map_err(|error| place.refuse(error.message))?;
            operations.push(operation);
        }
        Ok(JsonPatch::from_checked(operations))
    }

    fn patch_operation(&self, place: &Place<'_>, item: &Element<'a>) -> Result<PatchOperation> {
        // RFC 6902 section 4: members that an operation does not define are
        // ignored, and one that it defines stands there once.
        const NAMES: [&str; 4] = ["op", "path", "from", "value"];
        let mut members: [Option<Element<'a>>; 4] = [None; 4];
        for member in place.document(item)? {
            let Some(index) = NAMES.iter().position(|name| *name == member.key) else {
                continue;
            };
            if members[index].replace(member).is_some() {
                return Err(place.child(&member).refuse("the member stands here twice"));
            }
        }
        let [name, path, from, value] = members;
        let name = place.required("op", name)?;
        let name_place = place.child(&name);
        let name = name_place.text(&name)?;
        let pointer = |name: &str, member: Option<Element<'a>>| {
            let member = place.required(name, member)?;
            let place = place.child(&member);
            Pointer::parse(place.text(&member)?).map_err(|error| place.refuse(error.message))
        };
        let path = || pointer("path", path);
        let from = || pointer("from", from);
        let value = || {
            let member = place.required("value", value)?;
            Ok::<_, Error>(Value { tag: member.tag, bytes: self.slice(&member) })
        };
        Ok(match name {
            "add" => PatchOperation::Add { path: path()?, value: value()? },
            "remove" => PatchOperation::Remove { path: path()? },
            "replace" => PatchOperation::Replace { path: path()?, value: value()? },
            "move" => PatchOperation::Move { from: from()?, path: path()? },
            "copy" => PatchOperation::Copy { from: from()?, path: path()? },
            "test" => PatchOperation::Test { path: path()?, value: value()? },
            other => {
                let other: String = other.chars().take(64).collect();
                return Err(name_place.refuse(format_args!(
                    "{other:?} is not one of add, remove, replace, move, copy or test"
                )));
            }
        })
    }
}

pub(super) fn attribute_edit(
    place: &Place<'_>,
    set: Option<Element<'_>>,
    unset: Option<Element<'_>>,
) -> Result<AttributeEdit> {
    let mut edit = AttributeEdit::default();
    if set.is_none() && unset.is_none() {
        return Err(place.refuse("an attr diff needs `set`, `unset` or both"));
    }
    if let Some(set) = set {
        let place = place.child(&set);
        for entry in place.document(&set)? {
            let place = place.child(&entry);
            let value = place.text(&entry)?.to_owned();
            if edit.set.insert(entry.key.to_owned(), value).is_some() {
                return Err(place.refuse("the attribute stands here twice"));
            }
        }
    }
    if let Some(unset) = unset {
        let place = place.child(&unset);
        for entry in place.array(&unset)? {
            let place = place.child(&entry);
            edit.unset.insert(place.text(&entry)?.to_owned());
        }
    }
    edit.check().map_err(|error| place.refuse(error.message))?;
    Ok(edit)
}

/// A number of bytes.
fn count(place: &Place<'_>, field: &Element<'_>) -> Result<u64> {
    field
        .as_integer()
        .and_then(|number| u64::try_from(number).ok())
        .ok_or_else(|| place.unexpected("a whole number of bytes, 0 or more", field))
}

fn check_count(operations: usize) -> Result<()> {
    if operations == DIFF_MAX_OPERATIONS {
        return Err(Error::too_large(format!(
            "the diff has more than {DIFF_MAX_OPERATIONS} operations: split it, or put the whole \
             content"
        )));
    }
    Ok(())
}
