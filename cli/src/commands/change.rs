//! How a change is printed, by `vdom log` and `vdom watch`.

use serde_json::{Value, json};
use vdom_client::is_resume_point;
use vdom_proto::v1::ChangeEvent;
use vdom_proto::v1::change_event::Type;

use super::ls::kind_name;
use crate::extended_json;
use crate::humanize::{printable, time};
use crate::output::{Painter, Tone};

/// A change as a line, with the date that its author gave it or that it was written at, and
/// its message as a second one.
pub(crate) fn lines(event: &ChangeEvent, painter: &Painter) -> String {
    let path = printable(&event.path);
    let path = if event.old_path.is_empty() {
        path
    } else {
        format!("{} -> {path}", printable(&event.old_path))
    };
    let tone = match event.r#type() {
        Type::Create => Tone::Good,
        Type::Delete => Tone::Bad,
        _ => Tone::Plain,
    };
    let mut text = format!(
        "{}  {}  {}  {path}  v{}  {}",
        painter.paint(Tone::Strong, &format!("#{:<6}", event.revision)),
        painter.paint(Tone::Faint, &time(event.authored_at.as_ref().or(event.timestamp.as_ref()))),
        painter.paint(tone, &format!("{:6}", type_name(event.r#type()))),
        event.version,
        printable(&event.author),
    );
    if !event.message.is_empty() {
        text.push_str("\n    ");
        text.push_str(&printable(event.message.lines().next().unwrap_or_default()));
    }
    if !event.diff_bson.is_empty() {
        let diff = extended_json::to_json(&event.diff_bson)
            .map_or_else(|failure| failure.message, |diff| diff.to_string());
        text.push_str("\n    ");
        text.push_str(&printable(&diff));
    }
    text
}

/// A change for programs. `resume` is a value for `vdom watch --from`.
pub(crate) fn record(event: &ChangeEvent) -> Value {
    let mut record = json!({
        "type": type_name(event.r#type()),
        "epoch": event.epoch,
        "revision": event.revision,
    });
    if is_resume_point(event) {
        record["resume"] = format!("{}.{}", event.epoch, event.revision).into();
    }
    if event.r#type() == Type::Progress {
        return record;
    }
    record["path"] = event.path.clone().into();
    record["kind"] = kind_name(event.kind()).into();
    record["node_id"] = hex::encode(&event.node_id).into();
    record["version"] = event.version.into();
    record["author"] = event.author.clone().into();
    record["timestamp"] = time(event.timestamp.as_ref()).into();
    if event.authored_at.is_some() {
        record["authored_at"] = time(event.authored_at.as_ref()).into();
    }
    record["hash"] = hex::encode(&event.hash).into();
    if !event.old_path.is_empty() {
        record["old_path"] = event.old_path.clone().into();
    }
    if !event.message.is_empty() {
        record["message"] = event.message.clone().into();
    }
    if !event.metadata.is_empty() {
        record["metadata"] = json!(event.metadata);
    }
    if let Some(position) = &event.change_set {
        record["change_set"] = json!({
            "id": hex::encode(&position.id),
            "index": position.index,
            "size": position.size,
        });
    }
    if let Ok(diff) = extended_json::to_json(&event.diff_bson) {
        record["diff"] = diff;
    }
    record
}

fn type_name(kind: Type) -> &'static str {
    match kind {
        Type::Create => "create",
        Type::Update | Type::Unspecified => "update",
        Type::Delete => "delete",
        Type::Rename => "rename",
        Type::Progress => "progress",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vdom_proto::v1::ChangeSetPosition;

    #[test]
    fn the_authors_date_comes_first() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let written = ChangeEvent { timestamp: at(86_400), ..ChangeEvent::default() };
        assert!(lines(&written, &Painter::colorless()).contains("1970-01-02"));
        let authored = ChangeEvent { authored_at: at(0), ..written };
        assert!(lines(&authored, &Painter::colorless()).contains("1970-01-01"));
        assert_eq!(record(&authored)["authored_at"], "1970-01-01T00:00:00Z");
    }

    fn event_of_set(index: u32) -> ChangeEvent {
        ChangeEvent {
            r#type: Type::Create.into(),
            path: "a".into(),
            epoch: 9,
            revision: 4,
            change_set: Some(ChangeSetPosition { id: vec![1; 16].into(), index, size: 2 }),
            ..ChangeEvent::default()
        }
    }

    #[test]
    fn only_the_last_event_of_a_change_set_names_a_resume_point() {
        assert_eq!(record(&event_of_set(0)).get("resume"), None);
        assert_eq!(record(&event_of_set(1))["resume"], "9.4");
        assert_eq!(record(&ChangeEvent::default())["resume"], "0.0");
    }

    #[test]
    fn text_of_others_cannot_control_the_terminal() {
        let event = ChangeEvent {
            path: "a\u{1b}[31m".into(),
            author: "b\u{7}".into(),
            message: "c\rd".into(),
            ..ChangeEvent::default()
        };
        let text = lines(&event, &Painter::colorless());
        assert!(
            text.chars().all(|character| character == '\n' || !character.is_control()),
            "{text:?}"
        );
    }
}
