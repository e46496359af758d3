//! `CreateBranch` and `DeleteBranch`.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use vdom_core::dom::calls::{BranchSummary, CreateBranch, DeleteBranch};
use vdom_core::dom::change::CHAIN_START;
use vdom_core::{BranchAddress, BranchName, Error, ErrorCode, Hash, Operation, Result};
use vdom_security::Permit;
use vdom_store::{Append, Batch, BatchId, LogId, OperationKey};

use crate::branch::Branch;
use crate::branch::point_in_time::{EntryReader, hash_at};
use crate::error::from_store;
use crate::records::{ControlRecord, Pin, encode_batch, operation_key};
use crate::registry::BranchRegistry;
use crate::registry::open::log_descriptor;
use crate::verbs::read_snapshot::readable_revision;
use crate::writer::{BranchHandle, Command, answered, append_until_known, recorded};

/// A request that is repeated is one of the last few that a name has seen.
const INCARNATIONS_LOOKED_AT: usize = 16;

/// A branch may be compacted again while it is opened.
const VERIFY_ATTEMPTS_MAX: u32 = 4;

/// Far less than pins are kept for branches that do not come.
const CREATE_MAX: Duration = Duration::from_secs(60 * 60);

/// Creates a branch: two appends, however large the tree that it continues.
pub(crate) async fn create(
    registry: &BranchRegistry,
    permit: &Permit,
    request: CreateBranch,
) -> Result<BranchSummary> {
    let address = &request.address;
    let operation = request.operation_id.map(|id| {
        let operation = Operation { id, request: request_hash(&request) };
        (operation, operation_key(permit.subject(), id))
    });
    let (incarnation, epoch_min) = match registry.last_log(permit, address).await? {
        None => (1, 1),
        Some(last) if last.closed => {
            if let Some((operation, key)) = operation {
                refuse_if_made_before(registry, permit, &request, last.incarnation, operation, key)
                    .await?;
            }
            (last.incarnation + 1, last.epoch + 1)
        }
        Some(last) => {
            let log = log_descriptor(address, last.incarnation).log_id();
            return repeated_or_exists(registry, permit, address, log, operation).await;
        }
    };
    let log = log_descriptor(address, incarnation).log_id();
    let begun_ms = registry.environment.now_ms();
    let (revision, hash, mut control_records) = match &request.from {
        None => (0, CHAIN_START, Vec::new()),
        Some(from) => leave(registry, permit, &request, from, log).await?,
    };
    let now_ms = registry.environment.now_ms();
    control_records.extend(operation.map(|operation| answered(operation, now_ms, None)));
    let epoch = registry.new_epoch(epoch_min);
    let (manifest, body) = encode_batch(epoch, hash, &[], control_records)?;
    let batch = Batch {
        id: BatchId(registry.environment.random()?),
        previous: [0; 32],
        descriptor: Some(log_descriptor(address, incarnation)),
        first_revision: revision + 1,
        count: 0,
        operations: operation.into_iter().map(|(_, key)| key).collect(),
        chunks: Vec::new(),
        closing: false,
        compacted_from: None,
        manifest,
        body,
    };
    let took_ms = registry.environment.now_ms().saturating_sub(begun_ms);
    if u128::try_from(took_ms).unwrap_or(0) > CREATE_MAX.as_millis() {
        // What it was to continue may be compacted before it is there.
        return Err(Error::unavailable(format!("creating {address} took too long: try again"))
            .resource(address));
    }
    if append_until_known(registry.store.with(permit), address, log, 1, &batch).await?
        == Append::Conflict
    {
        return repeated_or_exists(registry, permit, address, log, operation).await;
    }
    match begun(registry, permit, address, log).await {
        Ok(handle) => Ok(summary(&handle.branch)),
        // It stands, whatever opening it here came to.
        Err(_) => Ok(BranchSummary {
            name: address.branch.to_string(),
            epoch,
            revision,
            head_hash: hash,
            origin: request.from.clone().filter(|_| revision > 0).map(|from| (from, revision)),
        }),
    }
}

/// The branch whose log was begun just now. Under its name an earlier one may still be
/// open here, unheard of its end.
async fn begun(
    registry: &BranchRegistry,
    permit: &Permit,
    address: &BranchAddress,
    log: LogId,
) -> Result<Arc<BranchHandle>> {
    let handle = registry.existing(permit, address).await?;
    if handle.branch.log == log {
        return Ok(handle);
    }
    match handle.verify_head().await {
        Err(_) if handle.branch.is_retired() => {}
        verified => verified?,
    }
    registry.verified_existing(permit, address).await
}

