//! The branches that are written to, side by side: change sets of one branch in
//! order, each sent before the one before it is answered.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use vdom_client::{BranchSpec, Client};
use vdom_git::command::FileMode;
use vdom_proto::v1::{CreateBranchRequest, WriteDiffsRequest, WriteDiffsResponse};

use crate::exit::{Exit, Failure};

/// How many change sets may wait for their answers.
const SENT_AHEAD_MAX: usize = 64;
/// How much they may hold, in KiB.
const MEMORY_MAX_KIB: usize = 64 << 10;

/// Modes other than that of an ordinary file, by git's path.
pub(super) type Modes = Arc<HashMap<Bytes, FileMode>>;

/// A branch that is written to.
#[derive(Debug)]
pub(super) struct BranchPipeline {
    pub(super) branch: BranchSpec,
    /// The revision that it will have when all that was sent is written.
    pub(super) head: u64,
    /// Of the files at `head`; `None`: not yet known.
    pub(super) modes: Option<Modes>,
    /// Where it begins, while it is not made yet.
    pub(super) fork: Option<BranchFork>,
    /// The revision that is written for sure.
    written: Arc<watch::Sender<u64>>,
    /// From this revision on, its log is there to be compared with.
    earliest_revision: Option<u64>,
}

/// Where a branch leaves another one.
#[derive(Clone, Debug)]
pub(super) struct BranchFork {
    pub(super) from: String,
    pub(super) revision: u64,
    /// What is written of that branch.
    pub(super) written: watch::Receiver<u64>,
}

impl BranchPipeline {
    /// A branch that is there, at this revision.
    pub(super) fn existing(branch: BranchSpec, head: u64) -> Self {
        Self::new(branch, head, None, Some(head))
    }

    /// A branch that begins empty.
    pub(super) fn root(branch: BranchSpec) -> Self {
        Self { modes: Some(Modes::default()), ..Self::new(branch, 0, None, None) }
    }

    /// A branch that begins in another one.
    pub(super) fn forked(branch: BranchSpec, fork: BranchFork) -> Self {
        let revision = fork.revision;
        Self::new(branch, revision, Some(fork), Some(revision))
    }

    fn new(
        branch: BranchSpec,
        head: u64,
        fork: Option<BranchFork>,
        earliest_revision: Option<u64>,
    ) -> Self {
        let is_there = fork.is_none() && earliest_revision.is_some();
        let (written, _) = watch::channel(if is_there { head } else { 0 });
        Self { branch, head, modes: None, fork, written: Arc::new(written), earliest_revision }
    }

    /// What is written of it.
    pub(super) fn written(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Notes a change set that was written by itself.
    pub(super) fn advance(&mut self, revision: u64) {
        self.head = revision;
        self.earliest_revision.get_or_insert(revision);
        advance_watermark(&self.written, revision);
    }
}

/// Sends change sets, up to 64 of them before the first is answered.
pub(super) struct ChangeSetSender {
    client: Client,
    sent: JoinSet<Result<(), Failure>>,
    slots: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

/// A change set on its way.
struct InFlightChangeSet {
    request: WriteDiffsRequest,
    branch: BranchSpec,
    fork: Option<BranchFork>,
    /// Where the branch is before and after it.
    before: u64,
    after: u64,
    /// What must be written before it may be sent at all.
    earliest_revision: u64,
    written: Arc<watch::Sender<u64>>,
    _held: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl ChangeSetSender {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            sent: JoinSet::new(),
            slots: Arc::new(Semaphore::new(SENT_AHEAD_MAX)),
            memory: Arc::new(Semaphore::new(MEMORY_MAX_KIB)),
        }
    }

