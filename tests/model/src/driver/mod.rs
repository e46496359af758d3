//! The driver: takes the steps of a scenario, and compares every answer with the model.

mod finish;
mod gateway;
mod maintenance;
mod met;
mod requests;
mod store;
mod subscriptions;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vdom_core::ErrorCode;
use vdom_core::dom::calls::OnConflict as OnConflictInCall;
use vdom_core::dom::calls::{NodeSelector, ReadAt, ReadSnapshot, WriteDiff};
use vdom_core::{BranchAddress, BranchName};
use vdom_store::Store;
use vdom_store::memory::{AppendFault, MemoryStore, ViewFaults};

use self::gateway::Gateway;
use self::requests::Requests;
use self::subscriptions::Subscriptions;
use crate::meetings::{Feature, Meetings};
use crate::model::World;
use crate::model::answers::{Answer, Asked, Call, Explained};
use crate::model::known::is_known;
use crate::model::sets::SetVerdict;
use crate::steps::{Action, Scenario, Step, Who};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How long a step may take.
const STEP_MAX: Duration = Duration::from_secs(600);
/// A branch that nobody has used for about so long may be closed.
const MAY_SLEEP_AFTER: Duration = Duration::from_secs(50);

/// What became of a scenario.
#[derive(Debug)]
pub struct Report {
    /// What was wrong, and at which step; past the last: at the end.
    pub failure: Option<(usize, String)>,
    /// What met.
    pub meetings: Meetings,
}

