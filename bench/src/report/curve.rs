//! How figures change as something grows: a row for each step, a column for each figure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::comparison::Rounded;
use super::median;

/// Measured step by step.
#[derive(Debug, Serialize)]
pub(crate) struct Curve {
    /// What grows, as a heading.
    grows: &'static str,
    columns: Vec<Column>,
}

/// One figure, at each step that it was measured at.
#[derive(Debug, Serialize)]
struct Column {
    name: String,
    unit: &'static str,
    /// A value for each round.
    steps: BTreeMap<u64, Vec<f64>>,
}

impl Curve {
    /// Without columns yet.
    pub(crate) fn new(grows: &'static str) -> Self {
        Self { grows, columns: Vec::new() }
    }

    /// A value of one round, of the figure of this name and unit; a count has none.
    pub(crate) fn add(&mut self, step: u64, (name, unit): (&str, &'static str), value: f64) {
        let known = self.columns.iter().position(|each| each.name == name && each.unit == unit);
        let index = known.unwrap_or_else(|| {
            self.columns.push(Column { name: name.to_owned(), unit, steps: BTreeMap::new() });
            self.columns.len() - 1
        });
        self.columns[index].steps.entry(step).or_default().push(value);
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "| {} |", self.grows)?;
        for Column { name, unit, .. } in &self.columns {
            write!(formatter, " {name}{}{unit} |", if unit.is_empty() { "" } else { ", " })?;
        }
        writeln!(formatter, "\n|---:|{}", "---:|".repeat(self.columns.len()))?;
        let steps: BTreeSet<u64> =
            self.columns.iter().flat_map(|column| column.steps.keys().copied()).collect();
        for step in steps {
            write!(formatter, "| {step} |")?;
            for column in &self.columns {
                match column.steps.get(&step).map(|rounds| median(rounds)) {
                    Some(count) if column.unit.is_empty() && count.fract() == 0.0 => {
                        write!(formatter, " {count} |")?;
                    }
                    Some(value) => write!(formatter, " {} |", Rounded(value))?,
                    None => formatter.write_str(" |")?,
                }
            }
            writeln!(formatter)?;
        }
        Ok(())
    }
}
