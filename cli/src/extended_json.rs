//! Documents of people: extended JSON on the command line, BSON on the wire.

use bson::{Bson, Document};
use bytes::Bytes;
use serde_json::Value;

use crate::exit::Failure;

/// BSON as canonical extended JSON, from which the same BSON can be made.
pub(crate) fn to_json(bytes: &[u8]) -> Result<Value, Failure> {
    let unreadable = |why: String| Failure::failed(format!("the document cannot be read: {why}"));
    vdom_core::document::check(bytes).map_err(|error| unreadable(error.message))?;
    let document = Document::from_reader(bytes).map_err(|error| unreadable(error.to_string()))?;
    Ok(Bson::Document(document).into_canonical_extjson())
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
    let value: Value = serde_json::from_slice(input).map_err(|error| refused(error.to_string()))?;
    let Value::Object(object) = value else {
        return Err(refused("its outermost value is not an object".to_owned()));
    };
    let document = Document::try_from(object).map_err(|error| refused(error.to_string()))?;
    document.to_vec().map(Bytes::from).map_err(|error| refused(error.to_string()))
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
