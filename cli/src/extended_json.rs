//! Documents of people: extended JSON on the command line, BSON on the wire.

use bytes::Bytes;
use serde_json::Value;
use vdom_edge::extended_json;

use crate::exit::Failure;

/// BSON as canonical extended JSON, from which the same BSON can be made.
pub(crate) fn to_json(bytes: &[u8]) -> Result<Value, Failure> {
    extended_json::to_canonical(bytes)
        .map_err(|error| Failure::failed(format!("the document cannot be read: {}", error.message)))
}

/// BSON as canonical extended JSON over several lines, as a file holds it.
pub(crate) fn to_text(bytes: &[u8]) -> Result<Bytes, Failure> {
    let json = to_json(bytes)?;
    Ok(format!("{json:#}\n").into())
}

/// A document as BSON, from extended JSON or from BSON itself.
pub(crate) fn to_bson(input: &Bytes) -> Result<Bytes, Failure> {
    if vdom_core::document::check(input).is_ok() {
        return Ok(input.clone());
    }
    let refused = |why: String| {
        Failure::failed(format!("this is no document: {why}"))
            .advice(r#"give a JSON object such as {"done": false}, extended JSON, or BSON"#)
    };
    let value: Value = extended_json::parse(input).map_err(|error| refused(error.message))?;
    let Value::Object(object) = value else {
        return Err(refused("its outermost value is not an object".to_owned()));
    };
    extended_json::to_bson(object).map_err(|error| refused(error.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_json_makes_the_same_bson_again() {
        let json =
            br#"{"n": {"$numberLong": "5"}, "at": {"$date": {"$numberLong": "0"}}, "s": "x"}"#;
        let bson = to_bson(&Bytes::from_static(json)).expect("a document");
        let again = to_json(&bson).expect("readable").to_string();
        assert!(again.contains(r#""$numberLong":"5""#), "{again}");
        assert_eq!(to_bson(&Bytes::from(again)).expect("a document"), bson);
        assert_eq!(to_bson(&bson).expect("BSON stays"), bson);
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for input in ["[1]", "text", "", "{"] {
            let failure = to_bson(&Bytes::from(input)).expect_err(input);
            assert!(failure.message.contains("no document"), "{input}: {failure}");
        }
        assert!(to_json(b"\x05\0\0\0\x01").is_err());
    }
}
