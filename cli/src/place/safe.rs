//! Which paths may be written to.

/// Whether a file may be at this path: below the place, and not in a repository of git.
pub(crate) fn is_safe(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').all(is_safe_segment)
}

/// Git, and file systems that ignore case or characters, must not find a
/// repository of their own where files are written.
pub(super) fn is_safe_segment(segment: &[u8]) -> bool {
    if matches!(segment, b"" | b"." | b"..") || segment.contains(&0) {
        return false;
    }
    let visible: String = String::from_utf8_lossy(segment)
        .chars()
        .filter(|character| !matches!(character, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}'))
        .collect();
    let visible = visible.trim_end_matches(['.', ' ']);
    !(visible.eq_ignore_ascii_case(".git") || visible.eq_ignore_ascii_case("git~1"))
}
