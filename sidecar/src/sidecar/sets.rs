//! Change sets, reverts and replays, forwarded in the caller's name.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use vdom_core::dom::calls::{
    ChangeSetPart, DiffSource, RevertChanges, SetOutcome, WriteDiff, WriteDiffs, WriteOutcome,
};
use vdom_core::limits::UNARY_MESSAGE_MAX_BYTES;
use vdom_core::{BranchAddress, Result};
use vdom_edge::{Caller, ServiceStream};

use super::Sidecar;
use super::writes::{hide_minted, outcome_unknown, refuse_local};
use crate::upstream::OnBehalfOf;

/// What of a set is kept in memory to be sent again.
const AT_HAND_MAX_BYTES: usize = UNARY_MESSAGE_MAX_BYTES;
/// What a diff takes beside its bytes.
const DIFF_BYTES: usize = 512;

/// The beginning of a set.
enum Begun {
    /// All of it is here.
    Whole(Vec<ChangeSetPart>),
    /// More is to come.
    Part(Vec<ChangeSetPart>),
}

impl Sidecar {
    /// Writes a change set. One that is at hand as a whole is repeated where the
    /// connection breaks; the parts of another are gone once they were sent.
    pub(super) async fn forward_set(
        &self,
        caller: &Caller,
        mut request: WriteDiffs,
        mut parts: ServiceStream<ChangeSetPart>,
    ) -> Result<SetOutcome> {
        refuse_local(request.min_ack)?;
        let minted = self.mint(&mut request.operation_id)?;
        let on_behalf_of = OnBehalfOf::Caller(caller);
        let outcome = match begin(&mut parts)? {
            Begun::Whole(whole) => {
                let write = || {
                    let parts = stream::iter(whole.clone().into_iter().map(Ok)).boxed();
                    self.upstream().write_diffs(on_behalf_of, &request, parts)
                };
                self.repeated(caller, minted, write).await?
            }
            Begun::Part(begun) => {
                let parts = stream::iter(begun.into_iter().map(Ok)).chain(parts).boxed();
                let written = self.upstream().write_diffs(on_behalf_of, &request, parts);
                written.await.map_err(|error| outcome_unknown(error, minted))?
            }
        };
        Ok(self.set_written(&request.address, outcome, minted))
    }

    /// Writes the inverse of a range of changes.
    pub(super) async fn forward_revert(
        &self,
        caller: &Caller,
        mut request: RevertChanges,
    ) -> Result<SetOutcome> {
        let minted = self.mint(&mut request.operation_id)?;
        let revert = || self.upstream().revert_changes(OnBehalfOf::Caller(caller), &request);
        let outcome = self.repeated(caller, minted, revert).await?;
        Ok(self.set_written(&request.address, outcome, minted))
    }

    /// Writes diffs in order, each seen by every read that follows its answer.
    pub(super) async fn forward_replay(
        &self,
        caller: &Caller,
        requests: ServiceStream<WriteDiff>,
    ) -> Result<ServiceStream<WriteOutcome>> {
        // Answers come in the order of their requests.
        let sent: Arc<Mutex<VecDeque<BranchAddress>>> = Arc::default();
        let addresses = Arc::clone(&sent);
        let requests = requests.and_then(move |request| {
            let checked = refuse_local(request.min_ack);
            if checked.is_ok() {
                addresses.lock().push_back(request.address.clone());
            }
            std::future::ready(checked.map(|()| request))
        });
        let on_behalf_of = OnBehalfOf::Caller(caller);
        let outcomes = self.upstream().replay_diffs(on_behalf_of, requests.boxed()).await?;
        let sidecar = self.clone();
        let outcomes = outcomes.map_ok(move |outcome| {
            let address = sent.lock().pop_front();
            match address {
                Some(address) => sidecar.written(&address, outcome, false),
                None => outcome,
            }
        });
        Ok(outcomes.boxed())
    }

    fn set_written(
        &self,
        address: &BranchAddress,
        mut outcome: SetOutcome,
        minted: bool,
    ) -> SetOutcome {
        match &mut outcome {
            SetOutcome::Written(set) => {
                self.take_note(address, |branch| branch.wrote_set(set));
                if minted {
                    set.operation_id = None;
                    set.results.iter_mut().for_each(|written| written.operation_id = None);
                }
            }
            SetOutcome::Conflicted(set) => {
                if minted {
                    set.operation_id = None;
                }
                set.results.iter_mut().flatten().for_each(|it| hide_minted(it, minted));
            }
        }
        outcome
    }
}

/// Takes what is there without waiting, as far as it may be kept.
fn begin(parts: &mut ServiceStream<ChangeSetPart>) -> Result<Begun> {
    let (mut begun, mut bytes) = (Vec::new(), 0);
    while bytes <= AT_HAND_MAX_BYTES {
        match parts.next().now_or_never() {
            None => break,
            Some(None) => return Ok(Begun::Whole(begun)),
            Some(Some(part)) => {
                let part = part?;
                bytes += match &part {
                    ChangeSetPart::Content(piece) => piece.len(),
                    ChangeSetPart::Diff(diff) => match &diff.diff {
                        DiffSource::Bson(bson) => DIFF_BYTES + bson.len(),
                        DiffSource::Follows => DIFF_BYTES,
                    },
                };
                begun.push(part);
            }
        }
    }
    Ok(Begun::Part(begun))
}
