//! tests
mod storage;
