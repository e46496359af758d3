//! Contents of git's objects, from one `git cat-file` that answers in order.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use bytes::Bytes;

use super::git_process;
use crate::exit::Failure;

/// So many names fit into a pipe: asking for more at once could block both sides.
const ASKED_MAX: usize = 64;
/// The longest name that is asked for: an id, and a path.
const NAME_MAX_BYTES: usize = 1_000;
/// The longest line of an answer.
const LINE_MAX_BYTES: u64 = 4_096;
const PIECE_BYTES: usize = 1 << 20;

/// Answers with the content of objects.
pub(super) struct BlobReader {
    child: Child,
    names: BufWriter<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl BlobReader {
    /// Starts `git cat-file` in this repository.
    pub(super) fn start(repository: &Path) -> Result<Self, Failure> {
        let mut command = git_process::git(repository);
        command.args(["cat-file", "--batch"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| git_process::cannot_run(&error))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(names), Some(answers)) => Ok(Self {
                child,
                names: BufWriter::new(names),
                answers: BufReader::with_capacity(1 << 16, answers),
            }),
            _ => Err(Failure::failed("git cat-file has no input or output")),
        }
    }

    /// Reads the objects of these names in order: `start` gets the size of each,
    /// `piece` what it is made of.
    pub(super) fn read(
        &mut self,
        names: &[Bytes],
        mut take: impl FnMut(ContentPart) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for names in names.chunks(ASKED_MAX) {
            for name in names {
                if name.len() > NAME_MAX_BYTES || name.contains(&b'\n') {
                    return Err(Failure::failed(format!(
                        "git cannot be asked for {}: it has a line break, or is too long",
                        name.escape_ascii()
                    )));
                }
                self.names.write_all(name).map_err(|error| broken(&error))?;
                self.names.write_all(b"\n").map_err(|error| broken(&error))?;
            }
            self.names.flush().map_err(|error| broken(&error))?;
            for name in names {
                self.answer(name, &mut take)?;
            }
        }
        Ok(())
    }

    fn answer(
        &mut self,
        name: &Bytes,
        take: &mut impl FnMut(ContentPart) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut line = Vec::new();
        let limited = self.answers.by_ref().take(LINE_MAX_BYTES);
        { limited }.read_until(b'\n', &mut line).map_err(|error| broken(&error))?;
        let line = String::from_utf8_lossy(&line);
        let size = line.split_whitespace().nth(2).and_then(|size| size.parse::<u64>().ok());
        let Some(size) = size.filter(|_| line.ends_with('\n')) else {
            return Err(Failure::failed(format!(
                "git does not have {}: {}",
                name.escape_ascii(),
                line.trim_end()
            ))
            .advice("`git fsck` tells what else is missing; a partial clone must fetch it first"));
        };
        take(ContentPart::Size(size))?;
        let mut left = size;
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let mut piece = vec![0; length];
            self.answers.read_exact(&mut piece).map_err(|error| broken(&error))?;
            left -= length as u64;
            take(ContentPart::Piece(piece.into()))?;
        }
        self.answers.read_exact(&mut [0]).map_err(|error| broken(&error))
    }
}

impl Drop for BlobReader {
    fn drop(&mut self) {
        // Either it has ended, or nobody reads what it still says.
        let _has_ended = self.child.kill();
        let _is_reaped = self.child.wait();
    }
}

/// A part of the contents that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ContentPart {
    /// The next content begins and has this size in bytes.
    Size(u64),
    /// The next piece of it.
    Piece(Bytes),
}

fn broken(error: &io::Error) -> Failure {
    Failure::failed(format!("git cat-file has ended: {error}"))
}