/// Ends the log of a branch; what others have from it stays.
pub(crate) async fn delete(
    registry: &BranchRegistry,
    permit: &Permit,
    request: DeleteBranch,
) -> Result<()> {
    let address = &request.address;
    let operation = request.operation_id.map(|id| operation_key(permit.subject(), id));
    let handle = match registry.verified_existing(permit, address).await {
        Ok(handle) => handle,
        Err(error) if error.code == ErrorCode::NotFound => {
            let last = registry.last_log(permit, address).await?;
            let repeated = last.is_some_and(|last| {
                last.closed && operation.is_some_and(|key| last.operations.contains(&key))
            });
            return if repeated { Ok(()) } else { Err(error) };
        }
        Err(error) => return Err(error),
    };
    if let Some(key) = operation {
        let incarnation = handle.branch.descriptor.incarnation;
        if was_deleted_by(registry, permit, address, incarnation, key).await? {
            return Ok(());
        }
    }
    match handle.ask(|reply| Command::Close { operation, reply }).await {
        // It may be this request that ended it, when it came before.
        Err(error) if error.code == ErrorCode::NotFound => {
            let incarnation = handle.branch.descriptor.incarnation + 1;
            let repeated = match operation {
                Some(key) => was_deleted_by(registry, permit, address, incarnation, key).await?,
                None => false,
            };
            if repeated { Ok(()) } else { Err(error) }
        }
        closed => closed,
    }
}

/// Checks where the new branch leaves another one, and pins that there.
async fn leave(
    registry: &BranchRegistry,
    permit: &Permit,
    request: &CreateBranch,
    from: &BranchName,
    log: LogId,
) -> Result<(u64, Hash, Vec<ControlRecord>)> {
    let parent = BranchAddress { branch: from.clone(), ..request.address.clone() };
    let handle = as_it_is_now(registry, permit, &parent, request.at_revision).await?;
    let revision = readable_revision(&handle, request.at_revision).await?;
    let branch = &handle.branch;
    if revision == 0 {
        // Before the first change there is nothing to continue, whatever is compacted.
        return Ok((0, CHAIN_START, Vec::new()));
    }
    if revision > branch.oldest_revision() {
        let entry = EntryReader::new(branch).at_revision(revision).await?;
        if let Some(place) = entry.change.change_set
            && place.index + 1 < place.size
        {
            let last = revision + u64::from(place.size - place.index) - 1;
            return Err(Error::invalid(format!(
                "revision {revision} is within a change set, which ends at {last}: take that"
            ))
            .resource(&parent));
        }
    }
    branch.check_kept(revision)?;
    let hash = hash_at(branch, revision).await?;
    pin(registry, permit, &handle, log, revision).await?;
    let parent = ControlRecord::Parent {
        branch: from.to_string(),
        incarnation: branch.descriptor.incarnation,
        revision,
        previous_epoch: None,
    };
    Ok((revision, hash, vec![parent]))
}

/// A branch, and the one that has a revision of it, as they are now: whatever is known of them
/// here, they may have ended, or be compacted.
async fn as_it_is_now(
    registry: &BranchRegistry,
    permit: &Permit,
    address: &BranchAddress,
    revision: Option<u64>,
) -> Result<Arc<BranchHandle>> {
    let mut attempts = 0;
    loop {
        let handle = registry.existing(permit, address).await?;
        attempts += 1;
        match verify(registry, permit, &handle, revision).await {
            // It is opened anew.
            Err(_) if handle.branch.is_retired() && attempts < VERIFY_ATTEMPTS_MAX => {}
            verified => return verified.map(|()| handle),
        }
    }
}

async fn verify(
    registry: &BranchRegistry,
    permit: &Permit,
    handle: &BranchHandle,
    revision: Option<u64>,
) -> Result<()> {
    handle.verify_head_if_shared().await?;
    let revision = revision.unwrap_or_else(|| handle.branch.head().revision);
    let Some(owner) = live_owner(registry, permit, handle, revision).await? else { return Ok(()) };
    match owner.verify_head_if_shared().await {
        // A log that has ended stays.
        Err(error) if error.code == ErrorCode::NotFound => Ok(()),
        verified => verified,
    }
}

