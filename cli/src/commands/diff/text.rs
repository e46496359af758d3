//! Two contents as a unified diff.

use std::borrow::Cow;
use std::fmt::{self, Write};

use gix_imara_diff::{
    Algorithm, Diff, InternedInput, Interner, Token, UnifiedDiffConfig, UnifiedDiffPrinter,
};
use vdom_proto::v1::NodeKind;

use crate::extended_json;
use crate::humanize::{printable, size};
use crate::output::{Painter, Tone};

/// How many lines that are the same stand around those that differ.
const CONTEXT_LINES: u32 = 3;

/// One side of a diff.
pub(crate) struct DiffSide<'a> {
    pub(crate) name: &'a str,
    pub(crate) content: &'a [u8],
}

/// Both sides as a unified diff, empty where they are the same; documents as
/// extended JSON. What is no text is told by its size.
pub(crate) fn unified(
    old: &DiffSide<'_>,
    new: &DiffSide<'_>,
    kind: NodeKind,
    painter: &Painter,
) -> String {
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
    let printer = LinePrinter { lines: &input.interner, painter };
    let mut config = UnifiedDiffConfig::default();
    config.context_len(CONTEXT_LINES);
    format!(
        "{}\n{}{}",
        painter.paint(Tone::Strong, &format!("--- {}", old.name)),
        painter.paint(Tone::Strong, &format!("+++ {}", new.name)),
        diff.unified_diff(&printer, config, &input)
    )
}

/// Prints the lines of a diff for a terminal, a line break before each.
struct LinePrinter<'a> {
    lines: &'a Interner<&'a str>,
    painter: &'a Painter,
}

impl LinePrinter<'_> {
    fn line(&self, mut to: impl Write, sign: char, token: Token) -> fmt::Result {
        let tone = match sign {
            '-' => Tone::Bad,
            '+' => Tone::Good,
            _ => Tone::Plain,
        };
        let line = self.lines[token];
        let shown = line.strip_suffix('\n').unwrap_or(line).replace('\t', "    ");
        let shown = self.painter.paint(tone, &format!("{sign}{}", printable(&shown)));
        write!(to, "\n{shown}")?;
        if !line.ends_with('\n') {
            let note = self.painter.paint(Tone::Faint, "\\ No newline at end of file");
            write!(to, "\n{note}")?;
        }
        Ok(())
    }
}

impl UnifiedDiffPrinter for LinePrinter<'_> {
    fn display_header(
        &self,
        mut to: impl Write,
        old_start: u32,
        new_start: u32,
        old_length: u32,
        new_length: u32,
    ) -> fmt::Result {
        let (old, new) = (range(old_start, old_length), range(new_start, new_length));
        let header = self.painter.paint(Tone::Faint, &format!("@@ -{old} +{new} @@"));
        write!(to, "\n{header}")
    }

    fn display_context_token(&self, to: impl Write, token: Token) -> fmt::Result {
        self.line(to, ' ', token)
    }

    fn display_hunk(&self, mut to: impl Write, old: &[Token], new: &[Token]) -> fmt::Result {
        for token in old {
            self.line(&mut to, '-', *token)?;
        }
        for token in new {
            self.line(&mut to, '+', *token)?;
        }
        Ok(())
    }
}

/// As `diff -u` numbers lines: from 1, and an empty range by the line before it.
fn range(start: u32, length: u32) -> String {
    let start = if length == 0 { start } else { start + 1 };
    if length == 1 { start.to_string() } else { format!("{start},{length}") }
}

fn text(content: &[u8], kind: NodeKind) -> Option<Cow<'_, str>> {
    if content.is_empty() {
        return Some(Cow::Borrowed(""));
    }
    match kind {
        NodeKind::Intent | NodeKind::Meta => {
            let text = extended_json::to_text(content).ok()?;
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
        let old = DiffSide { name: "a", content: old.as_bytes() };
        let new = DiffSide { name: "b", content: new.as_bytes() };
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
