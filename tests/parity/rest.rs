//! Asks over REST.

mod sets;

use std::collections::HashMap;
use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use vdom_core::NodeKind;
use vdom_testkit::client::operation_id;
use vdom_testkit::http::{HttpAnswer, HttpClient, request};

use super::Door;
use super::answer::{
    Answer, Ask, At, Change, ChangeLine, Elsewhere, Node, Numbers, Seen, TreeNode, Write,
};
use crate::refusal::Refusal;

pub(super) struct RestDoor {
    client: HttpClient,
    repo: String,
    numbers: Numbers,
    /// The id of the node at each path.
    ids: HashMap<String, String>,
    /// Epoch and revision of the last write.
    last: (u64, u64),
}

impl RestDoor {
    pub(super) fn new(client: HttpClient, repo: &str) -> Self {
        Self {
            client,
            repo: repo.to_owned(),
            numbers: Numbers::default(),
            ids: HashMap::new(),
            last: (0, 0),
        }
    }

    async fn write(&mut self, write: &Write) -> Result<Answer, Refusal> {
        let answer = accepted(self.client.send(self.write_request(write)).await)?.json();
        let id = text(&answer["node_id"]);
        self.ids.insert(write.ends_at().to_owned(), id.clone());
        self.last = (number(&answer["epoch"]), number(&answer["revision"]));
        Ok(Answer::Written {
            node: self.numbers.of(&id),
            version: number(&answer["version"]),
            revision: self.last.1,
        })
    }

    fn write_request(&self, write: &Write) -> Request<Full<Bytes>> {
        let (method, query, content_type, body) = match &write.change {
            Change::File(content) | Change::Streamed(content) => {
                (Method::PUT, String::new(), "application/octet-stream", content.clone())
            }
            Change::Document(document) => {
                (Method::PUT, String::new(), "application/bson", document.clone())
            }
            Change::Prepend(text) => {
                let operations = json!([{ "i": text }]).to_string();
                let kind = "application/vnd.vdom.text+json";
                (Method::PATCH, String::new(), kind, operations.into())
            }
            Change::ReplaceA(value) => {
                let patch = json!([{ "op": "replace", "path": "/a", "value": value }]).to_string();
                (Method::PATCH, String::new(), "application/json-patch+json", patch.into())
            }
            Change::Rename(to) => {
                (Method::POST, format!("rename={}&", escaped(to)), "", Bytes::new())
            }
            Change::Delete => (Method::DELETE, String::new(), "", Bytes::new()),
        };
        let (mut repo, mut branch, mut realm) = (self.repo.as_str(), "main", "");
        match write.elsewhere {
            None => {}
            Some(Elsewhere::Realm(name)) => realm = name,
            Some(Elsewhere::Repo(name)) => repo = name,
            Some(Elsewhere::Branch(name)) => branch = name,
        }
        let keep = if write.keep { "keep_conflict=true&" } else { "" };
        let rule = match write.seen {
            Seen::Merging(_) => "on_conflict=merge&",
            _ => "",
        };
        let url = format!(
            "/v1/repos/{}/branches/{}/nodes/{}?{query}{keep}{rule}realm={}",
            escaped(repo),
            escaped(branch),
            escaped(write.path),
            escaped(realm),
        );
        let mut request = request(method, &url, body);
        let mut header = |name: &'static str, value: &str| {
            let value = HeaderValue::try_from(value).expect("text");
            request.headers_mut().insert(HeaderName::from_static(name), value);
        };
        if !content_type.is_empty() {
            header("content-type", content_type);
        }
        if let Some(operation) = write.operation {
            header("idempotency-key", &hex::encode(operation_id(operation)));
        }
        match write.seen {
            Seen::Nothing => header("if-none-match", "*"),
            Seen::Any => {}
            Seen::Version(version) | Seen::Merging(version) => {
                header("if-match", &format!("\"{}.{version}\"", self.ids[write.path]));
            }
        }
        request
    }

    async fn get(&self, rest: &str) -> Result<HttpAnswer, Refusal> {
        let url = format!("/v1/repos/{}/branches/main/{rest}", self.repo);
        accepted(self.client.get(&url).await)
    }

    fn at(&self, at: At) -> String {
        let (epoch, last) = self.last;
        match at {
            At::Latest if last == 0 => String::new(),
            At::Latest => format!("min_revision={last}&min_epoch={epoch}"),
            At::Revision(revision) => format!("revision={revision}"),
            At::NotBefore(revision) => format!("min_revision={revision}&min_epoch={epoch}"),
            At::After(operation) => {
                format!("after_operation={}", hex::encode(operation_id(operation)))
            }
        }
    }

    async fn read(&mut self, path: &str, at: At) -> Result<Answer, Refusal> {
        let answer = self.get(&format!("nodes/{}?{}", escaped(path), self.at(at))).await?;
        let header = |name: &str| {
            let header = answer.header(name);
            header.unwrap_or_else(|| panic!("no {name}: {answer:?}")).to_owned()
        };
        let number = |name: &str| header(name).parse().expect("a number");
        let (id, version) = (header("x-vdom-node-id"), number("x-vdom-version"));
        assert_eq!(header("etag"), format!("\"{id}.{version}\""));
        Ok(Answer::Node(Node {
            number: self.numbers.of(&id),
            path: path.to_owned(),
            kind: kind(&header("x-vdom-kind")),
            version,
            revision: number("x-vdom-revision"),
            changed_revision: number("x-vdom-changed-revision"),
            author: header("x-vdom-author"),
            content: answer.body.clone(),
        }))
    }

    async fn tree(&mut self, prefix: &str, at: At) -> Result<Answer, Refusal> {
        let answer = self.get(&format!("tree?prefix={prefix}&{}", self.at(at))).await?.json();
        let nodes = list(&answer["entries"]).iter().map(|entry| TreeNode {
            number: self.numbers.of(&text(&entry["node_id"])),
            path: text(&entry["path"]),
            kind: kind(&text(&entry["kind"])),
            version: number(&entry["version"]),
            size_bytes: number(&entry["size_bytes"]),
        });
        Ok(Answer::Tree { nodes: nodes.collect(), revision: answer["revision"].as_u64() })
    }

    async fn history(&mut self, path: Option<&str>) -> Result<Answer, Refusal> {
        let answer = match path {
            None => self.get("history").await?,
            Some(path) => self.get(&format!("nodes/{}?history", escaped(path))).await?,
        };
        let answer = answer.json();
        Ok(Answer::Changes(list(&answer["changes"]).iter().map(line).collect()))
    }

    /// Reads server-sent events.
    async fn changes(&mut self, count: usize) -> Result<Answer, Refusal> {
        let epoch = self.last.0;
        let url = format!("/v1/repos/{}/branches/main/changes?from={epoch}.0", self.repo);
        let mut body = self.client.open(request(Method::GET, &url, "")).await.into_body();
        let (mut text, mut lines) = (String::new(), Vec::new());
        while lines.len() < count {
            let frame = body.frame().await.expect("it goes on").expect("fine");
            text.push_str(std::str::from_utf8(frame.data_ref().expect("data")).expect("UTF-8"));
            while let Some((event, rest)) = text.split_once("\n\n") {
                if event.starts_with("event: change\n") {
                    let (_, data) = event.split_once("data: ").expect("data");
                    let change: Value = serde_json::from_str(data).expect("JSON");
                    let id = format!("id: {epoch}.{}\n", change["revision"]);
                    assert!(event.contains(&id), "{event}");
                    lines.push(line(&change));
                }
                text = rest.to_owned();
            }
        }
        Ok(Answer::Changes(lines))
    }

    async fn branches(&mut self) -> Result<Answer, Refusal> {
        let (mut branches, mut token) = (Vec::new(), String::new());
        loop {
            let page = format!("page_size=1&page_token={token}");
            let url = format!("/v1/repos/{}/branches?{page}", self.repo);
            let answer = accepted(self.client.get(&url).await)?.json();
            let page = list(&answer["branches"]).iter();
            branches.extend(page.map(|it| (text(&it["name"]), number(&it["revision"]))));
            match answer["next_page_token"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => return Ok(Answer::Branches(branches)),
            }
        }
    }
}

