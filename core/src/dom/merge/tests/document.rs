//! Documents of two writers.

use proptest::prelude::*;

use super::*;
use crate::document::tests::{documents, nested};
use crate::document::{self, DocumentBuilder, elements};
use crate::limits::{BSON_MAX_DEPTH, CONFLICT_FIELD_MAX_BYTES, CONFLICT_MAX_HUNKS};

fn build(fill: impl FnOnce(&mut DocumentBuilder) -> &mut DocumentBuilder) -> Bytes {
    let mut document = DocumentBuilder::new();
    fill(&mut document);
    document.finish()
}

fn numbers(fields: &[(&str, i32)]) -> Bytes {
    let mut document = DocumentBuilder::new();
    for (key, number) in fields {
        document.append_i32(key, *number);
    }
    document.finish()
}

fn clean(base: &Bytes, current: &Bytes, proposed: &Bytes) -> Bytes {
    match merge_document(base, current, proposed).expect("documents") {
        Merged::Clean(document) => document,
        Merged::Conflicting(conflicts) => panic!("{conflicts:?}"),
    }
}

fn conflicts(base: &Bytes, current: &Bytes, proposed: &Bytes) -> Vec<String> {
    match merge_document(base, current, proposed).expect("documents") {
        Merged::Clean(document) => panic!("clean: {document:?}"),
        Merged::Conflicting(conflicts) => conflicts.into_iter().map(|hunk| hunk.field).collect(),
    }
}

#[test]
fn fields_merge_one_by_one_in_the_order_of_what_stands_there() {
    let base = numbers(&[("a", 1), ("b", 1), ("gone", 1), ("lost", 1)]);
    let current = numbers(&[("new", 1), ("b", 2), ("a", 1), ("lost", 1)]);
    let proposed = numbers(&[("first", 1), ("a", 2), ("b", 1), ("gone", 1), ("second", 1)]);
    let merged = numbers(&[("new", 1), ("b", 2), ("a", 2), ("first", 1), ("second", 1)]);
    assert_eq!(clean(&base, &current, &proposed), merged);
}

#[test]
fn documents_within_merge_likewise_and_arrays_are_wholes() {
    let with = |left: i32, right: i32, items: &[(&str, i32)]| {
        build(|document| {
            let inner = numbers(&[("left", left), ("right", right)]);
            let middle = build(|middle| middle.append_document("inner", &inner));
            document.append_document("middle", &middle).append_array("list", &numbers(items))
        })
    };
    let base = with(1, 1, &[("0", 1), ("1", 1)]);
    let current = with(2, 1, &[("0", 2), ("1", 1)]);
    assert_eq!(
        clean(&base, &current, &with(1, 2, &[("0", 1), ("1", 1)])),
        with(2, 2, &[("0", 2), ("1", 1)])
    );
    let fields = conflicts(&base, &current, &with(3, 2, &[("0", 1), ("1", 2)]));
    assert_eq!(fields, ["/middle/inner/left", "/list"]);
}

#[test]
fn the_order_of_what_stands_there_holds_within_as_well() {
    let with = |fields: &[(&str, i32)]| build(|it| it.append_document("d", &numbers(fields)));
    let base = with(&[("a", 1), ("b", 1)]);
    let current = with(&[("b", 2), ("a", 1), ("c", 1)]);
    let proposed = with(&[("new", 1), ("a", 2), ("b", 1)]);
    let merged = with(&[("b", 2), ("a", 2), ("c", 1), ("new", 1)]);
    assert_eq!(clean(&base, &current, &proposed), merged);
}

#[test]
fn a_change_against_a_removal_or_another_addition_conflicts() {
    let base = numbers(&[("a", 1), ("b", 1), ("c", 1)]);
    let current = numbers(&[("a", 2), ("c", 1), ("new", 1)]);
    let proposed = numbers(&[("b", 2), ("c", 1), ("new", 2)]);
    assert_eq!(conflicts(&base, &current, &proposed), ["/a", "/new", "/b"]);
    let added = |key: &str| build(|it| it.append_document("new", &numbers(&[(key, 1)])));
    assert_eq!(conflicts(&numbers(&[]), &added("x"), &added("y")), ["/new"]);
    assert_eq!(clean(&numbers(&[]), &added("x"), &added("x")), added("x"));
}

#[test]
fn a_value_of_another_type_is_another_value() {
    let [base, current] = [numbers(&[("n", 1)]), build(|it| it.append_i64("n", 1))];
    let proposed = build(|it| it.append_f64("n", 1.0));
    assert_eq!(conflicts(&base, &current, &proposed), ["/n"]);
    let other = build(|it| it.append_i32("n", 1).append_bool("flag", true));
    let merged = build(|it| it.append_i64("n", 1).append_bool("flag", true));
    assert_eq!(clean(&base, &current, &other), merged);
    let document = build(|it| it.append_document("n", &numbers(&[])));
    assert_eq!(conflicts(&base, &document, &proposed), ["/n"]);
}

#[test]
fn a_document_with_a_field_twice_is_one_whole() {
    let base = numbers(&[("a", 1), ("b", 1), ("a", 1)]);
    let current = numbers(&[("a", 2), ("b", 1), ("a", 1)]);
    let proposed = numbers(&[("a", 1), ("b", 2), ("a", 1)]);
    assert_eq!(conflicts(&base, &current, &proposed), [""]);
    assert_eq!(clean(&base, &current, &base), current);
    let within = |document: &Bytes| build(|it| it.append_document("d", document));
    let fields = conflicts(&within(&base), &within(&current), &within(&proposed));
    assert_eq!(fields, ["/d"]);
}

