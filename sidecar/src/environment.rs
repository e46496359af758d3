//! Time and randomness, handed in so that tests can decide them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vdom_core::{Error, Result};

type Elapsed = dyn Fn() -> Duration + Send + Sync;
type Fill = dyn Fn(&mut [u8]) -> Result<()> + Send + Sync;

/// What the sidecar asks of the world besides its gateway. Cheap to clone.
#[derive(Clone)]
pub struct Environment {
    elapsed: Arc<Elapsed>,
    fill: Arc<Fill>,
}

impl Environment {
    /// The system's monotonic clock and randomness.
    pub fn system() -> Self {
        let start = Instant::now();
        Self::new(move || start.elapsed(), |bytes| getrandom::fill(bytes).map_err(Error::internal))
    }

    /// A clock that never goes back, and a source of randomness.
    pub fn new(
        elapsed: impl Fn() -> Duration + Send + Sync + 'static,
        fill: impl Fn(&mut [u8]) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { elapsed: Arc::new(elapsed), fill: Arc::new(fill) }
    }

    /// Milliseconds since some fixed moment.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from((self.elapsed)().as_millis()).unwrap_or(u64::MAX)
    }

    /// Random bytes.
    pub(crate) fn random<const LENGTH: usize>(&self) -> Result<[u8; LENGTH]> {
        let mut bytes = [0; LENGTH];
        (self.fill)(&mut bytes)?;
        Ok(bytes)
    }

    /// A random part, at least half, of `longest`.
    pub(crate) fn jittered(&self, longest: Duration) -> Duration {
        let share = self.random().map_or(u32::MAX, u32::from_le_bytes);
        longest / 2 + (longest / 2).mul_f64(f64::from(share) / f64::from(u32::MAX))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Environment")
    }
}
