//! Time and randomness, handed in so that tests can decide them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use vdom_core::{Error, Result};

type Now = dyn Fn() -> SystemTime + Send + Sync;
type Elapsed = dyn Fn() -> Duration + Send + Sync;
type Fill = dyn Fn(&mut [u8]) -> Result<()> + Send + Sync;

/// What a program asks of the world besides its store and its peers. Cheap to clone.
#[derive(Clone)]
pub struct Environment {
    now: Arc<Now>,
    elapsed: Arc<Elapsed>,
    fill: Arc<Fill>,
}

impl Environment {
    /// The system's clocks and randomness.
    #[expect(clippy::disallowed_methods, reason = "this is where time is handed in")]
    pub fn system() -> Self {
        let start = Instant::now();
        Self::new(
            SystemTime::now,
            move || start.elapsed(),
            |bytes| getrandom::fill(bytes).map_err(Error::internal),
        )
    }

    /// A clock that people set, one that never goes back, and a source of randomness.
    pub fn new(
        now: impl Fn() -> SystemTime + Send + Sync + 'static,
        elapsed: impl Fn() -> Duration + Send + Sync + 'static,
        fill: impl Fn(&mut [u8]) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { now: Arc::new(now), elapsed: Arc::new(elapsed), fill: Arc::new(fill) }
    }

    /// The wall clock, for timestamps and expiry; it may jump.
    pub fn now(&self) -> SystemTime {
        (self.now)()
    }

    /// The time in ms since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        let since = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    /// Milliseconds since some fixed moment: for durations, never for dates.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from((self.elapsed)().as_millis()).unwrap_or(u64::MAX)
    }

    /// A random part, at least half, of `longest`.
    pub fn jittered(&self, longest: Duration) -> Duration {
        let share = self.random().map_or(u32::MAX, u32::from_le_bytes);
        longest / 2 + (longest / 2).mul_f64(f64::from(share) / f64::from(u32::MAX))
    }

    /// Random bytes of the system's generator, fit for secrets.
    ///
    /// # Errors
    /// `Internal` where the system has none to give.
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
