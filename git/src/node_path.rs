//! Paths of git as paths of nodes. Git's are any bytes; what a node cannot be
//! named is kept under an escaped path, and the bytes as an attribute.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};
use unicode_normalization::is_nfc;
use vdom_core::NodePath;
use vdom_core::limits::{METADATA_MAX_BYTES, PATH_MAX_BYTES};

/// The attribute with the bytes of a path that was escaped, in base64.
pub const ORIGINAL_PATH: &str = "git-path";
/// The folder of what vdom itself keeps in a branch.
pub const RESERVED_FOLDER: &str = ".vdom";

/// The longest path that fits the attribute, with room for others.
const ORIGINAL_MAX_BYTES: usize = (METADATA_MAX_BYTES - 2_048) / 4 * 3;
/// `%~` and the hash of a path that is too long.
const HASH_BYTES: usize = 2 + 64;

/// Where a path of git is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedPath {
    /// The path of the node.
    pub path: NodePath,
    /// The value of [`ORIGINAL_PATH`]; `None`: the path is the same.
    pub original: Option<String>,
}

/// Where a path of git is kept. Different paths never meet: an escape is `%` and
/// two hexadecimal digits, and a path that has such a thing of its own is
/// escaped as well; the end of a path that is too long becomes its hash.
/// `None` for a path that is even longer than an attribute.
pub fn encode_path(path: &[u8]) -> Option<EncodedPath> {
    if let Ok(text) = std::str::from_utf8(path)
        && !looks_escaped(text)
        && !is_reserved(text)
        && let Ok(path) = NodePath::parse(text)
    {
        return Some(EncodedPath { path, original: None });
    }
    if path.is_empty() || path.len() > ORIGINAL_MAX_BYTES {
        return None;
    }
    let mut escaped = escape(path);
    if escaped.len() > PATH_MAX_BYTES {
        escaped = shorten(&escaped, path);
    }
    let path_of_node = NodePath::parse(&escaped).ok()?;
    Some(EncodedPath { path: path_of_node, original: Some(BASE64.encode(path)) })
}

/// The bytes of a path, from the path of the node and its attribute
/// [`ORIGINAL_PATH`]. `None` where the attribute is no base64.
pub fn decode_path(path: &str, attribute: Option<&str>) -> Option<Vec<u8>> {
    match attribute {
        None => Some(path.as_bytes().to_vec()),
        Some(attribute) => BASE64.decode(attribute).ok(),
    }
}

fn looks_escaped(text: &str) -> bool {
    text.as_bytes()
        .windows(2)
        .enumerate()
        .any(|(at, pair)| pair == b"%~" || is_escape(&text.as_bytes()[at..]))
}

