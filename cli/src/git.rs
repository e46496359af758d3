//! Git in and out: the stream of `git fast-export`, that of `git fast-import`,
//! and how names and commits of git are kept in a repo. Git's texts are bytes.

pub mod fast_export;
pub mod fast_import;
pub mod node;
pub mod path;
pub mod quoted;
pub mod record;
pub mod ref_name;
pub mod stream;
