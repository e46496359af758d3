//! Texts of two writers.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::limits::{CONFLICT_MAX_HUNKS, MERGE_MAX_CHANGED_LINES, MERGE_MAX_LINES};

fn clean(base: &'static str, current: &'static str, proposed: &'static str) -> String {
    match merge_text(&bytes(base), &bytes(current), &bytes(proposed)) {
        Merged::Clean(text) => String::from_utf8(text.to_vec()).expect("UTF-8"),
        Merged::Conflicting(conflicts) => panic!("{conflicts:?}"),
    }
}

fn conflicts(base: &Bytes, current: &Bytes, proposed: &Bytes) -> Vec<ConflictHunk> {
    match merge_text(base, current, proposed) {
        Merged::Clean(text) => panic!("clean: {text:?}"),
        Merged::Conflicting(conflicts) => conflicts,
    }
}

fn hunk(base: (u64, u64), current: (u64, u64), proposed: (u64, u64)) -> ConflictHunk {
    ConflictHunk { base, current, proposed, field: String::new() }
}

#[test]
fn changes_with_a_line_between_them_both_happen() {
    assert_eq!(clean("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n"), "A\nb\nC\n");
    assert_eq!(clean("a\nb\nc\n", "a\nb\nc\nd\n", "0\na\nb\nc\n"), "0\na\nb\nc\nd\n");
    assert_eq!(clean("a\nb\nc\nd\n", "b\nc\nd\n", "a\nb\nc\n"), "b\nc\n");
}

#[test]
fn what_both_made_equal_is_taken_once() {
    assert_eq!(clean("a\nb\nc\n", "A\nb\nC\n", "A\nb\nc\n"), "A\nb\nC\n");
    assert_eq!(clean("a\nb\n", "a\nnew\nb\nC\n", "a\nnew\nb\n"), "a\nnew\nb\nC\n");
}

#[test]
fn changes_that_overlap_or_touch_conflict_where_they_are() {
    let overlap = conflicts(&bytes("a\nb\nc\n"), &bytes("a\none\nc\n"), &bytes("a\ntwo!\nc\n"));
    assert_eq!(overlap, [hunk((2, 2), (2, 4), (2, 5))]);
    let touch = conflicts(&bytes("a\nb\nc\n"), &bytes("A\nb\nc\n"), &bytes("a\nB\nc\n"));
    assert_eq!(touch, [hunk((0, 4), (0, 4), (0, 4))]);
    let insertions = conflicts(&bytes("a\n"), &bytes("a\nb\n"), &bytes("a\nc\n"));
    assert_eq!(insertions, [hunk((2, 0), (2, 2), (2, 2))]);
    let deleted = conflicts(&bytes("a\nb\nc\n"), &bytes("a\nc\n"), &bytes("a\nB\nc\n"));
    assert_eq!(deleted, [hunk((2, 2), (2, 0), (2, 2))]);
}

#[test]
fn every_conflict_is_named_beside_what_is_clean() {
    let base = bytes("a\nb\nc\nd\ne\n");
    let found = conflicts(&base, &bytes("1\nb\nC\nd\n2\n"), &bytes("3\nb\nc\nd\n4\n"));
    assert_eq!(found, [hunk((0, 2), (0, 2), (0, 2)), hunk((8, 2), (8, 2), (8, 2))]);
}

#[test]
fn a_line_has_its_ending_with_it() {
    assert_eq!(clean("a\nb\nc\n", "a\r\nb\nc\n", "a\nb\nC\n"), "a\r\nb\nC\n");
    assert_eq!(clean("a\r\nb\r\nc", "A\r\nb\r\nc", "a\r\nb\r\nc\r\n"), "A\r\nb\r\nc\r\n");
    // The side without a last ending has another last line.
    let ending = conflicts(&bytes("a\nb\n"), &bytes("a\nb"), &bytes("a\nb\nc\n"));
    assert_eq!(ending, [hunk((2, 2), (2, 1), (2, 4))]);
    assert_eq!(clean("a\nb\nc", "A\nb\nc", "a\nb\nc"), "A\nb\nc");
}

