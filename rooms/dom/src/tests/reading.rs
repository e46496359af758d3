//! `ReadSnapshot`, `ReadTree`, `GetHistory`, lists: latest and earlier states.

use futures::{StreamExt, TryStreamExt};
use vdom_core::dom::calls::{CreateBranch, GetHistory, ListRepos, ReadTree, TreeEntry};
use vdom_core::{BranchName, Error, ErrorCode};

use super::*;

async fn tree_at(room: &DocumentRoom, prefix: &str, revision: Option<u64>) -> Vec<TreeEntry> {
    let at = ReadAt { revision, ..ReadAt::default() };
    let request = ReadTree { address: address(), prefix: prefix.into(), at, include_content: true };
    let entries = room.read_tree(&caller("anna"), request).await.expect("a tree");
    entries.try_collect().await.expect("whole")
}

fn paths(entries: &[TreeEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.node.path.as_str()).collect()
}

#[tokio::test]
async fn what_was_never_written_is_not_found() {
    let room = room();
    let missing_branch = read_at(&room, "a", ReadAt::default()).await.expect_err("no branch");
    assert_eq!(missing_branch.code, ErrorCode::NotFound);
    put(&room, "a", "").await;
    let missing = read_at(&room, "b", ReadAt::default()).await.expect_err("no node");
    assert_eq!(missing.code, ErrorCode::NotFound);
    assert_eq!(missing.resource.as_deref(), Some("default/repo/main:b"));
}

#[tokio::test]
async fn earlier_revisions_stay_readable_across_edits_renames_and_deletions() {
    let room = room();
    let first = put(&room, "a", "1").await;
    let second = accepted(&room, edit(&first, "a", Diff::put_file(b"2"))).await;
    let to_b = Diff::rename(&path("b"), None);
    let third = accepted(&room, edit(&second, "a", to_b)).await;
    put(&room, "a", "new").await;
    accepted(&room, edit(&third, "b", Diff::delete())).await;
    // Once from the tail in memory, once from the views alone.
    for _ in 0..2 {
        let expected: [(Option<&str>, Option<&str>); 5] = [
            (Some("1"), None),
            (Some("2"), None),
            (None, Some("2")),
            (Some("new"), Some("2")),
            (Some("new"), None),
        ];
        for (revision, (a, b)) in (1..).zip(expected) {
            assert_eq!(text_at(&room, "a", Some(revision)).await.as_deref(), a, "a@{revision}");
            assert_eq!(text_at(&room, "b", Some(revision)).await.as_deref(), b, "b@{revision}");
        }
        room.close().await;
    }
    let error = read_at(&room, "a", ReadAt { revision: Some(6), ..ReadAt::default() }).await;
    assert_eq!(error.expect_err("the future").code, ErrorCode::NotFound);
}

#[tokio::test]
async fn many_edits_are_replayed_from_the_nearest_copy() {
    let room = room();
    let mut seen = put(&room, "a", "").await;
    for number in 0..150 {
        let insert = vdom_core::dom::diff::TextOperation::insert(&format!("{number} "));
        seen = accepted(&room, edit(&seen, "a", Diff::text(&[insert]))).await;
    }
    room.close().await;
    let expected = |newest: i32| {
        let words: Vec<_> = (0..=newest).rev().map(|number| format!("{number} ")).collect();
        words.concat()
    };
    for newest in [0, 1, 62, 63, 64, 100, 149] {
        let revision = u64::try_from(newest).expect("positive") + 2;
        assert_eq!(text_at(&room, "a", Some(revision)).await, Some(expected(newest)));
    }
}

#[tokio::test]
async fn a_tree_covers_whole_segments_in_order() {
    let room = room();
    for at in ["library/x", "lib/b", "lib", "lib/a/c", "z"] {
        put(&room, at, at).await;
    }
    let all = tree_at(&room, "", None).await;
    assert_eq!(paths(&all), ["lib", "lib/a/c", "lib/b", "library/x", "z"]);
    let lib = tree_at(&room, "lib", None).await;
    assert_eq!(paths(&lib), ["lib", "lib/a/c", "lib/b"]);
    assert!(lib.iter().all(|entry| entry.revision == 5));
    assert_eq!(lib[2].content.as_deref(), Some(&b"lib/b"[..]));
}

