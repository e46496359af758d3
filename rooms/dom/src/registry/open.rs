//! Brings a branch into memory: as its views know it, and what it continues.

use std::sync::Arc;

use vdom_core::dom::change::CHAIN_START;
use vdom_core::{BranchAddress, BranchName, Error, Result};
use vdom_security::{Duty, Permit};
use vdom_store::{LogDescriptor, LogId, Position, Store, Watermark};

use crate::branch::parent::Origin;
use crate::branch::usage::{USAGE_ID, Usage};
use crate::branch::{Branch, BranchParts, Compaction, Head, KnownViews, checkpoint as base};
use crate::error::from_store;
use crate::log_names::log_name;
use crate::log_reader::BatchPages;
use crate::records::{
    BASE_ID, Base, BatchRecord, DocumentView, LIMIT_ID, Note, decode_batch, decode_record,
};
use crate::registry::{LastLog, Shared};
use crate::views::view_builder as derive;
use crate::writer;

impl Shared {
    /// The branch as its views know it; the rest of its log is read next.
    pub(crate) async fn load(&self, address: &BranchAddress, create: bool) -> Result<Branch> {
        let (incarnation, epoch_min) = match self.last_log(address).await? {
            Some(last) if !last.closed => (last.incarnation, 1),
            None if create => (1, 1),
            Some(last) if create => (last.incarnation + 1, last.epoch + 1),
            _ => return Err(no_such_branch(address)),
        };
        self.load_log(address, incarnation, epoch_min).await
    }

    /// A log as its views know it; `epoch_min` bounds the epoch of one that does not
    /// exist yet.
    async fn load_log(
        &self,
        address: &BranchAddress,
        incarnation: u64,
        epoch_min: u64,
    ) -> Result<Branch> {
        let failed = |error| from_store(error, address);
        let descriptor = descriptor(address, incarnation);
        let log = descriptor.log_id();
        let watermark = views_to_go_on_from(&*self.store, address, log).await?;
        let compaction = known_compaction(&*self.store, address, log).await?;
        let usage = known_usage(&*self.store, address, log).await?;
        let views = KnownViews { watermark, compaction, usage };
        let first = self.store.read(log, 1, 1).await.map_err(failed)?;
        let origin = match first.first() {
            Some(first) => Box::pin(self.origin(address, &decode_batch(first)?)).await?,
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
            number => self.head_at(address, log, number, watermark).await?,
        };
        Ok(Branch::new(BranchParts {
            address: address.clone(),
            descriptor,
            store: self.store.clone(),
            origin,
            head,
            views,
            usage: self.usage_of(&address.realm),
            hot: self.hot.branch(),
        }))
    }

    /// What a branch has from another, as its first batch says.
    async fn origin(&self, address: &BranchAddress, first: &BatchRecord) -> Result<Option<Origin>> {
        let origin = first.notes.iter().find_map(|note| match note {
            Note::Origin { branch, incarnation, revision, previous_epoch } => {
                Some((branch, *incarnation, *revision, *previous_epoch))
            }
            _ => None,
        });
        let Some((name, incarnation, revision, previous_epoch)) = origin else { return Ok(None) };
        let name = BranchName::parse(name)?;
        let parent = BranchAddress { branch: name.clone(), ..address.clone() };
        let open = match previous_epoch {
            // The same branch: it is being opened right now.
            Some(_) => None,
            None => self.open(&Permit::system(Duty::Derive), &parent, false).await.ok(),
        };
        let parent = match open {
            Some(handle) if handle.branch.descriptor.incarnation == incarnation => {
                handle.branch.clone()
            }
            // It was deleted since; its log stays.
            _ => {
                let parent = self.load_log(&parent, incarnation, 1).await?;
                writer::catch_up_first(&parent).await?;
                // Nobody else does it for a log that has ended.
                derive::complete(&parent).await?;
                Arc::new(parent)
            }
        };
        Ok(Some(Origin { parent, name, revision, previous_epoch }))
    }

    /// The newest log of a branch.
    pub(crate) async fn last_log(&self, address: &BranchAddress) -> Result<Option<LastLog>> {
        let failed = |error| from_store(error, address);
        let last = self.store.find(&log_name(address)).await.map_err(failed)?;
        let Some(LogDescriptor { incarnation, .. }) = last else { return Ok(None) };
        let log = descriptor(address, incarnation).log_id();
        let Some(numbered) = self.store.last(log).await.map_err(failed)? else { return Ok(None) };
        let epoch = decode_batch(&numbered)?.epoch;
        let (closed, operations) = (numbered.batch.closing, numbered.batch.operations);
        Ok(Some(LastLog { incarnation, epoch, closed, operations }))
    }

