//! The page of settings names every setting of gateway and sidecar, and no other.

use std::collections::BTreeSet;

use vdom_testkit::process::command;
use vdom_testkit::workspace_root;

use super::WRONG_USAGE;
use crate::cli::finish;

/// What no setting is called.
const UNKNOWN: &str = "zzz";

/// The keys right below `section`, as the refusal of an unknown one lists them; `None` where
/// it is a setting itself.
async fn keys_below(program: &str, section: &str) -> Option<Vec<String>> {
    let mut command = command([program]);
    command.env_clear().args(["--set", &format!("{section}{UNKNOWN}=1")]);
    let ran = finish(command, b"").await;
    assert_eq!(ran.exit, WRONG_USAGE, "{program} {section}: {}", ran.stderr);
    let (_, valid) = ran.stderr.trim_end().split_once("Valid here: ")?;
    Some(valid.split(", ").map(|key| format!("{section}{key}")).collect())
}

/// Every setting that the program takes, by its whole name.
async fn settings_of(program: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting = keys_below(program, "").await.expect("settings");
    while let Some(key) = waiting.pop() {
        match keys_below(program, &format!("{key}.")).await {
            Some(keys) => waiting.extend(keys),
            None => {
                found.insert(key);
            }
        }
    }
    found
}

/// What the first column of the table below `heading` names in backticks.
fn documented_below(heading: &str) -> BTreeSet<String> {
    let page = workspace_root().join("docs/configuration.md");
    let page = std::fs::read_to_string(page).expect("readable");
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).expect("the heading");
    let section = section.split("\n## ").next().unwrap_or(section);
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .flat_map(|names| names.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn the_page_of_settings_names_each_and_no_other() {
    for (program, heading) in [("gateway", "Gateway"), ("sidecar", "Sidecar")] {
        assert_eq!(documented_below(heading), settings_of(program).await, "{program}");
    }
}
