//! Ready and draining: what the health pages and gRPC health say.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;
use vdom_edge::observe::admin::{Check, Readiness};
use vdom_store::Store;

const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How long the store may take to say that it is ready.
const CHECK_DEADLINE: Duration = Duration::from_secs(5);

/// Whether this gateway can serve, kept up to date in the background.
pub struct Lifecycle {
    store: Arc<dyn Store>,
    state: RwLock<State>,
    draining: CancellationToken,
}

struct State {
    store_refusal: Option<String>,
}

impl Lifecycle {
    /// A gateway whose store was just opened.
    pub fn new(store: Arc<dyn Store>, draining: CancellationToken) -> Arc<Self> {
        Arc::new(Self { store, state: RwLock::new(State { store_refusal: None }), draining })
    }

    /// Asks the store whether it is ready; answers after how long to ask again.
    pub async fn look(&self) -> Duration {
        let answer = tokio::time::timeout(CHECK_DEADLINE, self.store.ready()).await;
        self.state.write().store_refusal = match answer {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.message),
            Err(_) => Some(format!("no answer for {} s", CHECK_DEADLINE.as_secs())),
        };
        CHECK_EVERY
    }
}

impl Readiness for Lifecycle {
    fn checks(&self) -> Vec<Check> {
        let guarantees = self.store.guarantees();
        let refusal = self.state.read().store_refusal.clone();
        let sentences = std::iter::once(guarantees.durability).chain(guarantees.warnings);
        vec![
            Check {
                name: "store",
                ready: refusal.is_none(),
                detail: refusal.unwrap_or_else(|| {
                    let sentences: Vec<_> = sentences.collect();
                    format!("{}: {}", guarantees.backend, sentences.join(" "))
                }),
            },
            Check::lifecycle(self.draining.is_cancelled()),
        ]
    }
}
