//! Moments, in ms since the Unix epoch: what every door can take is what every door can show.

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcDateTime};

use crate::error::{Error, Result};

/// The start of the year 1: before it, neither RFC 3339 readers nor
/// `google.protobuf.Timestamp` agree on a date.
pub const MIN_MS: i64 = -62_135_596_800_000;
/// The last millisecond of the year 9999, after which RFC 3339 has no date.
pub const MAX_MS: i64 = 253_402_300_799_999;

/// A time of the caller, named by this field.
///
/// # Errors
/// `InvalidArgument` outside of the years 1 to 9999.
pub fn checked(field: &str, milliseconds: i64) -> Result<i64> {
    if (MIN_MS..=MAX_MS).contains(&milliseconds) {
        return Ok(milliseconds);
    }
    Err(Error::invalid(format!(
        "{field} lies outside of the years 1 to 9999: give ms, s or text of a time between {} and {}",
        format(MIN_MS),
        format(MAX_MS)
    )))
}

/// Reads a time as RFC 3339 has it, with any offset; finer than a millisecond is cut off.
///
/// # Errors
/// `InvalidArgument` for other text, and outside of the years 1 to 9999.
pub fn parse(field: &str, text: &str) -> Result<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
        Error::invalid(format!(
            "{field} {text:?} is no time by RFC 3339, such as 2026-11-21T09:30:00Z"
        ))
    })?;
    // Years of four digits keep far within 64 bits.
    checked(field, time.unix_timestamp_nanos().div_euclid(1_000_000) as i64)
}

/// RFC 3339 in UTC, to the millisecond. What no door takes today, but may be stored, is shown
/// as the nearest time that can be.
pub fn format(milliseconds: i64) -> String {
    let time = civil(milliseconds);
    format!("{}.{:03}Z", seconds(time), time.millisecond())
}

/// The same to the second, as people read it.
pub fn format_seconds(milliseconds: i64) -> String {
    format!("{}Z", seconds(civil(milliseconds)))
}

/// The nearest time that can be shown.
pub fn nearest(milliseconds: i64) -> i64 {
    milliseconds.clamp(MIN_MS, MAX_MS)
}

fn civil(milliseconds: i64) -> UtcDateTime {
    let nanoseconds = i128::from(nearest(milliseconds)) * 1_000_000;
    UtcDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(UtcDateTime::UNIX_EPOCH)
}

fn seconds(time: UtcDateTime) -> String {
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests;
