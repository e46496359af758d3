//! `vdom put`: writes the content of a node.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::ValueEnum;
use vdom_client::{BranchSpec, random_operation_id};
use vdom_core::limits::CONTENT_MAX_BYTES;
use vdom_proto::v1::{NodeKind, OnConflict};

use super::write::{self, WriteOptions};
use crate::exit::Failure;
use crate::extended_json;
use crate::humanize::size;
use crate::names::parse_path;
use crate::output::Output;
use crate::server::ServerOptions;

/// Write the content of a node
///
/// Writes over the version that stands there when the command starts; if
/// someone else changes it before the write arrives, nothing is written.
#[derive(clap::Args, Debug)]
pub(crate) struct PutArguments {
    /// Branch to write to; the first write makes it
    #[arg(value_name = "REPO[@BRANCH]")]
    branch: BranchSpec,
    /// Node to write
    #[arg(value_parser = parse_path)]
    path: String,
    /// File with the content; `-` is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// What the node holds [default: what it holds; a file if it is new]
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Only where there is nothing yet
    #[arg(long, conflicts_with = "overwrite")]
    if_absent: bool,
    /// Whatever stands there
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    options: WriteOptions,
    #[command(flatten)]
    server: ServerOptions,
}

/// What a node holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Bytes
    File,
    /// A document that says what someone means to do: JSON, extended JSON or BSON
    Intent,
    /// A document about other nodes: JSON, extended JSON or BSON
    Meta,
}

impl From<Kind> for NodeKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::File => Self::File,
            Kind::Intent => Self::Intent,
            Kind::Meta => Self::Meta,
        }
    }
}

pub(crate) async fn run(arguments: PutArguments, output: &mut Output) -> Result<(), Failure> {
    let PutArguments { branch, path, file, kind, if_absent, overwrite, options, server } =
        arguments;
    let input = read_input(&file)?;
    let client = server.connect().await?;
    let needs_current = !(if_absent || overwrite && kind.is_some());
    let current = if needs_current { client.stat(&branch, &path).await? } else { None };
    let kind = match (&current, kind) {
        (_, Some(kind)) => kind.into(),
        (Some(current), None) => current.kind(),
        (None, None) => NodeKind::File,
    };
    let content = if kind == NodeKind::File { input } else { extended_json::to_bson(&input)? };
    let size_bytes = content.len() as u64;

    let mut request = options.request(&client, &branch, &path);
    request.kind = kind.into();
    request.operation_id = random_operation_id()?;
    if overwrite {
        request.on_conflict = OnConflict::Overwrite.into();
    } else if let Some(current) = current {
        request.node_id = current.node_id;
        request.vector_clock = current.vector_clock;
    }
    let answer = write::accepted(client.put(request, content).await?, &branch, &path)?;
    output.result(
        || write::record(&answer, &branch, &path),
        |_| {
            format!(
                "wrote {path}: {}, version {} at revision {}",
                size(size_bytes),
                answer.new_version,
                answer.revision
            )
        },
    )?;
    Ok(())
}

/// The content of a file, or of standard input for `-`.
pub(crate) fn read_input(file: &Path) -> Result<Bytes, Failure> {
    let name =
        if file == Path::new("-") { "standard input".into() } else { file.to_string_lossy() };
    let unreadable = |error: io::Error| Failure::failed(format!("cannot read {name}: {error}"));
    let mut source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(file).map_err(unreadable)?)
    };
    let mut content = Vec::new();
    source.by_ref().take(CONTENT_MAX_BYTES + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > CONTENT_MAX_BYTES {
        return Err(Failure::failed(format!(
            "{name} is larger than {}, the most that a node holds",
            size(CONTENT_MAX_BYTES)
        )));
    }
    Ok(content.into())
}