#[tokio::test]
async fn a_tree_is_as_of_one_revision() {
    let room = room();
    let a = put(&room, "a", "1").await;
    let b = put(&room, "b", "2").await;
    put(&room, "c", "3").await;
    accepted(&room, edit(&a, "a", Diff::rename(&path("z/a"), None))).await;
    accepted(&room, edit(&b, "b", Diff::delete())).await;
    put(&room, "d", "4").await;
    for _ in 0..2 {
        assert_eq!(paths(&tree_at(&room, "", Some(3)).await).len(), 3);
        let mut before = tree_at(&room, "", Some(3)).await;
        before.sort_by(|left, right| left.node.path.cmp(&right.node.path));
        assert_eq!(paths(&before), ["a", "b", "c"]);
        assert_eq!(paths(&tree_at(&room, "a", Some(3)).await), ["a"]);
        assert_eq!(paths(&tree_at(&room, "", None).await), ["c", "d", "z/a"]);
        room.close().await;
    }
}

#[tokio::test]
async fn a_rename_behind_the_cursor_is_neither_lost_nor_doubled() {
    let room = room();
    let mut written = Vec::new();
    for number in 0..600 {
        written.push(put(&room, &format!("n{number:04}"), "x").await);
    }
    let at = ReadAt::default();
    let request =
        ReadTree { address: address(), prefix: String::new(), at, include_content: false };
    let mut entries = room.read_tree(&caller("anna"), request).await.expect("a tree");
    let first = entries.try_next().await.expect("read").expect("one");
    assert_eq!(first.node.path.as_str(), "n0000");
    // Behind the cursor, ahead of it, and gone.
    for (number, target) in [(550, "a"), (551, "n0000x"), (3, "zz")] {
        let diff = Diff::rename(&path(target), None);
        accepted(&room, edit(&written[number], &format!("n{number:04}"), diff)).await;
    }
    accepted(&room, edit(&written[560], "n0560", Diff::delete())).await;
    put(&room, "new", "x").await;
    let rest: Vec<_> = entries.try_collect().await.expect("whole");
    let mut all: Vec<_> = rest.iter().map(|entry| entry.node.path.to_string()).collect();
    all.push(first.node.path.to_string());
    all.sort_unstable();
    let expected: Vec<_> = (0..600).map(|number| format!("n{number:04}")).collect();
    assert_eq!(all, expected);
}

#[tokio::test]
async fn a_history_lists_newest_first_in_pages() {
    let room = room();
    let first = put(&room, "a", "1").await;
    put(&room, "b", "x").await;
    let second = accepted(&room, edit(&first, "a", Diff::put_file(b"2"))).await;
    accepted(&room, edit(&second, "a", Diff::delete())).await;
    let ask = |node: Option<&str>, before_revision, limit| GetHistory {
        address: address(),
        node: node.map(|at| NodeSelector::Path(path(at))),
        before_revision,
        limit,
        include_diffs: true,
    };
    for _ in 0..2 {
        let page = room.history(&caller("anna"), ask(Some("a"), None, 2)).await.expect("a page");
        let revisions: Vec<_> = page.changes.iter().map(|event| event.change.revision).collect();
        assert_eq!((revisions, page.next_before_revision), (vec![4, 3], Some(3)));
        let page = room.history(&caller("anna"), ask(Some("a"), Some(3), 2)).await.expect("a page");
        assert_eq!(page.changes.len(), 1);
        assert_eq!(page.changes[0].diff.as_deref(), Some(&*Diff::put_file(b"1")));
        assert_eq!(page.next_before_revision, None);
        let page = room.history(&caller("anna"), ask(None, None, 100)).await.expect("a page");
        let chain: Vec<_> = page.changes.iter().map(|event| event.hash).collect();
        let previous: Vec<_> = page.changes.iter().map(|event| event.change.previous).collect();
        assert_eq!(chain[1..], previous[..3], "each change names the hash of the one before");
        room.close().await;
    }
}

