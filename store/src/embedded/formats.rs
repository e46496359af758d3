//! Stores of older formats, which are changed when they are opened.
//!
//! - Format 1 has its batches in the engine. They move into segments.
//! - Formats 1 and 2 have their chunks in the engine. These stay there; new ones are appended to
//!   segments.
//!
//! What is new lasts before the store gets its new format, and what is old goes only after that: a
//! crash leaves the old store, or the new one.

use std::io;

use super::directory::{Directory, FORMAT, FORMAT_WITHOUT_SEGMENTS};
use super::engine::Engine;
use super::errors::{damaged, unavailable};
use super::options::EmbeddedOptions;
use super::{chunks, logs};
use crate::error::StoreResult;

/// Gives a store the format of this release.
pub(super) fn upgrade(
    directory: &Directory,
    engine: &Engine,
    options: &EmbeddedOptions,
) -> StoreResult<()> {
    let path = directory.path();
    let failed = |error: io::Error| unavailable(path, "cannot change the format of", &error);
    let format = directory.format()?;
    if format == FORMAT_WITHOUT_SEGMENTS {
        logs::migrate(path, engine, &logs::folder(path, options))?;
    }
    if format < FORMAT {
        if chunks::folder(path, options).holds_frames(path)? {
            return Err(damaged(path, "its FORMAT file is that of another store"));
        }
        chunks::folder(path, options).create().map_err(failed)?;
        directory.set_format().map_err(failed)?;
    }
    engine.remove_unsegmented().map_err(|error| failed(io::Error::other(error)))
}