#[test]
fn empty_texts_merge_as_any() {
    assert_eq!(clean("", "", "new\n"), "new\n");
    assert_eq!(clean("a\n", "", "a\n"), "");
    assert_eq!(clean("a\n", "", ""), "");
    let both = conflicts(&bytes(""), &bytes("a\n"), &bytes("b\n"));
    assert_eq!(both, [hunk((0, 0), (0, 2), (0, 2))]);
}

#[test]
fn what_is_no_text_is_one_whole() {
    let binary = Bytes::from_static(b"a\nb\nc\n\xff");
    let nul = bytes("a\nb\nc\n\0");
    for base in [binary, nul] {
        let edited = |old: &str, new: &str| {
            let at = base.windows(2).position(|line| line == old.as_bytes()).expect("there");
            Bytes::from([&base[..at], new.as_bytes(), &base[at + old.len()..]].concat())
        };
        let (current, proposed) = (edited("a\n", "AA\n"), edited("c\n", ""));
        let whole = [hunk((0, 7), (0, 8), (0, 5))];
        assert_eq!(conflicts(&base, &current, &proposed), whole);
        assert_eq!(merge_text(&base, &current, &base), Merged::Clean(current.clone()));
        assert_eq!(merge_text(&base, &base, &proposed), Merged::Clean(proposed));
        assert_eq!(merge_text(&base, &current, &current), Merged::Clean(current));
    }
}

#[test]
fn an_unchanged_side_gives_the_other_without_a_copy() {
    let (base, other) = (bytes("a\n"), bytes("b\n"));
    for merged in [merge_text(&base, &other, &base), merge_text(&base, &base, &other)] {
        let Merged::Clean(text) = merged else { panic!("clean") };
        assert_eq!(text.as_ptr(), other.as_ptr());
    }
}

#[test]
fn a_text_that_is_too_much_work_conflicts_as_a_whole() {
    let numbered = |lines: usize, changed: &[usize]| {
        let line = |line| format!("{}{line}\n", if changed.contains(&line) { "x" } else { "" });
        Bytes::from((0..lines).map(line).collect::<String>())
    };
    let last = MERGE_MAX_CHANGED_LINES - 1;
    let lines = last + 2;
    let base = numbered(lines, &[]);
    let within = merge_text(&base, &numbered(lines, &[0, last]), &numbered(lines, &[lines / 2]));
    assert_eq!(within, Merged::Clean(numbered(lines, &[0, lines / 2, last])));
    let current = numbered(lines, &[0, last + 1]);
    let far = conflicts(&base, &current, &numbered(lines, &[lines / 2]));
    assert_eq!((far.len(), far[0].current), (1, (0, current.len() as u64)));
    let long = Bytes::from("a\n".repeat(MERGE_MAX_LINES + 1));
    let [before, after] = ["b\n", "c\n"].map(|line| Bytes::from([line.as_bytes(), &long].concat()));
    assert_eq!(conflicts(&long, &before, &after)[0].base, (0, long.len() as u64));
}

#[test]
fn the_list_of_conflicts_is_limited() {
    let every_second = |line: &str| {
        let lines = (0..2 * (CONFLICT_MAX_HUNKS + 5)).map(|number| match number % 2 {
            0 => format!("{number}\n"),
            _ => format!("{line}{number}\n"),
        });
        Bytes::from(lines.collect::<String>())
    };
    let found = conflicts(&every_second("a"), &every_second("b"), &every_second("c"));
    assert_eq!(found.len(), CONFLICT_MAX_HUNKS);
}

/// A text and two edits of it, with a few different lines over and over.
fn three_texts() -> impl Strategy<Value = [Bytes; 3]> {
    edited_texts(|_, letter| format!("{letter}\n"))
}

/// A text and two edits of it, without a line that stands there twice.
fn three_texts_of_distinct_lines() -> impl Strategy<Value = [Bytes; 3]> {
    edited_texts(|place, letter| format!("{place}{letter}\n"))
}

