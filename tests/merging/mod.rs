//! Merges of text beside those of `git merge-file`: of made texts and of what
//! people typed.

mod agreement;
mod git;
mod random;
mod traces;
mod triples;

use agreement::{Case, compare};
use git::Git;

#[test]
fn made_texts_merge_as_git_merges_them() {
    let Some(git) = Git::find() else {
        return vdom_testkit::skipped("made_texts_merge_as_git_merges_them", "there is no git");
    };
    let cases = (0..10_000).map(|seed| {
        let (manner, triple) = triples::triple(seed);
        Case { group: format!("{manner:?}"), number: seed, triple }
    });
    compare("made", git, &cases.collect::<Vec<_>>());
}

#[test]
fn typed_texts_merge_as_git_merges_them() {
    const TEST: &str = "typed_texts_merge_as_git_merges_them";
    let Some(git) = Git::find() else {
        return vdom_testkit::skipped(TEST, "there is no git");
    };
    let Some(folder) = vdom_testkit::shared_data("editing-traces") else {
        return vdom_testkit::skipped(TEST, "there are no editing traces");
    };
    let mut cases = Vec::new();
    for name in ["friendsforever", "automerge-paper", "sveltecomponent"] {
        let file = folder.join(name).with_extension("json.gz");
        let triples = match name {
            "friendsforever" => traces::of_two_writers(&file, 6_000),
            _ => traces::of_one_writer(&file, 400),
        };
        let case = |(number, triple)| Case { group: name.to_owned(), number, triple };
        cases.extend((0..).zip(triples).map(case));
    }
    compare("typed", git, &cases);
}
