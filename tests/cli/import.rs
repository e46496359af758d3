//! Bringing directories in.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;

use vdom_testkit::files::files_below;

use super::{Shell, text};

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("below")).expect("created");
        fs::write(path, content).expect("written");
    }
    folder
}

async fn import(shell: &Shell, folder: &Path, more: &[&str]) -> Value {
    let arguments = [&["--json", "import", text(folder), "--repo", "site"], more].concat();
    shell.run(&arguments).await.succeeded().records().remove(0)
}

fn counts(summary: &Value) -> Value {
    json!([summary["files"], summary["written"], summary["unchanged"], summary["deleted"]])
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_differs_is_written_again() {
    let shell = Shell::start().await;
    let folder = folder(&[("a", "one"), (".hidden/b", "two"), ("run.sh", "#!"), (".git/x", "no")]);
    symlink("a", folder.path().join("link")).expect("linked");
    assert_eq!(counts(&import(&shell, folder.path(), &[]).await), json!([4, 4, 0, 0]));
    assert_eq!(counts(&import(&shell, folder.path(), &[]).await), json!([4, 0, 4, 0]));

    fs::write(folder.path().join("a"), "ONE").expect("written");
    let executable = Permissions::from_mode(0o755);
    fs::set_permissions(folder.path().join("run.sh"), executable).expect("set");
    fs::remove_file(folder.path().join(".hidden/b")).expect("removed");
    assert_eq!(counts(&import(&shell, folder.path(), &[]).await), json!([3, 2, 1, 0]));
    assert_eq!(counts(&import(&shell, folder.path(), &["--delete"]).await), json!([3, 0, 3, 1]));

    let listed = shell.run(&["ls", "site", "--fresh", "--json"]).await.succeeded().records();
    let attributes: Vec<_> =
        listed.iter().map(|entry| json!([entry["path"], entry["attributes"]])).collect();
    let expected = [
        json!(["a", {}]),
        json!(["link", { "symlink": "a" }]),
        json!(["run.sh", { "mode": "100755" }]),
    ];
    assert_eq!(attributes, expected);
    assert_eq!(shell.cat("site", "a").await, b"ONE");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_no_node_can_hold_are_listed_and_the_others_brought_in() {
    let shell = Shell::start().await;
    let folder = folder(&[("good", "x"), ("large", "x"), ("gone", "x")]);
    let large = fs::File::options().write(true).open(folder.path().join("large")).expect("opened");
    large.set_len((100 << 20) + 1).expect("made");
    symlink(OsStr::from_bytes(b"\xff"), folder.path().join("link")).expect("linked");
    shell.put("site", "kept", b"x").await;
    let arguments = ["import", text(folder.path()), "--repo", "site", "--delete"];
    let ran = shell.run(&arguments).await;
    ran.refused(
        1,
        &["2 files were not brought in", "not UTF-8", "holds at most", "nothing is deleted"],
    );
    assert!(ran.text().contains("2 written"), "{ran:?}");
    let listed = shell.run(&["ls", "site", "--fresh"]).await.succeeded();
    assert_eq!(listed.text(), "gone\ngood\nkept\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_import_goes_on_when_it_is_run_again() {
    let shell = Shell::start().await;
    let names: Vec<_> = (0..2_000).map(|number| format!("{}/{number}", number % 40)).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
    let folder = folder(&files);
    let arguments = ["import", text(folder.path()), "--repo", "site", "--jobs", "4"];
    let mut command = shell.command(&arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
    vdom_testkit::eventually("some files are there", async || {
        shell.run(&["ls", "site", "--fresh"]).await.text().lines().count() > 50
    })
    .await;
    child.kill().await.expect("killed, or done already");
    let summary = import(&shell, folder.path(), &[]).await;
    assert_eq!(summary["files"], 2_000);
    assert!(summary["unchanged"].as_u64().is_some_and(|number| number > 50), "{summary}");
    let log = shell.run(&["log", "site", "-n", "0", "--json"]).await.succeeded();
    assert_eq!(log.records().len(), 2_000, "a file was written twice");
    assert_eq!(shell.cat("site", "39/1999").await, b"39/1999");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_another_kind_of_node_stands_for_is_left_alone() {
    let shell = Shell::start().await;
    shell.run_with(b"{}", &["put", "site", "a", "--kind", "meta"]).await.succeeded();
    let folder = folder(&[("a", "x"), ("b", "x")]);
    let ran = shell.run(&["import", text(folder.path()), "--repo", "site"]).await;
    ran.refused(1, &["1 file was not brought in", "a document of that name"]);
    assert_eq!(shell.cat("site", "b").await, b"x");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_are_no_text_hold_and_secrets_are_told() {
    let shell = Shell::start().await;
    let folder = folder(&[("secret.env", "KEY=1"), ("a", "x"), ("config/.env", "KEY=2")]);
    fs::write(folder.path().join(".gitignore"), b"*.o\n# J\xfcrgen\nsecret.env\n")
        .expect("written");
    let arguments = ["import", text(folder.path()), "--repo", "site", "--gitignore"];
    let ran = shell.run(&arguments).await.succeeded();
    assert!(ran.stderr.contains("secret") && ran.stderr.contains("config/.env"), "{ran:?}");
    let listed = shell.run(&["ls", "site", "--fresh"]).await.succeeded();
    assert_eq!(listed.text(), ".gitignore\na\nconfig/.env\n");
    let all = import(&shell, folder.path(), &[]).await;
    assert_eq!(all["secrets"], json!(["secret.env"]), "what was there is told no more");

    let mirror = ["--json", "mirror", text(folder.path()), "--repo", "mirrored", "--once"];
    let told = shell.run(&mirror).await.succeeded().records();
    let secrets: Vec<_> = told
        .iter()
        .filter(|event| event["event"] == "secret")
        .map(|event| &event["path"])
        .collect();
    assert_eq!(secrets, ["config/.env"]);
    let listed = shell.run(&["ls", "mirrored", "--fresh"]).await.succeeded();
    assert_eq!(listed.text(), ".gitignore\na\nconfig/.env\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_cannot_be_read_stop_the_command() {
    let shell = Shell::start().await;
    let folder = folder(&[("secret.env", "KEY=1")]);
    symlink(".gitignore", folder.path().join(".gitignore")).expect("linked");
    let import = ["import", text(folder.path()), "--repo", "site", "--gitignore"];
    shell.run(&import).await.refused(1, &["cannot read the rules", ".gitignore"]);
    let mirror = ["mirror", text(folder.path()), "--repo", "site", "--once"];
    shell.run(&mirror).await.refused(1, &["cannot read the rules", ".gitignore"]);
    shell.run(&["ls", "site", "--fresh"]).await.refused(3, &["site"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_no_node_can_have_come_back_as_they_were() {
    let shell = Shell::start().await;
    let original = folder(&[("e\u{301}", "1"), ("[incomplete", "2"), ("tab\tbed/x", "3")]);
    fs::write(original.path().join(OsStr::from_bytes(b"bad\xff")), "4").expect("written");
    assert_eq!(counts(&import(&shell, original.path(), &[]).await), json!([4, 4, 0, 0]));
    assert_eq!(counts(&import(&shell, original.path(), &["--delete"]).await), json!([4, 0, 4, 0]));
    let back = tempfile::tempdir().expect("a folder");
    let target = back.path().join("back");
    shell.run(&["export", text(&target), "--repo", "site"]).await.succeeded();
    let files = |root: &Path| -> Vec<_> {
        let named = |path: PathBuf| {
            let content = fs::read(&path).expect("readable");
            (path.strip_prefix(root).expect("below").to_owned(), content)
        };
        files_below(root).into_iter().map(named).collect()
    };
    assert_eq!(files(&target), files(original.path()));
    // A mirror of the same directory finds nothing to do.
    let mirror = ["--json", "mirror", text(original.path()), "--repo", "site", "--once"];
    let told = shell.run(&mirror).await.succeeded().records();
    assert!(told.iter().all(|event| event["event"] == "in_step"), "{told:?}");
}
