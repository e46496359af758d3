//! `vdom backup`: a whole store in one file.

use std::fs::{self, File, OpenOptions};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use serde_json::json;
use vdom_gateway::maintenance::{BackupReport, MaintainedStore, backup};

use super::store::{StoreOptions, maintain};
use crate::exit::{Exit, Failure};
use crate::humanize::count;
use crate::output::Output;

const BUFFER_BYTES: usize = 1 << 20;

/// Write a whole store into one file
///
/// The gateway of the store must be stopped. The file appears under its name once it
/// is complete and durable.
#[derive(clap::Args, Debug)]
pub(crate) struct BackupArguments {
    /// The file; it must not exist
    file: PathBuf,
    #[command(flatten)]
    store: StoreOptions,
}

pub(crate) async fn run(arguments: BackupArguments, output: &mut Output) -> Result<(), Failure> {
    let path = arguments.file;
    if path.exists() {
        return Err(Failure::new(Exit::Conflict, format!("{} exists", path.display()))
            .advice("name another file, or delete this one"));
    }
    let store = arguments.store.open().await?;
    let report = maintain(store, output, "batches and chunks written", async |store, bar| {
        write(store, &path, |written| bar.set_position(written)).await
    })
    .await?;
    let bytes = fs::metadata(&path)?.len();
    output.result(
        || {
            json!({
                "file": path.display().to_string(),
                "bytes": bytes,
                "logs": report.logs,
                "batches": report.batches,
                "chunks": report.chunks,
            })
        },
        |_| {
            format!(
                "{}: {}, {}, {}",
                path.display(),
                crate::humanize::size(bytes),
                count(report.logs, "log", "logs"),
                count(report.batches, "batch", "batches"),
            )
        },
    )?;
    Ok(())
}

/// Writes under another name first: what stands under the name is complete.
async fn write(
    store: &MaintainedStore,
    path: &Path,
    progress: impl FnMut(u64),
) -> Result<BackupReport, Failure> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let cannot = |error: std::io::Error| {
        Failure::failed(format!("cannot write {}: {error}", partial.display()))
    };
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(&partial);
    let file = BufWriter::with_capacity(BUFFER_BYTES, file.map_err(cannot)?);
    let (file, report) = backup(store, file, progress).await?;
    let file = file.into_inner().map_err(|error| cannot(error.into_error()))?;
    file.sync_all().map_err(cannot)?;
    fs::rename(&partial, path).map_err(cannot)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))
        .and_then(|folder| folder.sync_all())
        .map_err(cannot)?;
    Ok(report)
}
