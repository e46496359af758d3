//! What goes through JSON comes back as it was.

use bson::{Binary, DateTime, Decimal128, Timestamp, oid::ObjectId, spec::BinarySubtype};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any};
use proptest::{prop_assert_eq, prop_oneof, proptest};

use super::*;

fn values() -> impl Strategy<Value = Bson> {
    let finite = any::<f64>().prop_filter("a number", |number| !number.is_nan());
    let leaves = prop_oneof![
        finite.prop_map(Bson::Double),
        "[ -~é\u{0}]{0,8}".prop_map(Bson::String),
        any::<bool>().prop_map(Bson::Boolean),
        Just(Bson::Null),
        any::<i32>().prop_map(Bson::Int32),
        any::<i64>().prop_map(Bson::Int64),
        any::<i64>().prop_map(|ms| Bson::DateTime(DateTime::from_millis(ms))),
        (time::MIN_MS..time::MAX_MS * 2).prop_map(|ms| Bson::DateTime(DateTime::from_millis(ms))),
        any::<[u8; 12]>().prop_map(|bytes| Bson::ObjectId(ObjectId::from_bytes(bytes))),
        any::<(u32, u32)>()
            .prop_map(|(time, increment)| Bson::Timestamp(Timestamp { time, increment })),
        vec(any::<u8>(), 0..8)
            .prop_map(|bytes| Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes })),
        "-?[1-9][0-9]{0,33}".prop_map(|digits| {
            Bson::Decimal128(digits.parse::<Decimal128>().expect("34 digits"))
        }),
    ];
    leaves.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Bson::Array),
            vec(("[a-c]{1,2}", inner), 0..4)
                .prop_map(|fields| Bson::Document(fields.into_iter().collect())),
        ]
    })
}

/// Relaxed JSON says how large a number is, not how wide.
fn narrowed(value: Bson) -> Bson {
    match value {
        Bson::Int64(number) => i32::try_from(number).map_or(Bson::Int64(number), Bson::Int32),
        Bson::Array(values) => Bson::Array(values.into_iter().map(narrowed).collect()),
        Bson::Document(document) => {
            Bson::Document(document.into_iter().map(|(name, it)| (name, narrowed(it))).collect())
        }
        other => other,
    }
}

fn again(json: &Value) -> Bytes {
    to_bson(parse(json.to_string().as_bytes()).expect("JSON")).expect("a document")
}

proptest! {
    #[test]
    fn what_goes_through_json_comes_back_as_it_was(value in values()) {
        let document = Document::from_iter([("v".to_owned(), value)]);
        let bytes = document.to_vec().expect("BSON");
        prop_assert_eq!(&again(&to_canonical(&bytes).expect("JSON"))[..], &bytes[..]);
        let narrow = document.into_iter().map(|(name, value)| (name, narrowed(value)));
        let narrow = narrow.collect::<Document>().to_vec().expect("BSON");
        prop_assert_eq!(&again(&to_relaxed(&bytes).expect("JSON"))[..], &narrow[..]);
    }
}

#[test]
fn a_date_after_the_year_9999_is_a_number() {
    for (ms, expected) in [
        (time::MAX_MS, r#"{"$date":"9999-12-31T23:59:59.999Z"}"#),
        (time::MAX_MS + 1, r#"{"$date":{"$numberLong":"253402300800000"}}"#),
        (i64::MAX, r#"{"$date":{"$numberLong":"9223372036854775807"}}"#),
        (-1, r#"{"$date":{"$numberLong":"-1"}}"#),
    ] {
        let document = bson::doc! { "at": [DateTime::from_millis(ms)] }.to_vec().expect("BSON");
        let json = to_relaxed(&document).expect("JSON");
        assert_eq!(json["at"][0].to_string(), expected);
    }
}

#[test]
fn an_integer_that_no_document_holds_is_refused() {
    for digits in [
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "100000000000000000000000000000",
    ] {
        let json = format!(r#"{{"a": [{{"n": {digits}}}]}}"#);
        let error = parse(json.as_bytes()).and_then(to_bson).expect_err(digits);
        assert!(error.message.contains(digits), "{error}");
        let text = format!(r#"{{"a": "\" {digits}", "b": {digits}.5, "c": {digits}e0}}"#);
        assert!(parse(text.as_bytes()).and_then(to_bson).is_ok(), "{text}");
    }
    for digits in ["9223372036854775807", "-9223372036854775808", "0", "-0"] {
        let json = format!(r#"{{"n": {digits}}}"#);
        assert!(parse(json.as_bytes()).and_then(to_bson).is_ok(), "{digits}");
    }
}
