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
        let line = String::from_utf8_lossy(line);
        let (who, when) = match line.rfind('>') {
            Some(at) => line.split_at(at + 1),
            None => (line.as_ref(), ""),
        };
        let mut who: String = who
            .trim()
            .chars()
            .map(|character| if character.is_control() { '\u{fffd}' } else { character })
            .collect();
        truncate(&mut who, max_bytes);
        let seconds = when.split_whitespace().next().and_then(|seconds| seconds.parse().ok());
        Self { who, seconds }
    }
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
        assert_eq!(parse(b"\xff\x07 x").who, "\u{fffd}\u{fffd} x");
        assert_eq!(parse("ü".repeat(30).as_bytes()).who.len(), 20);
        assert_eq!(parse(b"").seconds, None);
    }

    #[test]
    fn an_author_of_ours_becomes_one_that_git_takes() {
        assert_eq!(format_person("ann", "default"), "ann <ann@default>");
        assert_eq!(format_person("Ann Lee", "team"), "Ann Lee <Ann.Lee@team>");
        assert_eq!(format_person("Ann <a@x>", "team"), "Ann <a@x>");
        assert_eq!(format_person("a<b>\nc <d>", "team"), "abc d <abc.d@team>");
    }
}
