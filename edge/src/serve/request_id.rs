//! The id that ties the log lines of one request together, across programs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderName};

/// The response header that carries it.
pub(super) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The longest id that is taken from a client.
const REQUEST_ID_MAX_BYTES: usize = 128;

/// The id of one request: the client's, else a number that is written out once somebody
/// wants to see it.
#[derive(Clone, Debug)]
pub(super) struct RequestId {
    text: OnceLock<Arc<str>>,
    number: u128,
}

impl RequestId {
    pub(super) fn text(&self) -> &Arc<str> {
        self.text.get_or_init(|| hexadecimal(self.number.to_be_bytes()))
    }

    /// Whether anybody has seen it: the client, who brought it, or the log.
    pub(super) fn is_seen(&self) -> bool {
        self.text.get().is_some()
    }
}

/// The trace id of a `traceparent`, else a sane `x-request-id`.
fn of_client(headers: &HeaderMap) -> Option<Arc<str>> {
    let header = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    header(&TRACEPARENT)
        .and_then(trace_id)
        .or_else(|| header(&REQUEST_ID).filter(|id| is_sane(id)))
        .map(Arc::from)
}

/// The second part of `00-<trace id>-<span id>-<flags>` (W3C Trace Context).
fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hexadecimal = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let valid = is_hexadecimal(version, 2)
        && version != "ff"
        && is_hexadecimal(trace, 32)
        && trace.bytes().any(|byte| byte != b'0')
        && is_hexadecimal(span, 16)
        && is_hexadecimal(flags, 2);
    valid.then_some(trace)
}

fn is_sane(id: &str) -> bool {
    (1..=REQUEST_ID_MAX_BYTES).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

/// Ids that no client brought: random where they begin, counted on from there.
pub(super) struct RequestIds {
    first: u128,
    next: AtomicU64,
}

impl RequestIds {
    /// Ids that begin at these random bytes.
    pub(super) fn new(seed: [u8; 16]) -> Self {
        Self { first: u128::from_be_bytes(seed), next: AtomicU64::new(0) }
    }

    /// The id that the client names, else a new one of 32 hexadecimal digits.
    pub(super) fn of(&self, headers: &HeaderMap) -> RequestId {
        let next = || u128::from(self.next.fetch_add(1, Ordering::Relaxed));
        match of_client(headers) {
            Some(id) => RequestId { text: OnceLock::from(id), number: 0 },
            None => RequestId { text: OnceLock::new(), number: self.first.wrapping_add(next()) },
        }
    }
}

fn hexadecimal(bytes: [u8; 16]) -> Arc<str> {
    let mut digits = [0; 32];
    // Room for two digits a byte is all that it can ask for.
    let written = hex::encode_to_slice(bytes, &mut digits);
    debug_assert!(written.is_ok());
    Arc::from(std::str::from_utf8(&digits).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn id(name: &'static str, value: &'static str) -> Arc<str> {
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )]);
        RequestIds::new([0xab; 16]).of(&headers).text().clone()
    }

    #[test]
    fn an_id_comes_from_the_client_where_it_is_sane() {
        let made = "abababababababababababababababab";
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(&*id("traceparent", parent), trace);
        assert_eq!(&*id("traceparent", "00-00000000000000000000000000000000-0f-01"), made);
        assert_eq!(&*id("traceparent", "nonsense"), made);
        assert_eq!(&*id("x-request-id", "job-7.a_b:c"), "job-7.a_b:c");
        assert_eq!(&*id("x-request-id", "two words"), made);
        assert_eq!(&*id("x-request-id", ""), made);
        let ids = RequestIds::new([0xab; 16]);
        let id = ids.of(&HeaderMap::new());
        assert!(!id.is_seen(), "nobody has asked for it");
        assert_eq!((&**id.text(), id.is_seen()), (made, true));
    }

    #[test]
    fn ids_that_no_client_brought_follow_one_another() {
        let ids = RequestIds::new([0xff; 16]);
        let of_nobody = || ids.of(&HeaderMap::new()).text().clone();
        assert_eq!(&*of_nobody(), "ffffffffffffffffffffffffffffffff");
        assert_eq!(&*of_nobody(), "00000000000000000000000000000000");
        assert_eq!(&*of_nobody(), "00000000000000000000000000000001");
    }
}
