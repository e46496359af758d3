//! Requests that stream to the gateway: change sets, contents, replays.

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tokio::sync::oneshot;
use tonic::Request;
use vdom_api::dom::convert::{decode, encode};
use vdom_core::dom::calls::{
    ChangeSetPart, DiffSource, SetOutcome, WriteContent, WriteDiff, WriteDiffs, WriteOutcome,
};
use vdom_core::{Error, Result};
use vdom_edge::ServiceStream;

use super::{OnBehalfOf, Upstream};

impl Upstream {
    /// Writes a change set. Where its parts break off, the call is cancelled: the
    /// gateway never takes a part for the whole.
    pub(crate) async fn write_diffs(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &WriteDiffs,
        parts: ServiceStream<ChangeSetPart>,
    ) -> Result<SetOutcome> {
        let (broke_off, broken) = oneshot::channel();
        let header = encode::write_diffs(request);
        let rest = unbroken(parts, broke_off, AfterBreak::Nothing).map(encode::change_set_part);
        let chunks = stream::iter([header]).chain(rest);
        let request = self.streaming(on_behalf_of, chunks)?;
        let (mut client, _place) = self.streaming_client()?;
        let answer = client.write_diffs_stream(request);
        let answer = tokio::select! {
            biased;
            Ok(error) = broken => return Err(error),
            answer = answer => self.heard(answer.map(tonic::Response::into_inner))?,
        };
        decode::set_outcome(answer)
    }

    /// Writes one `put` whose content arrives in pieces: a set of one.
    pub(crate) async fn write_content(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        mut request: WriteContent,
        content: ServiceStream<Bytes>,
    ) -> Result<WriteOutcome> {
        let set = WriteDiffs {
            address: request.address.clone(),
            operation_id: request.operation_id.take(),
            expected_revision: None,
            on_conflict: request.on_conflict,
            min_ack: request.min_ack,
            author: request.author.take(),
            authored_at_ms: None,
            message: String::new(),
            metadata: std::collections::BTreeMap::new(),
        };
        let diff = request.with_diff(DiffSource::Follows);
        let diff = stream::iter([Ok(ChangeSetPart::Diff(Box::new(diff)))]);
        let parts = diff.chain(content.map_ok(ChangeSetPart::Content)).boxed();
        let one = |count| {
            Error::internal(format_args!("the gateway answered one diff with {count} results"))
        };
        match self.write_diffs(on_behalf_of, &set, parts).await? {
            SetOutcome::Written(set) => <[_; 1]>::try_from(set.results)
                .map(|[written]| WriteOutcome::Written(written))
                .map_err(|results| one(results.len())),
            SetOutcome::Conflicted(set) => match <[_; 1]>::try_from(set.results) {
                Ok([Some(conflict)]) => Ok(WriteOutcome::Conflicted(conflict)),
                Ok([None]) => Err(one(0)),
                Err(results) => Err(one(results.len())),
            },
        }
    }

    /// Writes diffs in order and answers each. What breaks them off is said after
    /// the answers to those that came before.
    pub(crate) async fn replay_diffs(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        requests: ServiceStream<WriteDiff>,
    ) -> Result<ServiceStream<WriteOutcome>> {
        let (broke_off, broken) = oneshot::channel();
        let messages = unbroken(requests, broke_off, AfterBreak::End)
            .map(|request| encode::write_diff(&request));
        let request = self.streaming(on_behalf_of, messages)?;
        let (mut client, place) = self.streaming_client()?;
        let answer = client.replay_diffs(request).await;
        let answers = self.stream(self.heard(answer.map(tonic::Response::into_inner))?, place);
        let outcomes = stream::unfold(Some((answers, broken)), |state| async move {
            let (mut answers, mut broken) = state?;
            match answers.next().await {
                Some(Ok(answer)) => match decode::write_outcome(answer) {
                    Ok(outcome) => Some((Ok(outcome), Some((answers, broken)))),
                    Err(error) => Some((Err(error), None)),
                },
                Some(Err(error)) => Some((Err(error), None)),
                // Said before the requests ended, so before the answers did.
                None => broken.try_recv().ok().map(|error| (Err(error), None)),
            }
        });
        Ok(outcomes.boxed())
    }

    /// A request whose messages stream: it has no deadline but the caller's.
    fn streaming<T>(&self, on_behalf_of: OnBehalfOf<'_>, messages: T) -> Result<Request<T>> {
        let mut request = self.request(on_behalf_of, messages)?;
        if let OnBehalfOf::Caller(caller) = on_behalf_of
            && let Some(deadline) = caller.deadline
        {
            request.set_timeout(deadline.saturating_duration_since(vdom_edge::deadline::now()));
        }
        Ok(request)
    }
}

/// How a stream goes on that broke off.
#[derive(Clone, Copy)]
enum AfterBreak {
    /// Not at all: whoever takes the error drops the call.
    Nothing,
    /// It ends: what was sent counts by itself.
    End,
}

/// The items until one is an error, which leaves through `broke_off`.
fn unbroken<T: Send + 'static>(
    items: ServiceStream<T>,
    broke_off: oneshot::Sender<Error>,
    after_break: AfterBreak,
) -> impl Stream<Item = T> + Send + 'static {
    stream::unfold((items, broke_off), move |(mut items, broke_off)| async move {
        match items.next().await? {
            Ok(item) => Some((item, (items, broke_off))),
            Err(error) => {
                // Nobody listens where the call has ended already.
                let _ = broke_off.send(error);
                match after_break {
                    AfterBreak::Nothing => std::future::pending().await,
                    AfterBreak::End => None,
                }
            }
        }
    })
}
