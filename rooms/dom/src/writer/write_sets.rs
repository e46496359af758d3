//! Change sets that wait together: evaluated one after the other, appended as one batch.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;
use vdom_core::Result;
use vdom_core::dom::calls::SetOutcome;
use vdom_core::limits::{BATCH_CONTENT_MAX_BYTES, BATCH_MAX_CHANGES, WRITER_QUEUE_MAX_BYTES};

use crate::metrics::Outcome;
use crate::records::ControlRecord;
use crate::uploads::Upload;
use crate::writer::gathered::PendingSet;
use crate::writer::set_proposal::SetVerdict;
use crate::writer::staging::Staging;
use crate::writer::verdict::concerns_the_store;
use crate::writer::{SetProposal, Writer, kept_conflicts, set_proposal};

/// How long a set may wait for the revision that it expects: who sends sets one after the other,
/// before the first is answered, has no power over the order in which they arrive.
const EARLY_MAX: Duration = Duration::from_millis(100);
/// So many sets of a branch may wait so.
const EARLY_SETS_MAX: usize = 256;
/// And so many bytes of them, which leave room in the queue for what they wait for.
const EARLY_SETS_MAX_BYTES: usize = WRITER_QUEUE_MAX_BYTES / 4;

/// The sets of a branch that expect a revision that is still to come.
#[derive(Default)]
pub(super) struct EarlySets(Vec<PendingSet>);

impl EarlySets {
    /// When the first of them has waited long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.iter().map(deadline).min()
    }

    fn have_room_for(&self, set: &PendingSet) -> bool {
        let bytes = self.0.iter().chain([set]).map(|set| set.place.num_permits()).sum::<usize>();
        self.0.len() < EARLY_SETS_MAX && bytes <= EARLY_SETS_MAX_BYTES
    }

    /// Whether one of them can be answered where the branch is at this revision.
    pub(super) fn are_due(&self, revision: u64) -> bool {
        let is_due = |set: &PendingSet| {
            set.proposal.expected_revision <= Some(revision) || deadline(set) <= Instant::now()
        };
        self.0.iter().any(is_due)
    }
}

fn deadline(set: &PendingSet) -> Instant {
    set.arrived_at + EARLY_MAX
}

/// The first of the sets that wait, evaluated against a head that is not proven yet.
struct EvaluatedSets<'a> {
    staging: Staging<'a>,
    /// One for each of them.
    verdicts: Vec<Result<SetVerdict>>,
}

impl Writer {
    /// Answers sets, each evaluated against what those before it leave; those that come early
    /// wait for what they expect.
    pub(super) async fn write_sets(&self, arrived: Vec<PendingSet>, early: &mut EarlySets) {
        self.wait_for_views().await;
        let mut pending = std::mem::take(&mut early.0);
        pending.extend(arrived);
        pending.sort_by_key(|set| set.proposal.expected_revision.unwrap_or(u64::MAX));
        while !pending.is_empty() {
            let sets: Vec<_> = pending.iter().map(|set| &*set.proposal).collect();
            let verdicts = match self.write_some_sets(&sets).await {
                Ok(verdicts) => verdicts,
                // Some of them may stand in the log: none is tried again here.
                Err(error) => sets.iter().map(|_| Err(error.clone())).collect(),
            };
            let now = Instant::now();
            let answered = pending.drain(..verdicts.len());
            for (set, verdict) in answered.zip(verdicts) {
                let may_wait = deadline(&set) > now && early.have_room_for(&set);
                match verdict {
                    Ok(SetVerdict::Early(_)) if may_wait => early.0.push(set),
                    verdict => {
                        // Who asked may have stopped waiting.
                        let _ = set.reply.send(self.set_answer(verdict));
                    }
                }
            }
        }
    }

