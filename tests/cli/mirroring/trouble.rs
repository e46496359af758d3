//! What a mirror does where the disk or a person makes a mistake.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_finds_no_room_waits_and_others_go_on() {
    let scene = Scene::start().await;
    scene.put("small", "old").await;
    let directory = scene.directory();
    let mirror = scene.shell.command(&["--json", "mirror", text(&directory), "--repo", REPO]);
    let mirror = mirror.as_std();
    // No file above 8 KiB finds room, as on a disk that is full.
    let mut limited = Command::new("bash");
    limited.args(["-c", "trap '' XFSZ; ulimit -S -f 8; exec \"$@\"", "bash"]);
    limited.arg(mirror.get_program()).args(mirror.get_args()).env_clear();
    limited.envs(mirror.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mirror = Mirror::start(limited);
    mirror.heard("in step", |event| event["event"] == "in_step").await;
    let large = "x".repeat(20_000);
    scene.put("large", &large).await;
    let problem = mirror.heard("a problem", |event| event["event"] == "problem").await;
    assert_eq!(problem["path"], "large");
    // Nor does what the mirror itself keeps, once that is larger.
    for number in 0..60 {
        scene.put(&format!("folder/{number}"), "x").await;
    }
    let is_state =
        |event: &Value| event["path"].as_str().is_some_and(|path| path.ends_with("state.json"));
    mirror.heard("a problem of the state", is_state).await;
    scene.put("small", "new").await;
    let read = |path: &str| fs::read_to_string(scene.path(path)).unwrap_or_default();
    eventually("others go on", async || read("small") == "new").await;
    assert!(!scene.path("large").exists());

    let pid = mirror.child.id().expect("it runs").to_string();
    let mut raised = std::process::Command::new("prlimit");
    raised.args(["--pid", &pid, "--fsize=unlimited"]);
    assert!(raised.status().expect("prlimit runs").success());
    eventually("it comes once there is room", async || read("large") == large).await;
    mirror.end().await;
    scene.once(&[]).await.succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_was_emptied_does_not_empty_the_branch() {
    let scene = Scene::start().await;
    let paths: Vec<_> = (0..24).map(|number| format!("folder/{number}")).collect();
    let write_all = || paths.iter().for_each(|path| scene.write(path, path));
    write_all();
    scene.once(&[]).await.succeeded();
    let mirror = scene.mirror().await;
    fs::remove_dir_all(scene.path("folder")).expect("removed");
    let held = mirror.heard("deletions wait", |event| event["event"] == "deletions_held").await;
    assert!(held["advice"].as_str().is_some_and(|text| text.contains("--allow-deletions")));
    // Everything else goes on.
    scene.write("new", "here");
    scene.put("other", "there").await;
    let there = async |path: &str| scene.in_branch().await.contains_key(path);
    eventually("others go on", async || there("new").await && scene.path("other").exists()).await;
    assert!(scene.in_branch().await.len() > 12, "more than half is gone");
    mirror.end().await;

    let ran = scene.once(&[]).await;
    assert_eq!(ran.exit, 1, "{ran:?}");
    // What comes back was never gone; what was moved is moved.
    let before = scene.in_branch().await;
    fs::create_dir_all(scene.path("moved")).expect("made");
    write_all();
    scene.once(&[]).await.succeeded();
    assert_eq!(scene.in_branch().await.keys().len(), before.len().max(26));
    fs::rename(scene.path("folder"), scene.path("elsewhere")).expect("moved");
    scene.once(&[]).await.succeeded();
    assert!(there("elsewhere/7").await && !there("folder/7").await);
    fs::remove_dir_all(scene.path("elsewhere")).expect("removed");
    assert_eq!(scene.once(&[]).await.exit, 1);
    scene.once(&["--allow-deletions"]).await.succeeded();
    assert_eq!(scene.in_branch().await.keys().collect::<Vec<_>>(), ["new", "other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_at_a_terminal_is_asked() {
    let scene = Scene::start().await;
    let paths: Vec<_> = (0..24).map(|number| format!("folder/{number}")).collect();
    for path in &paths {
        scene.write(path, path);
    }
    scene.once(&[]).await.succeeded();
    fs::remove_dir_all(scene.path("folder")).expect("removed");
    let directory = scene.directory();
    let mirror = scene.shell.command(&["mirror", text(&directory), "--repo", REPO, "--once"]);
    let mirror = mirror.as_std();
    // Answers once it is asked.
    let terminal = "import os, pty, sys\n\
        pid, terminal = pty.fork()\n\
        if pid == 0: os.execv(sys.argv[1], sys.argv[1:])\n\
        said = b''\n\
        while b'type y' not in said: said += os.read(terminal, 4096)\n\
        os.write(terminal, b'y\\n')\n\
        try:\n\
        \x20while os.read(terminal, 4096): pass\n\
        except OSError: pass\n\
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))";
    let mut asked = Command::new("python3");
    asked.args(["-c", terminal]).arg(mirror.get_program()).args(mirror.get_args()).env_clear();
    asked.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    asked.envs(mirror.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ended = asked.output().await.expect("python3 runs");
    assert!(ended.status.success(), "{ended:?}");
    assert!(scene.in_branch().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_read_is_told() {
    let scene = Scene::start().await;
    scene.write("a", "x");
    // Its path is longer than the system takes, also for those who may read everything.
    let deep = "for i in {1..17}; do mkdir $1 && cd $1; done; echo x > file";
    let name = "n".repeat(255);
    let mut made = std::process::Command::new("bash");
    made.args(["-c", deep, "bash", &name]).current_dir(scene.directory());
    assert!(made.status().expect("bash runs").success());
    let ran = scene.once(&[]).await;
    assert_eq!(ran.exit, 1, "{ran:?}");
    let is_it =
        |event: &Value| event["problem"].as_str().is_some_and(|why| why.contains("too long"));
    assert!(ran.records().iter().any(is_it), "{ran:?}");
    assert_eq!(scene.in_branch().await.keys().collect::<Vec<_>>(), ["a"]);
    let directory = scene.directory();
    let import = ["import", text(&directory), "--repo", "imported"];
    scene.shell.run(&import).await.refused(1, &["1 file was not brought in", "too long"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_leaves_the_mirrors_own_files_out() {
    let scene = Scene::start().await;
    scene.write("f", "x");
    scene.once(&[]).await.succeeded();
    let directory = scene.directory();
    let import = ["import", text(&directory), "--repo", "imported"];
    scene.shell.run(&import).await.succeeded();
    let list = async || scene.shell.run(&["ls", "imported", "--fresh"]).await.succeeded().text();
    assert_eq!(list().await, "f\n");
    scene.write("f.vdom-theirs", "y");
    scene.shell.run(&import).await.refused(1, &["f.vdom-theirs", "settle the conflict"]);
    assert_eq!(list().await, "f\n");
}
