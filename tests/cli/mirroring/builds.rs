//! A real build in a mirrored directory, while both sides edit.

use std::time::Duration;

use vdom_testkit::files::Files;
use vdom_testkit::skipped;

use super::*;

/// Vendored packages without dependencies of their own.
const PACKAGES: [&str; 4] = ["adler2", "anstyle", "anyhow", "atomic-waker"];

#[tokio::test(flavor = "multi_thread")]
async fn a_build_runs_in_the_mirrored_vendored_tree_while_both_sides_edit() {
    let test = "a_build_runs_in_the_mirrored_vendored_tree_while_both_sides_edit";
    let Some(files) = Files::vendored(700) else {
        return skipped(test, "nothing is vendored: `make bootstrap` does that");
    };
    let scene = Scene::start().await;
    let source = files.folder.path();
    let vendor = source.join("vendor");
    fs::create_dir(&vendor).expect("made");
    for entry in fs::read_dir(source).expect("listed") {
        let entry = entry.expect("an entry").path();
        let target = vendor.join(entry.file_name().expect("a name"));
        if entry != vendor {
            fs::rename(&entry, target).expect("moved");
        }
    }
    program(source);
    let import = ["import", text(source), "--repo", REPO];
    scene.shell.run(&import).await.succeeded();

    let mirror = scene.mirror().await;
    let building = tokio::spawn(check(scene.directory()));
    let mut edits = 0_u32;
    while !building.is_finished() {
        scene.put("src/there.rs", &module("there", edits)).await;
        scene.replace("src/here.rs", &module("here", edits));
        edits += 1;
        // Edits as people and agents make them, not as fast as can be.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    building.await.expect("it ran");
    scene.put("src/there.rs", &module("there", edits)).await;
    scene.write("src/here.rs", &module("here", edits));
    eventually("the last edits are on both sides", async || {
        let branch = scene.client.clone().read("src/here.rs").await.expect("there").content;
        let disk = fs::read(scene.path("src/there.rs")).expect("there");
        branch == module("here", edits) && disk == module("there", edits).as_bytes()
    })
    .await;
    check(scene.directory()).await;

    let built = |path: &String| path.starts_with("target/");
    let same = async || {
        let mut disk = scene.on_disk();
        assert!(disk.keys().any(built), "nothing was built");
        disk.retain(|path, _| !built(path));
        let branch = scene.in_branch().await;
        assert!(!branch.keys().any(built), "what was built is in the branch");
        disk == branch
    };
    eventually("both sides are the same, file for file", same).await;
    assert!(scene.in_branch().await.len() > 700);
    assert!(scene.in_branch().await.contains_key("Cargo.lock"), "what cargo wrote is sent");
    mirror.end().await;
}

fn module(name: &str, number: u32) -> String {
    format!("//! Edited.\n\npub fn {name}() -> u32 {{\n    {number}\n}}\n")
}

/// A program that uses vendored packages and has a module for each side.
fn program(root: &Path) {
    let mut manifest =
        "[package]\nname = \"probe\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\n"
            .to_owned();
    for package in PACKAGES {
        manifest.push_str(package);
        manifest.push_str(" = { version = \"*\", default-features = false }\n");
    }
    manifest.push_str("\n[workspace]\n");
    let config = "[source.crates-io]\nreplace-with = \"vendored-sources\"\n\n\
                  [source.vendored-sources]\ndirectory = \"vendor\"\n";
    let main = "mod here;\nmod there;\n\nfn main() {\n    \
                println!(\"{}\", here::here() + there::there());\n}\n";
    for (path, content) in [
        ("Cargo.toml", manifest.as_str()),
        (".cargo/config.toml", config),
        (".gitignore", "/target/\n"),
        ("src/main.rs", main),
        ("src/here.rs", &module("here", 0)),
        ("src/there.rs", &module("there", 0)),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, content).expect("written");
    }
}

async fn check(directory: PathBuf) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let checked = Command::new(cargo)
        .args(["check", "--offline", "--quiet"])
        .current_dir(&directory)
        .env("CARGO_TARGET_DIR", directory.join("target"))
        .kill_on_drop(true)
        .output();
    let checked = tokio::time::timeout(Duration::from_secs(120), checked).await;
    let checked = checked.expect("within 120 s").expect("cargo runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
