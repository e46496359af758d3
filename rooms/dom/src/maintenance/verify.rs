//! `vdom verify`: every batch, every change and every chunk that they name.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use vdom_core::dom::change::{CHAIN_START, sha256};
use vdom_core::{BranchAddress, Hash, Result};
use vdom_security::PermittedStore;
use vdom_store::{ChunkId, LogDescriptor, LogEntry, LogId, StoreErrorKind};

use super::MaintainedStore;
use crate::branch::checkpoint;
use crate::content::packs::PackReader;
use crate::error::from_store;
use crate::log_names::{address_of, all_logs};
use crate::records::{BatchRecord, ControlRecord, decode_batch};

const PAGE_BYTES: usize = 8 << 20;

/// How many logs, batches, changes, and different chunks a verification saw, and the first
/// broken link of each log that has one.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    pub logs: u64,
    pub batches: u64,
    pub changes: u64,
    pub chunks: u64,
    pub findings: Vec<Finding>,
}

/// A broken link: what comes after it in the same log was not looked at.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The branch, `realm/repo@branch`.
    pub branch: String,
    /// Which log of that name.
    pub incarnation: u64,
    pub batch: u64,
    /// The change, where the batch itself can be read.
    pub revision: Option<u64>,
    pub what: String,
}

/// Reads everything in the store and checks every hash. `progress` is told how many
/// changes were checked so far.
///
/// # Errors
/// Where the store cannot be read for another reason than damage.
pub async fn verify(
    store: &MaintainedStore,
    mut progress: impl FnMut(u64),
) -> Result<VerifyReport> {
    let store = store.permitted();
    let mut walk = Walk { store, report: VerifyReport::default(), chunks: HashMap::new() };
    for log in all_logs(store).await? {
        walk.report.logs += 1;
        let log_address = address_of(&log)?;
        if let Some(finding) = walk.log(&log, &log_address, &mut progress).await? {
            walk.report.findings.push(finding);
        }
    }
    walk.report.chunks = walk.chunks.len() as u64;
    Ok(walk.report)
}

struct Walk<'a> {
    store: PermittedStore<'a>,
    report: VerifyReport,
    /// Which chunks were looked at, and what is wrong with them.
    chunks: HashMap<(String, ChunkId), Option<String>>,
}

/// Where the next change must continue the chain.
struct Link {
    revision: u64,
    hash: Hash,
}

/// What is wrong, and with which revision.
struct Broken(Option<u64>, String);

