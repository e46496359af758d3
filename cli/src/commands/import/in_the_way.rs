//! Nodes of the branch that stand where a directory has a folder, or below one of its files:
//! a tree of both would be one that no disk and no git can hold.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Each of these `files` that cannot be beside some `standing` node, with those nodes.
pub(super) fn in_the_way<'a>(
    files: impl Iterator<Item = &'a str> + Clone,
    standing: impl Iterator<Item = &'a str>,
) -> BTreeMap<&'a str, Vec<&'a str>> {
    let kept: BTreeSet<&str> = files.clone().collect();
    let standing: BTreeSet<&str> = standing.filter(|path| !kept.contains(path)).collect();
    let mut met = BTreeMap::new();
    for file in files {
        let folders = file.match_indices('/').map(|(at, _)| &file[..at]);
        let mut nodes: Vec<&str> = folders.filter_map(|path| standing.get(path).copied()).collect();
        let below = format!("{file}/");
        let after = standing.range::<str, _>((Bound::Included(below.as_str()), Bound::Unbounded));
        nodes.extend(after.take_while(|path| path.starts_with(&below)));
        if !nodes.is_empty() {
            met.insert(file, nodes);
        }
    }
    met
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_meets_what_is_above_and_below_it_and_goes_away_with_nothing() {
        let files = ["a/b/c", "a/x", "d", "d.txt", "kept", "e/f"];
        let standing = ["a", "a/b", "d/1", "d/2/3", "d-1", "kept", "e/g"];
        let met = in_the_way(files.into_iter(), standing.into_iter());
        let expected =
            [("a/b/c", vec!["a", "a/b"]), ("a/x", vec!["a"]), ("d", vec!["d/1", "d/2/3"])];
        assert_eq!(met, expected.into());
        // What is brought again anyway is not in the way of others here.
        assert!(in_the_way(["a", "a/b"].into_iter(), ["a"].into_iter()).is_empty());
    }
}