fn is_escape(text: &[u8]) -> bool {
    matches!(text, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

fn is_reserved(path: &str) -> bool {
    path.strip_prefix(RESERVED_FOLDER).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn escape(path: &[u8]) -> String {
    let mut escaped = String::with_capacity(path.len() + 16);
    for (index, segment) in path.split(|byte| *byte == b'/').enumerate() {
        if index > 0 {
            escaped.push('/');
        }
        escape_segment(segment, index == 0, &mut escaped);
    }
    escaped
}

fn escape_segment(segment: &[u8], is_first: bool, escaped: &mut String) {
    let is_dots = segment == b"." || segment == b"..";
    let begins_reserved = is_first && segment == RESERVED_FOLDER.as_bytes();
    // An empty segment cannot be escaped, but git has none.
    let text = std::str::from_utf8(segment)
        .ok()
        .filter(|text| is_nfc(text) && !text.chars().any(|c| c.is_control() && !c.is_ascii()));
    for (at, &byte) in segment.iter().enumerate() {
        let must = match byte {
            b'.' => is_dots || begins_reserved && at == 0,
            b'%' => segment.get(at + 1) == Some(&b'~') || is_escape(&segment[at..]),
            byte if byte.is_ascii() => byte.is_ascii_control(),
            _ => text.is_none(),
        };
        if must {
            push_escape(byte, escaped);
        } else if byte.is_ascii() {
            escaped.push(char::from(byte));
        } else if let Some(character) = text.and_then(|text| text.get(at..)?.chars().next()) {
            // Its later bytes are at no boundary, so they come to nothing here.
            escaped.push(character);
        }
    }
}

fn push_escape(byte: u8, escaped: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    escaped.push('%');
    escaped.push(char::from(DIGITS[usize::from(byte >> 4)]));
    escaped.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// The beginning of `escaped`, and the hash of the whole.
fn shorten(escaped: &str, path: &[u8]) -> String {
    let mut end = PATH_MAX_BYTES - HASH_BYTES;
    while !escaped.is_char_boundary(end) {
        end -= 1;
    }
    let mut kept = &escaped[..end];
    // Half an escape would be read as something else, a half character may combine.
    if let Some(at) = kept.rfind('%').filter(|at| kept.len() - at < 3) {
        kept = &kept[..at];
    }
    let kept = kept.trim_end_matches('/');
    format!("{kept}%~{}", hex::encode(Sha256::digest(path)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn kept(path: &[u8]) -> String {
        encode_path(path).expect("can be kept").path.to_string()
    }

    #[test]
    fn what_a_node_can_be_named_stays() {
        for path in
            ["a", "src/lib.rs", "über/straße", "100%", "a%zz", ".vdomain/x", "a/.vdom", "..."]
        {
            let kept = encode_path(path.as_bytes()).expect("kept");
            assert_eq!((kept.path.as_str(), kept.original), (path, None));
        }
    }

    #[test]
    fn what_it_cannot_is_escaped_readably() {
        assert_eq!(kept(b"caf\xe9/\xc3\xbc"), "caf%E9/\u{fc}");
        assert_eq!(kept("e\u{301}.txt".as_bytes()), "e%CC%81.txt");
        assert_eq!(kept(b"a\nb"), "a%0Ab");
        assert_eq!(kept(b".."), "%2E%2E");
        assert_eq!(kept(b"a/./b"), "a/%2E/b");
        assert_eq!(kept(b".vdom/git-commit"), "%2Evdom/git-commit");
        assert_eq!(kept(b"100%25"), "100%2525");
        assert_eq!(kept("a\u{85}".as_bytes()), "a%C2%85");
        assert_eq!(encode_path(b""), None);
        assert_eq!(encode_path(&[b'x'; METADATA_MAX_BYTES]), None);
    }

    #[test]
    fn different_paths_never_meet_and_come_back() {
        let long = "ü\u{301}".repeat(1_000);
        let mut paths: Vec<Vec<u8>> = vec![
            b"a%FFb".to_vec(),
            b"a\xffb".to_vec(),
            b"a%25FFb".to_vec(),
            b"a%ffb".to_vec(),
            b"a%~b".to_vec(),
            long.clone().into_bytes(),
            long.replace('/', "x").into_bytes(),
            [long.as_bytes(), b"\xff"].concat(),
            vec![b'x'; PATH_MAX_BYTES],
            vec![b'x'; PATH_MAX_BYTES + 1],
            vec![b'x'; PATH_MAX_BYTES + 2],
        ];
        // Every pair of bytes that may matter.
        let alphabet = [b'%', b'~', b'F', b'f', b'2', b'5', 0xff, 0xc3, 0xbc, b'.', b'\n'];
        for one in alphabet {
            for two in alphabet {
                for three in alphabet {
                    for four in alphabet {
                        paths.push(vec![one, two, three, four]);
                    }
                }
            }
        }
        paths.sort();
        paths.dedup();
        let mut met = HashMap::new();
        for path in &paths {
            let kept = encode_path(path).expect("can be kept");
            let back = decode_path(kept.path.as_str(), kept.original.as_deref());
            assert_eq!(back.as_ref(), Some(path));
            if let Some(other) = met.insert(kept.path.to_string(), path) {
                panic!("{path:?} and {other:?} meet at {}", kept.path);
            }
        }
    }
}
