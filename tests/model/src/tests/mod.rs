//! Many seeds, and the scenarios that once failed.

// As the shrinker prints them: a step is a line.
#[rustfmt::skip]
mod regressions;
mod seeds;
