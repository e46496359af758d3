//! Time and randomness, handed in so that tests can decide them.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use vdom_core::{Error, Result};

type Now = dyn Fn() -> SystemTime + Send + Sync;
type Fill = dyn Fn(&mut [u8]) -> Result<()> + Send + Sync;

/// What the gateway asks of the world besides its store.
#[derive(Clone)]
pub struct Environment {
    now: Arc<Now>,
    fill: Arc<Fill>,
}

impl Environment {
    /// The system's clock and randomness.
    pub fn system() -> Self {
        Self::new(SystemTime::now, |bytes| getrandom::fill(bytes).map_err(Error::internal))
    }

    /// A clock and a source of randomness.
    pub fn new(
        now: impl Fn() -> SystemTime + Send + Sync + 'static,
        fill: impl Fn(&mut [u8]) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { now: Arc::new(now), fill: Arc::new(fill) }
    }

    /// The time.
    pub fn now(&self) -> SystemTime {
        (self.now)()
    }

    /// The time in ms since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        let since = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    /// Random bytes.
    pub fn random<const LENGTH: usize>(&self) -> Result<[u8; LENGTH]> {
        let mut bytes = [0; LENGTH];
        (self.fill)(&mut bytes)?;
        Ok(bytes)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Environment")
    }
}
