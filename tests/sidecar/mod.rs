//! The sidecar before a real gateway: its memory says what the gateway would.

mod agreement;
mod outage;
mod own_writes;
mod streams;
mod uploads;
