//! Applies the operations of a patch to a document, all or none.

use bytes::Bytes;

use crate::document::{self, Value, tag};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{BSON_MAX_DEPTH, CONTENT_MAX_BYTES};

use super::equality::equal;
use super::tree::{Outcome, Stop, Tree, Work};
use super::{PatchOperation, Pointer};

pub(super) fn apply(operations: &[PatchOperation], document: &[u8]) -> Result<Bytes> {
    document::check(document).map_err(|error| {
        Error::new(ErrorCode::DataLoss, "the stored document cannot be read").context(error)
    })?;
    let mut work = Work::new();
    let mut root = Tree::Raw { tag: tag::DOCUMENT, bytes: document };
    for (index, operation) in operations.iter().enumerate() {
        step(&mut root, operation, &mut work).map_err(|stop| match stop {
            Stop::Refused(why) => Error::new(
                ErrorCode::FailedPrecondition,
                format!(
                    "patch operation {index} ({} \"{}\") cannot be applied: {why}",
                    operation.name(),
                    operation.path()
                ),
            ),
            Stop::TooMuchWork => Error::too_large(format!(
                "the patch is too much work, at operation {index}: split it, or put the whole \
                 document"
            )),
        })?;
    }
    let size = root.size();
    if size > CONTENT_MAX_BYTES {
        return Err(Error::too_large(format!(
            "the document would have {size} bytes, at most {CONTENT_MAX_BYTES} are allowed"
        )));
    }
    root.write(size as usize).map(Bytes::from)
}

fn step<'a>(root: &mut Tree<'a>, operation: &'a PatchOperation, work: &mut Work) -> Outcome<()> {
    match operation {
        PatchOperation::Add { path, value } => add(root, path, tree(value), work),
        PatchOperation::Remove { path } => remove(root, path, work).map(drop),
        PatchOperation::Replace { path, value } => {
            let value = tree(value);
            check_place(path, &value, work)?;
            *find(root, path.tokens(), work)? = value;
            Ok(())
        }
        PatchOperation::Move { from, path } if from == path => {
            find(root, from.tokens(), work).map(drop)
        }
        PatchOperation::Move { from, path } => {
            let value = remove(root, from, work).map_err(|stop| within(from, stop))?;
            add(root, path, value, work)
        }
        PatchOperation::Copy { from, path } => {
            let value = find(root, from.tokens(), work)
                .and_then(|value| value.copied(work))
                .map_err(|stop| within(from, stop))?;
            add(root, path, value, work)
        }
        PatchOperation::Test { path, value } => {
            let found = find(root, path.tokens(), work)?;
            if equal(found, &tree(value), work)? {
                return Ok(());
            }
            Err(Stop::Refused("another value stands there: read the node again".to_owned()))
        }
    }
}

fn add<'a>(
    root: &mut Tree<'a>,
    path: &'a Pointer,
    value: Tree<'a>,
    work: &mut Work,
) -> Outcome<()> {
    check_place(path, &value, work)?;
    let Some((last, parents)) = path.tokens().split_last() else {
        *root = value;
        return Ok(());
    };
    match container(root, parents, work)? {
        Tree::Document(fields) => {
            work.spend_visits(fields.len())?;
            match fields.iter_mut().find(|(key, _)| key == last) {
                Some((_, before)) => *before = value,
                None => fields.push((last, value)),
            }
        }
        Tree::Array(items) => {
            let at = if last == "-" { items.len() } else { position(last, items.len() + 1)? };
            work.spend_move(&items[at..])?;
            items.insert(at, value);
        }
        Tree::Raw { tag, .. } => return Err(no_container(last, *tag)),
    }
    Ok(())
}

fn remove<'a>(root: &mut Tree<'a>, path: &Pointer, work: &mut Work) -> Outcome<Tree<'a>> {
    let Some((last, parents)) = path.tokens().split_last() else {
        return Err(Stop::Refused("the whole document cannot be removed".to_owned()));
    };
    match container(root, parents, work)? {
        Tree::Document(fields) => {
            work.spend_visits(fields.len())?;
            let at =
                fields.iter().position(|(key, _)| key == last).ok_or_else(|| no_field(last))?;
            work.spend_move(&fields[at..])?;
            Ok(fields.remove(at).1)
        }
        Tree::Array(items) => {
            let at = position(last, items.len())?;
            work.spend_move(&items[at..])?;
            Ok(items.remove(at))
        }
        Tree::Raw { tag, .. } => Err(no_container(last, *tag)),
    }
}

/// The value at the end of the tokens.
fn find<'t, 'a>(
    root: &'t mut Tree<'a>,
    tokens: &[String],
    work: &mut Work,
) -> Outcome<&'t mut Tree<'a>> {
    let mut tree = root;
    for token in tokens {
        tree.open(work)?;
        tree = match tree {
            Tree::Document(fields) => {
                work.spend_visits(fields.len())?;
                fields
                    .iter_mut()
                    .find(|(key, _)| key == token)
                    .map(|(_, value)| value)
                    .ok_or_else(|| no_field(token))?
            }
            Tree::Array(items) => {
                let at = position(token, items.len())?;
                &mut items[at]
            }
            Tree::Raw { tag, .. } => return Err(no_container(token, *tag)),
        };
    }
    Ok(tree)
}

/// The opened container at the end of the tokens.
fn container<'t, 'a>(
    root: &'t mut Tree<'a>,
    tokens: &[String],
    work: &mut Work,
) -> Outcome<&'t mut Tree<'a>> {
    let tree = find(root, tokens, work)?;
    tree.open(work)?;
    Ok(tree)
}

/// A value may become the root, or go so deep.
fn check_place(path: &Pointer, value: &Tree<'_>, work: &mut Work) -> Outcome<()> {
    if path.is_root() && value.tag() != tag::DOCUMENT {
        let found = tag::name(value.tag()).unwrap_or("unknown");
        let why = format!("the whole document can only become a document, not {found}");
        return Err(Stop::Refused(why));
    }
    let depth = path.tokens().len() + value.depth(work)?;
    if depth > BSON_MAX_DEPTH {
        return Err(Stop::Refused(format!(
            "the document would nest {depth} levels deep, at most {BSON_MAX_DEPTH} are allowed"
        )));
    }
    Ok(())
}

/// A position below `end`, as RFC 6901 writes it: digits without leading zeros.
fn position(token: &str, end: usize) -> Outcome<usize> {
    let is_index = token == "0"
        || (!token.starts_with('0')
            && !token.is_empty()
            && token.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_index {
        return Err(Stop::Refused(format!("{} is no position in an array", shown(token))));
    }
    token.parse().ok().filter(|at| *at < end).ok_or_else(|| {
        Stop::Refused(format!("position {} is beyond the array's end", shown(token)))
    })
}

fn no_field(key: &str) -> Stop {
    Stop::Refused(format!("there is no field {}", shown(key)))
}

fn no_container(token: &str, found: u8) -> Stop {
    let found = tag::name(found).unwrap_or("unknown");
    Stop::Refused(format!("{} is sought in a value of type {found}", shown(token)))
}

/// A refusal about `from`, where the operation is named by its `path`.
fn within(from: &Pointer, stop: Stop) -> Stop {
    match stop {
        Stop::Refused(why) => Stop::Refused(format!("from \"{from}\": {why}")),
        Stop::TooMuchWork => Stop::TooMuchWork,
    }
}

fn shown(token: &str) -> String {
    format!("{:?}", token.chars().take(64).collect::<String>())
}

fn tree(value: &Value) -> Tree<'_> {
    Tree::Raw { tag: value.tag, bytes: &value.bytes }
}
