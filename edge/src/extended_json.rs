//! Documents between BSON and extended JSON
//! (<https://github.com/mongodb/specifications/blob/master/source/extended-json.md>): what one
//! cannot say is refused, never changed.

use bson::{Bson, Document, JavaScriptCodeWithScope};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use vdom_core::{Error, Result, document, time};

/// A document as relaxed extended JSON, as people read it: of numbers the value stays, not the
/// width.
///
/// # Errors
/// `InvalidArgument` for bytes that are no document.
pub fn to_relaxed(document: &[u8]) -> Result<Value> {
    read(document).map(|document| relaxed(Bson::Document(document)))
}

/// A document as canonical extended JSON, of which the same BSON can be made.
///
/// # Errors
/// `InvalidArgument` for bytes that are no document.
pub fn to_canonical(document: &[u8]) -> Result<Value> {
    read(document).map(|document| Bson::Document(document).into_canonical_extjson())
}

/// An object of extended JSON, canonical or relaxed, as BSON.
///
/// # Errors
/// `InvalidArgument` for an object that no document can hold.
pub fn to_bson(object: Map<String, Value>) -> Result<Bytes> {
    let refused =
        |error: bson::error::Error| Error::invalid(format!("it is no extended JSON: {error}"));
    object.values().try_for_each(check_numbers)?;
    let document = Document::try_from(object).map_err(refused)?;
    document.to_vec().map(Bytes::from).map_err(refused)
}

/// Reads JSON that may bring documents: the JSON library alone would round integers that are
/// too large for it.
///
/// # Errors
/// `InvalidArgument` for such integers, and for what is no JSON of a `T`.
pub fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T> {
    check_integers(json)?;
    serde_json::from_slice(json).map_err(|error| Error::invalid(error.to_string()))
}

fn read(bytes: &[u8]) -> Result<Document> {
    // The BSON library recurses: only what passed the guard may reach it.
    document::check(bytes)?;
    Document::from_reader(bytes).map_err(|error| Error::invalid(error.to_string()))
}

fn relaxed(value: Bson) -> Value {
    match value {
        Bson::Document(document) => {
            document.into_iter().map(|(name, value)| (name, relaxed(value))).collect()
        }
        Bson::Array(values) => values.into_iter().map(relaxed).collect(),
        Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code, scope }) => {
            json!({ "$code": code, "$scope": relaxed(Bson::Document(scope)) })
        }
        // The library takes dates after the year 9999 for its last moment.
        Bson::DateTime(date) if date.timestamp_millis() > time::MAX_MS => {
            json!({ "$date": { "$numberLong": date.timestamp_millis().to_string() } })
        }
        other => other.into_relaxed_extjson(),
    }
}

/// The BSON library makes doubles of what does not fit int64.
fn check_numbers(value: &Value) -> Result<()> {
    match value {
        Value::Number(number) if number.as_u64().is_some() && number.as_i64().is_none() => {
            Err(too_large(number))
        }
        Value::Array(values) => values.iter().try_for_each(check_numbers),
        Value::Object(object) => object.values().try_for_each(check_numbers),
        _ => Ok(()),
    }
}

/// Refuses integers that the JSON library would make doubles of.
fn check_integers(json: &[u8]) -> Result<()> {
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => at = end_of_string(json, at),
            b'-' | b'0'..=b'9' => {
                let is_number =
                    |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let length = json[at..].iter().take_while(|byte| is_number(byte)).count();
                let text = &json[at..at + length];
                let is_integer = text.iter().all(|byte| matches!(byte, b'-' | b'0'..=b'9'));
                if let Ok(text) = std::str::from_utf8(text)
                    && is_integer
                    && text.parse::<i64>().is_err()
                    && text.parse::<u64>().is_err()
                    && text.trim_start_matches('-').bytes().any(|byte| byte != b'0')
                {
                    return Err(too_large(text));
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    Ok(())
}

/// Behind the quote that closes the string which begins at `start`.
fn end_of_string(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = json.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn too_large(number: impl std::fmt::Display) -> Error {
    let mut digits = number.to_string();
    digits.truncate(40);
    Error::invalid(format!(
        "the integer {digits} does not fit 64 bits with their sign: write it as a double, such as \
         1e20, as {{\"$numberDecimal\": \"…\"}}, or as text"
    ))
}

#[cfg(test)]
mod tests;
