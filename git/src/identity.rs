//! Who made a commit and when, as git writes it and as changes have it.

/// Who and when, as `Name <email> seconds zone` says it.
///
/// ```
/// use vdom_git::identity::Identity;
///
/// let identity = Identity::parse(b"Ann <a@x> 1795241881 -0330", 128);
/// assert_eq!((identity.who.as_str(), identity.seconds), ("Ann <a@x>", Some(1_795_241_881)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `Name <email>`, as text that a change takes for its author.
    pub who: String,
    /// Seconds since the Unix epoch, where they are a number.
    pub seconds: Option<i64>,
}

impl Identity {
    /// Reads as much as there is of it; bytes that are no text are replaced.
    pub fn parse(line: &[u8], max_bytes: usize) -> Self {
        let (who, when) = split(line);
        let seconds = String::from_utf8_lossy(when);
        let seconds = seconds.split_whitespace().next().and_then(|seconds| seconds.parse().ok());
        let mut who: String = String::from_utf8_lossy(&who)
            .trim()
            .chars()
            .map(|character| if character.is_control() { '\u{fffd}' } else { character })
            .collect();
        truncate(&mut who, max_bytes);
        Self { who, seconds }
    }
}

/// A person and time of a commit as git's reader of streams writes it down: it refuses some
/// that git itself keeps, with two addresses, without any, or without a time. What it takes
/// stays as it is.
///
/// ```
/// use vdom_git::identity::readable_person;
///
/// assert_eq!(readable_person(b"A <a@x> <a@x> 7 +0100"), b"A <a@x> 7 +0100");
/// assert_eq!(readable_person(b"A <a@x> 7 +0100"), b"A <a@x> 7 +0100");
/// ```
pub fn readable_person(line: &[u8]) -> Vec<u8> {
    if is_readable(line) {
        return line.to_vec();
    }
    let (who, when) = split(line);
    let mut words = when.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let seconds = words.next().filter(|word| is_number(word)).unwrap_or(b"0");
    let zone = words.next().filter(|word| is_zone(word)).unwrap_or(b"+0000");
    [&who, b" ".as_slice(), seconds, b" ", zone].concat()
}

/// `Name <email>` with one address, as git itself finds it, and the rest.
fn split(line: &[u8]) -> (Vec<u8>, &[u8]) {
    let when_at = line.iter().rposition(|byte| *byte == b'>').map(|at| at + 1);
    let (who, when) = line.split_at(when_at.unwrap_or_else(|| time_at(line)));
    let name_ends = who.iter().position(|byte| *byte == b'<').unwrap_or(who.len());
    let (name, rest) = who.split_at(name_ends);
    let address = rest.split(|byte| b"<>".contains(byte)).find(|part| !part.is_empty());
    let plain = |text: &[u8]| -> Vec<u8> {
        let kept = text.trim_ascii().iter().filter(|byte| !b"<>\n\0".contains(byte));
        kept.copied().collect()
    };
    let who = [plain(name), b" <".to_vec(), plain(address.unwrap_or_default()), b">".to_vec()];
    (who.concat(), when)
}

/// Where seconds and zone begin in a line without any address.
fn time_at(line: &[u8]) -> usize {
    let mut from_end = line.rsplitn(3, |byte| *byte == b' ');
    match (from_end.next(), from_end.next()) {
        (Some(zone), Some(seconds)) if is_zone(zone) && is_number(seconds) => {
            line.len() - zone.len() - seconds.len() - 1
        }
        _ => line.len(),
    }
}

/// As `parse_ident` of git's fast-import.c has it, where dates may be of any size.
fn is_readable(line: &[u8]) -> bool {
    let mut parts = line.splitn(2, |byte| *byte == b'<');
    let (Some(name), Some(rest)) = (parts.next(), parts.next()) else { return false };
    let mut parts = rest.splitn(2, |byte| *byte == b'>');
    let (Some(address), Some(when)) = (parts.next(), parts.next()) else { return false };
    let mut words = when.strip_prefix(b" ").unwrap_or_default().splitn(2, |byte| *byte == b' ');
    name.ends_with(b" ")
        && !name.contains(&b'>')
        && !address.contains(&b'<')
        && !line.iter().any(|byte| b"\n\0".contains(byte))
        && words.next().is_some_and(is_number)
        && words.next().is_some_and(is_zone)
}

