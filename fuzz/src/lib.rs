//! What the fuzz targets share. Each target is one parser of what comes from outside,
//! and asserts more than that nothing panics.

pub mod input;
