//! REST with curl: HTTP/1.1 that offers an upgrade, HTTP/2 without TLS, and over TLS.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use vdom_testkit::certificate::Certificate;
use vdom_testkit::clients::program;
use vdom_testkit::gateway::TestGateway;
use vdom_testkit::skipped;

use super::fixture::{Fixture, succeeded};

const EVENT_WITHIN: Duration = Duration::from_secs(20);

/// curl as it is asked to speak, at one branch.
struct Curl {
    program: PathBuf,
    options: Vec<String>,
    branch: String,
    /// What it must end up speaking.
    version: &'static str,
}

impl Curl {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--silent", "--show-error", "--disable"]).args(&self.options);
        command.kill_on_drop(true);
        command
    }

    /// The status of an answer, and what came before it: its body.
    async fn ask(&self, path: &str, arguments: &[&str]) -> (String, String) {
        let ran = self
            .command()
            .args(["--max-time", "20", "--write-out", "\n%{http_code} %{http_version}"])
            .args(arguments)
            .arg(format!("{}{path}", self.branch))
            .output()
            .await
            .expect("curl runs");
        let what = format!("{} {path}", self.options.join(" "));
        succeeded(&ran, &what);
        let said = String::from_utf8(ran.stdout).expect("UTF-8");
        let (body, end) = said.rsplit_once('\n').expect("a last line");
        let (status, version) = end.split_once(' ').expect("status and version");
        assert_eq!(version, self.version, "{what}");
        (status.to_owned(), body.to_owned())
    }

    async fn put(&self, path: &str, content: &str) {
        let (status, body) =
            self.ask(&format!("/nodes/{path}"), &["-X", "PUT", "--data-binary", content]).await;
        assert!(["200", "201"].contains(&status.as_str()), "{status}: {body}");
    }

    /// Follows the branch until `written` has led to a change: its id and its path.
    async fn next_change(&self, options: &[&str], written: Option<&str>) -> (String, String) {
        let mut curl = self
            .command()
            .arg("--no-buffer")
            .args(options)
            .arg(format!("{}/changes", self.branch))
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl runs");
        let mut lines = BufReader::new(curl.stdout.take().expect("its output")).lines();
        let (mut id, mut is_change, mut is_written) = (String::new(), false, false);
        let watched = async {
            loop {
                let line = lines.next_line().await.expect("readable").expect("it goes on");
                match line.split_once(": ") {
                    Some(("event", kind)) => {
                        is_change = kind == "change";
                        // From the first progress on nothing is missed.
                        if let (Some(path), false) = (written, is_written) {
                            is_written = true;
                            self.put(path, "").await;
                        }
                    }
                    Some(("id", value)) => value.clone_into(&mut id),
                    Some(("data", data)) if is_change => {
                        let change: Value = serde_json::from_str(data).expect("JSON");
                        return change["path"].as_str().expect("a path").to_owned();
                    }
                    _ => {}
                }
            }
        };
        let path = tokio::time::timeout(EVENT_WITHIN, watched).await.expect("an event within 20 s");
        curl.kill().await.expect("it was running");
        (id, path)
    }

    async fn puts_gets_and_watches(&self, folder: &Path) {
        self.put("node", "first").await;
        let tag = folder.join("tag");
        let tag = tag.to_str().expect("UTF-8");
        let read = self.ask("/nodes/node", &["--etag-save", tag]).await;
        assert_eq!(read, ("200".to_owned(), "first".to_owned()));
        let same = self.ask("/nodes/node", &["--etag-compare", tag]).await;
        assert_eq!(same, ("304".to_owned(), String::new()));
        self.put("node", "second").await;
        let changed = self.ask("/nodes/node", &["--etag-compare", tag]).await;
        assert_eq!(changed, ("200".to_owned(), "second".to_owned()));

        let (id, path) = self.next_change(&[], Some("live")).await;
        assert_eq!(path, "live");
        self.put("later", "").await;
        let resume = format!("Last-Event-ID: {id}");
        let (_, path) = self.next_change(&["--header", &resume], None).await;
        assert_eq!(path, "later", "after {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_speaks_every_http() {
    let program = match program("curl") {
        Ok(program) => program,
        Err(reason) => return skipped("curl_speaks_every_http", &reason),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let fixture = Fixture::start().await;
    let token = format!("Authorization: Bearer {}", fixture.writer());
    for door in fixture.doors() {
        // Nobody need take the upgrade that the first one offers, and we do not.
        for (how, version) in [("--http2", "1.1"), ("--http2-prior-knowledge", "2")] {
            let options = [how, "--header", &token].map(str::to_owned).to_vec();
            let branch = format!("{}/v1/repos/{}/branches/http-{version}", door.url(), door.name);
            let curl = Curl { program: program.clone(), options, branch, version };
            curl.puts_gets_and_watches(folder.path()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_speaks_http2_over_tls() {
    const TEST: &str = "curl_speaks_http2_over_tls";
    let program = match program("curl") {
        Ok(program) => program,
        Err(reason) => return skipped(TEST, &reason),
    };
    let certificate = match Certificate::generate().await {
        Ok(certificate) => certificate,
        Err(reason) => return skipped(TEST, &reason),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = TestGateway::over_tls(&certificate).await;
    let trusted = certificate.certificate.display().to_string();
    let branch = format!("https://{}/v1/repos/tls/branches/main", gateway.addresses.http);
    let options = ["--http2", "--cacert", &trusted].map(str::to_owned).to_vec();
    let curl = Curl { program, options, branch, version: "2" };
    curl.puts_gets_and_watches(folder.path()).await;
}
