//! `vdom watch`: prints the changes of a branch as they happen.

use std::str::FromStr;

use vdom_client::{BranchSpec, Client, Notice, ResumePosition, Subscription};
use vdom_proto::v1::SubscribeRequest;
use vdom_proto::v1::change_event::Type;

use super::change;
use crate::exit::{Exit, Failure};
use crate::names::parse_prefix;
use crate::output::Output;
use crate::server::ServerOptions;

/// Print the changes of a branch as they happen
///
/// Goes on by itself after a lost connection, without a gap and without
/// repeating a change. Ctrl-C ends it.
#[derive(clap::Args, Debug)]
pub(crate) struct WatchArguments {
    /// Branch to watch
    #[arg(value_name = "REPO[@BRANCH]")]
    branch: BranchSpec,
    /// Only these nodes and what lies below them
    #[arg(long, value_parser = parse_prefix, value_delimiter = ',', num_args = 1.., value_name = "PATH")]
    paths: Vec<String>,
    /// Every change after this point [default: from now on]
    #[arg(long, value_name = "EPOCH.REVISION")]
    from: Option<WatchStart>,
    /// Also the diffs, up to 1 MiB each
    #[arg(long)]
    diffs: bool,
    /// Also how far the server is, once a second
    #[arg(long)]
    progress: bool,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) async fn run(arguments: WatchArguments, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.server.connect().await?;
    let mut subscription = Subscription::new(client.clone(), request(&client, &arguments));
    output.note(&format!("watching {}; Ctrl-C ends it", arguments.branch))?;
    tokio::select! {
        outcome = print(&mut subscription, arguments.progress, output) => outcome,
        _ = tokio::signal::ctrl_c() => {
            if let Some(ResumePosition { epoch, revision, .. }) = subscription.position() {
                output.note(&format!("go on from here with --from {epoch}.{revision}"))?;
            }
            Err(Failure::silent(Exit::Interrupted))
        }
    }
}

async fn print(
    subscription: &mut Subscription,
    prints_progress: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    loop {
        match subscription.next().await? {
            Notice::Event(event) => {
                if prints_progress || event.r#type() != Type::Progress {
                    let lines = |painter: &_| change::lines(&event, painter);
                    output.result(|| change::record(&event), lines)?;
                    output.flush()?;
                }
            }
            Notice::Interrupted { error, retry_in } => {
                output.note(&format!("vdom: {error}; going on in {retry_in:?}"))?;
            }
        }
    }
}

fn request(client: &Client, arguments: &WatchArguments) -> SubscribeRequest {
    let (from_epoch, from_revision) =
        arguments.from.map_or_else(Default::default, |from| (from.epoch, from.revision));
    SubscribeRequest {
        realm: client.realm(),
        repo: arguments.branch.repo.clone(),
        branch: arguments.branch.branch.clone(),
        paths: arguments.paths.clone(),
        from_epoch,
        from_revision,
        include_diffs: arguments.diffs,
        ..SubscribeRequest::default()
    }
}

/// Where watching begins: `EPOCH.REVISION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WatchStart {
    epoch: u64,
    revision: u64,
}

impl FromStr for WatchStart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once('.')
            .and_then(|(epoch, revision)| Some((epoch.parse().ok()?, revision.parse().ok()?)));
        match numbers {
            Some((epoch, revision)) if epoch > 0 => Ok(Self { epoch, revision }),
            _ => Err("give EPOCH.REVISION, as `vdom watch` and `vdom status` print it".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_two_numbers() {
        let start = "17.4".parse::<WatchStart>();
        assert_eq!(start, Ok(WatchStart { epoch: 17, revision: 4 }));
        for text in ["17", "0.4", "a.b", "1.2.3", ""] {
            assert!(text.parse::<WatchStart>().is_err(), "{text}");
        }
    }
}
