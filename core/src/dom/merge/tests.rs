//! What merges are, and the laws they keep.

mod attributes;
mod document;
mod text;

use super::*;
use crate::error::ErrorCode;

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[test]
fn the_kind_of_the_node_decides_how_its_content_merges() {
    let [base, current, proposed] = [bytes("a\nb\nc\n"), bytes("A\nb\nc\n"), bytes("a\nb\nC\n")];
    let merged = merge(NodeKind::File, &base, &current, &proposed);
    assert_eq!(merged, Ok(Merged::Clean(bytes("A\nb\nC\n"))));
    for kind in [NodeKind::Intent, NodeKind::Meta] {
        let error = merge(kind, &base, &current, &proposed).expect_err("no documents");
        assert_eq!(error.code, ErrorCode::DataLoss);
    }
}
