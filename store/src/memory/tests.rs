//! The faults that a memory store plays, and that the same seed plays them again.
