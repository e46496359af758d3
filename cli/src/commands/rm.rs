//! `vdom rm`: deletes nodes.

use futures::TryStreamExt;
use vdom_client::{BranchSpec, Client};
use vdom_core::dom::diff::Diff;
use vdom_proto::v1::ReadTreeRequest;

use super::write::{self, WriteOptions};
use crate::exit::{Exit, Failure};
use crate::names::parse_path;
use crate::output::Output;
use crate::server::ServerOptions;

/// Delete nodes; their history stays
#[derive(clap::Args, Debug)]
pub(crate) struct RmArguments {
    /// Branch to write to
    #[arg(value_name = "REPO[@BRANCH]")]
    branch: BranchSpec,
    /// What to delete
    #[arg(value_parser = parse_path, required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// Also everything below
    #[arg(long, short)]
    recursive: bool,
    #[command(flatten)]
    options: WriteOptions,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) async fn run(arguments: RmArguments, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.server.connect().await?;
    let branch = &arguments.branch;
    for path in &arguments.paths {
        if !arguments.recursive {
            delete(&client, path, &arguments, output).await?;
            continue;
        }
        let below = paths_below(&client, branch, path).await?;
        if below.is_empty() {
            return Err(Failure::new(
                Exit::NotFound,
                format!("{branch} has nothing at or below {path}"),
            ));
        }
        for path in &below {
            delete(&client, path, &arguments, output).await?;
        }
    }
    Ok(())
}

async fn delete(
    client: &Client,
    path: &str,
    arguments: &RmArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let branch = &arguments.branch;
    let answer =
        write::change_existing(client, branch, path, Diff::delete(), &arguments.options).await?;
    output.result(
        || write::record(&answer, branch, path),
        |_| format!("deleted {path} at revision {}", answer.revision),
    )?;
    Ok(())
}

async fn paths_below(
    client: &Client,
    branch: &BranchSpec,
    prefix: &str,
) -> Result<Vec<String>, Failure> {
    let request = ReadTreeRequest {
        realm: client.realm(),
        repo: branch.repo.clone(),
        branch: branch.branch.clone(),
        prefix: prefix.to_owned(),
        max_age_ms: Some(0),
        ..ReadTreeRequest::default()
    };
    Ok(client.tree(request).await?.map_ok(|entry| entry.path).try_collect().await?)
}
