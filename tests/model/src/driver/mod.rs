//! The driver: takes the steps of a scenario, and compares every answer with the model.

mod backend;
mod crash;
mod finish;
mod gateway;
mod maintenance;
mod met;
mod race;
mod requests;
mod store;
mod subscriptions;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vdom_store::Store;
use vdom_store::memory::AppendFault;

use self::backend::Backend;
pub use self::backend::BackendKind;
use self::gateway::Gateway;
use self::requests::Requests;
use self::subscriptions::Subscriptions;
use crate::meetings::{Feature, Meetings};
use crate::model::World;
use crate::model::answers::{Answer, Asked, Call, Explained};
use crate::steps::{Action, Scenario, Step, Who};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How long a step may take.
const STEP_MAX: Duration = Duration::from_secs(600);

/// What became of a scenario.
#[derive(Debug)]
pub struct Report {
    /// What was wrong, and at which step; past the last: at the end.
    pub failure: Option<(usize, String)>,
    /// What met.
    pub meetings: Meetings,
}

/// Takes the steps of a scenario, over memory.
pub fn run(scenario: &Scenario) -> Report {
    run_over(BackendKind::Memory, scenario)
}

/// Takes the steps of a scenario.
pub fn run_over(kind: BackendKind, scenario: &Scenario) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        // Who works in threads of its own does not know of virtual time.
        .start_paused(kind == BackendKind::Memory)
        .max_blocking_threads(1)
        .build()
        .expect("a runtime");
    let mut at = 0;
    let ran = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let mut driver = Driver::start(kind, scenario);
            let result = driver.all(scenario, &mut at).await;
            (result, driver.meetings)
        })
    }));
    match ran {
        Ok((result, meetings)) => Report { failure: result.err().map(|why| (at, why)), meetings },
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|&said| said.to_owned()));
            let why = format!("panic: {}", said.unwrap_or_default());
            Report { failure: Some((at, why)), meetings: Meetings::default() }
        }
    }
}

/// A scenario under way.
struct Driver {
    scenario: Scenario,
    world: World,
    kind: BackendKind,
    backend: Backend,
    gateways: Vec<Gateway>,
    /// How many gateways were started.
    runs: u64,
    begun: Instant,
    requests: Requests,
    /// Calls that may be made again.
    calls: Vec<Asked>,
    subscriptions: Subscriptions,
    backup: Option<(Vec<u8>, World)>,
    meetings: Meetings,
}

impl Driver {
    fn start(kind: BackendKind, scenario: &Scenario) -> Self {
        let mut driver = Self {
            scenario: Scenario { steps: Vec::new(), ..scenario.clone() },
            world: World {
                gateways: scenario.gateways.max(1),
                is_flaky: scenario.lost_views > 0,
                quota_nodes: (scenario.quota_nodes > 0).then_some(scenario.quota_nodes.into()),
                ..World::default()
            },
            kind,
            backend: Backend::new(kind, scenario),
            gateways: Vec::new(),
            runs: 0,
            begun: Instant::now(),
            requests: Requests::default(),
            calls: Vec::new(),
            subscriptions: Subscriptions::new(),
            backup: None,
            meetings: Meetings::default(),
        };
        driver.start_all();
        for (is_so, feature) in [
            (scenario.gateways > 1, Feature::TwoGateways),
            (scenario.lost_views > 0, Feature::LostViews),
            (scenario.quota_nodes > 0, Feature::Quota),
        ] {
            if is_so {
                driver.meetings.everywhere(feature);
            }
        }
        driver
    }

    async fn all(&mut self, scenario: &Scenario, at: &mut usize) -> Explained {
        for (number, step) in scenario.steps.iter().enumerate() {
            *at = number;
            // Two steps are never at the same time.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let taken = tokio::time::timeout(STEP_MAX, Box::pin(self.take(step))).await;
            taken.map_err(|_| format!("no end of {step:?}"))??;
        }
        *at = scenario.steps.len();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let finished = tokio::time::timeout(STEP_MAX, self.finish()).await;
        finished.map_err(|_| "no end of the end".to_owned())?
    }

    async fn take(&mut self, step: &Step) -> Explained {
        match step {
            Step::Call(who, action) => self.call(*who, action).await,
            Step::Race((who, action), (other, also)) => {
                Box::pin(self.race((*who, action), (*other, also))).await
            }
            Step::Crash { who, action, at } => self.crash(*who, action, *at).await,
            Step::Retry { gateway, back, altered } => self.retry(*gateway, *back, *altered).await,
            Step::Subscribe { who, number, back, path } => {
                let who = self.placed(*who);
                let gateway = &self.gateways[usize::from(who.gateway)];
                let subscribed =
                    subscriptions::subscribe(&self.world, gateway, who, *back, *path).await?;
                self.subscriptions.remove(number);
                if let Some(subscription) = subscribed {
                    self.subscriptions.insert(*number, subscription);
                    self.touch_branch(who.branch, Feature::Subscription);
                }
                Ok(())
            }
            Step::Take { number, events } => {
                if let Some(subscription) = self.subscriptions.get_mut(number)
                    && !subscription.take(&self.world, *events).await?
                {
                    self.subscriptions.remove(number);
                }
                Ok(())
            }
            Step::Idle { seconds } => {
                tokio::time::sleep(Duration::from_secs(u64::from(*seconds))).await;
                if *seconds > 60 {
                    self.touch_all(Feature::Idle);
                }
                Ok(())
            }
            Step::Restart { gateway, orderly } => {
                let gateway = gateway % self.scenario.gateways.max(1);
                self.touch_all(Feature::Restart);
                self.restart(gateway, *orderly).await
            }
            Step::LoseAnswers { appends, after } => {
                for _ in 0..*appends {
                    self.backend.fail_next_append(match after {
                        true => AppendFault::AfterEffect,
                        false => AppendFault::BeforeEffect,
                    });
                }
                self.touch_all(Feature::LostAnswer);
                Ok(())
            }
            Step::Backup => self.back_up().await,
            Step::Restore => self.restore().await,
            Step::Verify => self.verify().await,
            Step::Rebuild => self.rebuild().await,
            Step::Collect => self.collect().await,
        }
    }

