//! Brings a branch into memory: as its views know it, and what it continues.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use vdom_core::dom::change::CHAIN_START;
use vdom_core::{BranchAddress, BranchName, Error, ErrorCode, Result};
use vdom_security::{Duty, Permit, PermittedStore};
use vdom_store::{LogDescriptor, LogId, Position, Watermark};

use crate::branch::parent::ParentBranch;
use crate::branch::usage::{USAGE_ID, Usage};
use crate::branch::{Branch, BranchParts, Compaction, Head, KnownViews, checkpoint};
use crate::error::from_store;
use crate::log_names::log_name;
use crate::log_reader::LogReader;
use crate::records::{
    BatchRecord, CHECKPOINT_ID, Checkpoint, ControlRecord, DocumentView, LIMIT_ID, Parent,
    decode_batch, decode_record,
};
use crate::registry::ended_logs;
use crate::registry::{BranchRegistry, LastLog};
use crate::views::view_builder;
use crate::writer;
use crate::writer::BranchHandle;

/// Who waits longer for a branch that another one continues is told to try again.
const PARENT_OPEN_MAX: Duration = Duration::from_secs(30);

impl BranchRegistry {
    /// The branch as its views know it; the rest of its log is read next.
    pub(crate) async fn open_branch(
        &self,
        address: &BranchAddress,
        create: bool,
    ) -> Result<Branch> {
        let permit = self.permits.of(Duty::ServeBranches).within(&address.realm);
        let (incarnation, epoch_min) = match self.last_log(&permit, address).await? {
            Some(last) if !last.closed => (last.incarnation, 1),
            None if create => (1, 1),
            Some(last) if create => (last.incarnation + 1, last.epoch + 1),
            _ => return Err(no_such_branch(address)),
        };
        self.open_log(address, incarnation, epoch_min).await
    }

    /// A log as its views know it; `epoch_min` bounds the epoch of one that does not
    /// exist yet.
    async fn open_log(
        &self,
        address: &BranchAddress,
        incarnation: u64,
        epoch_min: u64,
    ) -> Result<Branch> {
        let failed = |error| from_store(error, address);
        let descriptor = log_descriptor(address, incarnation);
        let log = descriptor.log_id();
        let permit = self.permits.of(Duty::ServeBranches).within(&address.realm);
        let store = self.store.with(&permit);
        let (watermark, compaction) = views_to_go_on_from(store, address, log).await?;
        let usage = known_usage(store, address, log).await?;
        let views = KnownViews { watermark, compaction, usage };
        let first = store.read(log, 1, 1).await.map_err(failed)?;
        let parent = match first.first() {
            Some(first) => Box::pin(self.parent_of(address, &decode_batch(first)?)).await?,
            None => None,
        };
        let head = match watermark.number {
            0 => Head {
                epoch: self.new_epoch(epoch_min),
                revision: 0,
                hash: CHAIN_START,
                number: 0,
                digest: [0; 32],
                closed: false,
            },
            number => head_at(store, address, log, number, watermark).await?,
        };
        Ok(Branch::new(BranchParts {
            address: address.clone(),
            descriptor,
            store: self.store.clone(),
            permit,
            parent,
            head,
            views,
            usage: self.usage_of(&address.realm),
            node_cache: self.node_cache.branch(),
        }))
    }

    /// What a branch has from another, as its first batch says.
    async fn parent_of(
        &self,
        address: &BranchAddress,
        first: &BatchRecord,
    ) -> Result<Option<ParentBranch>> {
        let Some(parent) = first.parent() else { return Ok(None) };
        let Parent { branch, incarnation, revision, previous_epoch } = parent;
        let name = BranchName::parse(branch)?;
        let parent_address = BranchAddress { branch: name.clone(), ..address.clone() };
        let mut live = self.live_parent(&parent_address, incarnation).await?;
        if let Some(handle) = &live
            && handle.branch.head().revision < revision
        {
            // All that the branch continues must have been heard of here.
            match handle.verify_head().await {
                Err(_) if handle.branch.is_retired() => {
                    live = self.live_parent(&parent_address, incarnation).await?;
                }
                verified => verified?,
            }
        }
        let (branch, kept_open) = if let Some(handle) = live {
            let branch = handle.branch.clone();
            (branch, Some(handle as Arc<dyn Any + Send + Sync>))
        } else {
            // Its log has ended, and stays.
            let parent = self.open_log(&parent_address, incarnation, 1).await?;
            writer::recover(&parent, self.permits.of(Duty::BuildViews)).await?;
            // Nobody else does it for a log that has ended.
            view_builder::complete(&parent, self.permits.of(Duty::BuildViews)).await?;
            (Arc::new(parent), None)
        };
        Ok(Some(ParentBranch { branch, name, revision, previous_epoch, kept_open }))
    }

