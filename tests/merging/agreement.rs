//! How far two mergers agree.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::thread;

use bytes::Bytes;
use vdom_core::dom::merge::{Merged, merge_text};

use super::git::Git;
use super::triples::Triple;

/// A triple and what it is known by.
pub(super) struct Case {
    /// Of which kind it is.
    pub(super) group: String,
    /// Which of its kind.
    pub(super) number: u64,
    /// The texts.
    pub(super) triple: Triple,
}

/// What git and we made of a case: a text, or `None` for a conflict.
struct Outcome<'a> {
    case: &'a Case,
    git: Option<Vec<u8>>,
    ours: Option<Bytes>,
}

/// Merges every case both ways: at least 995 of 1,000 must agree in verdict and
/// text, and no clean merge may lack a line that a side added. Disagreements
/// are listed in `merges-NAME.txt` in the tests' folder of the build.
pub(super) fn compare(name: &str, git: Git, cases: &[Case]) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let outcomes: Vec<_> = thread::scope(|scope| {
        let shares: Vec<_> = cases
            .chunks(cases.len().div_ceil(threads))
            .map(|share| scope.spawn(move || outcomes(git, share)))
            .collect();
        shares.into_iter().flat_map(|share| share.join().expect("a share")).collect()
    });
    let mut groups: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let mut disagreements = String::new();
    for Outcome { case, git, ours } in &outcomes {
        let agree = git.as_deref() == ours.as_deref();
        let [all, clean, agreed] = groups.entry(&case.group).or_default();
        *all += 1;
        *clean += usize::from(git.is_some());
        *agreed += usize::from(agree);
        if !agree {
            let verdict = |clean| if clean { "clean" } else { "conflict" };
            let (git, ours) = (verdict(git.is_some()), verdict(ours.is_some()));
            writeln!(disagreements, "{} {}: git {git}, ours {ours}", case.group, case.number)
                .expect("memory");
        }
    }
    let mut report = String::new();
    for (group, [all, clean, agreed]) in &groups {
        writeln!(report, "{group}: {agreed} of {all} agree, git calls {clean} clean")
            .expect("memory");
    }
    report.push_str(&disagreements);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("merges-{name}.txt"));
    fs::write(file, &report).expect("a file");
    let agreed: usize = groups.values().map(|[_, _, agreed]| agreed).sum();
    assert!(agreed * 1_000 >= cases.len() * 995, "{report}");
    let clean: usize = groups.values().map(|[_, clean, _]| clean).sum();
    assert!((1..cases.len()).contains(&clean), "only one verdict was seen: {report}");
    for Outcome { case, ours, .. } in &outcomes {
        if let Some(merged) = ours {
            let Triple { base, current, proposed } = &case.triple;
            for side in [current, proposed] {
                let lost = lost_line(base, side, merged);
                assert!(lost.is_none(), "{} {} lost {lost:?}", case.group, case.number);
            }
        }
    }
}

fn outcomes(git: Git, cases: &[Case]) -> Vec<Outcome<'_>> {
    let folder = tempfile::tempdir().expect("a folder");
    cases
        .iter()
        .map(|case| Outcome {
            case,
            git: git.merge(&case.triple, folder.path()),
            ours: ours(&case.triple),
        })
        .collect()
}

fn ours(triple: &Triple) -> Option<Bytes> {
    let [base, current, proposed] =
        [&triple.base, &triple.current, &triple.proposed].map(|text| Bytes::from(text.clone()));
    match merge_text(&base, &current, &proposed) {
        Merged::Clean(text) => Some(text),
        Merged::Conflicting(_) => None,
    }
}

/// A line that the base does not have and the merge has less often than the side
/// that added it.
fn lost_line<'a>(base: &[u8], side: &'a [u8], merged: &[u8]) -> Option<&'a [u8]> {
    let [base, merged] = [base, merged].map(counted);
    let lost = |(line, count): &(&[u8], usize)| {
        !base.contains_key(line) && merged.get(line).is_none_or(|kept| kept < count)
    };
    counted(side).into_iter().find(lost).map(|(line, _)| line)
}

fn counted(text: &[u8]) -> HashMap<&[u8], usize> {
    let mut lines = HashMap::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        *lines.entry(line).or_default() += 1;
    }
    lines
}