fn is_number(word: &[u8]) -> bool {
    let digits = word.strip_prefix(b"-").unwrap_or(word);
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'));
    digits.is_some_and(|digits| digits.parse::<u64>().is_ok())
}

fn is_zone(word: &[u8]) -> bool {
    matches!(word, [b'+' | b'-', digits @ ..]
        if (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit))
}

/// Cuts a text at a character, so that it has at most so many bytes.
pub fn truncate(text: &mut String, max_bytes: usize) {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

/// An author of a change as git wants it: `name <name@realm>`, unless it is in that form
/// already.
pub fn format_person(author: &str, realm: &str) -> String {
    let is_one = author.ends_with('>')
        && author.matches('<').count() == 1
        && author.matches('>').count() == 1
        && author.contains(" <");
    let plain = |text: &str| text.replace(['<', '>', '\n', '\0'], "");
    if is_one {
        return author.replace(['\n', '\0'], "");
    }
    let name = plain(author);
    format!("{name} <{}@{}>", name.replace(' ', "."), plain(realm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_is_text_whatever_stands_there() {
        let parse = |line: &[u8]| Identity::parse(line, 20);
        let identity = parse(b"Ann <a@x> 1795241881 -0330");
        assert_eq!((identity.who.as_str(), identity.seconds), ("Ann <a@x>", Some(1_795_241_881)));
        assert_eq!(parse(b"<> -5 +0000"), Identity { who: "<>".into(), seconds: Some(-5) });
        assert_eq!(parse(b"A <a@x> <a@x> 7 +0100"), parse(b"A <a@x> 7 +0100"));
        assert_eq!(parse(b"\xff\x07 x").who, "\u{fffd}\u{fffd} x <>");
        assert_eq!(parse("ü".repeat(30).as_bytes()).who.len(), 20);
        assert_eq!(parse(b"").seconds, None);
    }

    #[test]
    fn what_gits_reader_refuses_is_repaired() {
        for kept in ["A <a@x> 7 +0100", " <> -7 -9", "A B  <a b@x> 99999999999 +051800"] {
            assert_eq!(readable_person(kept.as_bytes()), kept.as_bytes());
        }
        for (odd, repaired) in [
            ("A <a@x> <a@x> 1323847743 +0100", "A <a@x> 1323847743 +0100"),
            ("A <a@x>> 7 +0100", "A <a@x> 7 +0100"),
            ("A <<a@x> 7 +0100", "A <a@x> 7 +0100"),
            ("A> <a@x> 7 +0100", "A <a@x> 7 +0100"),
            ("A<a@x> 7 +0100", "A <a@x> 7 +0100"),
            ("<a@x> 7 +0100", " <a@x> 7 +0100"),
            ("A a@x 7 +0100", "A a@x <> 7 +0100"),
            ("A <a@x>", "A <a@x> 0 +0000"),
            ("A <a@x>7", "A <a@x> 7 +0000"),
            ("A <a@x> 99999999999999999999 +x", "A <a@x> 0 +0000"),
            ("A <a@x> 7  +0100", "A <a@x> 7 +0100"),
            ("A", "A <> 0 +0000"),
            ("", " <> 0 +0000"),
        ] {
            let found = readable_person(odd.as_bytes());
            assert_eq!(String::from_utf8_lossy(&found), repaired, "{odd}");
            assert!(is_readable(&found), "{repaired}");
        }
    }

    #[test]
    fn an_author_of_ours_becomes_one_that_git_takes() {
        assert_eq!(format_person("ann", "default"), "ann <ann@default>");
        assert_eq!(format_person("Ann Lee", "team"), "Ann Lee <Ann.Lee@team>");
        assert_eq!(format_person("Ann <a@x>", "team"), "Ann <a@x>");
        assert_eq!(format_person("a<b>\nc <d>", "team"), "abc d <abc.d@team>");
    }
}
