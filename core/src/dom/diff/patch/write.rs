//! Writes a patched document: opened containers anew, all else as it stood.

use std::iter::Enumerate;
use std::slice;

use crate::document::{EMPTY, length_of};
use crate::error::{Error, Result};

use super::tree::Tree;

impl Tree<'_> {
    /// The size of the value as BSON has it, without tag and key.
    pub(super) fn size(&self) -> u64 {
        let mut size = 0u64;
        self.walk(&mut |tree, _| {
            size = size.saturating_add(match tree {
                Self::Raw { bytes, .. } => bytes.len() as u64,
                Self::Document(fields) => {
                    let heads: usize = fields.iter().map(|(key, _)| head_size(key.len())).sum();
                    (EMPTY.len() + heads) as u64
                }
                Self::Array(items) => {
                    let heads: usize = (0..items.len()).map(|at| head_size(digits(at))).sum();
                    (EMPTY.len() + heads) as u64
                }
            });
        });
        size
    }

    /// The bytes of a value of this size.
    pub(super) fn write(&self, size: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(size);
        let mut open = Vec::new();
        write_value(self, &mut bytes, &mut open);
        while let Some(container) = open.last_mut() {
            if let Some(value) = container.values.next_head(&mut bytes) {
                write_value(value, &mut bytes, &mut open);
            } else {
                bytes.push(0);
                let start = container.start;
                let length = length_of(bytes.len() - start);
                bytes[start..start + length.len()].copy_from_slice(&length);
                open.pop();
            }
        }
        if bytes.len() == size {
            Ok(bytes)
        } else {
            Err(Error::internal(format!("a patch wrote {} bytes, not {size}", bytes.len())))
        }
    }
}

/// A container that is being written.
struct Open<'t, 'a> {
    /// Where its length stands.
    start: usize,
    values: Values<'t, 'a>,
}

enum Values<'t, 'a> {
    Fields(slice::Iter<'t, (&'a str, Tree<'a>)>),
    Items(Enumerate<slice::Iter<'t, Tree<'a>>>),
}

impl<'t, 'a> Values<'t, 'a> {
    /// Writes tag and key of the next value.
    fn next_head(&mut self, bytes: &mut Vec<u8>) -> Option<&'t Tree<'a>> {
        let value = match self {
            Self::Fields(fields) => {
                let (key, value) = fields.next()?;
                bytes.push(value.tag());
                bytes.extend_from_slice(key.as_bytes());
                value
            }
            Self::Items(items) => {
                let (position, value) = items.next()?;
                bytes.push(value.tag());
                bytes.extend_from_slice(position.to_string().as_bytes());
                value
            }
        };
        bytes.push(0);
        Some(value)
    }
}

/// Writes a value that is not opened, or begins a container.
fn write_value<'t, 'a>(tree: &'t Tree<'a>, bytes: &mut Vec<u8>, open: &mut Vec<Open<'t, 'a>>) {
    let values = match tree {
        Tree::Raw { bytes: raw, .. } => return bytes.extend_from_slice(raw),
        Tree::Document(fields) => Values::Fields(fields.iter()),
        Tree::Array(items) => Values::Items(items.iter().enumerate()),
    };
    open.push(Open { start: bytes.len(), values });
    bytes.extend_from_slice(&[0; 4]);
}

/// The size of a tag and a key with its NUL.
fn head_size(key_length: usize) -> usize {
    key_length + 2
}

/// How many digits an array's key has.
fn digits(position: usize) -> usize {
    position.checked_ilog10().unwrap_or(0) as usize + 1
}
