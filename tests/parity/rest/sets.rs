//! Change sets, conflicts and branches.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use vdom_testkit::client::operation_id;
use vdom_testkit::http::request;

use super::super::answer::{Answer, Change, Resolve, Seen, Set, Write};
use super::{RestDoor, accepted, escaped, list, number, text};
use crate::refusal::Refusal;

impl RestDoor {
    async fn post(&self, rest: &str, body: &Value) -> Result<Value, Refusal> {
        let url = format!("/v1/repos/{}/branches{rest}", self.repo);
        let mut request = request(Method::POST, &url, body.to_string());
        let headers = request.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        let answer = self.client.send(request).await;
        if answer.status == StatusCode::CONFLICT && answer.json()["conflicts"].is_array() {
            return Ok(answer.json());
        }
        Ok(accepted(answer)?.json())
    }

    pub(super) async fn set(&mut self, set: &Set) -> Result<Answer, Refusal> {
        let diffs: Vec<_> = set.writes.iter().map(|write| self.diff(write)).collect();
        let mut body = json!({ "diffs": diffs });
        if let Some(expected) = set.expected {
            body["expected_revision"] = expected.into();
        }
        if let Some(operation) = set.operation {
            body["operation_id"] = hex::encode(operation_id(operation)).into();
        }
        let answer = self.post("/main/changes", &body).await?;
        Ok(self.set_answer(&set.writes, &answer))
    }

    fn diff(&self, write: &Write) -> Value {
        let mut diff = match &write.change {
            Change::File(content) | Change::Streamed(content) => {
                json!({ "put": STANDARD.encode(content), "encoding": "base64" })
            }
            Change::Document(_) => panic!("no script asks for it"),
            Change::Prepend(text) => json!({ "text": [{ "i": text }] }),
            Change::ReplaceA(value) => {
                json!({ "patch": [{ "op": "replace", "path": "/a", "value": value }] })
            }
            Change::Rename(to) => json!({ "rename": to }),
            Change::Delete => json!({ "delete": true }),
        };
        diff["path"] = write.path.into();
        match write.seen {
            Seen::Nothing => {}
            Seen::Any => diff["on_conflict"] = "overwrite".into(),
            Seen::Version(version) | Seen::Merging(version) => {
                diff["node_id"] = self.ids[write.path].clone().into();
                diff["vector_clock"] = json!({ "anonymous": version });
            }
        }
        if matches!(write.seen, Seen::Merging(_)) {
            diff["on_conflict"] = "merge".into();
        }
        diff
    }

    fn set_answer(&mut self, writes: &[Write], answer: &Value) -> Answer {
        if let Some(conflicts) = answer["conflicts"].as_array() {
            let reason = |conflict: &Value| conflict["reason"].as_str().map(str::to_owned);
            return Answer::SetConflicts(conflicts.iter().map(reason).collect());
        }
        let (first, last) = (number(&answer["first_revision"]), number(&answer["last_revision"]));
        self.last = (number(&answer["epoch"]), last);
        let results = list(&answer["results"]).iter().enumerate().map(|(index, result)| {
            let id = text(&result["node_id"]);
            if let Some(write) = writes.get(index) {
                self.ids.insert(write.ends_at().to_owned(), id.clone());
            }
            (self.numbers.of(&id), number(&result["version"]), number(&result["revision"]))
        });
        Answer::Set { results: results.collect(), revisions: (first, last) }
    }

    pub(super) async fn revert(&mut self, first: u64, last: u64) -> Result<Answer, Refusal> {
        let body = json!({ "first_revision": first, "last_revision": last });
        let answer = self.post("/main/reverts", &body).await?;
        Ok(self.set_answer(&[], &answer))
    }

    pub(super) async fn explain(&mut self) -> Result<Answer, Refusal> {
        let listed = self.get("conflicts").await?.json();
        let first = &listed["conflicts"][0];
        let explained = self.get(&format!("conflicts/{}", text(&first["id"]))).await?.json();
        assert_eq!(&explained["conflict"], first, "as it is listed");
        let unseen = list(&explained["unseen"]["changes"]).iter();
        Ok(Answer::Explanation {
            path: text(&first["conflict"]["path"]),
            unseen: unseen.map(|change| change["revision"].as_u64().expect("a revision")).collect(),
            merge: text(&explained["merge"]),
            hunks: list(&explained["hunks"]).len(),
        })
    }

    pub(super) async fn conflicts(&mut self) -> Result<Answer, Refusal> {
        let answer = self.get("conflicts").await?.json();
        let conflicts = list(&answer["conflicts"]).iter();
        let conflicts = conflicts
            .map(|stored| (text(&stored["conflict"]["path"]), text(&stored["conflict"]["reason"])));
        Ok(Answer::Conflicts(conflicts.collect()))
    }

    pub(super) async fn resolve(&mut self, how: Resolve) -> Result<Answer, Refusal> {
        let listed = self.get("conflicts").await?.json();
        let id = text(&listed["conflicts"][0]["id"]);
        let body = match how {
            Resolve::Ours => json!({ "resolution": "ours" }),
            Resolve::Theirs => json!({ "resolution": "theirs" }),
            Resolve::Manual(content) => json!({ "resolution": "manual", "content": content }),
        };
        let written = self.post(&format!("/main/conflicts/{id}"), &body).await?["written"].take();
        if written.is_null() {
            return Ok(Answer::Done);
        }
        self.last = (number(&written["epoch"]), number(&written["revision"]));
        Ok(Answer::Written {
            node: self.numbers.of(&text(&written["node_id"])),
            version: number(&written["version"]),
            revision: self.last.1,
        })
    }

    pub(super) async fn create_branch(&mut self, name: &str, at: u64) -> Result<Answer, Refusal> {
        let body = json!({ "name": name, "from": "main", "at_revision": at });
        let branch = self.post("", &body).await?;
        let from =
            branch["from"].as_str().map(|from| (from.to_owned(), number(&branch["at_revision"])));
        Ok(Answer::Branch {
            name: text(&branch["name"]),
            revision: number(&branch["revision"]),
            from,
        })
    }

    pub(super) async fn delete_branch(&mut self, name: &str) -> Result<Answer, Refusal> {
        let url = format!("/v1/repos/{}/branches/{}", self.repo, escaped(name));
        accepted(self.client.send(request(Method::DELETE, &url, "")).await)?;
        Ok(Answer::Done)
    }
}
