//! A request as every handler takes it: who asks, about what, how.

use std::collections::HashMap;
use std::time::Instant;

use axum::RequestExt;
use axum::body::Body;
use axum::extract::{Path, Request};
use http::HeaderMap;
use vdom_core::{
    BranchAddress, ConflictId, Error, NodePath, OperationId, RealmName, RepoName, Result,
};

use super::accept;
use super::query::{self, QueryParameters};
use vdom_edge::caller::{self, Caller};
use vdom_edge::deadline;
use vdom_edge::stream::Draining;

/// One request but for its body.
pub(super) struct ApiRequest {
    pub(super) caller: Caller,
    pub(super) draining: Option<Draining>,
    pub(super) query: QueryParameters,
    pub(super) headers: HeaderMap,
    names: HashMap<String, String>,
}

impl ApiRequest {
    /// Takes a request apart.
    pub(super) async fn read(mut request: Request) -> Result<(Self, Body)> {
        let caller = caller::of(request.extensions())?;
        let Path(names) = request
            .extract_parts::<Path<HashMap<String, String>>>()
            .await
            .map_err(|error| Error::invalid(format!("the path cannot be read: {error}")))?;
        let draining = request.extensions().get::<Draining>().cloned();
        let (parts, body) = request.into_parts();
        let call = Self {
            caller,
            draining,
            query: QueryParameters::parse(&parts.uri)?,
            headers: parts.headers,
            names,
        };
        Ok((call, body))
    }

    /// The deadline of an answer, or of its beginning where it streams.
    pub(super) fn deadline(&self) -> Instant {
        deadline::of_answer(&self.caller)
    }

    /// `?realm=`, else the token's, else `default`.
    pub(super) fn realm(&self) -> Result<RealmName> {
        match (self.query.get("realm"), &self.caller.realm) {
            (Some(name), _) => RealmName::parse(name),
            (None, Some(realm)) => Ok(realm.clone()),
            (None, None) => RealmName::parse(RealmName::DEFAULT),
        }
    }

    /// The repo in the path.
    pub(super) fn repo(&self) -> Result<RepoName> {
        RepoName::parse(self.name("repo"))
    }

    /// The branch in the path.
    pub(super) fn address(&self) -> Result<BranchAddress> {
        BranchAddress::parse(self.realm()?.as_str(), self.name("repo"), self.name("branch"))
    }

    /// The node's path in the path.
    pub(super) fn path(&self) -> Result<NodePath> {
        NodePath::parse(self.name("path"))
    }

    /// A header as text; one that is no ASCII text is refused.
    pub(super) fn header(&self, name: &str) -> Result<Option<&str>> {
        self.headers
            .get(name)
            .map(|value| {
                value.to_str().map_err(|_| Error::invalid(format!("header {name} is not ASCII")))
            })
            .transpose()
    }

    /// What makes the request safe to repeat: `Idempotency-Key`, or the
    /// `operation_id` that its body names.
    pub(super) fn operation_id(&self, in_body: Option<&str>) -> Result<Option<OperationId>> {
        let in_body = in_body.map(query::operation_id).transpose()?;
        let in_header = self
            .header("idempotency-key")?
            .map(|key| query::operation_id(key.trim_matches('"')))
            .transpose()?;
        match (in_header, in_body) {
            (Some(header), Some(body)) if header != body => Err(Error::invalid(
                "Idempotency-Key and operation_id name two operations: send one of them",
            )),
            (header, body) => Ok(header.or(body)),
        }
    }

    /// The conflict in the path.
    pub(super) fn conflict_id(&self) -> Result<ConflictId> {
        ConflictId::from_hex(self.name("id"))
    }

    /// Whether the client asks for this media type by name, and no less for it than for the
    /// usual one.
    pub(super) fn prefers(&self, media_type: &str, usual: &str) -> bool {
        accept::prefers(&self.headers, media_type, usual)
    }

    fn name(&self, name: &str) -> &str {
        self.names.get(name).map_or("", String::as_str)
    }
}
