//! Paths as git quotes them: in double quotes, with the escapes of C.

use std::borrow::Cow;

/// As it stands where nothing in it needs quotes, else in quotes.
pub fn quote(path: &[u8]) -> Cow<'_, [u8]> {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    if !path.is_empty() && path.iter().all(is_plain) {
        return Cow::Borrowed(path);
    }
    let mut quoted = Vec::with_capacity(path.len() + 16);
    quoted.push(b'"');
    for &byte in path {
        match byte {
            b'"' | b'\\' => quoted.extend([b'\\', byte]),
            b'\n' => quoted.extend(b"\\n"),
            b' '..=b'~' => quoted.push(byte),
            _ => {
                let digit = |shift: u8| b'0' + (byte >> shift & 7);
                quoted.extend([b'\\', digit(6), digit(3), digit(0)]);
            }
        }
    }
    quoted.push(b'"');
    Cow::Owned(quoted)
}

/// Reads a quoted text from the start of `text`, which begins with the quote:
/// what it stands for, and what follows it. `Err` has the place of what is wrong.
pub fn unquote(text: &[u8]) -> Result<(Vec<u8>, &[u8]), usize> {
    let mut plain = Vec::with_capacity(text.len());
    let mut at = 1;
    loop {
        match text.get(at).ok_or(at)? {
            b'"' => return Ok((plain, &text[at + 1..])),
            b'\\' => {
                let (byte, length) = escaped(&text[at + 1..]).ok_or(at)?;
                plain.push(byte);
                at += 1 + length;
            }
            byte => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
}

/// What follows a backslash, and how many bytes that is.
fn escaped(text: &[u8]) -> Option<(u8, usize)> {
    let byte = match text.first()? {
        byte @ (b'"' | b'\\') => *byte,
        b'a' => 0x07,
        b'b' => 0x08,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 0x0b,
        b'f' => 0x0c,
        b'r' => b'\r',
        b'0'..=b'3' => {
            let digits = text.get(..3)?;
            let value = digits.iter().try_fold(0, |value: u8, digit| match digit {
                b'0'..=b'7' => Some(value << 3 | (digit - b'0')),
                _ => None,
            })?;
            return Some((value, 3));
        }
        _ => return None,
    };
    Some((byte, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_comes_back_as_it_was() {
        let every_byte: Vec<u8> = (0..=255).collect();
        for path in [b"src/lib.rs".as_slice(), b"a b", b"\"", b"", b"\\n", b"\xff\n", &every_byte] {
            let quoted = quote(path);
            assert!(!quoted.contains(&b'\n'), "{path:?}");
            if quoted.first() == Some(&b'"') {
                assert_eq!(unquote(&quoted), Ok((path.to_vec(), b"".as_slice())), "{path:?}");
            } else {
                assert_eq!(quoted.as_ref(), path);
            }
        }
        assert_eq!(unquote(b"\"a\\tb\" rest"), Ok((b"a\tb".to_vec(), b" rest".as_slice())));
    }

    #[test]
    fn what_is_wrong_with_a_quoted_path_has_a_place() {
        for (text, place) in [
            (b"\"a".as_slice(), 2),
            (b"\"a\\", 2),
            (b"\"\\x\"", 1),
            (b"\"\\40\"", 1),
            (b"\"\\777\"", 1),
        ] {
            assert_eq!(unquote(text), Err(place), "{text:?}");
        }
    }
}
