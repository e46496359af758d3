//! `vdom log`: the changes of a branch or a node, newest first.

use vdom_client::BranchSpec;
use vdom_core::limits::HISTORY_PAGE_MAX_CHANGES;
use vdom_proto::v1::GetHistoryRequest;

use super::change;
use crate::exit::Failure;
use crate::names::parse_path;
use crate::output::Output;
use crate::server::ServerOptions;

/// Show the changes of a branch or a node, newest first
#[derive(clap::Args, Debug)]
pub(crate) struct LogArguments {
    /// Branch to read
    #[arg(value_name = "REPO[@BRANCH]")]
    branch: BranchSpec,
    /// Only changes of this node
    #[arg(value_parser = parse_path)]
    path: Option<String>,
    /// How many changes; 0: all
    #[arg(long, short = 'n', default_value_t = 50, value_name = "COUNT")]
    limit: u64,
    /// Only changes before this revision
    #[arg(long, value_name = "REVISION", default_value_t = 0, hide_default_value = true)]
    before: u64,
    /// Also the diffs, up to 1 MiB each
    #[arg(long)]
    diffs: bool,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) async fn run(arguments: LogArguments, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.server.connect().await?;
    let mut left = if arguments.limit == 0 { u64::MAX } else { arguments.limit };
    let mut before_revision = arguments.before;
    loop {
        let request = GetHistoryRequest {
            realm: client.realm(),
            repo: arguments.branch.repo.clone(),
            branch: arguments.branch.branch.clone(),
            path: arguments.path.clone().unwrap_or_default(),
            before_revision,
            limit: left.min(HISTORY_PAGE_MAX_CHANGES.into()) as u32,
            include_diffs: arguments.diffs,
            ..GetHistoryRequest::default()
        };
        let page = client.raw().get_history(client.unary(request)).await?.into_inner();
        for event in &page.changes {
            output.result(|| change::record(event), |painter| change::lines(event, painter))?;
        }
        left = left.saturating_sub(page.changes.len() as u64);
        before_revision = page.next_before_revision;
        if before_revision == 0 {
            return Ok(());
        }
        if left == 0 {
            output.flush()?;
            output.note(&format!("older ones: add --before {before_revision}"))?;
            return Ok(());
        }
    }
}
