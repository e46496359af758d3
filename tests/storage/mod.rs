//! The store's suite on every backend, and what each backend alone can do wrong.

mod embedded;
mod embedded_files;
mod memory;