#[tokio::test]
async fn min_revision_waits_or_fails_but_never_answers_older() {
    let room = room();
    let first = put(&room, "a", "1").await;
    let mut waiting = caller("anna");
    waiting.deadline = Some(std::time::Instant::now() + Duration::from_millis(20));
    let at = |min_revision, min_epoch| ReadAt { min_revision, min_epoch, ..ReadAt::default() };
    let ask = |at| ReadSnapshot { address: address(), node: NodeSelector::Path(path("a")), at };
    let late = room.read_snapshot(&waiting, ask(at(Some(2), Some(first.epoch)))).await;
    let late: Error = late.expect_err("not there yet");
    assert_eq!((late.code, late.revision), (ErrorCode::Unavailable, Some(1)));
    let other = room.read_snapshot(&waiting, ask(at(Some(1), Some(first.epoch + 1)))).await;
    assert_eq!(other.expect_err("another epoch").code, ErrorCode::EpochChanged);

    let (read, _) = tokio::join!(
        read_at(&room, "a", at(Some(2), None)),
        accepted(&room, edit(&first, "a", Diff::put_file(b"2"))),
    );
    assert_eq!(text_of(&read.expect("reached")), "2");
}

#[tokio::test]
async fn repos_and_branches_are_listed() {
    let room = room();
    put(&room, "a", "").await;
    let mut other = write("a", Diff::put_file(b""));
    other.address = BranchAddress::parse("", "repo", "feature/x").expect("valid");
    accepted(&room, other).await;
    let realm = RealmName::parse("default").expect("valid");
    for repo in ["repo-b", "a"] {
        let address = BranchAddress::parse("", repo, "main").expect("valid");
        accepted(&room, WriteDiff { address, ..write("a", Diff::put_file(b"")) }).await;
    }
    for size in 1..=4 {
        let (mut repos, mut token) = (Vec::new(), String::new());
        loop {
            let request = ListRepos::new(realm.clone(), size, &token).expect("valid");
            let page = room.list_repos(&caller("anna"), request).await.expect("listed");
            assert!(page.repos.len() <= size as usize);
            repos.extend(page.repos.into_iter().map(|repo| (repo.name, repo.branches)));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        let expected = [("a", 1), ("repo", 2), ("repo-b", 1)];
        assert_eq!(repos, expected.map(|(name, branches)| (name.to_owned(), branches)));
    }
    let branches = branches_of(&room).await.expect("listed");
    let names: Vec<_> = branches.iter().map(|branch| (&*branch.name, branch.revision)).collect();
    assert_eq!(names, [("feature/x", 1), ("main", 1)]);
}

#[tokio::test]
async fn a_tree_of_a_fork_keeps_what_changes_while_it_is_read() {
    let room = room();
    for at in ["a", "b", "c", "d"] {
        put(&room, at, "1").await;
    }
    let next = BranchAddress::parse("", "repo", "next").expect("valid");
    let create = CreateBranch {
        address: next.clone(),
        from: Some(BranchName::parse("main").expect("valid")),
        at_revision: None,
        operation_id: None,
    };
    room.create_branch(&caller("anna"), create).await.expect("created");
    let set = |at, content| WriteDiff { address: next.clone(), ..overwrite(at, content) };
    accepted(&room, set("a", "1")).await;
    let request = ReadTree {
        address: next.clone(),
        prefix: String::new(),
        at: ReadAt::default(),
        include_content: true,
    };
    let mut entries = room.read_tree(&caller("anna"), request).await.expect("a tree");
    let mut seen = Vec::new();
    while let Some(entry) = entries.next().await {
        let entry = entry.expect("readable");
        let content = String::from_utf8_lossy(entry.content.as_deref().unwrap_or_default());
        seen.push(format!("{}={content}@{}", entry.node.path, entry.revision));
        if seen.len() == 2 {
            accepted(&room, set("c", "2")).await;
            let moved = WriteDiff {
                address: next.clone(),
                on_conflict: OnConflict::Overwrite,
                ..write("d", Diff::rename(&path("0"), None))
            };
            accepted(&room, moved).await;
        }
    }
    assert_eq!(seen, ["a=1@5", "b=1@5", "c=1@5", "d=1@5"]);
}