#[test]
fn names_of_conflicts_are_pointers_and_stay_short() {
    let long = "k".repeat(CONFLICT_FIELD_MAX_BYTES);
    let with = |number: i32| {
        let inner = numbers(&[("a/b~c.d", number), (&long, number)]);
        build(|document| document.append_document("x", &inner))
    };
    assert_eq!(conflicts(&with(1), &with(2), &with(3)), ["/x/a~1b~0c.d", "/x"]);
}

#[test]
fn the_list_of_conflicts_is_limited() {
    let with = |number: i32| {
        let mut document = DocumentBuilder::new();
        for key in 0..=CONFLICT_MAX_HUNKS {
            document.append_i32(&key.to_string(), number);
        }
        document.finish()
    };
    assert_eq!(conflicts(&with(1), &with(2), &with(3)).len(), CONFLICT_MAX_HUNKS);
}

#[test]
fn documents_merge_as_deep_as_they_may_nest() {
    let with = |number: i32| {
        let innermost = numbers(&[("n", number)]);
        (1..BSON_MAX_DEPTH)
            .fold(innermost, |inner, _| build(|document| document.append_document("d", &inner)))
    };
    let field = format!("{}/n", "/d".repeat(BSON_MAX_DEPTH - 1));
    assert_eq!(conflicts(&with(1), &with(2), &with(3)), [field]);
}

#[test]
fn what_is_no_document_is_data_loss() {
    let good = numbers(&[]);
    for bad in [Bytes::from_static(b"bad"), Bytes::from(nested(BSON_MAX_DEPTH + 1))] {
        for [base, current, proposed] in
            [[&bad, &good, &good], [&good, &bad, &good], [&good, &good, &bad]]
        {
            let error = merge_document(base, current, proposed).expect_err("damaged");
            assert_eq!(error.code, ErrorCode::DataLoss);
        }
    }
}

/// The fields of a document by their names: what a merge has in it, whatever
/// the order.
fn sorted(document: &[u8]) -> Vec<(String, u8, Vec<u8>)> {
    let mut fields: Vec<_> = elements(document)
        .map(|field| {
            let value = match field.as_document() {
                Some(inner) => format!("{:?}", sorted(inner)).into_bytes(),
                None => field.value.to_vec(),
            };
            (field.key.to_owned(), field.tag, value)
        })
        .collect();
    fields.sort();
    fields
}

/// A document, and two edits of it: fields are kept, changed, dropped and added.
fn three_documents() -> impl Strategy<Value = [Bytes; 3]> {
    let edits = prop::collection::vec(0..6u8, 12);
    (documents(), edits.clone(), edits, documents()).prop_map(|(base, current, proposed, other)| {
        let edited = |edits: &[u8]| edited(&base, &other, &mut edits.iter().copied().cycle());
        [base.clone(), edited(&current), edited(&proposed)]
    })
}

fn edited(base: &[u8], other: &[u8], edits: &mut impl Iterator<Item = u8>) -> Bytes {
    let mut document = DocumentBuilder::new();
    for field in elements(base) {
        match (edits.next(), field.as_document()) {
            (Some(0), _) => {}
            (Some(1), _) => {
                document.append_i32(field.key, 7);
            }
            (_, Some(inner)) => {
                document.append_document(field.key, &edited(inner, &document::EMPTY, edits));
            }
            _ => {
                document.append_element(&field);
            }
        }
    }
    for field in elements(other) {
        if edits.next() == Some(0) && elements(base).all(|before| before.key != field.key) {
            document.append_element(&field);
        }
    }
    document.finish()
}

proptest! {
    #![proptest_config(crate::document::tests::seeded(1_000))]

    #[test]
    fn the_sides_may_be_swapped([base, current, proposed] in three_documents()) {
        let merged = merge_document(&base, &current, &proposed).expect("documents");
        let swapped = merge_document(&base, &proposed, &current).expect("documents");
        match (merged, swapped) {
            (Merged::Clean(merged), Merged::Clean(swapped)) => {
                prop_assert_eq!(sorted(&merged), sorted(&swapped));
                prop_assert_eq!(document::check(&merged), Ok(()));
            }
            (Merged::Conflicting(mut merged), Merged::Conflicting(mut swapped)) => {
                merged.sort_by(|left, right| left.field.cmp(&right.field));
                swapped.sort_by(|left, right| left.field.cmp(&right.field));
                prop_assert!(!merged.is_empty());
                prop_assert_eq!(merged, swapped);
            }
            (merged, swapped) => prop_assert!(false, "{:?} but {:?}", merged, swapped),
        }
    }

    #[test]
    fn a_side_that_changed_nothing_adds_nothing([base, current, _] in three_documents()) {
        prop_assert_eq!(clean(&base, &current, &base), current.clone());
        prop_assert_eq!(clean(&base, &base, &current), current.clone());
        prop_assert_eq!(clean(&base, &current, &current), current);
    }

    #[test]
    fn what_was_merged_merges_again_to_the_same([base, current, proposed] in three_documents()) {
        if let Ok(Merged::Clean(merged)) = merge_document(&base, &current, &proposed) {
            for side in [&base, &current, &proposed] {
                prop_assert_eq!(clean(&base, &merged, side), merged.clone());
            }
        }
    }

    #[test]
    fn any_documents_merge_without_a_panic(
        base in documents(),
        current in documents(),
        proposed in documents(),
    ) {
        prop_assert!(merge_document(&base, &current, &proposed).is_ok());
    }
}
