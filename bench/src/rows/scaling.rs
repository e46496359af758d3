//! How work grows with what there is: each row measures steps of one quantity, so that its
//! table shows the curve and not one point of it.

pub(super) mod cold_list;
pub(super) mod dropped_streams;
pub(super) mod history_pages;
pub(super) mod import_branches;
pub(super) mod import_files;
pub(super) mod import_merges;
pub(super) mod open_watches;

mod imports;
mod watchers;