/// Takes the steps of a scenario.
pub fn run(scenario: &Scenario) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .max_blocking_threads(1)
        .build()
        .expect("a runtime");
    let mut at = 0;
    let ran = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let mut driver = Driver::start(scenario);
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
    store: Arc<MemoryStore>,
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
    fn start(scenario: &Scenario) -> Self {
        let mut driver = Self {
            scenario: Scenario { steps: Vec::new(), ..scenario.clone() },
            world: World {
                gateways: scenario.gateways.max(1),
                is_flaky: scenario.lost_views > 0,
                quota_nodes: (scenario.quota_nodes > 0).then_some(scenario.quota_nodes.into()),
                ..World::default()
            },
            store: new_store(scenario),
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
            let taken = tokio::time::timeout(STEP_MAX, self.take(step)).await;
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
                self.race((*who, action), (*other, also)).await
            }
            Step::Crash { .. } | Step::Restart { .. }
                if is_known(106) && self.scenario.quota_nodes > 0 =>
            {
                Ok(())
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
                    self.store.fail_next_append(match after {
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
        let who = self.placed_for(who, action);
        let Some(asked) = self.requests.call(&self.world, who, action) else { return Ok(()) };
        if !self.may(&asked) {
            return Ok(());
        }
        self.catch_up_first(&asked, who).await?;
        let answer = self.ask(&asked).await?;
        self.explain(&asked, &answer).await
    }

    /// Lets a gateway hear of what it must know, where that is not mended.
    async fn catch_up_first(&mut self, asked: &Asked, who: Who) -> Explained {
        let must_know = match &asked.call {
            Call::Resolve(_) | Call::Revert(_) => is_known(104),
            Call::Fork(fork) => {
                is_known(111)
                    && self.world.gateways > 1
                    && self.world.newest(&fork.address.branch).is_some()
            }
            _ => false,
        };
        if must_know { self.catch_up(asked, who).await } else { Ok(()) }
    }

    async fn all_catch_up(&mut self, asked: &Asked, name: &BranchName) -> Explained {
        let branch = (0..5).find(|branch| requests::address(*branch).branch == *name);
        let gateways = self.scenario.gateways.max(1);
        for gateway in (0..gateways).filter(|_| gateways > 1) {
            let who = Who { gateway, client: 0, branch: branch.unwrap_or(0) };
            let asked = Asked { gateway, ..asked.clone() };
            self.catch_up(&asked, who).await?;
        }
        Ok(())
    }

    /// Lets a gateway hear of everything that there is of a branch.
    async fn catch_up(&mut self, asked: &Asked, who: Who) -> Explained {
        let read = ReadSnapshot {
            address: requests::address(who.branch),
            node: NodeSelector::Path(requests::path(0)),
            at: ReadAt { max_age_ms: Some(0), ..ReadAt::default() },
        };
        let read = Asked { call: Call::Read(read), ..asked.clone() };
        let answer = self.ask(&read).await?;
        self.world.explain(&read, &answer)
    }

    async fn race(&mut self, one: (Who, &Action), other: (Who, &Action)) -> Explained {
        let who = [self.placed_for(one.0, one.1), self.placed_for(other.0, other.1)];
        let left = self.requests.call(&self.world, who[0], one.1);
        let right = self.requests.call(&self.world, who[1], other.1);
        let (Some(left), Some(right)) = (left, right) else { return Ok(()) };
        // What is in flight may overrun a quota.
        let overruns =
            self.scenario.quota_nodes > 0 && left.call.is_write() && right.call.is_write();
        if overruns
            || !self.may(&left)
            || !self.may(&right)
            || !Self::may_race(self.scenario.gateways, self.world.is_flaky, &left, &right)
        {
            return Ok(());
        }
        for (asked, who) in [(&left, who[0]), (&right, who[1])] {
            self.catch_up_first(asked, who).await?;
        }
        let (first, second) = tokio::join!(self.ask(&left), self.ask(&right));
        let (first, second) = (first?, second?);
        self.world.is_racing = true;
        self.world.also_kept = match (&left.call, &right.call) {
            (Call::Compact(_, left), Call::Compact(_, right)) => Some(*left.min(right)),
            _ => None,
        };
        let before = self.world.clone();
        // A call may find its branch deleted where it would begin the next one.
        let deletes = matches!(left.call, Call::Delete(_)) || matches!(right.call, Call::Delete(_));
        let forks = matches!(left.call, Call::Fork(_)) || matches!(right.call, Call::Fork(_));
        let in_order = |world: &mut World, order: [(&Asked, &Answer); 2]| {
            order.into_iter().try_for_each(|(asked, answer)| {
                // It had begun a branch that another call has begun by now.
                if forks && answer.error() == Some(ErrorCode::Unavailable) {
                    return Ok(());
                }
                let may_be_deleted = deletes && !matches!(asked.call, Call::Delete(_));
                if may_be_deleted && answer.error() == Some(ErrorCode::NotFound) {
                    return Ok(());
                }
                world.explain(asked, answer)
            })
        };
        let (left_first, right_first) =
            ([(&left, &first), (&right, &second)], [(&right, &second), (&left, &first)]);
        let order = match in_order(&mut self.world, left_first) {
            Ok(()) => left_first,
            Err(why) => {
                self.world = before.clone();
                in_order(&mut self.world, right_first)
                    .map_err(|also| format!("in one order: {why}\nin the other: {also}"))?;
                right_first
            }
        };
        self.world.is_racing = false;
        self.world.also_kept = None;
        for (asked, answer) in order {
            self.met(asked, answer, &before);
            self.touch_call(asked, Feature::Race);
            self.remember(asked);
            self.after(asked, answer).await?;
        }
        Ok(())
    }

    async fn crash(&mut self, who: Who, action: &Action, at: u8) -> Explained {
        let who = self.placed_for(who, action);
        let Some(asked) = self.requests.call(&self.world, who, &named(action)) else {
            return Ok(());
        };
        if !self.may(&asked) || !Self::may_crash(&asked) {
            return Ok(());
        }
        let store = self.gateways[usize::from(who.gateway)].store.clone();
        store.end_at(u64::from(at));
        let answer = tokio::select! {
            biased;
            answer = self.ask(&asked) => Some(answer?),
            () = store.ended.notified() => None,
        };
        store.go_on();
        // It may have ended once it had answered.
        if store.has_ended() {
            self.restart(who.gateway, false).await?;
        }
        if let Some(answer) = answer {
            return self.explain(&asked, &answer).await;
        }
        self.touch_call(&asked, Feature::Crash);
        if let Call::Compact(of, keep) = &asked.call {
            return self.find_limit(&asked, of, *keep).await;
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
        match (&asked.call, answer) {
            (Call::Compact(of, keep), Answer::Compact(Err(_))) => {
                self.find_limit(asked, of, *keep).await
            }
            (Call::Compact(of, _), Answer::Compact(Ok(Some(_)))) if is_known(3) => {
                self.all_catch_up(asked, &of.branch).await
            }
            (Call::Fork(fork), Answer::Fork(Ok(_))) if is_known(109) => match &fork.from {
                Some(from) => self.all_catch_up(asked, from).await,
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    async fn ask(&self, asked: &Asked) -> Result<Answer, String> {
        let gateway = &self.gateways[usize::from(asked.gateway)];
        let answer = tokio::time::timeout(ANSWER_MAX, gateway.ask(asked)).await;
        answer.map_err(|_| format!("no answer for {ANSWER_MAX:?} to {:?}", asked.call))
    }

    /// After a compaction that nobody has the answer to: what is the oldest revision?
    async fn find_limit(&mut self, by: &Asked, of: &BranchAddress, keep: u64) -> Explained {
        let Some(log) = self.world.open(&of.branch) else { return Ok(()) };
        let before = self.world.logs[log].limit.max(self.world.inherited(log));
        let at = ReadAt { revision: Some(before), max_age_ms: Some(0), ..ReadAt::default() };
        let read =
            ReadSnapshot { address: of.clone(), node: NodeSelector::Path(requests::path(0)), at };
        let asked = Asked { call: Call::Read(read), ..by.clone() };
        let max = self.world.limit_max(log, keep);
        match self.ask(&asked).await? {
            Answer::Read(Err(error)) if error.code == ErrorCode::Compacted => {
                let limit = error.oldest_revision.ok_or("no oldest revision")?;
                self.world.logs[log].is_half_compacted = true;
                self.world.limit_is(log, before, max, limit)
            }
            answer => self.world.explain(&asked, &answer),
        }
    }

    /// Whether a call is left out because of a fault that is known, or because nothing can
    /// be said of its answer.
    fn may(&self, asked: &Asked) -> bool {
        match &asked.call {
            Call::Compact(of, _) => {
                let may_sleep = self.begun.elapsed() > MAY_SLEEP_AFTER && is_known(2);
                let log = self.world.open(&of.branch);
                !may_sleep || log.is_none_or(|log| self.world.pins(log).is_empty())
            }
            Call::Write(write) => self.may_write(asked, write),
            Call::Fork(fork) => {
                let from = fork.from.as_ref().and_then(|from| self.world.open(from));
                let name = &fork.address.branch;
                !is_known(107) || from.is_none_or(|from| !self.world.relies_on(from, name))
            }
            Call::Delete(_) => !(is_known(16) && self.scenario.quota_nodes > 0),
            Call::Set(set, items) => match self.world.open(&set.address.branch) {
                Some(log) => self.world.is_clear(log, &asked.subject, items),
                None => self.creates(&set.address.branch, &asked.subject, items),
            },
            Call::Revert(_) if is_known(7) && self.world.gateways > 1 => false,
            Call::Revert(_) if is_known(113) && self.world.is_flaky => false,
            Call::Revert(revert) => match self.world.open(&revert.address.branch) {
                Some(log) => {
                    let items = self.world.inverse(log, &asked.subject, revert);
                    let items = items.unwrap_or_default();
                    self.world.is_clear(log, &asked.subject, &items)
                }
                None => true,
            },
            _ => true,
        }
    }

    fn may_write(&self, asked: &Asked, write: &WriteDiff) -> bool {
        let items = std::slice::from_ref(write);
        match self.world.open(&write.address.branch) {
            None => self.creates(&write.address.branch, &asked.subject, items),
            Some(log) => {
                let is_unexplained =
                    write.keep_conflict && self.world.is_unexplained(log, &asked.subject, write);
                !(is_known(103) && is_unexplained)
            }
        }
    }

    /// Whether a write to a branch that does not exist begins it.
    fn creates(&self, branch: &BranchName, subject: &str, items: &[WriteDiff]) -> bool {
        if !is_known(101) {
            return true;
        }
        let mut world = self.world.clone();
        let log = world.begin(branch, 0, None);
        matches!(world.evaluate_set(log, subject, items), SetVerdict::Written(_))
    }

    fn may_race(gateways: u8, is_flaky: bool, left: &Asked, right: &Asked) -> bool {
        let computed = |asked: &Asked| matches!(asked.call, Call::Revert(_) | Call::Resolve(_));
        let changes =
            |asked: &Asked| asked.call.is_write() || matches!(asked.call, Call::Compact(..));
        if is_known(104)
            && ((computed(left) && changes(right)) || (computed(right) && changes(left)))
        {
            return false;
        }
        // What becomes of these cannot always be said of both orders.
        let merges = |asked: &Asked| match &asked.call {
            Call::Set(_, items) => {
                items.iter().any(|item| item.on_conflict == OnConflictInCall::Merge)
            }
            Call::Revert(revert) => revert.on_conflict == OnConflictInCall::Merge,
            _ => false,
        };
        // What one that fails has done is found out afterwards.
        let compacts = |asked: &Asked| matches!(asked.call, Call::Compact(..));
        if is_flaky && (compacts(left) || compacts(right)) {
            return false;
        }
        if (merges(left) && changes(right)) || (merges(right) && changes(left)) {
            return false;
        }
        match (&left.call, &right.call) {
            (Call::Compact(..), Call::Compact(..)) => !is_known(1),
            (Call::Compact(..), _) | (_, Call::Compact(..)) if is_known(3) => gateways == 1,
            (Call::Fork(_), Call::Fork(_)) => !is_known(5),
            (Call::Fork(_), Call::Delete(_)) | (Call::Delete(_), Call::Fork(_)) => !is_known(111),
            (Call::Fork(_), Call::Write(_) | Call::Set(..))
            | (Call::Write(_) | Call::Set(..), Call::Fork(_)) => !is_known(101),
            _ => true,
        }
    }

    fn may_crash(asked: &Asked) -> bool {
        match &asked.call {
            Call::Write(write) => !(is_known(13) && write.keep_conflict),
            Call::Fork(_) => !is_known(5) && !is_known(13),
            Call::Revert(_) | Call::Resolve(_) | Call::Delete(_) => !is_known(13),
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
            Call::Revert(revert) if !is_known(13) => (&revert.address, revert.operation_id),
            Call::Resolve(resolve) if !is_known(13) => (&resolve.address, resolve.operation_id),
            _ => return false,
        };
        let log = self.world.open(&address.branch);
        let operations = log.map(|log| &self.world.logs[log].operations);
        operations
            .zip(id)
            .is_some_and(|(operations, id)| operations.contains_key(&(asked.subject.clone(), id)))
    }

    /// With a gateway that there is.
    fn placed(&self, who: Who) -> Who {
        Who { gateway: who.gateway % self.scenario.gateways.max(1), ..who }
    }

    fn placed_for(&self, who: Who, action: &Action) -> Who {
        match action {
            Action::Compact { .. } if is_known(1) => Who { gateway: 0, ..who },
            _ => self.placed(who),
        }
    }
}

fn new_store(scenario: &Scenario) -> Arc<MemoryStore> {
    let store = match scenario.gateways {
        0 | 1 => MemoryStore::new(scenario.seed),
        _ => MemoryStore::shared(scenario.seed),
    };
    disturb(&store, scenario);
    store.lose_commit_hints(scenario.lose_hints);
    Arc::new(store)
}

/// Lets view writes go wrong as often as the scenario says.
fn disturb(store: &MemoryStore, scenario: &Scenario) {
    let late = scenario.lost_views;
    let lost = if is_known(114) { 0 } else { late };
    store.disturb_views(ViewFaults { lost, late });
}

/// The same action with an operation id.
fn named(action: &Action) -> Action {
    let mut action = action.clone();
    match &mut action {
        Action::Write(write) => write.named = true,
        Action::Set { named, .. }
        | Action::Revert { named, .. }
        | Action::Resolve { named, .. }
        | Action::Fork { named, .. }
        | Action::DeleteBranch { named } => *named = true,
        _ => {}
    }
    action
}

impl Driver {
    /// Starts every gateway of the scenario.
    fn start_all(&mut self) {
        let gateways = self.scenario.gateways.max(1);
        self.gateways = (0..gateways).map(|_| self.started()).collect();
    }

    fn started(&mut self) -> Gateway {
        self.runs += 1;
        let store: Arc<dyn Store> = match self.scenario.gateways {
            0 | 1 => self.store.clone(),
            _ => Arc::new(self.store.peer()),
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
