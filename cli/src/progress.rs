//! How far a long command is, drawn on standard error where a person looks.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

/// A bar up to `total`, or a mere count where that is not known, as this template of
/// `indicatif` draws it; hidden where nobody looks.
pub(crate) fn progress_bar(output: &Output, total: Option<u64>, template: &str) -> ProgressBar {
    if !output.draws_progress() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    // The templates are ours and valid; the default style is no loss.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