/// Makes lines of a place in the text and a letter.
fn edited_texts(line: fn(String, char) -> String) -> impl Strategy<Value = [Bytes; 3]> {
    let letter = prop::char::range('a', 'd');
    let inserted = prop::option::weighted(0.2, letter.clone());
    let step = (prop::bool::weighted(0.8), inserted);
    let steps = prop::collection::vec(step, 12);
    let base = prop::collection::vec(letter, 0..12);
    (base, steps.clone(), steps, any::<bool>()).prop_map(move |(base, current, proposed, cut)| {
        let old = |place: usize, letter: char| line(place.to_string(), letter);
        let edited = |steps: &[(bool, Option<char>)]| {
            let lines = base.iter().zip(steps).enumerate().map(|(place, (letter, step))| {
                let new = step.1.map(|new| line(format!("before {place} "), new));
                let kept = step.0.then(|| old(place, *letter));
                [new, kept].into_iter().flatten().collect::<String>()
            });
            lines.collect::<String>()
        };
        let unedited = base.iter().enumerate().map(|(place, letter)| old(place, *letter));
        let mut texts = [unedited.collect(), edited(&current), edited(&proposed)];
        if cut {
            texts[2].pop();
        }
        texts.map(Bytes::from)
    })
}

fn counted(text: &Bytes) -> HashMap<&[u8], usize> {
    let mut lines = HashMap::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        *lines.entry(line).or_default() += 1;
    }
    lines
}

proptest! {
    #![proptest_config(crate::document::tests::seeded(2_000))]

    #[test]
    fn the_sides_may_be_swapped([base, current, proposed] in three_texts()) {
        let merged = merge_text(&base, &current, &proposed);
        let swapped = match merge_text(&base, &proposed, &current) {
            Merged::Clean(text) => Merged::Clean(text),
            Merged::Conflicting(conflicts) => Merged::Conflicting(
                conflicts
                    .into_iter()
                    .map(|hunk| ConflictHunk {
                        current: hunk.proposed,
                        proposed: hunk.current,
                        ..hunk
                    })
                    .collect(),
            ),
        };
        prop_assert_eq!(merged, swapped);
    }

    #[test]
    fn a_side_that_changed_nothing_adds_nothing([base, current, _] in three_texts()) {
        prop_assert_eq!(merge_text(&base, &current, &base), Merged::Clean(current.clone()));
        prop_assert_eq!(merge_text(&base, &base, &current), Merged::Clean(current.clone()));
        prop_assert_eq!(merge_text(&base, &current, &current), Merged::Clean(current));
    }

    #[test]
    fn what_was_merged_merges_again_to_the_same(
        [base, current, proposed] in three_texts_of_distinct_lines(),
    ) {
        if let Merged::Clean(merged) = merge_text(&base, &current, &proposed) {
            for side in [&base, &current, &proposed] {
                let again = merge_text(&base, &merged, side);
                prop_assert_eq!(again, Merged::Clean(merged.clone()));
            }
        }
    }

    #[test]
    fn no_added_line_is_lost([base, current, proposed] in three_texts()) {
        if let Merged::Clean(merged) = merge_text(&base, &current, &proposed) {
            let (before, after) = (counted(&base), counted(&merged));
            for side in [&current, &proposed] {
                for (line, count) in counted(side) {
                    let kept = after.get(line).copied().unwrap_or(0);
                    prop_assert!(before.contains_key(line) || kept >= count, "{:?}", line);
                }
            }
        }
    }

    #[test]
    fn conflicts_stand_in_order_and_within_the_texts([base, current, proposed] in three_texts()) {
        if let Merged::Conflicting(conflicts) = merge_text(&base, &current, &proposed) {
            let mut ends = [0; 3];
            for hunk in conflicts {
                let places = [(hunk.base, &base), (hunk.current, &current), (hunk.proposed, &proposed)];
                for (end, ((start, length), text)) in ends.iter_mut().zip(places) {
                    prop_assert!(*end <= start && start + length <= text.len() as u64);
                    *end = start + length;
                }
            }
        }
    }

    #[test]
    fn any_bytes_merge_without_a_panic(
        base in prop::collection::vec(any::<u8>(), 0..40),
        current in prop::collection::vec(any::<u8>(), 0..40),
        proposed in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let [base, current, proposed] = [base, current, proposed].map(Bytes::from);
        let merged = merge_text(&base, &current, &proposed);
        let equal = current == proposed || base == current || base == proposed;
        prop_assert!(!equal || matches!(merged, Merged::Clean(_)));
    }
}
