//! What fields of requests must keep to, whatever transport brings them.

use std::collections::BTreeMap;

use crate::clock::check_actor;
use crate::error::{Error, Result};
use crate::limits::{
    CHANGE_MESSAGE_MAX_BYTES, CONFLICT_PAGE_MAX, HISTORY_PAGE_DEFAULT_CHANGES,
    HISTORY_PAGE_MAX_CHANGES, LIST_PAGE_MAX, METADATA_MAX_BYTES, METADATA_MAX_ENTRIES,
    SUBSCRIPTION_MAX_PATHS,
};
use crate::names::parse_prefix;

/// The message of a change.
///
/// # Errors
/// `InvalidArgument` above 64 KiB.
pub fn checked_message(message: String) -> Result<String> {
    if message.len() > CHANGE_MESSAGE_MAX_BYTES {
        return Err(Error::invalid(format!(
            "message has {} bytes, at most {CHANGE_MESSAGE_MAX_BYTES} are allowed",
            message.len()
        )));
    }
    Ok(message)
}

/// The metadata of a change.
///
/// # Errors
/// `InvalidArgument` above 64 entries, or 8 KiB of names and values.
pub fn checked_metadata(entries: BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    if entries.len() > METADATA_MAX_ENTRIES {
        return Err(Error::invalid(format!(
            "metadata has {} entries, at most {METADATA_MAX_ENTRIES} are allowed",
            entries.len()
        )));
    }
    let bytes: usize = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > METADATA_MAX_BYTES {
        return Err(Error::invalid(format!(
            "metadata has {bytes} bytes, at most {METADATA_MAX_BYTES} are allowed"
        )));
    }
    Ok(entries)
}

/// The name of an actor or author in this field; `None` for an empty one.
///
/// # Errors
/// `InvalidArgument` above 256 bytes, or with control characters.
pub fn checked_actor(field: &str, name: String) -> Result<Option<String>> {
    if name.is_empty() {
        return Ok(None);
    }
    check_actor(&name)
        .map_err(|error| Error { message: format!("{field}: {}", error.message), ..error })?;
    Ok(Some(name))
}

/// Prefixes of paths, in whole segments.
///
/// # Errors
/// `InvalidArgument` for more than 256, or one that is no path.
pub fn checked_prefixes(paths: &[String]) -> Result<Vec<String>> {
    if paths.len() > SUBSCRIPTION_MAX_PATHS {
        return Err(Error::invalid(format!(
            "paths has {} entries, at most {SUBSCRIPTION_MAX_PATHS} are allowed: name a common \
             parent",
            paths.len()
        )));
    }
    paths.iter().map(|path| parse_prefix(path)).collect()
}

/// The size of a page of history; 0 is the default.
///
/// # Errors
/// `InvalidArgument` above 1,000.
pub fn checked_history_limit(limit: u32) -> Result<u32> {
    match limit {
        0 => Ok(HISTORY_PAGE_DEFAULT_CHANGES),
        1..=HISTORY_PAGE_MAX_CHANGES => Ok(limit),
        _ => Err(Error::invalid(format!(
            "limit is {limit}, at most {HISTORY_PAGE_MAX_CHANGES} are allowed: read on with \
             next_before_revision"
        ))),
    }
}

/// The size of a page of branches or repos; 0 is the largest.
///
/// # Errors
/// `InvalidArgument` above 10,000.
pub fn checked_list_page_size(page_size: u32) -> Result<u32> {
    match page_size {
        0 => Ok(LIST_PAGE_MAX),
        1..=LIST_PAGE_MAX => Ok(page_size),
        _ => Err(Error::invalid(format!(
            "page_size is {page_size}, at most {LIST_PAGE_MAX} are allowed: go on with \
             next_page_token"
        ))),
    }
}

/// The size of a page of conflicts; 0 is the largest.
///
/// # Errors
/// `InvalidArgument` above 100.
pub fn checked_conflict_limit(limit: u32) -> Result<u32> {
    match limit {
        0 => Ok(CONFLICT_PAGE_MAX),
        1..=CONFLICT_PAGE_MAX => Ok(limit),
        _ => Err(Error::invalid(format!(
            "limit is {limit}, at most {CONFLICT_PAGE_MAX} are allowed: go on after the id of the \
             last one"
        ))),
    }
}

/// The first and the last of a range of revisions.
///
/// # Errors
/// `InvalidArgument` where that is none.
pub fn checked_revisions(first: u64, last: u64) -> Result<(u64, u64)> {
    if first == 0 || last < first {
        return Err(Error::invalid(format!(
            "first_revision {first} to last_revision {last} is no range: revisions begin at 1, and \
             both ends belong to it"
        )));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_kept_to_the_last() {
        assert!(checked_message("x".repeat(CHANGE_MESSAGE_MAX_BYTES)).is_ok());
        let why = |error: Error| error.message;
        let refused = checked_message("x".repeat(CHANGE_MESSAGE_MAX_BYTES + 1)).map_err(why);
        assert_eq!(refused, Err("message has 65537 bytes, at most 65536 are allowed".into()));
        let metadata = |entries: usize, bytes: usize| {
            let entries = (0..entries).map(|entry| (format!("{entry:02}"), "x".repeat(bytes - 2)));
            checked_metadata(entries.collect()).map(drop).map_err(why)
        };
        assert_eq!(metadata(64, 128), Ok(()));
        assert_eq!(metadata(65, 2), Err("metadata has 65 entries, at most 64 are allowed".into()));
        assert_eq!(
            metadata(1, 8_193),
            Err("metadata has 8193 bytes, at most 8192 are allowed".into())
        );
        assert_eq!(checked_actor("author", String::new()), Ok(None));
        assert_eq!(checked_actor("author", "ann".into()), Ok(Some("ann".into())));
        assert!(
            checked_actor("author", "a\nb".into())
                .is_err_and(|error| error.message.starts_with("author: actor"))
        );
        assert_eq!(checked_prefixes(&["a/".into()]), Ok(vec!["a".into()]));
        assert!(checked_prefixes(&vec!["a".into(); 257]).is_err());
        assert_eq!(checked_history_limit(0), Ok(100));
        assert_eq!(checked_history_limit(1_000), Ok(1_000));
        assert!(checked_history_limit(1_001).is_err());
        assert_eq!(checked_list_page_size(0), Ok(10_000));
        assert!(checked_list_page_size(10_001).is_err());
        assert_eq!(checked_conflict_limit(0), Ok(100));
        assert!(checked_conflict_limit(101).is_err());
        assert_eq!(checked_revisions(2, 2), Ok((2, 2)));
        assert!(checked_revisions(0, 2).is_err() && checked_revisions(3, 2).is_err());
    }
}
