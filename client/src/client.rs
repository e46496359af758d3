//! One connection to a gateway or a sidecar, and the calls that are made on it.

use std::time::Duration;

use tonic::codegen::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_health::pb::health_client::HealthClient;
use vdom_core::limits::{CHUNK_BYTES, UNARY_MESSAGE_MAX_BYTES};
use vdom_proto::v1::memory_gateway_client::MemoryGatewayClient;
use vdom_proto::v1::{
    Branch, CreateBranchRequest, GetHistoryRequest, GetHistoryResponse, ListBranchesRequest,
    ListReposRequest, Repo,
};

use crate::address::ServerAddress;
use crate::branch_spec::BranchSpec;
use crate::connection::{ConnectOptions, Credentials, open_channel};
use crate::error::Result;

/// An answer may hold a message's worth of content and what describes it.
const ANSWER_MAX_BYTES: usize = UNARY_MESSAGE_MAX_BYTES + CHUNK_BYTES;

/// The generated client with the token on every call.
pub type RawClient = MemoryGatewayClient<InterceptedService<Channel, Credentials>>;

/// One connection; it comes back by itself after it was lost. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    raw: RawClient,
    channel: Channel,
    address: ServerAddress,
    realm: String,
    call_timeout: Duration,
    pub(crate) retry_for: Duration,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Unusable`] where the token, the address or the authority cannot
    /// be used, [`crate::Error::Unreachable`] where nobody answers within 5 s.
    pub async fn connect(options: ConnectOptions) -> Result<Self> {
        let credentials = Credentials::new(options.token.as_ref())?;
        let channel = open_channel(&options).await?;
        let raw = MemoryGatewayClient::with_interceptor(channel.clone(), credentials)
            .max_decoding_message_size(ANSWER_MAX_BYTES);
        let ConnectOptions { address, realm, call_timeout, retry_for, .. } = options;
        Ok(Self { raw, channel, address, realm, call_timeout, retry_for })
    }

    /// The generated client, for calls that need no more than that.
    pub fn raw(&self) -> RawClient {
        self.raw.clone()
    }

    /// The standard health service; it asks for no token.
    pub fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel.clone())
    }

    /// The server of this connection.
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// The realm for requests; empty: the token's.
    pub fn realm(&self) -> String {
        self.realm.clone()
    }

    /// A request with the deadline of a unary call.
    pub fn unary<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.call_timeout);
        request
    }

    /// Waits for the first answer of a stream as long as for a unary call.
    ///
    /// # Errors
    ///
    /// What the call answers with; `DeadlineExceeded` where it does not answer in time.
    pub async fn in_time<T>(
        &self,
        answer: impl Future<Output = std::result::Result<T, Status>>,
    ) -> Result<T> {
        let expired = |_| Status::deadline_exceeded(format!("no answer from {}", self.address));
        Ok(tokio::time::timeout(self.call_timeout, answer).await.map_err(expired)??)
    }

    /// Creates a branch; repeated while the server is away.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where there is one of that name that another operation made,
    /// `NotFound` where there is none to begin in.
    pub async fn create_branch(&self, request: CreateBranchRequest) -> Result<Branch> {
        let create = || async { self.raw().create_branch(self.unary(request.clone())).await };
        Ok(self.retrying(create).await?.branch.unwrap_or_default())
    }

    /// All repos of the realm by name, page by page.
    ///
    /// # Errors
    ///
    /// Where the server refuses to tell, or is away for too long.
    pub async fn repos(&self) -> Result<Vec<Repo>> {
        let (mut repos, mut page_token) = (Vec::new(), String::new());
        loop {
            let list = || async {
                let (realm, page_token) = (self.realm(), page_token.clone());
                let request = ListReposRequest { realm, page_token, page_size: 0 };
                self.raw().list_repos(self.unary(request)).await
            };
            let page = self.retrying(list).await?;
            repos.extend(page.repos);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(repos);
            }
        }
    }

    /// All branches of a repo by name, page by page; none where there is no such repo.
    ///
    /// # Errors
    ///
    /// Where the server refuses to tell, or is away for too long.
    pub async fn branches(&self, repo: &str) -> Result<Vec<Branch>> {
        let (mut branches, mut page_token) = (Vec::new(), String::new());
        loop {
            let list = || async {
                let request = ListBranchesRequest {
                    realm: self.realm(),
                    repo: repo.to_owned(),
                    page_token: page_token.clone(),
                    ..ListBranchesRequest::default()
                };
                self.raw().list_branches(self.unary(request)).await
            };
            match self.retrying(list).await {
                Ok(page) => {
                    branches.extend(page.branches);
                    page_token = page.next_page_token;
                }
                Err(error) if error.is_not_found() => return Ok(branches),
                Err(error) => return Err(error),
            }
            if page_token.is_empty() {
                return Ok(branches);
            }
        }
    }

    /// One branch, and where its head is; `None` where it does not exist.
    ///
    /// # Errors
    ///
    /// Where the server refuses to tell, or is away for too long.
    pub async fn branch(&self, branch: &BranchSpec) -> Result<Option<Branch>> {
        let list = || async {
            let request = ListBranchesRequest {
                realm: self.realm(),
                repo: branch.repo.clone(),
                branch: branch.branch.clone(),
                ..ListBranchesRequest::default()
            };
            self.raw().list_branches(self.unary(request)).await
        };
        match self.retrying(list).await {
            // A server of an earlier version tells of all.
            Ok(page) => Ok(page.branches.into_iter().find(|it| it.name == branch.branch)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A page of changes, newest first; repeated while the server is away.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is no such branch or node, `Compacted` where the page is
    /// no longer kept.
    pub async fn history(&self, request: GetHistoryRequest) -> Result<GetHistoryResponse> {
        let read = || async { self.raw().get_history(self.unary(request.clone())).await };
        self.retrying(read).await
    }
}
