//! What `vdom up --demo` puts into an empty store: a small site that several
//! people and an agent work on.

use bson::{Document, doc};
use bytes::Bytes;
use vdom_client::{BranchSpec, Client, random_operation_id};
use vdom_core::{Diff, NodePath};
use vdom_proto::v1::{
    CreateBranchRequest, NodeKind, OnConflict, WriteDiffRequest, WriteDiffsRequest,
};

use crate::commands::write;
use crate::exit::Failure;

/// The repo of the demo.
pub(super) const REPO: &str = "demo";

const PAGE: &str = "\
<!doctype html>
<title>Garden</title>
<link rel=\"stylesheet\" href=\"style.css\">
<h1>What grows here</h1>
<p>Tomatoes, beans, and a fig tree that never asked for permission.</p>
";
const STYLE: &str = "body { font: 18px/1.6 serif; max-width: 40em; margin: auto }\n";
const WIDER_STYLE: &str = "\
body { font: 18px/1.6 sans-serif; max-width: 60em; margin: auto }
h1 { color: #2d6a4f }
";
const TASKS: &str = "- [x] plant beans\n- [ ] water the fig tree\n- [ ] write about bees\n";
const SCRIPT: &str =
    "#!/bin/sh\n# Shows the site at http://localhost:8000\npython3 -m http.server 8000\n";

/// What somebody did at once.
struct Step {
    branch: &'static str,
    author: &'static str,
    message: &'static str,
    edits: Vec<Edit>,
}

enum Edit {
    File(&'static str, &'static str),
    Program(&'static str, &'static str),
    Document(&'static str, NodeKind, Document),
    Rename(&'static str, &'static str),
}

/// Fills the store; false where it holds something already.
pub(super) async fn fill(client: &Client) -> Result<bool, Failure> {
    if !client.repos().await?.is_empty() {
        return Ok(false);
    }
    let mut last_revision = 0;
    for step in on_main() {
        last_revision = write(client, step).await?;
    }
    let fork = CreateBranchRequest {
        realm: client.realm(),
        repo: REPO.to_owned(),
        branch: "redesign".to_owned(),
        from_branch: "main".to_owned(),
        at_revision: last_revision,
        operation_id: random_operation_id()?,
    };
    client.create_branch(fork).await?;
    write(client, on_redesign()).await?;
    Ok(true)
}

fn on_main() -> Vec<Step> {
    let step = |author, message, edits| Step { branch: "main", author, message, edits };
    vec![
        step(
            "ann",
            "Begin the garden's page",
            vec![Edit::File("index.html", PAGE), Edit::File("style.css", STYLE)],
        ),
        step(
            "ann",
            "Say what this is about and who looks after it",
            vec![Edit::Document(
                "about",
                NodeKind::Meta,
                doc! { "title": "Garden", "owners": ["ann", "ben"], "license": "CC-BY-4.0" },
            )],
        ),
        step(
            "ben",
            "Keep a list of what is to be done, and a script to look at the page",
            vec![Edit::File("tasks.md", TASKS), Edit::Program("serve.sh", SCRIPT)],
        ),
        step(
            "robot",
            "Announce what I am about to do",
            vec![Edit::Document(
                "intents/bees",
                NodeKind::Intent,
                doc! {
                    "goal": "Write a page about bees",
                    "paths": ["pages/bees.html"],
                    "state": "waiting for ann's word",
                    "done": false,
                },
            )],
        ),
        step("ben", "Give notes a folder", vec![Edit::Rename("tasks.md", "notes/tasks.md")]),
    ]
}

fn on_redesign() -> Step {
    Step {
        branch: "redesign",
        author: "ann",
        message: "Try a wider page with a green title",
        edits: vec![Edit::File("style.css", WIDER_STYLE)],
    }
}

/// Writes a step as one change set; answers with its last revision.
async fn write(client: &Client, step: Step) -> Result<u64, Failure> {
    let diffs = step.edits.into_iter().map(request).collect::<Result<_, _>>()?;
    let set = WriteDiffsRequest {
        realm: client.realm(),
        repo: REPO.to_owned(),
        branch: step.branch.to_owned(),
        operation_id: random_operation_id()?,
        on_conflict: OnConflict::Overwrite.into(),
        author: step.author.to_owned(),
        message: step.message.to_owned(),
        diffs,
        ..WriteDiffsRequest::default()
    };
    let answer = client.write_set(set).await?;
    let branch = BranchSpec { repo: REPO.to_owned(), branch: step.branch.to_owned() };
    Ok(write::accepted_set(answer, &branch)?.last_revision)
}

fn request(edit: Edit) -> Result<WriteDiffRequest, Failure> {
    let with = |path: &str, kind: NodeKind, diff_bson: Bytes| WriteDiffRequest {
        path: path.to_owned(),
        kind: kind.into(),
        diff_bson,
        ..WriteDiffRequest::default()
    };
    Ok(match edit {
        Edit::File(path, text) => with(path, NodeKind::File, Diff::put_file(text.as_bytes())),
        Edit::Program(path, text) => {
            let put = Diff::put_file(text.as_bytes());
            let mode = [("mode", "100755")];
            with(path, NodeKind::File, Diff::attributes_then(mode, [], Some(&put))?)
        }
        Edit::Document(path, kind, document) => {
            let document = document
                .to_vec()
                .map_err(|error| Failure::failed(format!("a document of the demo: {error}")))?;
            with(path, kind, Diff::put_document(&document))
        }
        Edit::Rename(from, to) => {
            with(from, NodeKind::Unspecified, Diff::rename(&NodePath::parse(to)?, None))
        }
    })
}
