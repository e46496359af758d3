//! Stores what a row needs to find there.

use bytes::Bytes;
use tokio::task::JoinSet;
use tonic::Status;
use vdom_proto::v1::{OnConflict, WriteDiffsRequest};

use super::calls::{BRANCH, REPO, Values, read_request, write_request};
use super::client::Client;
use crate::Result;

/// Small enough for a message, large enough for speed.
const CHANGES_PER_SET: u64 = 1_000;
/// Fewer than a connection's streams.
const WRITERS: u64 = 512;

/// Changes of a branch, node after node and again from the first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filling {
    pub(crate) nodes: u64,
    pub(crate) changes: u64,
    pub(crate) value_bytes: usize,
}

impl Filling {
    /// Where a node is.
    pub(crate) fn path(node: u64) -> String {
        format!("folder-{:03}/node-{node:07}", node % 100)
    }

    /// Writes them one by one, by many writers at once.
    pub(crate) async fn write_singly(self, client: &Client) -> Result<()> {
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let mut client = client.clone();
            writers.spawn(async move {
                let mut values = Values::new();
                for number in (writer..self.changes).step_by(WRITERS as usize) {
                    let (_, value) = values.next();
                    let path = Self::path(number % self.nodes);
                    let operation = u128::from(number) + 1;
                    let write = write_request(path, &value[..self.value_bytes], operation);
                    client.write_diff(write).await?;
                }
                Ok::<_, Status>(())
            });
        }
        while let Some(written) = writers.join_next().await {
            written?.map_err(|status| format!("a write was refused: {status}"))?;
        }
        Ok(())
    }

    /// Reads the node of each change, by many readers at once.
    pub(crate) async fn read(self, client: &Client) -> Result<()> {
        let mut readers = JoinSet::new();
        for reader in 0..WRITERS {
            let mut client = client.clone();
            readers.spawn(async move {
                for number in (reader..self.changes).step_by(WRITERS as usize) {
                    let path = Self::path(number % self.nodes);
                    client.read_snapshot(read_request(path)).await?;
                }
                Ok::<_, Status>(())
            });
        }
        while let Some(read) = readers.join_next().await {
            read?.map_err(|status| format!("a read was refused: {status}"))?;
        }
        Ok(())
    }

    /// Writes them as change sets.
    pub(crate) async fn write_in_sets(self, client: &mut Client) -> Result<()> {
        let mut values = Values::new();
        let mut written = 0;
        while written < self.changes {
            let end = (written + CHANGES_PER_SET.min(self.nodes)).min(self.changes);
            let diffs = (written..end).map(|number| {
                let (_, value) = values.next();
                let path = Self::path(number % self.nodes);
                let mut write = write_request(path, &value[..self.value_bytes], 0);
                write.operation_id.clear();
                write
            });
            let request = WriteDiffsRequest {
                repo: REPO.to_owned(),
                branch: BRANCH.to_owned(),
                operation_id: Bytes::copy_from_slice(&u128::from(end).to_be_bytes()),
                on_conflict: OnConflict::Overwrite.into(),
                diffs: diffs.collect(),
                ..WriteDiffsRequest::default()
            };
            let answer = client
                .write_diffs(request)
                .await
                .map_err(|status| format!("a change set was refused: {status}"))?
                .into_inner();
            if !answer.success || answer.last_revision != end {
                return Err(format!("{} changes became {}", end, answer.last_revision).into());
            }
            written = end;
        }
        Ok(())
    }
}
