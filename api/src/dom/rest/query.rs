//! The parameters of a query: each route names the ones it knows.

use axum::extract::Query;
use http::Uri;
use vdom_core::dom::calls::ReadAt;
use vdom_core::limits::SUBSCRIPTION_MAX_PATHS;
use vdom_core::names::parse_prefix;
use vdom_core::{Error, OperationId, Result};

/// The parameters that say as of when to read.
pub(super) const READ_AT: [&str; 6] =
    ["revision", "epoch", "min_revision", "min_epoch", "max_age_ms", "after_operation"];

/// The parameters of one request.
pub(super) struct QueryParameters(Vec<(String, String)>);

impl QueryParameters {
    pub(super) fn parse(uri: &Uri) -> Result<Self> {
        Query::try_from_uri(uri)
            .map(|Query(parameters)| Self(parameters))
            .map_err(|error| Error::invalid(format!("the query cannot be read: {error}")))
    }

    /// Refuses parameters that the route does not know.
    pub(super) fn allow(&self, known: &[&[&str]]) -> Result<()> {
        // The realm stands in every address.
        let known = || known.iter().flat_map(|names| names.iter()).chain(&["realm"]);
        let Some((unknown, _)) =
            self.0.iter().find(|(name, _)| !known().any(|known| known == name))
        else {
            return Ok(());
        };
        let nearest = known()
            .min_by_key(|name| strsim::damerau_levenshtein(unknown, name))
            .copied()
            .unwrap_or_default();
        Err(Error::invalid(format!(
            "the query has the unknown parameter {unknown:?}: did you mean {nearest:?}?"
        )))
    }

    /// The parameter's value, where it is given and not empty.
    pub(super) fn get<'a>(&'a self, name: &str) -> Option<&'a str> {
        self.all(name).find(|value| !value.is_empty())
    }

    /// All values of a parameter that may be repeated.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a flag is set: `?name`, `?name=true`.
    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        match self.all(name).last() {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(other) => {
                Err(Error::invalid(format!("{name} is {other:?}, not `true` or `false`")))
            }
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>> {
        self.get(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| Error::invalid(format!("{name} is {text:?}, not a whole number")))
            })
            .transpose()
    }

    /// Size and token of a page of a list; 0 and empty where they are left out.
    pub(super) fn page(&self) -> Result<(u32, &str)> {
        let page_size = u32::try_from(self.number("page_size")?.unwrap_or(0))
            .map_err(|_| Error::invalid("page_size is too large"))?;
        Ok((page_size, self.get("page_token").unwrap_or_default()))
    }

    /// Which paths are meant, in whole segments; none: all.
    pub(super) fn prefixes(&self) -> Result<Vec<String>> {
        let paths: Vec<_> = self.all("paths").map(parse_prefix).collect::<Result<_>>()?;
        if paths.len() > SUBSCRIPTION_MAX_PATHS {
            return Err(Error::invalid(format!(
                "paths is given {} times, at most {SUBSCRIPTION_MAX_PATHS} are allowed: name a \
                 common parent",
                paths.len()
            )));
        }
        Ok(paths)
    }

    /// As of when to read.
    pub(super) fn read_at(&self) -> Result<ReadAt> {
        Ok(ReadAt {
            revision: self.number("revision")?.filter(|revision| *revision > 0),
            epoch: self.number("epoch")?.filter(|epoch| *epoch > 0),
            min_revision: self.number("min_revision")?.filter(|revision| *revision > 0),
            min_epoch: self.number("min_epoch")?.filter(|epoch| *epoch > 0),
            max_age_ms: self.number("max_age_ms")?,
            after_operation: self.get("after_operation").map(operation_id).transpose()?,
        })
    }
}

/// An operation id: 32 hexadecimal digits, or a UUID.
pub(super) fn operation_id(text: &str) -> Result<OperationId> {
    let digits: String = text.chars().filter(|character| *character != '-').collect();
    OperationId::from_hex(&digits).map_err(|_| {
        Error::invalid(format!(
            "{text:?} is no operation id: write 32 hexadecimal digits or a UUID"
        ))
    })
}
