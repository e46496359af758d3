//! Which paths may be written to.

use gix_validate::path::component;

/// As git's `core.protectHFS` and `core.protectNTFS`: a name that a file system of
/// either kind takes for `.git` is refused everywhere, since directories are copied.
/// Names that Windows alone does not have stay.
const PROTECTION: component::Options =
    component::Options { protect_windows: false, protect_hfs: true, protect_ntfs: true };

/// Whether a file may be at this path: below the directory, and not in a repository of
/// git.
pub fn is_safe_path(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').all(is_safe_segment)
}

pub(super) fn is_safe_segment(segment: &[u8]) -> bool {
    !segment.contains(&0) && gix_validate::path::component(segment.into(), None, PROTECTION).is_ok()
}
