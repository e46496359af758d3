//! `vdom watch`: prints the changes of a branch as they happen.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use tonic::Status;
use vdom_core::ErrorCode;
use vdom_edge::error::from_status;
use vdom_proto::v1::change_event::Type;
use vdom_proto::v1::{ChangeEvent, SubscribeRequest};

use super::change;
use crate::branch::{Branch, parse_prefix};
use crate::client::{Client, is_passing};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::server::ServerOptions;

/// A server says at least once a second how far it is; this much silence means
/// that the connection is dead.
const SILENCE_MAX: Duration = Duration::from_secs(10);
const RETRY_DELAY_MIN: Duration = Duration::from_millis(100);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);

/// Print the changes of a branch as they happen
///
/// Goes on by itself after a lost connection, without a gap and without
/// repeating a change. Ctrl-C ends it.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Branch to watch
    #[arg(value_name = "REPO[@BRANCH]")]
    branch: Branch,
    /// Only these nodes and what lies below them
    #[arg(long, value_parser = parse_prefix, value_delimiter = ',', num_args = 1.., value_name = "PATH")]
    paths: Vec<String>,
    /// Every change after this point [default: from now on]
    #[arg(long, value_name = "EPOCH.REVISION")]
    from: Option<Position>,
    /// Also the diffs, up to 1 MiB each
    #[arg(long)]
    diffs: bool,
    /// Also how far the server is, once a second
    #[arg(long)]
    progress: bool,
    #[command(flatten)]
    server: ServerOptions,
}

/// Prints them until interrupted.
pub(crate) async fn run(arguments: Arguments, output: &mut Output) -> Result<(), Failure> {
    let client = Client::connect(&arguments.server).await?;
    let mut watch = Watch { resume: arguments.from.clone(), printed: None };
    output.note(&format!("watching {}; Ctrl-C ends it", arguments.branch))?;
    tokio::select! {
        outcome = watch.run(&client, &arguments, output) => outcome,
        _ = tokio::signal::ctrl_c() => {
            if let Some(Position { epoch, revision, .. }) = watch.resume {
                output.note(&format!("go on from here with --from {epoch}.{revision}"))?;
            }
            Err(Failure::silent(Exit::Interrupted))
        }
    }
}

/// A place in a branch's log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Position {
    epoch: u64,
    revision: u64,
    /// Of the change at that revision, where it is known.
    hash: Bytes,
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once('.')
            .and_then(|(epoch, revision)| Some((epoch.parse().ok()?, revision.parse().ok()?)));
        match numbers {
            Some((epoch, revision)) if epoch > 0 => {
                Ok(Self { epoch, revision, hash: Bytes::new() })
            }
            _ => Err("give EPOCH.REVISION, as `vdom watch` and `vdom status` print it".to_owned()),
        }
    }
}

struct Watch {
    /// Where to go on after a lost connection; `None`: from now on.
    resume: Option<Position>,
    /// The last change that was printed: epoch and revision.
    printed: Option<(u64, u64)>,
}

impl Watch {
    async fn run(
        &mut self,
        client: &Client,
        arguments: &Arguments,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let mut delay = RETRY_DELAY_MIN;
        loop {
            let resume_before = self.resume.clone();
            let status = match self.follow(client, arguments, output).await {
                Ok(status) => status,
                Err(failure) => return Err(failure),
            };
            let may_go_on = is_passing(&status) || from_status(&status).code == ErrorCode::Lagged;
            if !may_go_on {
                return Err(Failure::from(status));
            }
            if self.resume != resume_before {
                delay = RETRY_DELAY_MIN;
            }
            output.note(&format!("vdom: {}; going on in {delay:?}", Failure::from(status)))?;
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(RETRY_DELAY_MAX);
        }
    }

    /// Prints what one subscription delivers; answers why it ended.
    async fn follow(
        &mut self,
        client: &Client,
        arguments: &Arguments,
        output: &mut Output,
    ) -> Result<Status, Failure> {
        let request = self.request(client, arguments);
        let mut events = match client.dom().subscribe_changes(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return Ok(status),
        };
        loop {
            let event = match tokio::time::timeout(SILENCE_MAX, events.message()).await {
                Ok(Ok(Some(event))) => event,
                Ok(Ok(None)) => return Ok(Status::unavailable("the server ended the stream")),
                Ok(Err(status)) => return Ok(status),
                Err(_) => return Ok(Status::unavailable("the server has gone silent")),
            };
            if self.take(&event, arguments.progress) {
                output
                    .result(|| change::record(&event), |painter| change::lines(&event, painter))?;
                output.flush()?;
            }
        }
    }

    fn request(&self, client: &Client, arguments: &Arguments) -> SubscribeRequest {
        let from = self.resume.clone();
        let (from_epoch, from_revision, from_hash) =
            from.map_or_else(Default::default, |from| (from.epoch, from.revision, from.hash));
        SubscribeRequest {
            realm: client.realm(),
            repo: arguments.branch.repo.clone(),
            branch: arguments.branch.branch.clone(),
            paths: arguments.paths.clone(),
            from_epoch,
            from_revision,
            from_hash,
            include_diffs: arguments.diffs,
        }
    }

    /// Notes how far the stream is; true where the event is to be printed.
    fn take(&mut self, event: &ChangeEvent, prints_progress: bool) -> bool {
        let is_progress = event.r#type() == Type::Progress;
        let (epoch, revision) = (event.epoch, event.revision);
        if change::is_resume_point(event) {
            let is_known = self
                .resume
                .as_ref()
                .is_some_and(|known| (known.epoch, known.revision) == (epoch, revision));
            // Progress has no hash: it must not displace one.
            if !(is_progress && is_known) {
                let hash = event.hash.clone();
                self.resume = Some(Position { epoch, revision, hash });
            }
        }
        if is_progress {
            return prints_progress;
        }
        // A change set that was cut off is delivered again from its beginning.
        let is_new = self.printed.is_none_or(|(printed_epoch, printed_revision)| {
            epoch != printed_epoch || revision > printed_revision
        });
        if is_new {
            self.printed = Some((epoch, revision));
        }
        is_new
    }
}

#[cfg(test)]
mod tests;
