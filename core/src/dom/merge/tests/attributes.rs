//! Attributes of two writers.

use std::collections::BTreeMap;

use super::*;

fn attributes(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn each_name_merges_by_itself() {
    let base = attributes(&[("gone", "1"), ("mode", "644"), ("owner", "anna"), ("same", "1")]);
    let current = attributes(&[("mode", "755"), ("owner", "anna"), ("same", "2")]);
    let proposed = attributes(&[("gone", "1"), ("mode", "644"), ("new", "1"), ("same", "2")]);
    let merged = attributes(&[("mode", "755"), ("new", "1"), ("same", "2")]);
    assert_eq!(merge_attributes(&base, &current, &proposed), Merged::Clean(merged.clone()));
    assert_eq!(merge_attributes(&base, &proposed, &current), Merged::Clean(merged));
}

#[test]
fn two_values_for_a_name_conflict_and_so_do_a_value_and_its_removal() {
    let base = attributes(&[("mode", "644"), ("owner", "anna")]);
    let current = attributes(&[("mode", "755"), ("new", "1")]);
    let proposed = attributes(&[("mode", "600"), ("new", "2"), ("owner", "bob")]);
    let Merged::Conflicting(conflicts) = merge_attributes(&base, &current, &proposed) else {
        panic!("must conflict");
    };
    let fields: Vec<_> = conflicts.iter().map(|conflict| conflict.field.as_str()).collect();
    assert_eq!(fields, ["attributes.mode", "attributes.new", "attributes.owner"]);
}