    /// Sends a change set after those that were sent to the same branch; waits
    /// only while too much is on its way. Answers with its last revision.
    pub(super) async fn send(
        &mut self,
        pipeline: &mut BranchPipeline,
        request: WriteDiffsRequest,
        size_bytes: usize,
    ) -> Result<u64, Failure> {
        let kibibytes = u32::try_from(size_bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        let kibibytes = kibibytes.clamp(1, MEMORY_MAX_KIB as u32);
        let slot = self.reserve(Arc::clone(&self.slots), 1).await?;
        let memory = self.reserve(Arc::clone(&self.memory), kibibytes).await?;
        let before = pipeline.head;
        let after = before + request.diffs.len() as u64;
        let earliest_revision = pipeline.earliest_revision.unwrap_or(before);
        let sent = InFlightChangeSet {
            request: WriteDiffsRequest { expected_revision: before, ..request },
            branch: pipeline.branch.clone(),
            fork: pipeline.fork.take(),
            before,
            after,
            earliest_revision,
            written: Arc::clone(&pipeline.written),
            _held: (slot, memory),
        };
        pipeline.earliest_revision.get_or_insert(after);
        pipeline.head = after;
        let client = self.client.clone();
        self.sent.spawn(async move { sent.write(&client).await });
        Ok(after)
    }

    /// Waits until all that was sent to a branch is written, and makes the branch
    /// where it begins in another one.
    pub(super) async fn settle(&mut self, pipeline: &mut BranchPipeline) -> Result<(), Failure> {
        if let Some(fork) = pipeline.fork.take() {
            create_branch(&self.client, &pipeline.branch, fork, &pipeline.written).await?;
        }
        let mut written = pipeline.written();
        loop {
            if *written.borrow_and_update() >= pipeline.head {
                return Ok(());
            }
            tokio::select! {
                changed = written.changed() => changed.map_err(|_| base_not_written())?,
                Some(outcome) = self.sent.join_next() => check_task(outcome)?,
            }
        }
    }

    /// Waits until everything that was sent is written.
    pub(super) async fn finish(&mut self) -> Result<(), Failure> {
        while let Some(outcome) = self.sent.join_next().await {
            check_task(outcome)?;
        }
        Ok(())
    }

    /// Makes a branch that begins in another one and has nothing of its own.
    pub(super) async fn fork(&self, branch: &BranchSpec, fork: BranchFork) -> Result<(), Failure> {
        let (written, _) = watch::channel(0);
        create_branch(&self.client, branch, fork, &written).await
    }

    /// Waits for room; ends the import where what it waits for has failed.
    async fn reserve(
        &mut self,
        room: Arc<Semaphore>,
        permits: u32,
    ) -> Result<OwnedSemaphorePermit, Failure> {
        let reserved = room.acquire_many_owned(permits);
        tokio::pin!(reserved);
        loop {
            tokio::select! {
                biased;
                Some(outcome) = self.sent.join_next() => check_task(outcome)?,
                permit = &mut reserved => {
                    return permit.map_err(|_| Failure::failed("the import has ended"));
                }
            }
        }
    }
}

impl InFlightChangeSet {
    async fn write(self, client: &Client) -> Result<(), Failure> {
        if let Some(fork) = self.fork.clone() {
            create_branch(client, &self.branch, fork, &self.written).await?;
        }
        let mut written = self.written.subscribe();
        written
            .wait_for(|revision| *revision >= self.earliest_revision)
            .await
            .map_err(|_| base_not_written())?;
        loop {
            let was_next = *written.borrow() >= self.before;
            let refused = match client.write_set(self.request.clone()).await {
                Ok(answer) if answer.success => return self.done(&answer),
                Ok(answer) => refusal(&self.branch, &answer),
                Err(error) => error.into(),
            };
            // Sent ahead, it may have arrived before the one before it.
            if was_next || refused.exit != Exit::Conflict {
                return Err(refused);
            }
            written
                .wait_for(|revision| *revision >= self.before)
                .await
                .map_err(|_| base_not_written())?;
        }
    }

    fn done(&self, answer: &WriteDiffsResponse) -> Result<(), Failure> {
        check_revision(&self.branch, answer, self.after)?;
        advance_watermark(&self.written, self.after);
        Ok(())
    }
}

/// Refuses an answer that does not end where the branch was meant to be.
pub(super) fn check_revision(
    branch: &BranchSpec,
    answer: &WriteDiffsResponse,
    expected: u64,
) -> Result<(), Failure> {
    if answer.last_revision == expected {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Conflict,
        format!(
            "{branch} is at revision {}, where the import alone makes {expected}: someone else \
             writes to it",
            answer.last_revision
        ),
    )
    .advice("import into a repo of its own"))
}

/// Why a change set was not written.
pub(super) fn refusal(branch: &BranchSpec, answer: &WriteDiffsResponse) -> Failure {
    let path = answer
        .results
        .iter()
        .filter_map(|result| result.conflict.as_ref())
        .map(|conflict| conflict.path.as_str())
        .next();
    let at = path.map(|path| format!(" at {path}")).unwrap_or_default();
    Failure::new(Exit::Conflict, format!("{branch} has changed{at} while it was written to"))
        .advice("import into a repo of its own")
}

/// An operation id for this purpose, the same whenever it is asked for.
pub(super) fn operation_id(purpose: &str, branch: &BranchSpec, of: &[u8]) -> Bytes {
    let mut hash = Sha256::new();
    for part in [b"vdom import --git".as_slice(), purpose.as_bytes(), branch.to_string().as_bytes()]
    {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(of);
    Bytes::copy_from_slice(&hash.finalize()[..16])
}

/// Notes how far a branch is written. Answers may come in another order: those to
/// change sets that an earlier, interrupted import had sent already.
fn advance_watermark(written: &watch::Sender<u64>, revision: u64) {
    written.send_if_modified(|known| {
        let is_further = revision > *known;
        *known = revision.max(*known);
        is_further
    });
}

async fn create_branch(
    client: &Client,
    branch: &BranchSpec,
    mut fork: BranchFork,
    written: &watch::Sender<u64>,
) -> Result<(), Failure> {
    fork.written
        .wait_for(|revision| *revision >= fork.revision)
        .await
        .map_err(|_| base_not_written())?;
    let request = CreateBranchRequest {
        realm: client.realm(),
        repo: branch.repo.clone(),
        branch: branch.branch.clone(),
        from_branch: fork.from.clone(),
        at_revision: fork.revision,
        operation_id: operation_id("fork", branch, &fork.revision.to_be_bytes()),
    };
    client.create_branch(request).await?;
    advance_watermark(written, fork.revision);
    Ok(())
}

fn check_task(outcome: Result<Result<(), Failure>, tokio::task::JoinError>) -> Result<(), Failure> {
    outcome.map_err(|error| Failure::failed(format!("the import broke off: {error}")))?
}

fn base_not_written() -> Failure {
    Failure::failed("the branch that it follows was not written")
}
