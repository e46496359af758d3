//! Git's formats, without I/O: the streams of `git fast-export` and
//! `git fast-import`, git's names as those of repos, what a repo keeps of commits and
//! refs, and which commit goes to which branch. Git's texts are bytes.
//!
//! Processes, files and connections are the caller's: a reader takes a
//! [`std::io::BufRead`], a writer a [`std::io::Write`].
//!
//! ```
//! use vdom_git::command::StreamCommand;
//! use vdom_git::fast_export::{FastExportLimits, FastExportReader};
//! use vdom_git::fast_import::FastImportWriter;
//!
//! let stream = b"blob\nmark :1\ndata 3\nhi\n\n";
//! let mut reader = FastExportReader::new(stream.as_slice(), FastExportLimits::default());
//! let mut copy = Vec::new();
//! let mut writer = FastImportWriter::new(&mut copy);
//! while let Some(command) = reader.read()? {
//!     if let StreamCommand::Blob(blob) = &command {
//!         assert_eq!(blob.data.as_ref(), b"hi\n");
//!     }
//!     writer.write(&command)?;
//! }
//! assert_eq!(copy, stream);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod branch_name;
pub mod command;
pub mod commit_graph;
pub mod commit_object;
pub mod fast_export;
pub mod fast_import;
pub mod file_attributes;
pub mod identity;
pub mod node_path;
pub mod normalize;
pub mod object_id;
pub mod path_set;
pub mod quoted_path;
pub mod record;
pub mod ref_list;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
