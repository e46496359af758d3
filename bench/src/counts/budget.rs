//! The counts that stand in a file, and what may not grow.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Result;

/// What a call costs, by what is counted.
pub(super) type Cost = BTreeMap<String, f64>;

/// The costs of a call of each workload.
pub(super) type Costs = BTreeMap<String, Cost>;

/// Growth up to this part is no growth.
const TOLERANCE: f64 = 0.05;
/// The same of what follows how threads meet, which is another thing in each run.
const TOLERANCE_OF_MEETINGS: f64 = 0.3;
/// What does.
const MEETINGS: [&str; 2] = ["system calls", "wake-ups"];
/// Less than so much of a whole is no growth either: a count of 0.01 a call may double.
const LEAST: f64 = 0.05;

/// A file of counts: for each build, as a profile of cargo names it, its costs.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Budget(pub(super) BTreeMap<String, Costs>);

impl Budget {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Ok(serde_json::from_str(&text)?)
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, text)
            .map_err(|error| format!("cannot write {}: {error}", path.display()).into())
    }
}

/// Every count that is higher than it was, a line each.
pub(super) fn grown(budget: &Costs, counted: &Costs) -> Vec<String> {
    let mut grown = Vec::new();
    for (workload, cost) in counted {
        for (what, now) in cost {
            let before = budget.get(workload).and_then(|cost| cost.get(what)).copied();
            match before {
                None => grown.push(format!("{workload}: {what} is {now}, and is not in the file")),
                Some(before) if *now > before * (1.0 + tolerance(what)) + LEAST => {
                    let part = (now / before - 1.0) * 100.0;
                    grown.push(format!(
                        "{workload}: {what} grew from {before} to {now} ({part:.1} %)"
                    ));
                }
                Some(_) => {}
            }
        }
    }
    grown
}

fn tolerance(what: &str) -> f64 {
    if MEETINGS.contains(&what) { TOLERANCE_OF_MEETINGS } else { TOLERANCE }
}

/// Of two runs the lower counts.
pub(super) fn lower(mut one: Costs, other: &Costs) -> Costs {
    for (workload, cost) in &mut one {
        for (what, count) in cost {
            let again = other.get(workload).and_then(|cost| cost.get(what));
            *count = again.map_or(*count, |again| again.min(*count));
        }
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(workload: &str, what: &str, count: f64) -> Costs {
        Costs::from([(workload.to_owned(), Cost::from([(what.to_owned(), count)]))])
    }

    #[test]
    fn growth_above_five_percent_is_told() {
        let budget = costs("write", "allocations", 10.0);
        assert!(grown(&budget, &costs("write", "allocations", 10.5)).is_empty());
        assert!(grown(&budget, &costs("write", "allocations", 2.0)).is_empty());
        let told = grown(&budget, &costs("write", "allocations", 10.7));
        assert_eq!(told, ["write: allocations grew from 10 to 10.7 (7.0 %)"]);
        let told = grown(&budget, &costs("read", "allocations", 1.0));
        assert_eq!(told, ["read: allocations is 1, and is not in the file"]);
        let budget = costs("write", "system calls", 10.0);
        assert!(grown(&budget, &costs("write", "system calls", 12.9)).is_empty());
        assert_eq!(grown(&budget, &costs("write", "system calls", 13.1)).len(), 1);
        let told = grown(&costs("write", "wake-ups", 0.01), &costs("write", "wake-ups", 0.03));
        assert!(told.is_empty());
    }

    #[test]
    fn of_two_runs_the_lower_counts() {
        let (one, other) = (costs("write", "wake-ups", 1.0), costs("write", "wake-ups", 2.0));
        assert_eq!(lower(one.clone(), &other), one);
        assert_eq!(lower(other, &one), one);
    }
}
