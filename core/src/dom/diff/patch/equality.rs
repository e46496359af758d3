//! When `test` takes two values for equal (RFC 6902 section 4.6).

use std::borrow::Cow;

use crate::document::{Element, tag};

use super::tree::{Outcome, Tree, Work};

/// Numbers by value, documents whatever the order of their fields, arrays item
/// by item, all else byte by byte.
pub(super) fn equal(left: &Tree<'_>, right: &Tree<'_>, work: &mut Work) -> Outcome<bool> {
    let mut pending = vec![(Cow::Borrowed(left), Cow::Borrowed(right))];
    while let Some((left, right)) = pending.pop() {
        if let (Some(left), Some(right)) = (raw(&left), raw(&right)) {
            work.spend_walk(left.1.len().min(right.1.len()))?;
            if left == right {
                continue;
            }
        }
        match (left.tag(), right.tag()) {
            (tag::DOCUMENT, tag::DOCUMENT) | (tag::ARRAY, tag::ARRAY) => {}
            _ if equal_numbers(&left, &right) => continue,
            _ => return Ok(false),
        }
        let by_key = left.tag() == tag::DOCUMENT;
        let (mut left, mut right) = (values(left, work)?, values(right, work)?);
        if left.len() != right.len() {
            return Ok(false);
        }
        if by_key {
            left.sort_by_key(|(key, _)| *key);
            right.sort_by_key(|(key, _)| *key);
        }
        for ((left_key, left), (right_key, right)) in left.into_iter().zip(right) {
            if by_key && left_key != right_key {
                return Ok(false);
            }
            pending.push((left, right));
        }
    }
    Ok(true)
}

type Field<'t, 'a> = (&'t str, Cow<'t, Tree<'a>>);

/// The values of a container with their keys; an array's keys say nothing.
fn values<'t, 'a: 't>(
    container: Cow<'t, Tree<'a>>,
    work: &mut Work,
) -> Outcome<Vec<Field<'t, 'a>>> {
    match container {
        Cow::Borrowed(Tree::Document(fields)) => {
            work.spend_values(fields.len())?;
            Ok(fields.iter().map(|(key, value)| (*key, Cow::Borrowed(value))).collect())
        }
        Cow::Borrowed(Tree::Array(items)) => {
            work.spend_values(items.len())?;
            Ok(items.iter().map(|item| ("", Cow::Borrowed(item))).collect())
        }
        raw => {
            let mut tree = raw.into_owned();
            tree.open(work)?;
            Ok(match tree {
                Tree::Document(fields) => {
                    fields.into_iter().map(|(key, value)| (key, Cow::Owned(value))).collect()
                }
                Tree::Array(items) => {
                    items.into_iter().map(|item| ("", Cow::Owned(item))).collect()
                }
                Tree::Raw { .. } => Vec::new(),
            })
        }
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
    let (tag, value) = raw(tree)?;
    let element = Element { key: "", tag, value, offset: 0 };
    element.as_integer().map(Number::Whole).or_else(|| element.as_f64().map(Number::Double))
}

/// Type and bytes of a value that is not opened.
fn raw<'a>(tree: &Tree<'a>) -> Option<(u8, &'a [u8])> {
    match tree {
        Tree::Raw { tag, bytes } => Some((*tag, bytes)),
        Tree::Document(_) | Tree::Array(_) => None,
    }
}
