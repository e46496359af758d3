//! MongoDB's BSON corpus: data that nobody on this project wrote.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::Value as Json;

use super::*;

/// The corpus' files by name; `None`, and a line that says so, without them.
fn corpus(test: &str) -> Option<Vec<(String, Json)>> {
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let shared = std::env::var("VDOM_SHARED").unwrap_or_else(|_| "../shared".to_owned());
    let folder = workspace.join(shared).join("data/bson-corpus");
    let Ok(files) = fs::read_dir(&folder) else {
        // Not `println!`, which the test runner keeps to itself.
        let skipped = format!("skipped: {test}: no BSON corpus at {}\n", folder.display());
        io::stderr().write_all(skipped.as_bytes()).expect("standard error");
        return None;
    };
    let mut corpus: Vec<_> = files
        .map(|file| {
            let path = file.expect("a file").path();
            let text = fs::read_to_string(&path).expect("readable");
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, serde_json::from_str(&text).expect("JSON"))
        })
        .collect();
    corpus.sort_by(|(left, _), (right, _)| left.cmp(right));
    assert!(!corpus.is_empty());
    Some(corpus)
}

fn cases(file: &Json, list: &str, field: &str) -> Vec<(String, Vec<u8>)> {
    file[list]
        .as_array()
        .into_iter()
        .flatten()
        .map(|case| {
            let description = case["description"].as_str().expect("a description").to_owned();
            let bytes = hex::decode(case[field].as_str().expect("hexadecimal")).expect("digits");
            (description, bytes)
        })
        .collect()
}

#[test]
fn valid_documents_are_accepted_and_rebuilt_byte_for_byte() {
    let Some(corpus) = corpus("valid_documents_are_accepted_and_rebuilt_byte_for_byte") else {
        return;
    };
    let mut seen = 0;
    for (name, file) in corpus {
        for (description, bytes) in cases(&file, "valid", "canonical_bson") {
            assert_eq!(check(&bytes), Ok(()), "{name}: {description}");
            let mut again = DocumentBuilder::new();
            for element in elements(&bytes) {
                let value = Bytes::copy_from_slice(element.value);
                again.append_value(element.key, &Value { tag: element.tag, bytes: value });
            }
            assert_eq!(again.finish(), bytes, "{name}: {description}");
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen} documents");
}

#[test]
fn damaged_documents_are_refused_with_their_place() {
    let Some(corpus) = corpus("damaged_documents_are_refused_with_their_place") else {
        return;
    };
    let mut seen = 0;
    for (name, file) in corpus {
        for (description, bytes) in cases(&file, "decodeErrors", "bson") {
            let error = check(&bytes).expect_err(&format!("{name}: {description}"));
            assert_eq!(error.code, ErrorCode::InvalidArgument, "{name}: {description}");
            assert!(error.message.starts_with("at byte "), "{name}: {description}: {error}");
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen} documents");
}
