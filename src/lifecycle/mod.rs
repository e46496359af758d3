//! Ready and draining: what the health pages and gRPC health say.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;
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

    /// Asks the store once a second and tells gRPC health; ends with the drain.
    pub async fn watch(
        self: Arc<Self>,
        reporter: HealthReporter,
        services: &'static [&'static str],
    ) {
        let mut tick = tokio::time::interval(CHECK_EVERY);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.draining.cancelled() => {}
            }
            if !self.draining.is_cancelled() {
                let answer = tokio::time::timeout(CHECK_DEADLINE, self.store.ready()).await;
                self.state.write().store_refusal = match answer {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.message),
                    Err(_) => Some(format!("no answer for {} s", CHECK_DEADLINE.as_secs())),
                };
            }
            let ready = self.checks().iter().all(|check| check.ready);
            let status = if ready {
                tonic_health::ServingStatus::Serving
            } else {
                tonic_health::ServingStatus::NotServing
            };
            for service in services {
                reporter.set_service_status(*service, status).await;
            }
            if self.draining.is_cancelled() {
                return;
            }
        }
    }
}

impl Readiness for Lifecycle {
    fn checks(&self) -> Vec<Check> {
        let guarantees = self.store.guarantees();
        let refusal = self.state.read().store_refusal.clone();
        let is_draining = self.draining.is_cancelled();
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
            Check {
                name: "lifecycle",
                ready: !is_draining,
                detail: if is_draining { "draining" } else { "serving" }.to_owned(),
            },
        ]
    }
}