impl Walk<'_> {
    async fn log(
        &mut self,
        log: &LogDescriptor,
        address: &BranchAddress,
        progress: &mut impl FnMut(u64),
    ) -> Result<Option<Finding>> {
        let id = log.log_id();
        let finding = |batch, Broken(revision, what)| Finding {
            branch: address.to_string(),
            incarnation: log.incarnation,
            batch,
            revision,
            what,
        };
        let mut link: Option<Link> = None;
        let mut next = 1;
        loop {
            let page = match self.store.read(id, next, PAGE_BYTES).await {
                Ok(page) => page,
                Err(error) if error.kind == StoreErrorKind::Damaged => {
                    let next = self.first_unreadable(id, next).await?;
                    return Ok(Some(finding(next, Broken(None, error.message))));
                }
                Err(error) => return Err(from_store(error, address)),
            };
            if page.is_empty() {
                return Ok(None);
            }
            for log_entry in &page {
                match self.batch(address, log_entry, &mut link).await? {
                    Ok(()) => progress(self.report.changes),
                    Err(broken) => return Ok(Some(finding(log_entry.number, broken))),
                }
                next = log_entry.number + 1;
            }
        }
    }

    /// A page may end before the batch that is damaged.
    async fn first_unreadable(&self, log: LogId, from: u64) -> Result<u64> {
        let mut number = from;
        while self.store.read(log, number, 1).await.is_ok_and(|page| !page.is_empty()) {
            number += 1;
        }
        Ok(number)
    }

    async fn batch(
        &mut self,
        address: &BranchAddress,
        log_entry: &LogEntry,
        link: &mut Option<Link>,
    ) -> Result<std::result::Result<(), Broken>> {
        self.report.batches += 1;
        let record = match decode_batch(log_entry) {
            Ok(record) => record,
            Err(error) => return Ok(Err(Broken(None, why(&error)))),
        };
        for chunk in &log_entry.batch.chunks {
            if let Some(what) = self.chunk(address, *chunk).await? {
                return Ok(Err(Broken(None, what)));
            }
        }
        for control in &record.control_records {
            let ControlRecord::Checkpoint(checkpoint) = control else { continue };
            let named = match checkpoint::named_contents(self.store, address, checkpoint).await {
                Ok(named) => named,
                Err(error) => return Ok(Err(Broken(None, why(&error)))),
            };
            for chunk in named {
                if let Some(what) = self.chunk(address, chunk).await? {
                    return Ok(Err(Broken(None, what)));
                }
            }
        }
        let begin = match link.take() {
            Some(link) => link,
            None => first_link(&record),
        };
        let checked = changes(self.store, address, &record, begin).await?;
        Ok(checked.map(|end| {
            self.report.changes += u64::from(record.count);
            *link = Some(end);
        }))
    }

    /// What is wrong with a chunk; `None`: nothing.
    async fn chunk(&mut self, address: &BranchAddress, id: ChunkId) -> Result<Option<String>> {
        let key = (address.realm.to_string(), id);
        if let Some(known) = self.chunks.get(&key) {
            return Ok(known.clone());
        }
        let found = match self.store.chunk(address.realm.as_str(), id).await {
            Ok(Some(bytes)) if ChunkId(Sha256::digest(&bytes).into()) == id => None,
            Ok(Some(_)) => Some(format!("chunk {id} is not what its name says")),
            Ok(None) => Some(format!("chunk {id} is missing")),
            Err(error) if error.kind == StoreErrorKind::Damaged => Some(error.message),
            Err(error) => return Err(from_store(error, address)),
        };
        self.chunks.insert(key, found.clone());
        Ok(found)
    }
}

/// Where a log begins: at nothing, or where it leaves the log that it continues.
fn first_link(record: &BatchRecord) -> Link {
    match record.parent() {
        Some(parent) => Link { revision: parent.revision, hash: record.hash },
        None => Link { revision: 0, hash: CHAIN_START },
    }
}

/// The changes of a batch, one after the other.
async fn changes(
    store: PermittedStore<'_>,
    address: &BranchAddress,
    record: &BatchRecord,
    mut link: Link,
) -> Result<std::result::Result<Link, Broken>> {
    if let Some(hashes) = record.compacted() {
        if hashes.len() != record.count as usize
            || hashes.last().is_some_and(|last| *last != record.hash)
        {
            return Ok(Err(Broken(None, "the hashes of its changes are other ones".to_owned())));
        }
        let revision = link.revision + u64::from(record.count);
        return Ok(Ok(Link { revision, hash: record.hash }));
    }
    let mut packs = PackReader::new(store, address);
    let entries = match record.all(&mut packs).await {
        Ok(entries) => entries,
        Err(error) => return Ok(Err(Broken(None, why(&error)))),
    };
    for entry in entries {
        let change = &entry.change;
        let broken = |what: &str| Ok(Err(Broken(Some(change.revision), what.to_owned())));
        if change.revision != link.revision + 1 {
            return broken("the revision does not follow the one before");
        }
        if change.previous != link.hash {
            return broken("the hash of the change before is another one");
        }
        match packs.diff(&entry.diff).await {
            Ok(diff) if sha256(&diff) == change.diff_hash => {}
            Ok(_) => return broken("the diff is not the one that was accepted"),
            Err(error) => return broken(&why(&error)),
        }
        link = Link { revision: change.revision, hash: entry.hash };
    }
    if link.hash != record.hash {
        return Ok(Err(Broken(
            None,
            "the batch names another hash for its last change".to_owned(),
        )));
    }
    Ok(Ok(link))
}

fn why(error: &vdom_core::Error) -> String {
    error.context.clone().unwrap_or_else(|| error.message.clone())
}