    /// An epoch for a log that begins now.
    pub(crate) fn new_epoch(&self, min: u64) -> u64 {
        u64::try_from(self.environment.now_ms()).unwrap_or(1).max(min)
    }

    /// Completes the views of a log that may have ended; answers its last revision.
    pub(crate) async fn derive_log(
        &self,
        address: &BranchAddress,
        incarnation: u64,
    ) -> Result<u64> {
        let branch = self.load_log(address, incarnation, 1).await?;
        writer::catch_up_first(&branch).await?;
        derive::complete(&branch).await?;
        Ok(branch.head().revision)
    }

    async fn head_at(
        &self,
        address: &BranchAddress,
        log: LogId,
        number: u64,
        watermark: Watermark,
    ) -> Result<Head> {
        let batches = self.store.read(log, number, 1).await;
        let batches = batches.map_err(|error| from_store(error, address))?;
        let numbered =
            batches.first().ok_or_else(|| crate::branch::broken_chain(address, number))?;
        let record = decode_batch(numbered)?;
        Ok(Head {
            epoch: record.epoch,
            revision: watermark.position.revision,
            hash: record.hash,
            number,
            digest: numbered.batch.digest(),
            closed: numbered.batch.closing,
        })
    }
}

/// How far the views of a log are complete. Where what follows is compacted, they begin
/// at the base that stands in for it.
async fn views_to_go_on_from(
    store: &dyn Store,
    address: &BranchAddress,
    log: LogId,
) -> Result<Watermark> {
    let failed = |error| from_store(error, address);
    let watermark = store.watermark(log).await.map_err(failed)?;
    let next = store.read(log, watermark.number + 1, 1).await.map_err(failed)?;
    if next.first().is_none_or(|next| next.batch.compacted_from.is_none()) {
        return Ok(watermark);
    }
    let mut newest = None;
    let mut pages = BatchPages::new(store, log, watermark.number + 1, address);
    while let Some(page) = pages.next().await? {
        for numbered in &page {
            for note in decode_batch(numbered)?.notes {
                if let Note::Base(base) = note {
                    newest = Some(base);
                }
            }
        }
    }
    let base = newest.ok_or_else(|| crate::branch::broken_chain(address, watermark.number + 1))?;
    base::install_all(store, address, log, &base).await
}

/// How much the views of a log count, and as of when.
pub(crate) async fn known_usage(
    store: &dyn Store,
    resource: &impl std::fmt::Display,
    log: LogId,
) -> Result<(Usage, Position)> {
    let row = store.view(log, DocumentView::Usage.kind(), USAGE_ID).await;
    let row = row.map_err(|error| from_store(error, resource))?;
    row.map_or(Ok(Default::default()), |row| Ok((decode_record(&row.value)?, row.position)))
}

/// What the views know of the compaction of a log.
async fn known_compaction(
    store: &dyn Store,
    address: &BranchAddress,
    log: LogId,
) -> Result<Compaction> {
    let failed = |error| from_store(error, address);
    let limit = store.view(log, DocumentView::Compaction.kind(), LIMIT_ID).await.map_err(failed)?;
    let base = store.view(log, DocumentView::Compaction.kind(), BASE_ID).await.map_err(failed)?;
    let limit: Option<u64> = limit.map(|row| decode_record(&row.value)).transpose()?;
    let base: Option<Base> = base.map(|row| decode_record(&row.value)).transpose()?;
    let of_base = base.as_ref().map_or(0, |base| base.revision);
    Ok(Compaction { limit: limit.unwrap_or(0).max(of_base), base: base.map(Arc::new) })
}

/// What the first batch of a log says it is about.
pub(crate) fn descriptor(address: &BranchAddress, incarnation: u64) -> LogDescriptor {
    log_name(address).incarnation(incarnation)
}

pub(crate) fn no_such_branch(address: &BranchAddress) -> Error {
    Error::not_found(format!(
        "branch `{}` of repo `{}` does not exist in realm `{}`: the first write creates it",
        address.branch, address.repo, address.realm
    ))
    .resource(address)
}
