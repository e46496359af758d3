//! What a client would rather have (RFC 9110, section 12.5.1).

use http::HeaderMap;
use http::header::ACCEPT;

/// Whether `offered`, which has to be asked for by its name, is wanted no less than `usual`,
/// which is answered otherwise.
pub(super) fn prefers(headers: &HeaderMap, offered: &str, usual: &str) -> bool {
    let ranges: Vec<_> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(Range::parse)
        .collect();
    let named = ranges.iter().find(|range| range.name.eq_ignore_ascii_case(offered));
    named.is_some_and(|named| named.weight > 0.0 && named.weight >= weight_of(&ranges, usual))
}

/// A range of media types and how much they are wanted, from 0 to 1.
struct Range<'a> {
    name: &'a str,
    weight: f32,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .and_then(|(_, weight)| weight.trim().parse().ok())
            .unwrap_or(1.0);
        Self { name, weight }
    }

    /// How closely it names the media type; `None`: not at all.
    fn closeness(&self, media_type: &str) -> Option<u8> {
        if self.name.eq_ignore_ascii_case(media_type) {
            return Some(2);
        }
        if self.name == "*/*" {
            return Some(0);
        }
        let (group, _) = media_type.split_once('/')?;
        let of_group = self.name.strip_suffix("/*")?.eq_ignore_ascii_case(group);
        of_group.then_some(1)
    }
}

/// The weight that the closest range gives; 0 where none is about it.
fn weight_of(ranges: &[Range<'_>], media_type: &str) -> f32 {
    let closeness = |range: &&Range<'_>| range.closeness(media_type);
    ranges
        .iter()
        .filter(|range| closeness(range).is_some())
        .max_by_key(closeness)
        .map_or(0.0, |range| range.weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_given_unless_something_else_is_wanted_more() {
        for (accept, expected) in [
            ("application/json", true),
            ("text/html, Application/JSON; charset=utf-8; Q=0.9", true),
            ("application/json, text/plain, */*", true),
            ("application/json;q=0.5, application/octet-stream;q=0.5", true),
            ("", false),
            ("*/*", false),
            ("application/*", false),
            ("application/json;q=0", false),
            ("application/json; q=0.000, */*", false),
            ("application/json;q=0.5, application/octet-stream", false),
            ("application/json;q=0.5, application/*;q=0.6", false),
            ("application/json;q=0.5, application/*;q=0.4, */*;q=0.9", true),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().expect("a header"))]);
            let preferred = prefers(&headers, "application/json", "application/octet-stream");
            assert_eq!(preferred, expected, "{accept}");
        }
        assert!(!prefers(&HeaderMap::new(), "application/json", "application/octet-stream"));
    }
}
