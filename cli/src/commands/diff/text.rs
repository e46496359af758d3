//! Two contents as a unified diff.

use std::borrow::Cow;

use gix_imara_diff::{Algorithm, Diff, InternedInput};
use vdom_proto::v1::NodeKind;

use crate::document;
use crate::output::{Painter, Tone, printable, size};

/// How many lines that are the same stand around those that differ.
const CONTEXT_LINES: u32 = 3;

/// One side of a diff.
pub(crate) struct Side<'a> {
    pub(crate) name: &'a str,
    pub(crate) content: &'a [u8],
}

/// Both sides as a unified diff, empty where they are the same; documents as
/// extended JSON. What is no text is told by its size.
pub(crate) fn unified(old: &Side<'_>, new: &Side<'_>, kind: NodeKind, painter: &Painter) -> String {
    if old.content == new.content {
        return String::new();
    }
    let (Some(old_text), Some(new_text)) = (text(old.content, kind), text(new.content, kind))
    else {
        let sizes = [old, new].map(|side| size(side.content.len() as u64));
        return format!("(no text: {} -> {})", sizes[0], sizes[1]);
    };
    let input = InternedInput::new(old_text.as_ref(), new_text.as_ref());
    let mut diff = Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let mut lines = vec![
        painter.paint(Tone::Strong, &format!("--- {}", old.name)),
        painter.paint(Tone::Strong, &format!("+++ {}", new.name)),
    ];
    let (old_length, new_length) = (input.before.len() as u32, input.after.len() as u32);
    let hunks: Vec<_> = diff.hunks().collect();
    for group in hunks.chunk_by(|one, next| next.before.start - one.before.end <= 2 * CONTEXT_LINES)
    {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let before = first.before.start.min(CONTEXT_LINES);
        let after = (old_length - last.before.end).min(CONTEXT_LINES);
        let old_range = first.before.start - before..last.before.end + after;
        let new_range = first.after.start - before..(last.after.end + after).min(new_length);
        lines.push(
            painter.paint(
                Tone::Faint,
                &format!("@@ -{} +{} @@", place(&old_range), place(&new_range)),
            ),
        );
        let mut at = old_range.start;
        for hunk in group {
            for line in at..hunk.before.start {
                push(&mut lines, ' ', input.interner[input.before[line as usize]], painter);
            }
            for line in hunk.before.clone() {
                push(&mut lines, '-', input.interner[input.before[line as usize]], painter);
            }
            for line in hunk.after.clone() {
                push(&mut lines, '+', input.interner[input.after[line as usize]], painter);
            }
            at = hunk.before.end;
        }
        for line in at..old_range.end {
            push(&mut lines, ' ', input.interner[input.before[line as usize]], painter);
        }
    }
    lines.join("\n")
}

fn push(lines: &mut Vec<String>, sign: char, line: &str, painter: &Painter) {
    let tone = match sign {
        '-' => Tone::Bad,
        '+' => Tone::Good,
        _ => Tone::Plain,
    };
    let shown = line.strip_suffix('\n').unwrap_or(line).replace('\t', "    ");
    lines.push(painter.paint(tone, &format!("{sign}{}", printable(&shown))));
    if !line.ends_with('\n') {
        lines.push(painter.paint(Tone::Faint, "\\ No newline at end of file"));
    }
}

/// As `diff -u` numbers lines: from 1, and an empty range by the line before it.
fn place(range: &std::ops::Range<u32>) -> String {
    let length = range.end - range.start;
    let start = if length == 0 { range.start } else { range.start + 1 };
    if length == 1 { start.to_string() } else { format!("{start},{length}") }
}

fn text(content: &[u8], kind: NodeKind) -> Option<Cow<'_, str>> {
    if content.is_empty() {
        return Some(Cow::Borrowed(""));
    }
    match kind {
        NodeKind::Intent | NodeKind::Meta => {
            let text = document::to_text(content).ok()?;
            String::from_utf8(text.to_vec()).ok().map(Cow::Owned)
        }
        NodeKind::File | NodeKind::Unspecified => {
            std::str::from_utf8(content).ok().filter(|text| !text.contains('\0')).map(Cow::Borrowed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(old: &str, new: &str) -> String {
        let old = Side { name: "a", content: old.as_bytes() };
        let new = Side { name: "b", content: new.as_bytes() };
        unified(&old, &new, NodeKind::File, &Painter::colorless())
    }

    #[test]
    fn lines_that_differ_stand_in_their_context() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n";
        let new = old.replace("\n2\n", "\ntwo\n").replace("14\n", "14\n14.5\n");
        let expected = "--- a\n+++ b\n@@ -1,5 +1,5 @@\n 1\n-2\n+two\n 3\n 4\n 5\n\
                        @@ -12,4 +12,5 @@\n 12\n 13\n 14\n+14.5\n 15";
        assert_eq!(shown(old, &new), expected);
        assert_eq!(shown(old, old), "");
    }

    #[test]
    fn beginnings_and_ends_are_told_as_diff_does() {
        assert_eq!(shown("", "x\n"), "--- a\n+++ b\n@@ -0,0 +1 @@\n+x");
        assert_eq!(
            shown("x\n", "x"),
            "--- a\n+++ b\n@@ -1 +1 @@\n-x\n+x\n\\ No newline at end of file"
        );
        assert_eq!(shown("x\0", "y"), "(no text: 2 B -> 1 B)");
    }

    #[test]
    fn text_of_others_cannot_control_the_terminal() {
        assert!(!shown("a\u{1b}[31m\n", "b\r\n").contains(['\u{1b}', '\r']));
    }
}
