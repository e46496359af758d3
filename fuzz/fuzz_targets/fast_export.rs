//! The reader of `git fast-export`: whatever a stream claims, it takes no more than the
//! stream brings, and what it read can be written and read again.
#![no_main]

use std::alloc::System;
use std::io::{BufRead, BufReader};

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use vdom_git::command::{ContentSource, FileChange, StreamCommand};
use vdom_git::fast_export::{FastExportError, FastExportLimits, FastExportReader};
use vdom_git::fast_import::FastImportWriter;

/// What the reader may take beside what the stream brought: its first step of data
/// whose size is only claimed, a line, and a little.
const ALLOCATED_MAX_BYTES: usize = 2 << 20;
/// How many times what the stream brought it may take: commands are larger than the
/// shortest text that makes one, and grow by doubling.
const ALLOCATED_PER_BYTE: usize = 200;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const LIMITS: FastExportLimits =
    FastExportLimits { line_bytes: 1 << 10, data_bytes: 1 << 16, changes: 100, merges: 10 };

fuzz_target!(|data: &[u8]| check(data));

/// The input is a stream. The allocator ends the process where its limit is passed.
fn check(data: &[u8]) {
    // The sizes that a stream may claim are the default ones here.
    let allowed = ALLOCATED_MAX_BYTES + ALLOCATED_PER_BYTE * data.len();
    ALLOCATOR.set_limit(ALLOCATOR.allocated() + allowed).expect("less is allocated");
    let (generous, _) = read_all(data, FastExportLimits::default());
    ALLOCATOR.set_limit(usize::MAX).expect("less is allocated");

    let (commands, error) = read_all(data, LIMITS);
    assert!(generous.starts_with(&commands));
    if let Some(error) = &error {
        assert!(error.offset <= data.len() as u64, "{error}");
    }
    let brought: usize = commands.iter().map(bytes_of).sum();
    assert!(brought <= data.len(), "{brought} bytes of {}", data.len());
    commands.iter().for_each(within_limits);

    let piecemeal = read_all(BufReader::with_capacity(3, data), LIMITS);
    assert_eq!((&piecemeal.0, &piecemeal.1), (&commands, &error));
    written_again(&commands);
}

fn read_all(
    source: impl BufRead,
    limits: FastExportLimits,
) -> (Vec<StreamCommand>, Option<FastExportError>) {
    let mut reader = FastExportReader::new(source, limits);
    let mut commands = Vec::new();
    loop {
        match reader.read() {
            Ok(Some(command)) => commands.push(command),
            Ok(None) => return (commands, None),
            Err(error) => {
                assert_eq!(reader.read(), Ok(None), "after an error there is no more");
                return (commands, Some(error));
            }
        }
    }
}

/// The bytes that a command holds of its stream.
fn bytes_of(command: &StreamCommand) -> usize {
    let object = |content: &ContentSource| match content {
        ContentSource::Inline(data) => data.len(),
        ContentSource::Object(_) => 0,
    };
    match command {
        StreamCommand::Blob(blob) => blob.data.len(),
        StreamCommand::Commit(commit) => {
            let changes = commit.changes.iter().map(|change| match change {
                FileChange::Modify { content, path, .. } => object(content) + path.len(),
                FileChange::Delete { path } => path.len(),
                FileChange::Copy { from, to } | FileChange::Rename { from, to } => {
                    from.len() + to.len()
                }
                FileChange::Note { content, .. } => object(content),
                FileChange::DeleteAll => 0,
            });
            commit.ref_name.len() + commit.message.len() + changes.sum::<usize>()
        }
        StreamCommand::Reset(reset) => reset.ref_name.len(),
        StreamCommand::Tag(tag) => tag.name.len() + tag.message.len(),
        StreamCommand::Feature(text)
        | StreamCommand::Setting(text)
        | StreamCommand::Progress(text) => text.len(),
        StreamCommand::Alias { .. } | StreamCommand::Checkpoint | StreamCommand::Done => 0,
    }
}

fn within_limits(command: &StreamCommand) {
    match command {
        StreamCommand::Blob(blob) => assert!(blob.data.len() <= LIMITS.data_bytes),
        StreamCommand::Commit(commit) => {
            assert!(commit.merges.len() <= LIMITS.merges);
            assert!(commit.signatures.len() <= LIMITS.merges);
            assert!(commit.changes.len() <= LIMITS.changes);
            assert!(commit.message.len() <= LIMITS.data_bytes);
            let inline = commit.changes.iter().map(|change| match change {
                FileChange::Modify { content: ContentSource::Inline(data), .. }
                | FileChange::Note { content: ContentSource::Inline(data), .. } => data.len(),
                _ => 0,
            });
            assert!(inline.sum::<usize>() <= LIMITS.data_bytes);
        }
        StreamCommand::Tag(tag) => assert!(tag.message.len() <= LIMITS.data_bytes),
        _ => {}
    }
}

/// `git fast-import` is given what `git fast-export` gave.
fn written_again(commands: &[StreamCommand]) {
    let mut stream = Vec::new();
    let mut writer = FastImportWriter::new(&mut stream);
    for command in commands {
        writer.write(command).expect("memory");
    }
    // What is quoted is longer than it was.
    let limits = FastExportLimits { line_bytes: LIMITS.line_bytes * 10, ..LIMITS };
    let (again, error) = read_all(stream.as_slice(), limits);
    // A stream that promised `done` may have broken off before it.
    assert!(error.is_none_or(|error| error.problem.contains("done")));
    assert_eq!(again, commands);
}
