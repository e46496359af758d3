//! The end of a scenario: everything that should be readable is read, the store is
//! verified, its views are made anew, and a backup is restored elsewhere.

use vdom_core::dom::calls::{ReadAt, ReadTree};

use super::{Backend, Driver, requests};
use crate::model::answers::{Answer, Asked, Call, Explained};

impl Driver {
    pub(super) async fn finish(&mut self) -> Explained {
        self.backend.settle_views();
        for (number, mut subscription) in std::mem::take(&mut self.subscriptions) {
            let told = subscription.take_all(&self.world).await;
            told.map_err(|why| format!("subscription {number}: {why}"))?;
        }
        for gateway in 0..self.scenario.gateways.max(1) {
            self.read_newest(gateway).await.map_err(|why| format!("at the end: {why}"))?;
        }
        self.read_all().await.map_err(|why| format!("at the end: {why}"))?;
        self.verify().await?;
        for gateway in &self.gateways {
            gateway.room.close().await;
        }
        self.end_all();
        // Costly, and seldom what finds a fault.
        if self.scenario.seed.is_multiple_of(4) {
            self.rebuilt().await?;
            self.start_all();
            self.read_all().await.map_err(|why| format!("after the rebuild: {why}"))?;
            self.end_all();
        }
        if self.scenario.seed % 4 == 1 {
            let file = self.backed_up().await?;
            self.backend = Backend::new(self.kind, &self.scenario);
            self.backend.settle_views();
            let world = self.world.clone();
            self.restored(&file, world).await?;
            self.start_all();
            self.read_all().await.map_err(|why| format!("restored elsewhere: {why}"))?;
            self.end_all();
        }
        Ok(())
    }

    async fn read_newest(&mut self, gateway: u8) -> Explained {
        for branch in 0..5 {
            let at = ReadAt { max_age_ms: Some(0), ..ReadAt::default() };
            self.read_tree(gateway, branch, at).await?;
        }
        Ok(())
    }

    /// Every revision that is kept, through the first gateway.
    async fn read_all(&mut self) -> Explained {
        for branch in 0..5 {
            let address = requests::address(branch);
            let Some(log) = self.world.open(&address.branch) else { continue };
            let (oldest, head) = (self.world.oldest(log), self.world.head(log));
            for revision in oldest..=head {
                // Between the changes of a set two nodes may be at one path.
                if !self.world.is_boundary(log, revision) {
                    continue;
                }
                let at =
                    ReadAt { revision: Some(revision), max_age_ms: Some(0), ..ReadAt::default() };
                self.read_tree(0, branch, at).await?;
            }
        }
        Ok(())
    }

    async fn read_tree(&mut self, gateway: u8, branch: u8, at: ReadAt) -> Explained {
        let address = requests::address(branch);
        let tree = ReadTree { address, prefix: String::new(), at, include_content: true };
        let subject = requests::subject(0);
        let asked = Asked { subject, gateway, call: Call::Tree(tree.clone()) };
        let answer: Answer = self.ask(&asked).await?;
        self.world.explain(&asked, &answer).map_err(|why| {
            format!("{} at {:?} through {gateway}: {why}", tree.address, tree.at.revision)
        })
    }
}
