//! Random edits on both sides at once: in the end both have the same files.

use std::time::Duration;

use super::*;

const SEEDS: [u64; 3] = [1, 2, 3];
const EDITS: usize = 150;
const PATHS: [&str; 7] = ["a", "b", "c/a", "c/b", "c/d/e", "f", "g h"];

/// A sequence of numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn path(&mut self) -> &'static str {
        PATHS[self.below(PATHS.len())]
    }
}

/// Lines of which one is changed, so that edits merge or do not.
fn edited(content: &[u8], numbers: &mut Numbers, number: usize) -> String {
    let text = String::from_utf8_lossy(content);
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.resize(9, "line".to_owned());
    let at = numbers.below(lines.len());
    lines[at] = format!("line {number}");
    lines.join("\n") + "\n"
}

fn edit_disk(scene: &Scene, numbers: &mut Numbers, number: usize) {
    let path = numbers.path();
    let file = scene.path(path);
    match numbers.below(8) {
        0 => drop(fs::remove_file(&file)),
        1 => {
            let target = scene.path(numbers.path());
            if !target.exists() {
                fs::create_dir_all(target.parent().expect("a folder")).expect("made");
                // Perhaps there is nothing to rename.
                let _renamed = fs::rename(&file, target);
            }
        }
        _ => {
            let content = fs::read(&file).unwrap_or_default();
            let text = edited(&content, numbers, number);
            scene.write(path, &text);
        }
    }
}

async fn edit_branch(scene: &Scene, numbers: &mut Numbers, number: usize) {
    let (path, mut client) = (numbers.path(), scene.client.clone());
    let kind = numbers.below(8);
    let target = numbers.path();
    let Ok(node) = client.read(path).await else {
        return scene.put(path, &edited(b"", numbers, number)).await;
    };
    let diff = match kind {
        0 => Diff::delete(),
        1 if target != path => rename(target),
        _ => Diff::put_file(edited(&node.content, numbers, number).as_bytes()),
    };
    let mut request = client.put_request(path, b"");
    (request.node_id, request.vector_clock) = (node.node_id, node.vector_clock);
    request.diff_bson = diff;
    // What stands at the new path, or was changed meanwhile, is left alone.
    client.write(request).await.expect("answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn random_edits_of_both_sides_end_with_the_same_files() {
    for seed in SEEDS {
        let scene = Scene::start().await;
        let mirror = scene.mirror().await;
        let mut numbers = Numbers(seed);
        for number in 0..EDITS {
            if numbers.below(2) == 0 {
                edit_disk(&scene, &mut numbers, number);
            } else {
                edit_branch(&scene, &mut numbers, number).await;
            }
            if numbers.below(10) == 0 {
                tokio::time::sleep(Duration::from_millis(80)).await;
            }
        }
        let conflicts = || {
            let files = scene.on_disk().into_keys();
            files.filter(|path| path.ends_with(".vdom-theirs")).collect::<Vec<_>>()
        };
        // A person ends the conflicts as they are told.
        let ended = eventually("both sides are the same", async || {
            for path in conflicts() {
                // The mirror may have settled it meanwhile.
                let _removed = fs::remove_file(scene.path(&path));
            }
            let disk = scene.on_disk();
            disk == scene.in_branch().await && !disk.is_empty()
        });
        if tokio::time::timeout(Duration::from_secs(15), ended).await.is_err() {
            let events = mirror.events.lock().await;
            panic!(
                "seed {seed}: {:?}\nin the branch: {:?}\nsaid: {:#?}",
                scene.on_disk().keys(),
                scene.in_branch().await.keys(),
                events.iter().rev().take(20).collect::<Vec<_>>()
            );
        }
        mirror.end().await;
        let ran = scene.once(&[]).await.succeeded();
        assert_eq!(ran.records().len(), 1, "seed {seed}: something was left to do: {ran:?}");
    }
}