/// The other branch whose own log has a revision; `None` where that log has ended, or is the
/// branch's.
async fn live_owner(
    registry: &BranchRegistry,
    permit: &Permit,
    handle: &BranchHandle,
    revision: u64,
) -> Result<Option<Arc<BranchHandle>>> {
    let owner = handle.branch.owner_of(revision);
    if owner.log == handle.branch.log || owner.head().closed {
        return Ok(None);
    }
    match registry.existing(permit, &owner.address).await {
        Ok(live) => Ok(Some(live).filter(|live| live.branch.log == owner.log)),
        Err(error) if error.code == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Pins a revision for the branch of `log` where it lives, so that it is kept there. A log that
/// has ended is not compacted; then the branch that is left says who needs what it continues.
async fn pin(
    registry: &BranchRegistry,
    permit: &Permit,
    handle: &BranchHandle,
    log: LogId,
    revision: u64,
) -> Result<()> {
    let made_at_ms = Some(registry.environment.now_ms());
    let pin = Pin { log, revision, made_at_ms };
    if let Some(owner) = live_owner(registry, permit, handle, revision).await? {
        match owner.ask(|reply| Command::Pin { pin, reply }).await {
            Err(error) if error.code == ErrorCode::NotFound => {}
            pinned => return pinned,
        }
    }
    handle.ask(|reply| Command::Pin { pin, reply }).await
}

/// The answer about a branch that exists: the first one again, or a refusal.
async fn repeated_or_exists(
    registry: &BranchRegistry,
    permit: &Permit,
    address: &BranchAddress,
    log: LogId,
    operation: Option<(Operation, OperationKey)>,
) -> Result<BranchSummary> {
    let handle = begun(registry, permit, address, log).await?;
    if recorded(&handle, operation, registry.environment.now_ms()).await?.is_some() {
        return Ok(summary(&handle.branch));
    }
    for (log, _) in handle.branch.through_restores() {
        if made_by(registry, permit, address, log.log, operation.map(|(_, key)| key)).await? {
            return Ok(summary(&handle.branch));
        }
    }
    let head = handle.branch.head();
    Err(Error::new(
        ErrorCode::AlreadyExists,
        format!("branch `{}` exists: choose another name, or delete it first", address.branch),
    )
    .resource(address)
    .at(head.epoch, head.revision))
}

/// Whether the first batch of a log carries the operation; those of earlier versions say
/// no more of it.
async fn made_by(
    registry: &BranchRegistry,
    permit: &Permit,
    address: &BranchAddress,
    log: LogId,
    operation: Option<OperationKey>,
) -> Result<bool> {
    let Some(key) = operation else { return Ok(false) };
    let first = registry.store.with(permit).read(log, 1, 1).await;
    let first = first.map_err(|error| from_store(error, address))?;
    Ok(first.first().is_some_and(|first| first.batch.operations.contains(&key)))
}

/// A request that comes again after somebody deleted what it had created does not
/// create it again.
async fn refuse_if_made_before(
    registry: &BranchRegistry,
    permit: &Permit,
    request: &CreateBranch,
    last: u64,
    operation: Operation,
    key: OperationKey,
) -> Result<()> {
    let address = &request.address;
    for incarnation in (1..=last).rev().take(INCARNATIONS_LOOKED_AT) {
        let log = log_descriptor(address, incarnation).log_id();
        if made_by(registry, permit, address, log, Some(key)).await? {
            return Err(Error::new(
                ErrorCode::FailedPrecondition,
                format!(
                    "branch `{}` was created under operation_id {} and deleted since: use a new \
                     one to create it again",
                    address.branch, operation.id
                ),
            )
            .resource(address));
        }
    }
    Ok(())
}

/// Whether an earlier log of this name ended with the operation.
async fn was_deleted_by(
    registry: &BranchRegistry,
    permit: &Permit,
    address: &BranchAddress,
    before: u64,
    key: OperationKey,
) -> Result<bool> {
    for incarnation in (1..before).rev().take(INCARNATIONS_LOOKED_AT) {
        let log = log_descriptor(address, incarnation).log_id();
        let last = registry.store.with(permit).last(log).await;
        let last = last.map_err(|error| from_store(error, address))?;
        if last.is_some_and(|last| last.batch.operations.contains(&key)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What makes two creations of one name the same: what they continue.
fn request_hash(request: &CreateBranch) -> Hash {
    let mut hasher = Sha256::new_with_prefix(b"vdom.create_branch.1");
    let from = request.from.as_ref().map(BranchName::as_str).unwrap_or_default();
    hasher.update((from.len() as u64).to_be_bytes());
    hasher.update(from);
    hasher.update(request.at_revision.map_or([0; 9], |revision| {
        let mut bytes = [1; 9];
        bytes[1..].copy_from_slice(&revision.to_be_bytes());
        bytes
    }));
    Hash(hasher.finalize().into())
}

/// A branch that is open, as it is listed.
pub(crate) fn summary(branch: &Branch) -> BranchSummary {
    let head = branch.head();
    BranchSummary {
        name: branch.address.branch.to_string(),
        epoch: head.epoch,
        revision: head.revision,
        head_hash: head.hash,
        origin: branch
            .before_restores()
            .parent
            .as_ref()
            .map(|parent| (parent.name.clone(), parent.revision)),
    }
}
