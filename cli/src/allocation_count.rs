//! Counts what the program allocates, and tells whoever connects to a port: for `make bench-counts`,
//! in builds made for it.

use std::alloc::System;
use std::io::Write;
use std::net::TcpListener;
use std::thread;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Names the address to listen on.
const ADDRESS: &str = "VDOM_ALLOCATION_COUNT_ADDRESS";

/// Answers each connection with how often and how many bytes were allocated since the start:
/// two numbers in decimal, reallocations included.
pub(crate) fn serve() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let Ok(listener) = TcpListener::bind(&address) else {
        tracing::error!(address, "allocations cannot be told: the address is taken");
        return;
    };
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let stats = ALLOCATOR.stats();
            // Who asked may be gone.
            let _told = write!(
                connection,
                "{} {}",
                stats.allocations + stats.reallocations,
                stats.bytes_allocated
            );
        }
    });
}