#[async_trait::async_trait]
impl Door for RestDoor {
    async fn ask(&mut self, ask: &Ask) -> Option<Answer> {
        let answer = match ask {
            Ask::Write(write) => self.write(write).await,
            Ask::Read { path, at } => self.read(path, *at).await,
            Ask::ReadById { .. } | Ask::ReadMany { .. } => return None,
            Ask::Tree { prefix, at } => self.tree(prefix, *at).await,
            Ask::History { path } => self.history(*path).await,
            Ask::Changes { count } => self.changes(*count).await,
            Ask::Set(set) => self.set(set).await,
            Ask::Revert { first, last } => self.revert(*first, *last).await,
            Ask::Conflicts => self.conflicts().await,
            Ask::Explain => self.explain().await,
            Ask::Resolve(how) => self.resolve(*how).await,
            Ask::Branches => self.branches().await,
            Ask::CreateBranch { name, at } => self.create_branch(name, *at).await,
            Ask::DeleteBranch { name } => self.delete_branch(name).await,
        };
        Some(answer.unwrap_or_else(|refusal| match refusal.code.as_str() {
            "Conflict" | "FailedPrecondition" => Answer::Conflict,
            _ => Answer::Refused(refusal.code),
        }))
    }
}

fn accepted(answer: HttpAnswer) -> Result<HttpAnswer, Refusal> {
    if answer.status.is_success() { Ok(answer) } else { Err(Refusal::from_http(&answer)) }
}

/// Percent-encodes everything that could mean something in a URL, slashes too.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut url, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                url.push(char::from(byte));
            }
            _ => write!(url, "%{byte:02X}").expect("written to memory"),
        }
        url
    })
}

fn line(change: &Value) -> ChangeLine {
    ChangeLine {
        revision: number(&change["revision"]),
        change: text(&change["type"]),
        path: text(&change["path"]),
        old_path: change["old_path"].as_str().unwrap_or_default().to_owned(),
        version: number(&change["version"]),
        author: text(&change["author"]),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

fn kind(name: &str) -> NodeKind {
    match name {
        "file" => NodeKind::File,
        "intent" => NodeKind::Intent,
        "meta" => NodeKind::Meta,
        other => panic!("no kind: {other:?}"),
    }
}
