//! Whatever the bytes are: no panic, and what the guard accepts is BSON.

use bson::RawDocument;
use proptest::prelude::*;

use super::*;

/// A document of random shape; keys may repeat.
pub(crate) fn documents() -> impl Strategy<Value = Bytes> {
    let scalar = prop_oneof![
        any::<i32>().prop_map(|number| raw(tag::INT32, &number.to_le_bytes())),
        any::<i64>().prop_map(Value::integer),
        any::<f64>().prop_map(|number| raw(tag::DOUBLE, &number.to_le_bytes())),
        ".{0,8}".prop_map(|text| Value::string(&text)),
        any::<[u8; 16]>().prop_map(|bytes| raw(tag::DECIMAL128, &bytes)),
        any::<[u8; 8]>().prop_map(|bytes| raw(tag::DATETIME, &bytes)),
        any::<bool>().prop_map(|flag| raw(tag::BOOLEAN, &[u8::from(flag)])),
        Just(raw(tag::NULL, &[])),
    ];
    let value = scalar.prop_recursive(4, 48, 6, |inner| {
        (any::<bool>(), prop::collection::vec(("[a-d]{0,2}", inner), 0..6)).prop_map(
            |(array, fields)| {
                let mut document = DocumentBuilder::new();
                for (index, (key, value)) in fields.into_iter().enumerate() {
                    let key = if array { index.to_string() } else { key };
                    document.append_value(&key, &value);
                }
                let tag = if array { tag::ARRAY } else { tag::DOCUMENT };
                Value { tag, bytes: document.finish() }
            },
        )
    });
    prop::collection::vec(("[a-d]{0,2}", value), 0..6).prop_map(|fields| {
        let mut document = DocumentBuilder::new();
        for (key, value) in fields {
            document.append_value(&key, &value);
        }
        document.finish()
    })
}

fn raw(tag: u8, bytes: &[u8]) -> Value {
    Value { tag, bytes: Bytes::copy_from_slice(bytes) }
}

/// Reads every value of the document, as deep as it goes.
fn read_all(elements: Elements<'_>) -> usize {
    elements.map(|element| 1 + element.value.len() + read_all(element.elements())).sum()
}

/// Whether the independent reader takes all of it.
fn is_read_by_bson(bytes: &[u8]) -> bool {
    fn all(document: &RawDocument) -> bool {
        document.iter().all(|element| match element {
            Err(_) => false,
            Ok((_, value)) => {
                value.as_document().is_none_or(all)
                    && value
                        .as_array()
                        .is_none_or(|array| array.into_iter().all(|item| item.is_ok()))
            }
        })
    }
    RawDocument::from_bytes(bytes).is_ok_and(all)
}

proptest! {
    #![proptest_config(crate::document::tests::seeded(512))]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = check(&bytes);
        read_all(elements(&bytes));
    }

    #[test]
    fn valid_documents_are_accepted(document in documents()) {
        prop_assert_eq!(check(&document), Ok(()));
        prop_assert!(is_read_by_bson(&document));
    }

    #[test]
    fn damaged_documents_are_refused_or_still_bson(
        document in documents(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = document.to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_all(elements(&bytes));
        let accepted = check(&bytes).is_ok();
        prop_assert!(!accepted || is_read_by_bson(&bytes), "{}", hex::encode(&bytes));
    }

    #[test]
    fn a_cut_document_is_refused(document in documents(), at in any::<prop::sample::Index>()) {
        prop_assert!(check(&document[..at.index(document.len())]).is_err());
    }
}