    /// A branch that another one continues, open for as long as the answer is held; `None`
    /// where the log that is continued has ended.
    async fn live_parent(
        &self,
        address: &BranchAddress,
        incarnation: u64,
    ) -> Result<Option<Arc<BranchHandle>>> {
        let permit = self.permits.of(Duty::ServeBranches);
        let last = self.last_log(permit, address).await?;
        // First, as the name may be that of the branch that is being opened right now.
        if last.is_none_or(|last| last.closed || last.incarnation != incarnation) {
            return Ok(None);
        }
        let open = self.open_slot(address, false);
        let open = tokio::time::timeout(PARENT_OPEN_MAX, open).await.map_err(|_| {
            Error::unavailable(format!("{address}, which is continued, is still opened: try again"))
                .resource(address)
                .retry_after(Duration::from_secs(1))
        })?;
        match open {
            Ok(handle) => {
                let is_it = handle.branch.descriptor.incarnation == incarnation;
                Ok(Some(handle).filter(|handle| is_it && !handle.branch.head().closed))
            }
            // It was deleted just now.
            Err(error) if error.code == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The newest log of a branch.
    pub(crate) async fn last_log(
        &self,
        permit: &Permit,
        address: &BranchAddress,
    ) -> Result<Option<LastLog>> {
        let failed = |error| from_store(error, address);
        let store = self.store.with(permit);
        let last = store.find(&log_name(address)).await.map_err(failed)?;
        let Some(LogDescriptor { incarnation, .. }) = last else { return Ok(None) };
        let log = log_descriptor(address, incarnation).log_id();
        let Some(log_entry) = store.last(log).await.map_err(failed)? else { return Ok(None) };
        let epoch = decode_batch(&log_entry)?.epoch;
        let (closed, operations) = (log_entry.batch.closing, log_entry.batch.operations);
        Ok(Some(LastLog { incarnation, epoch, closed, operations }))
    }

    /// An epoch for a log that begins now.
    pub(crate) fn new_epoch(&self, min: u64) -> u64 {
        u64::try_from(self.environment.now_ms()).unwrap_or(1).max(min)
    }

    /// Completes the views of a log that may have ended; answers its last revision. What a
    /// log that has ended continues may be gone: then nobody can read it, and it needs none.
    pub(crate) async fn build_views(
        &self,
        address: &BranchAddress,
        incarnation: u64,
    ) -> Result<u64> {
        let store = self.store.with(self.permits.of(Duty::BuildViews));
        match self.build_views_of_log(address, incarnation).await {
            // Asked no sooner: it takes reading the logs that are continued.
            Err(error)
                if matches!(error.code, ErrorCode::Compacted | ErrorCode::Unavailable)
                    && ended_logs::has_lost_its_past(store, address, incarnation).await? =>
            {
                Ok(0)
            }
            built => built,
        }
    }

    async fn build_views_of_log(&self, address: &BranchAddress, incarnation: u64) -> Result<u64> {
        let branch = self.open_log(address, incarnation, 1).await?;
        writer::recover(&branch, self.permits.of(Duty::BuildViews)).await?;
        view_builder::complete(&branch, self.permits.of(Duty::BuildViews)).await?;
        Ok(branch.head().revision)
    }
}

/// The head after a batch up to which the views are complete.
async fn head_at(
    store: PermittedStore<'_>,
    address: &BranchAddress,
    log: LogId,
    number: u64,
    watermark: Watermark,
) -> Result<Head> {
    let batches = store.read(log, number, 1).await;
    let batches = batches.map_err(|error| from_store(error, address))?;
    let log_entry = batches.first().ok_or_else(|| crate::branch::broken_chain(address, number))?;
    let record = decode_batch(log_entry)?;
    Ok(Head {
        epoch: record.epoch,
        revision: watermark.position.revision,
        hash: record.hash,
        number,
        digest: log_entry.batch.digest(),
        closed: log_entry.batch.closing,
    })
}

/// How far the views of a log are complete, and what is compacted. Where the views have not
/// come to the checkpoint that stands in for what is compacted, they begin there.
async fn views_to_go_on_from(
    store: PermittedStore<'_>,
    address: &BranchAddress,
    log: LogId,
) -> Result<(Watermark, Compaction)> {
    let failed = |error| from_store(error, address);
    let watermark = store.watermark(log).await.map_err(failed)?;
    let mut compaction = known_compaction(store, address, log).await?;
    let covered = compaction.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.number);
    // Rows and batches go in the order of the log.
    let next = store.read(log, covered + 1, 1).await.map_err(failed)?;
    if next.first().is_some_and(|next| next.batch.compacted_from.is_some()) {
        let newest = checkpoint_after(store, address, log, watermark.number).await?;
        compaction.limit = compaction.limit.max(newest.revision);
        compaction.checkpoint = Some(Arc::new(newest));
    }
    match &compaction.checkpoint {
        Some(checkpoint) if checkpoint.number > watermark.number => {
            let watermark = checkpoint::install_all(store, address, log, checkpoint).await?;
            Ok((watermark, compaction))
        }
        _ => Ok((watermark, compaction)),
    }
}

/// The newest checkpoint that a log names after batch `number`.
async fn checkpoint_after(
    store: PermittedStore<'_>,
    address: &BranchAddress,
    log: LogId,
    number: u64,
) -> Result<Checkpoint> {
    let mut newest: Option<Box<Checkpoint>> = None;
    let mut pages = LogReader::new(store, log, number + 1, address);
    while let Some(page) = pages.next().await? {
        for log_entry in &page {
            for control in decode_batch(log_entry)?.control_records {
                // Of two up to one revision, the first was written from all rows.
                if let ControlRecord::Checkpoint(checkpoint) = control
                    && newest.as_ref().is_none_or(|known| known.revision < checkpoint.revision)
                {
                    newest = Some(checkpoint);
                }
            }
        }
    }
    let newest = newest.ok_or_else(|| crate::branch::broken_chain(address, number + 1))?;
    Ok(*newest)
}

/// How much the views of a log count, and as of when.
pub(crate) async fn known_usage(
    store: PermittedStore<'_>,
    resource: &impl std::fmt::Display,
    log: LogId,
) -> Result<(Usage, Position)> {
    let row = store.view(log, DocumentView::Usage.kind(), USAGE_ID).await;
    let row = row.map_err(|error| from_store(error, resource))?;
    row.map_or(Ok(Default::default()), |row| Ok((decode_record(&row.value)?, row.position)))
}

/// What the views know of the compaction of a log.
async fn known_compaction(
    store: PermittedStore<'_>,
    address: &BranchAddress,
    log: LogId,
) -> Result<Compaction> {
    let failed = |error| from_store(error, address);
    let limit = store.view(log, DocumentView::Compaction.kind(), LIMIT_ID).await.map_err(failed)?;
    let checkpoint =
        store.view(log, DocumentView::Compaction.kind(), CHECKPOINT_ID).await.map_err(failed)?;
    let limit: Option<u64> = limit.map(|row| decode_record(&row.value)).transpose()?;
    let checkpoint: Option<Checkpoint> =
        checkpoint.map(|row| decode_record(&row.value)).transpose()?;
    let of_checkpoint = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.revision);
    Ok(Compaction {
        limit: limit.unwrap_or(0).max(of_checkpoint),
        checkpoint: checkpoint.map(Arc::new),
    })
}

/// What the first batch of a log says it is about.
pub(crate) fn log_descriptor(address: &BranchAddress, incarnation: u64) -> LogDescriptor {
    log_name(address).incarnation(incarnation)
}

pub(crate) fn no_such_branch(address: &BranchAddress) -> Error {
    Error::not_found(format!(
        "branch `{}` of repo `{}` does not exist in realm `{}`: the first write creates it",
        address.branch, address.repo, address.realm
    ))
    .resource(address)
}
