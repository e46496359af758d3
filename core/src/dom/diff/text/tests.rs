//! Text edits and their laws.

use proptest::prelude::*;

use super::*;
use crate::error::ErrorCode;
use TextOperation::{Delete, Retain};

fn edit(operations: impl Into<Vec<TextOperation>>) -> TextEdit {
    TextEdit::new(operations.into())
}

fn insert(text: &str) -> TextOperation {
    TextOperation::insert(text)
}

fn applied(edit: &TextEdit, content: &str) -> String {
    let content = edit.apply(content.as_bytes()).expect("fits");
    String::from_utf8(content.to_vec()).expect("UTF-8")
}

fn refused(edit: &TextEdit, content: &[u8]) -> String {
    let error = edit.apply(content).expect_err("must be refused");
    assert_eq!(error.code, ErrorCode::InvalidArgument);
    error.message
}

#[test]
fn retains_inserts_and_deletes_and_keeps_the_rest() {
    let change = edit([Retain(6), Delete(5), insert("gateway"), Retain(1)]);
    assert_eq!(applied(&change, "hello world! and all"), "hello gateway! and all");
    assert_eq!(applied(&edit([]), "same"), "same");
    assert_eq!(applied(&edit([insert("new")]), ""), "new");
    assert_eq!(applied(&edit([Retain(4), insert("!")]), "a\u{e4}b"), "a\u{e4}b!");
}

#[test]
fn what_does_not_fit_names_operation_and_byte() {
    assert_eq!(
        refused(&edit([Retain(2), insert("x"), Delete(3)]), b"four"),
        "text operation 2 (delete 3) starts at byte 2 and ends beyond the content, which has 4 \
         bytes"
    );
    assert_eq!(
        refused(&edit([Retain(u64::MAX)]), b"four"),
        "text operation 0 (retain 18446744073709551615) starts at byte 0 and ends beyond the \
         content, which has 4 bytes"
    );
    assert_eq!(
        refused(&edit([Retain(1), Delete(1)]), "a\u{e4}b".as_bytes()),
        "text operation 1 (delete 1) ends at byte 2, inside a character: count UTF-8 bytes"
    );
    let binary = refused(&edit([]), b"ab\xff");
    assert!(binary.contains("needs UTF-8 content") && binary.contains("byte 2"), "{binary}");
}

#[test]
fn a_result_above_the_limit_is_refused_before_it_is_made() {
    let part = Utf8Bytes::from("x".repeat(1 << 20));
    let edit = edit(vec![TextOperation::Insert(part); 101]);
    assert_eq!(edit.apply(b"").expect_err("too large").code, ErrorCode::TooLarge);
}

#[test]
fn the_least_edit_keeps_start_and_end() {
    let keeps = TextEdit::between("let x = 1;", "let y = 1;");
    assert_eq!(keeps, edit([Retain(4), insert("y"), Delete(1)]));
    assert_eq!(TextEdit::between("same", "same"), edit([]));
    assert_eq!(TextEdit::between("aaa", "aa"), edit([Retain(2), Delete(1)]));
    // é and è share their first byte, é and ã their last.
    let accents = TextEdit::between("\u{e9}", "\u{e8}");
    assert_eq!(accents, edit([insert("\u{e8}"), Delete(2)]));
    let shared_end = TextEdit::between("\u{e9}", "\u{129}");
    assert_eq!(shared_end, edit([insert("\u{129}"), Delete(2)]));
}

#[test]
fn composing_joins_neighbours() {
    let typed = ["a", "b", "c"].iter().enumerate().fold(TextEdit::default(), |all, (at, key)| {
        all.compose(&edit([Retain(at as u64), insert(key)])).expect("composes")
    });
    assert_eq!(typed, edit([insert("abc")]));
    let erased = typed.compose(&edit([Delete(3)])).expect("composes");
    assert_eq!(erased, edit([]));
}

#[test]
fn composing_does_not_cut_characters() {
    let error = edit([insert("\u{e4}")]).compose(&edit([Delete(1)])).expect_err("cut");
    assert!(error.message.contains("text operation 0 of the later edit"), "{error}");
}

/// An edit that fits the text: a few steps at character boundaries.
fn edit_of(text: String) -> impl Strategy<Value = TextEdit> {
    prop::collection::vec((0..3u8, 0..4usize, "[a\u{e4}\u{20ac}\u{1f600}]{0,3}"), 0..8).prop_map(
        move |steps| {
            let mut rest = text.as_str();
            let operations = steps.into_iter().map(|(kind, characters, inserted)| {
                if kind == 0 {
                    return insert(&inserted);
                }
                let end = rest.char_indices().nth(characters).map_or(rest.len(), |(at, _)| at);
                rest = &rest[end..];
                if kind == 1 { Retain(end as u64) } else { Delete(end as u64) }
            });
            edit(operations.collect::<Vec<_>>())
        },
    )
}

fn text() -> impl Strategy<Value = String> {
    "[ab\u{e4}\u{20ac}\u{1f600}]{0,12}"
}

fn two_edits() -> impl Strategy<Value = (String, TextEdit, TextEdit)> {
    text().prop_flat_map(|text| (edit_of(text.clone()), Just(text))).prop_flat_map(
        |(first, text)| {
            let between = applied(&first, &text);
            (Just(text), Just(first), edit_of(between))
        },
    )
}

proptest! {
    #![proptest_config(crate::document::tests::seeded(1_000))]

    #[test]
    fn a_composed_edit_does_both((text, first, second) in two_edits()) {
        let both = first.compose(&second).expect("composes");
        prop_assert_eq!(applied(&both, &text), applied(&second, &applied(&first, &text)));
    }

    #[test]
    fn an_inverse_takes_back((text, first, _) in two_edits()) {
        let inverse = first.invert(&text).expect("fits");
        prop_assert_eq!(applied(&inverse, &applied(&first, &text)), text);
    }

    #[test]
    fn the_edit_between_two_texts_makes_the_second(old in text(), new in text()) {
        prop_assert_eq!(applied(&TextEdit::between(&old, &new), &old), new);
    }

    #[test]
    fn random_edits_never_panic(
        content in prop::collection::vec(any::<u8>(), 0..20),
        steps in prop::collection::vec((0..3u8, prop_oneof![0..12u64, any::<u64>()]), 0..8),
    ) {
        let edit = edit(steps.into_iter().map(|(kind, bytes)| match kind {
            0 => insert("\u{e4}"),
            1 => Retain(bytes),
            _ => Delete(bytes),
        }).collect::<Vec<_>>());
        if let Ok(after) = edit.apply(&content) {
            prop_assert!(std::str::from_utf8(&after).is_ok());
        }
        let _ = edit.compose(&edit);
    }
}