    async fn call(&mut self, who: Who, action: &Action) -> Explained {
        let who = self.placed(who);
        let Some(asked) = self.requests.call(&self.world, who, action) else { return Ok(()) };
        if !self.is_clear(&asked) {
            return Ok(());
        }
        let answer = self.ask(&asked).await?;
        self.explain(&asked, &answer).await
    }

    async fn retry(&mut self, gateway: u8, back: u8, altered: bool) -> Explained {
        let Some(at) = self.calls.len().checked_sub(1 + usize::from(back)) else { return Ok(()) };
        let mut asked = self.calls[at].clone();
        if altered {
            let Some(other) = requests::altered(&asked) else { return Ok(()) };
            asked = other;
        }
        asked.gateway = gateway % self.scenario.gateways.max(1);
        if !self.is_recorded(&asked) {
            return Ok(());
        }
        self.touch_call(&asked, Feature::Retry);
        let answer = self.ask(&asked).await?;
        self.world.explain(&asked, &answer)
    }

    async fn explain(&mut self, asked: &Asked, answer: &Answer) -> Explained {
        let before = self.world.clone();
        self.world.explain(asked, answer)?;
        self.after(asked, answer).await?;
        self.met(asked, answer, &before);
        self.remember(asked);
        Ok(())
    }

    /// Finds out what an answer does not tell.
    async fn after(&mut self, asked: &Asked, answer: &Answer) -> Explained {
        if let (Call::Compact(of, keep), Answer::Compact(Err(_))) = (&asked.call, answer) {
            return self.find_limit(asked, of, *keep).await;
        }
        Ok(())
    }

    async fn ask(&self, asked: &Asked) -> Result<Answer, String> {
        let gateway = &self.gateways[usize::from(asked.gateway)];
        let answer = tokio::time::timeout(ANSWER_MAX, gateway.ask(asked)).await;
        answer.map_err(|_| format!("no answer for {ANSWER_MAX:?} to {:?}", asked.call))
    }

    /// Whether it can be said what becomes of a call.
    fn is_clear(&self, asked: &Asked) -> bool {
        let Some(log) = self.world.open(&asked.call.address().branch) else { return true };
        match &asked.call {
            Call::Set(_, items) => self.world.is_clear(log, &asked.subject, items),
            Call::Revert(revert) => {
                let items = self.world.inverse(log, &asked.subject, revert).unwrap_or_default();
                self.world.is_clear(log, &asked.subject, &items)
            }
            _ => true,
        }
    }

    /// Remembers a call that may be made again.
    fn remember(&mut self, asked: &Asked) {
        if self.is_recorded(asked) {
            self.calls.push(asked.clone());
        }
    }

    fn is_recorded(&self, asked: &Asked) -> bool {
        let (address, id) = match &asked.call {
            Call::Write(write) => (&write.address, write.operation_id),
            Call::Set(set, _) => (&set.address, set.operation_id),
            Call::Revert(revert) => (&revert.address, revert.operation_id),
            Call::Resolve(resolve) => (&resolve.address, resolve.operation_id),
            Call::Fork(fork) => (&fork.address, fork.operation_id),
            Call::Delete(delete) => (&delete.address, delete.operation_id),
            _ => return false,
        };
        let by = id.map(|id| (asked.subject.clone(), id));
        let (Some(by), Some(log)) = (by, self.world.newest(&address.branch)) else { return false };
        let log = &self.world.logs[log];
        match asked.call {
            Call::Fork(_) => !log.closed && log.created_by == Some(by),
            Call::Delete(_) => log.closed && log.deleted_by == Some(by),
            _ => !log.closed && log.operations.contains_key(&by),
        }
    }

    /// With a gateway that there is.
    fn placed(&self, who: Who) -> Who {
        Who { gateway: who.gateway % self.scenario.gateways.max(1), ..who }
    }

    /// Starts every gateway of the scenario.
    fn start_all(&mut self) {
        let gateways = self.scenario.gateways.max(1);
        self.gateways = (0..gateways).map(|_| self.started()).collect();
    }

    fn started(&mut self) -> Gateway {
        self.runs += 1;
        let store: Arc<dyn Store> = match self.scenario.gateways {
            0 | 1 => self.backend.store(),
            _ => self.backend.peer(),
        };
        Gateway::start(store, self.begun, self.runs, &self.scenario)
    }

    /// Ends a gateway and starts another in its place.
    async fn restart(&mut self, gateway: u8, orderly: bool) -> Explained {
        let at = usize::from(gateway);
        if orderly {
            let closed = tokio::time::timeout(ANSWER_MAX, self.gateways[at].room.close()).await;
            closed.map_err(|_| "a gateway does not end".to_owned())?;
        }
        self.gateways[at].store.end();
        self.subscriptions.retain(|_, subscription| subscription.gateway != gateway);
        self.gateways[at] = self.started();
        Ok(())
    }

    /// Ends every gateway.
    fn end_all(&mut self) {
        for gateway in self.gateways.drain(..) {
            gateway.store.end();
        }
        self.subscriptions.clear();
    }
}
