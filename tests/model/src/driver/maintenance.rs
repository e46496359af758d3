//! What an operator does to the store.

use std::io::Cursor;
use std::time::Duration;

use vdom_dom::maintenance::{backup, collect, rebuild, restore, verify};

use super::gateway::{environment, maintained};
use super::{Backend, Driver, requests};
use crate::meetings::Feature;
use crate::model::Parent;
use crate::model::World;
use crate::model::answers::{Explained, expect};

/// Beyond the time for which chunks are kept that nothing names.
const MUCH_LATER: Duration = Duration::from_secs(100_000 * 24 * 60 * 60);

impl Driver {
    pub(super) async fn back_up(&mut self) -> Explained {
        let file = self.backed_up().await?;
        self.backup = Some((file, self.world.clone()));
        Ok(())
    }

    pub(super) async fn backed_up(&self) -> Result<Vec<u8>, String> {
        let store = maintained(self.backend.store());
        let made = backup(&store, Vec::new(), |_| {}).await;
        made.map(|(file, _)| file).map_err(|error| format!("backup: {error:?}"))
    }

    pub(super) async fn restore(&mut self) -> Explained {
        let Some((file, world)) = self.backup.take() else { return Ok(()) };
        self.end_all();
        self.backend = Backend::new(self.kind, &self.scenario);
        self.restored(&file, world).await?;
        self.start_all();
        self.touch_all(Feature::Restore);
        Ok(())
    }

    /// Fills the store, and begins the new epochs.
    pub(super) async fn restored(&mut self, file: &[u8], world: World) -> Explained {
        let store = maintained(self.backend.store());
        let environment = environment(self.scenario.seed, self.begun, Duration::ZERO);
        let report = restore(&store, &environment, Cursor::new(file), |_| {}).await;
        let report = report.map_err(|error| format!("restore: {error:?}"))?;
        self.world = world;
        self.world.answered.clear();
        for log in 0..self.world.logs.len() {
            if self.world.logs[log].closed {
                continue;
            }
            let name = self.world.logs[log].name.clone();
            let address = (0..5).map(requests::address).find(|address| address.branch == name);
            let address = address.map(|address| address.to_string()).unwrap_or_default();
            let begun = report.branches.iter().find(|(branch, _)| *branch == address);
            let Some((_, epoch)) = begun else { return Err(format!("{address} does not go on")) };
            let last = self.world.logs[log].epoch;
            expect(*epoch > last, || format!("epoch {epoch} after {last}"))?;
            self.world.logs[log].closed = true;
            let revision = self.world.head(log);
            let next =
                self.world.begin(&name, *epoch, Some(Parent { log, revision, restored: true }));
            self.world.logs[next].operations = self.world.logs[log].operations.clone();
            self.world.logs[next].conflicts = self.world.logs[log].conflicts.clone();
            self.meetings.inherit(next, log);
        }
        Ok(())
    }

    pub(super) async fn verify(&self) -> Explained {
        let store = maintained(self.backend.store());
        let report = verify(&store, |_| {}).await;
        let report = report.map_err(|error| format!("verify: {error:?}"))?;
        expect(report.findings.is_empty(), || format!("verify: {:?}", report.findings))
    }

    pub(super) async fn rebuild(&mut self) -> Explained {
        self.end_all();
        self.backend.settle_views();
        self.rebuilt().await?;
        self.backend.disturb_views(&self.scenario);
        self.start_all();
        self.touch_all(Feature::Rebuild);
        Ok(())
    }

    /// Makes the views anew.
    pub(super) async fn rebuilt(&self) -> Explained {
        let store = self.backend.store();
        let environment = environment(self.scenario.seed ^ 1, self.begun, Duration::ZERO);
        let rebuilt = rebuild(&maintained(store), &environment, |_| {}).await;
        rebuilt.map(drop).map_err(|error| format!("rebuild: {error:?}"))
    }

    pub(super) async fn collect(&mut self) -> Explained {
        let store = maintained(self.backend.store());
        let environment = environment(self.scenario.seed ^ 2, self.begun, MUCH_LATER);
        let collected = collect(&store, &environment, "default").await;
        collected.map_err(|error| format!("collection: {error:?}"))?;
        self.touch_all(Feature::Collection);
        Ok(())
    }
}
