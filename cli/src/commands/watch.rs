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
    /// Every change after this point: EPOCH.REVISION, `earliest` (all that are kept), or `now`
    #[arg(long, value_name = "POINT", default_value = "now")]
    from: WatchStart,
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
    let (from_epoch, from_revision) = match arguments.from {
        WatchStart::After { epoch, revision } => (epoch, revision),
        WatchStart::Earliest | WatchStart::Now => Default::default(),
    };
    SubscribeRequest {
        realm: client.realm(),
        repo: arguments.branch.repo.clone(),
        branch: arguments.branch.branch.clone(),
        paths: arguments.paths.clone(),
        from_epoch,
        from_revision,
        from_earliest: arguments.from == WatchStart::Earliest,
        include_diffs: arguments.diffs,
        ..SubscribeRequest::default()
    }
}

/// Where watching begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WatchStart {
    Now,
    /// Before the oldest change that is kept.
    Earliest,
    /// `EPOCH.REVISION`.
    After {
        epoch: u64,
        revision: u64,
    },
}

impl FromStr for WatchStart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "now" => return Ok(Self::Now),
            "earliest" | "0" => return Ok(Self::Earliest),
            _ => {}
        }
        let numbers = text
            .split_once('.')
            .and_then(|(epoch, revision)| Some((epoch.parse().ok()?, revision.parse().ok()?)));
        match numbers {
            Some((epoch, revision)) if epoch > 0 => Ok(Self::After { epoch, revision }),
            _ => Err("give EPOCH.REVISION, as `vdom watch` and `vdom status` print it, `earliest` or `now`"
                .to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_two_numbers_or_a_name() {
        let start = "17.4".parse::<WatchStart>();
        assert_eq!(start, Ok(WatchStart::After { epoch: 17, revision: 4 }));
        assert_eq!("0".parse(), Ok(WatchStart::Earliest));
        assert_eq!("earliest".parse(), Ok(WatchStart::Earliest));
        assert_eq!("now".parse(), Ok(WatchStart::Now));
        for text in ["17", "0.4", "a.b", "1.2.3", ""] {
            assert!(text.parse::<WatchStart>().is_err(), "{text}");
        }
    }
}
