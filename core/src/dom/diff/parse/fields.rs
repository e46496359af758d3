//! Where the parser is in a diff, what it takes there, and how it refuses.

use std::fmt;

use crate::document::{Element, Elements, refusal};
use crate::error::{Error, Result};

/// A value of the diff on the way down, so that refusals can name it.
pub(super) struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    key: &'a str,
    offset: usize,
}

impl<'a> Place<'a> {
    pub(super) fn root() -> Self {
        Self { parent: None, key: "", offset: 0 }
    }

    /// The place of a value within this one.
    pub(super) fn child<'b>(&'b self, element: &Element<'b>) -> Place<'b>
    where
        'a: 'b,
    {
        Place { parent: Some(self), key: element.key, offset: element.offset }
    }

    /// The fields with these names, each at most once; refuses any other field.
    pub(super) fn fields<'d, const N: usize>(
        &self,
        elements: Elements<'d>,
        names: [&str; N],
    ) -> Result<[Option<Element<'d>>; N]> {
        let mut fields = [None; N];
        for element in elements {
            let Some(index) = names.iter().position(|name| *name == element.key) else {
                let why = format_args!("unknown field, allowed here: {}", names.join(", "));
                return Err(self.child(&element).refuse(why));
            };
            if fields[index].replace(element).is_some() {
                return Err(self.child(&element).refuse("the field stands here twice"));
            }
        }
        Ok(fields)
    }

    pub(super) fn required<'d>(
        &self,
        name: &str,
        field: Option<Element<'d>>,
    ) -> Result<Element<'d>> {
        field.ok_or_else(|| self.refuse(format_args!("the field `{name}` is missing")))
    }

    /// The elements of a document that stands here.
    pub(super) fn document<'d>(&self, element: &Element<'d>) -> Result<Elements<'d>> {
        match element.as_document() {
            Some(_) => Ok(element.elements()),
            None => Err(self.unexpected("a document", element)),
        }
    }

    /// The elements of an array that stands here.
    pub(super) fn array<'d>(&self, element: &Element<'d>) -> Result<Elements<'d>> {
        match element.as_array() {
            Some(_) => Ok(element.elements()),
            None => Err(self.unexpected("an array", element)),
        }
    }

    /// The text of a string that stands here.
    pub(super) fn text<'d>(&self, element: &Element<'d>) -> Result<&'d str> {
        element.as_str().ok_or_else(|| self.unexpected("a string", element))
    }

    /// A value of another type, or another number, than is allowed here.
    pub(super) fn unexpected(&self, expected: &str, found: &Element<'_>) -> Error {
        let type_name = found.type_name();
        if let Some(number) = found.as_integer() {
            self.refuse(format_args!("expected {expected}, found {type_name} {number}"))
        } else if let Some(number) = found.as_f64() {
            self.refuse(format_args!("expected {expected}, found {type_name} {number}"))
        } else {
            self.refuse(format_args!("expected {expected}, found {type_name}"))
        }
    }

    #[cold]
    pub(super) fn refuse(&self, why: impl fmt::Display) -> Error {
        let mut keys: Vec<_> = std::iter::successors(Some(self), |place| place.parent)
            .filter(|place| place.parent.is_some())
            .map(|place| place.key.chars().take(64).flat_map(char::escape_debug).collect())
            .collect::<Vec<String>>();
        keys.reverse();
        refusal(self.offset, &keys.join("."), why)
    }
}
