//! The OpenAPI document says what the routes do.

use std::collections::BTreeSet;

use super::*;

const METHODS: [Method; 6] =
    [Method::GET, Method::PUT, Method::PATCH, Method::DELETE, Method::POST, Method::OPTIONS];

/// A path of the document as axum writes it, and an example of it.
fn example(path: &str) -> (String, String) {
    let route = path.replace("{path}", "{*path}");
    let example = path.replace("{repo}", "r").replace("{branch}", "b").replace("{path}", "p/q");
    let example = example.replace("{id}", &"ab".repeat(16));
    (route, example)
}

#[tokio::test]
async fn the_document_lists_exactly_the_routes() {
    let document: Value = serde_json::from_str(OPENAPI).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().expect("paths");
    let source = include_str!("../../rest.rs");
    let routes: BTreeSet<_> = source
        .split('"')
        .filter(|text| text.starts_with("/v1/") && !text.contains("{*other}"))
        .map(str::to_owned)
        .collect();
    let documented: BTreeSet<_> = paths.keys().map(|path| example(path).0).collect();
    assert_eq!(documented, routes);

    let door = Door::new();
    for (path, operations) in paths {
        for method in METHODS {
            let answer = door.ask(method.clone(), &example(path).1, &[], Body::empty()).await;
            let offered = answer.status != StatusCode::METHOD_NOT_ALLOWED;
            let listed = operations.get(method.as_str().to_ascii_lowercase()).is_some();
            assert_eq!(offered, listed, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_document_lists_every_parameter_of_a_query() {
    let document: Value = serde_json::from_str(OPENAPI).expect("JSON");
    let door = Door::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            if path == "/v1/openapi.json" || method == "parameters" {
                continue;
            }
            let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).expect("one");
            let documented: BTreeSet<_> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .chain(operations["parameters"].as_array().into_iter().flatten())
                .map(|parameter| resolve(&document, parameter))
                .filter(|parameter| parameter["in"] == "query")
                .filter_map(|parameter| parameter["name"].as_str())
                .collect();
            for name in documented {
                let example = format!("{}?{name}=", example(path).1);
                let answer = door.ask(method.clone(), &example, &[], Body::empty()).await;
                assert!(
                    !answer.text().contains("unknown parameter"),
                    "{method} {path} does not know {name}"
                );
            }
        }
    }
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    fn walk(document: &Value, value: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(reference) = members.get("$ref") {
                    assert!(!resolve(document, value).is_null(), "{reference}");
                }
                members.values().for_each(|member| walk(document, member));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(document, item)),
            _ => {}
        }
    }
    let document: Value = serde_json::from_str(OPENAPI).expect("JSON");
    walk(&document, &document);
}

fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => document.pointer(pointer).unwrap_or(&Value::Null),
        None => value,
    }
}
