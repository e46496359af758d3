//! When `test` takes two values for equal (RFC 6902 section 4.6).

use std::borrow::Cow;

use crate::document::{Element, elements, tag};

use super::tree::{Outcome, Tree, Work};

/// Numbers by value, documents whatever the order of their fields, arrays item
/// by item, all else byte by byte.
pub(super) fn equal(left: &Tree<'_>, right: &Tree<'_>, work: &mut Work) -> Outcome<bool> {
    let mut left_to_compare = vec![(Cow::Borrowed(left), Cow::Borrowed(right))];
    while let Some((left, right)) = left_to_compare.pop() {
        if let (
            Tree::Raw {
                tag: left_tag,
                bytes: left_bytes,
            },
            Tree::Raw {
                tag: right_tag,
                bytes: right_bytes,
            },
        ) = (&*left, &*right)
        {
            work.spend_bytes(left_bytes.len().min(right_bytes.len()))?;
            if left_tag == right_tag && left_bytes == right_bytes {
                continue;
            }
        }
        match (left.tag(), right.tag()) {
            (tag::DOCUMENT, tag::DOCUMENT) | (tag::ARRAY, tag::ARRAY) => {}
            _ if equal_numbers(&left, &right) => continue,
            _ => return Ok(false),
        }
        let by_key = left.tag() == tag::DOCUMENT;
        let (mut left, mut right) = (values(left), values(right));
        if left.len() != right.len() {
            return Ok(false);
        }
        work.spend_values(left.len() * 2)?;
        if by_key {
            left.sort_by_key(|(key, _)| *key);
            right.sort_by_key(|(key, _)| *key);
        }
        for ((left_key, left), (right_key, right)) in left.into_iter().zip(right) {
            if by_key && left_key != right_key {
                return Ok(false);
            }
            left_to_compare.push((left, right));
        }
    }
    Ok(true)
}

type Field<'t, 'a> = (&'t str, Cow<'t, Tree<'a>>);

/// The values of a container with their keys; an array's keys say nothing.
fn values<'t, 'a: 't>(container: Cow<'t, Tree<'a>>) -> Vec<Field<'t, 'a>> {
    match container {
        Cow::Owned(Tree::Raw { bytes, .. }) | Cow::Borrowed(&Tree::Raw { bytes, .. }) => {
            elements(bytes)
                .map(
                    |Element {
                         key, tag, value, ..
                     }| { (key, Cow::Owned(Tree::Raw { tag, bytes: value })) },
                )
                .collect()
        }
        Cow::Borrowed(Tree::Document(fields)) => fields
            .iter()
            .map(|(key, value)| (*key, Cow::Borrowed(value)))
            .collect(),
        Cow::Borrowed(Tree::Array(items)) => {
            items.iter().map(|item| ("", Cow::Borrowed(item))).collect()
        }
        Cow::Owned(Tree::Document(fields)) => fields
            .into_iter()
            .map(|(key, value)| (key, Cow::Owned(value)))
            .collect(),
        Cow::Owned(Tree::Array(items)) => items
            .into_iter()
            .map(|item| ("", Cow::Owned(item)))
            .collect(),
    }
}

/// A number as a `test` compares it.
#[derive(Clone, Copy)]
enum Number {
    Whole(i64),
    Double(f64),
}

fn equal_numbers(left: &Tree<'_>, right: &Tree<'_>) -> bool {
    match (number(left), number(right)) {
        (Some(Number::Whole(left)), Some(Number::Whole(right))) => left == right,
        // A double that is a whole number in the range of int64 was read as one.
        #[expect(clippy::float_cmp, reason = "equal means the same number")]
        (Some(Number::Double(left)), Some(Number::Double(right))) => left == right,
        _ => false,
    }
}

fn number(tree: &Tree<'_>) -> Option<Number> {
    let Tree::Raw { tag, bytes } = tree else {
        return None;
    };
    let element = Element {
        key: "",
        tag: *tag,
        value: bytes,
        offset: 0,
    };
    element
        .as_integer()
        .map(Number::Whole)
        .or_else(|| element.as_f64().map(Number::Double))
}