    /// Verdicts on the first of the sets, at least on one, resting on a head that was proven
    /// after all of them had arrived.
    async fn write_some_sets(&self, sets: &[&SetProposal]) -> Result<Vec<Result<SetVerdict>>> {
        loop {
            self.check_open()?;
            let now_ms = self.environment.now_ms();
            let EvaluatedSets { mut staging, verdicts } = self.evaluate_sets(sets, now_ms).await;
            let begun = Instant::now();
            let sets = &sets[..verdicts.len()];
            let changes = std::mem::take(&mut staging.changes);
            let answered = answered_as_they_stand(sets, &verdicts, now_ms);
            let proven = if changes.is_empty() && answered.is_empty() {
                let is_repeated = |verdict: &_| matches!(verdict, Ok(SetVerdict::Repeated(_)));
                verdicts.iter().all(is_repeated) || self.verify_head_once().await?
            } else {
                let packs = sets.first().map(|set| set.packs.clone()).unwrap_or_default();
                let uploads = uploads_of_accepted(sets, &verdicts);
                self.append(changes, packs, answered, uploads, begun).await?
            };
            if !proven {
                self.catch_up().await?;
                continue;
            }
            return Ok(verdicts);
        }
    }

    /// Evaluates as many sets as fit into a batch, at least one.
    async fn evaluate_sets(&self, sets: &[&SetProposal], now_ms: i64) -> EvaluatedSets<'_> {
        let mut staging = Staging::new(&self.branch, now_ms);
        let mut verdicts = Vec::new();
        let mut bytes = 0;
        let mut answered = HashSet::new();
        for (at, set) in sets.iter().enumerate() {
            let is_first = at == 0;
            // The same operation may be the same request, which only the log can tell.
            let key = set.operation.map(|(_, key)| key);
            let is_in_batch = key.is_some_and(|key| answered.contains(&key));
            // What packs hold, or will hold, has a batch of its own.
            let has_packs = !set.packs.is_empty() || !sets[0].packs.is_empty();
            let has_room = staging.changes.len() + set.items.len() <= BATCH_MAX_CHANGES
                && bytes <= BATCH_CONTENT_MAX_BYTES;
            if !is_first && (is_in_batch || has_packs || !has_room) {
                break;
            }
            let verdict = set_proposal::evaluate(&mut staging, set).await;
            let is_accepted = matches!(verdict, Ok(SetVerdict::Accepted(_)));
            bytes += if is_accepted { staging.bytes_of_set() } else { 0 };
            let concerns_all = verdict.as_ref().is_err_and(concerns_the_store);
            if !is_first && (concerns_all || bytes > BATCH_CONTENT_MAX_BYTES) {
                staging.drop_set();
                break;
            }
            if is_accepted {
                staging.accept_set();
            } else {
                staging.drop_set();
            }
            if matches!(verdict, Ok(SetVerdict::Accepted(_) | SetVerdict::Same(_))) {
                answered.extend(key);
            }
            verdicts.push(verdict);
        }
        EvaluatedSets { staging, verdicts }
    }

    fn set_answer(&self, verdict: Result<SetVerdict>) -> Result<SetOutcome> {
        let (outcome, answer) = match verdict {
            Ok(SetVerdict::Accepted(written)) => {
                (Outcome::Accepted, Ok(SetOutcome::Written(written)))
            }
            Ok(SetVerdict::Same(written) | SetVerdict::Repeated(written)) => {
                (Outcome::Repeated, Ok(SetOutcome::Written(written)))
            }
            Ok(SetVerdict::Conflicted(conflicts)) => {
                (Outcome::Conflicted, Ok(SetOutcome::Conflicted(conflicts)))
            }
            Err(error) if concerns_the_store(&error) => return Err(error),
            Ok(SetVerdict::Early(error)) | Err(error) => (Outcome::Refused, Err(error)),
        };
        self.metrics.evaluated(outcome);
        answer
    }
}

/// What keeps the answers to sets that change nothing, where they may be repeated.
fn answered_as_they_stand(
    sets: &[&SetProposal],
    verdicts: &[Result<SetVerdict>],
    now_ms: i64,
) -> Vec<ControlRecord> {
    let answered = sets.iter().zip(verdicts).filter_map(|(set, verdict)| match verdict {
        Ok(SetVerdict::Same(written)) => {
            Some(kept_conflicts::answered(set.operation?, now_ms, written.results.first()))
        }
        _ => None,
    });
    answered.collect()
}

fn uploads_of_accepted<'a>(
    sets: &[&'a SetProposal],
    verdicts: &[Result<SetVerdict>],
) -> Vec<&'a Upload> {
    let sets = sets.iter().zip(verdicts);
    let accepted = sets.filter(|(_, verdict)| matches!(verdict, Ok(SetVerdict::Accepted(_))));
    accepted.map(|(set, _)| &set.upload).collect()
}
