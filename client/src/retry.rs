//! Repeats a call while the server is away for a moment.

use std::time::Duration;

use tokio::time::Instant;
use tonic::{Response, Status};

use crate::client::Client;
use crate::error::{Error, Result};

const RETRY_DELAY_MIN: Duration = Duration::from_millis(50);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(2);

impl Client {
    /// Calls until there is an answer, an error that does not pass, or no time left.
    pub(crate) async fn retrying<T, F>(&self, call: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<Response<T>, Status>>,
    {
        let give_up_at = Instant::now() + self.retry_for;
        let mut delay = RETRY_DELAY_MIN;
        loop {
            let error = match call().await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => Error::from(status),
            };
            let wait = error.retry_after().unwrap_or(delay);
            if !error.is_transient() || Instant::now() + wait > give_up_at {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            delay = (delay * 2).min(RETRY_DELAY_MAX);
        }
    }
}
