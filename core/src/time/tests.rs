//! Every number has a text, and every text of the range its number.

use proptest::prelude::*;

use super::*;

#[test]
fn the_ends_of_the_range_are_the_ends_of_years() {
    assert_eq!(format(MIN_MS), "0001-01-01T00:00:00.000Z");
    assert_eq!(format(MAX_MS), "9999-12-31T23:59:59.999Z");
    assert_eq!(format(-1), "1969-12-31T23:59:59.999Z");
    assert_eq!(format_seconds(1_000_000_000_005), "2001-09-09T01:46:40Z");
    for beyond in [i64::MIN, MIN_MS - 1, MAX_MS + 1, i64::MAX] {
        let error = checked("authored_at", beyond).expect_err("no date");
        assert!(error.message.contains("authored_at"), "{error}");
    }
}

#[test]
fn text_is_read_with_its_offset() {
    for (text, expected) in [
        ("2001-09-09T01:46:40.005Z", 1_000_000_000_005),
        ("2001-09-09T03:46:40.005999+02:00", 1_000_000_000_005),
        ("1969-12-31T23:59:59.999Z", -1),
    ] {
        assert_eq!(parse("authored_at", text), Ok(expected), "{text}");
    }
    for text in [
        "",
        "today",
        "2001-09-09",
        "10000-01-01T00:00:00Z",
        "0000-12-31T00:00:00Z",
        "9999-12-31T23:59:59-01:00",
    ] {
        let error = parse("authored_at", text).expect_err(text);
        assert!(error.message.contains("authored_at"), "{error}");
    }
}

proptest! {
    #[test]
    fn whatever_is_taken_can_be_shown_and_read_again(milliseconds in MIN_MS..=MAX_MS) {
        prop_assert_eq!(checked("at", milliseconds), Ok(milliseconds));
        prop_assert_eq!(parse("at", &format(milliseconds)), Ok(milliseconds));
    }

    #[test]
    fn whatever_is_stored_can_be_shown(milliseconds in any::<i64>()) {
        prop_assert!(parse("at", &format(milliseconds)).is_ok());
        prop_assert!(parse("at", &format_seconds(milliseconds)).is_ok());
    }
}
