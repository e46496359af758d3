//! Waiting until the views have caught up with the log.

use std::time::Duration;

use vdom_core::{Error, Result};

use crate::branch::Branch;

/// Who needs complete views to answer waits so long.
pub(crate) const VIEWS_WAIT_MAX: Duration = Duration::from_secs(3);

impl Branch {
    /// Waits until the views have all that the log says up to this batch.
    pub(crate) async fn views_complete(&self, number: u64) {
        loop {
            let derived = self.views_advanced.notified();
            if self.watermark().number >= number {
                return;
            }
            self.flush_requested.notify_one();
            derived.await;
        }
    }

    /// The same, for `at_most` so long.
    ///
    /// # Errors
    /// `Unavailable` where it takes longer.
    pub(crate) async fn await_views(&self, number: u64, at_most: Duration) -> Result<()> {
        let complete = tokio::time::timeout(at_most, self.views_complete(number)).await;
        complete.map_err(|_| {
            let wait = at_most.as_secs();
            Error::unavailable(format!(
                "the views of {} were not written within {wait} s: try again",
                self.address
            ))
            .resource(&self.address)
            .retry_after(at_most)
        })
    }

    /// Waits until the views are complete up to `revision`, or for `at_most`.
    pub(crate) async fn views_complete_to(&self, revision: u64, at_most: Duration) {
        let reached = async {
            loop {
                let derived = self.views_advanced.notified();
                if self.watermark().position.revision >= revision {
                    return;
                }
                self.flush_requested.notify_one();
                derived.await;
            }
        };
        // Who waits has another way if it takes longer.
        let _ = tokio::time::timeout(at_most, reached).await;
    }
}
