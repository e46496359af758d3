//! `patch`: JSON Patch (RFC 6902) on BSON itself.

mod apply;
mod equality;
mod pointer;
mod tree;
mod write;

use bytes::Bytes;

use crate::document::{DocumentBuilder, Value, tag};
use crate::error::{Error, Result};

pub use pointer::Pointer;

/// Operations that apply in order, all or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonPatch {
    operations: Vec<PatchOperation>,
}

/// One operation of RFC 6902.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchOperation {
    /// Puts a value there; in an array, before what stands there.
    Add {
        /// Where.
        path: Pointer,
        /// What.
        value: Value,
    },
    /// Takes away what stands there.
    Remove {
        /// Where.
        path: Pointer,
    },
    /// Puts a value in the place of what stands there.
    Replace {
        /// Where.
        path: Pointer,
        /// What.
        value: Value,
    },
    /// Takes a value away and adds it elsewhere.
    Move {
        /// From where; not above `path`.
        from: Pointer,
        /// Where to.
        path: Pointer,
    },
    /// Adds what stands elsewhere.
    Copy {
        /// From where.
        from: Pointer,
        /// Where to.
        path: Pointer,
    },
    /// Refuses the patch unless this stands there. Numbers are equal by value
    /// whatever their type, documents whatever the order of their fields, and
    /// everything else byte by byte.
    Test {
        /// Where.
        path: Pointer,
        /// What.
        value: Value,
    },
}

impl JsonPatch {
    /// A patch of these operations. Refuses those that no document could take.
    pub fn new(operations: Vec<PatchOperation>) -> Result<Self> {
        for (index, operation) in operations.iter().enumerate() {
            operation.check().map_err(|error| {
                Error::invalid(format!("patch operation {index}: {}", error.message))
            })?;
        }
        Ok(Self { operations })
    }

    /// Takes operations that were checked.
    pub(super) fn from_checked(operations: Vec<PatchOperation>) -> Self {
        Self { operations }
    }

    /// The operations.
    pub fn operations(&self) -> &[PatchOperation] {
        &self.operations
    }

    /// The document after the patch; elements that it does not touch keep their
    /// bytes. `FailedPrecondition` says which operation does not fit the
    /// document and why; `TooLarge` where the result, or the work, would be.
    pub fn apply(&self, document: &[u8]) -> Result<Bytes> {
        apply::apply(&self.operations, document)
    }
}

impl PatchOperation {
    /// The operation's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add { .. } => "add",
            Self::Remove { .. } => "remove",
            Self::Replace { .. } => "replace",
            Self::Move { .. } => "move",
            Self::Copy { .. } => "copy",
            Self::Test { .. } => "test",
        }
    }

    /// Where it acts.
    pub fn path(&self) -> &Pointer {
        match self {
            Self::Add { path, .. }
            | Self::Remove { path }
            | Self::Replace { path, .. }
            | Self::Move { path, .. }
            | Self::Copy { path, .. }
            | Self::Test { path, .. } => path,
        }
    }

    /// Refuses what no document could take.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Remove { path } if path.is_root() => Err(Error::invalid(
                "the whole document cannot be removed: delete the node, or replace the document",
            )),
            Self::Add { path, value } | Self::Replace { path, value }
                if path.is_root() && value.tag != tag::DOCUMENT =>
            {
                Err(Error::invalid(format!(
                    "the whole document can only become a document, not {}",
                    tag::name(value.tag).unwrap_or("this")
                )))
            }
            Self::Move { from, path } if from.is_above(path) => Err(Error::invalid(format!(
                "\"{from}\" cannot move to \"{path}\", a place within itself"
            ))),
            _ => Ok(()),
        }
    }

    /// The operation as RFC 6902 writes it.
    pub(super) fn to_document(&self) -> Bytes {
        let mut document = DocumentBuilder::new();
        document.append_str("op", self.name());
        if let Self::Move { from, .. } | Self::Copy { from, .. } = self {
            document.append_str("from", &from.to_string());
        }
        document.append_str("path", &self.path().to_string());
        if let Self::Add { value, .. } | Self::Replace { value, .. } | Self::Test { value, .. } =
            self
        {
            document.append_value("value", value);
        }
        document.finish()
    }
}

#[cfg(test)]
mod tests;
