//! Connecting, and finding out what the server can do.

use std::collections::HashMap;
use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ::mongodb::bson::oid::ObjectId;
use ::mongodb::bson::{Document, doc};
use ::mongodb::options::{
    ClientOptions, CollectionOptions, IndexOptions, ReadConcern, ReadPreference, SelectionCriteria,
    WriteConcern,
};
use ::mongodb::{Client, Database, IndexModel};
use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::change_stream;
use super::errors::Boundary;
use super::handle::{Collections, MongoStore};
use super::linearizable_reads::LinearizableReads;
use crate::commit_hint::HINT_QUEUE;
use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::store::Guarantees;

/// How a deployment is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MongoOptions {
    /// The database that has all collections of the store.
    pub database: String,
    /// How long to look for a server, and to connect to it.
    pub connect_timeout: Duration,
    /// The deadline of every operation.
    pub operation_timeout: Duration,
}

impl Default for MongoOptions {
    fn default() -> Self {
        Self {
            database: "vdom".to_owned(),
            connect_timeout: Duration::from_secs(3),
            operation_timeout: Duration::from_secs(5),
        }
    }
}

const STANDALONE: &str = "MongoDB runs as a standalone server: a write is acknowledged by one \
     server, and lost with its disk; use a replica set.";
pub(super) const NO_LINEARIZABLE_READS: &str = "The MongoDB server cannot read linearizably: a head is \
     confirmed by a plain read, which a deposed primary may answer wrongly.";
pub(super) const NO_CHANGE_STREAM: &str = "No change stream is open at the MongoDB server: what \
     other gateways write is noticed by polling, up to a second later.";

impl MongoStore {
    /// Connects to the deployment that a connection string names.
    ///
    /// # Errors
    /// [`StoreErrorKind::Invalid`] for a connection string that is none,
    /// [`StoreErrorKind::Unavailable`] where no server answers in time. Messages name
    /// the hosts, never the password.
    pub async fn connect(uri: &str, options: MongoOptions) -> StoreResult<Self> {
        let client_options = client_options(uri, &options).await?;
        let hosts: Vec<_> = client_options.hosts.iter().map(ToString::to_string).collect();
        let boundary = Boundary {
            place: format!("MongoDB {} (database {})", hosts.join(","), options.database),
            deadline: options.operation_timeout,
        };
        let client = Client::with_options(client_options)
            .map_err(|error| boundary.unavailable("cannot connect", &error.kind))?;
        let collections = Collections::of(client.database(&options.database), &options);

        let topology = collections.database.run_command(doc! { "isMaster": 1 });
        let topology = boundary.within("cannot connect", topology.into_future()).await?;
        collections.create_indexes(&boundary).await?;
        let writer = ObjectId::new();
        let (hints, _) = broadcast::channel(HINT_QUEUE);
        let stream = boundary
            .within("cannot watch", change_stream::open(&collections.changes, writer))
            .await
            .inspect_err(|error| tracing::warn!(%error, "no change stream"));

        let mut warnings = Vec::new();
        if is_standalone(&topology) {
            warnings.push(STANDALONE.to_owned());
        }
        let durability = if is_standalone(&topology) {
            "An acknowledged write is in the journal of one MongoDB server."
        } else {
            "An acknowledged write is in the journals of a majority of the MongoDB servers."
        };
        let guarantees = Guarantees {
            backend: "mongodb",
            durability: durability.to_owned(),
            shared: true,
            warnings,
        };
        let stream_is_open = Arc::new(AtomicBool::new(stream.is_ok()));
        let watcher = change_stream::ChangeStreamWatcher {
            changes: collections.changes.clone(),
            writer,
            hints: hints.clone(),
            is_open: Arc::clone(&stream_is_open),
        };
        let watching = tokio::spawn(watcher.run(stream.ok()));
        let store = Self {
            client,
            collections,
            boundary,
            linearizable: LinearizableReads::default(),
            guarantees,
            writer,
            tails: Mutex::new(HashMap::new()),
            hints,
            watching,
            stream_is_open,
        };
        store.try_linearizable_reads().await;
        Ok(store)
    }
}

impl Collections {
    fn of(database: Database, options: &MongoOptions) -> Self {
        // The server gives up before we do, so that we learn why.
        let server_patience = options.operation_timeout.mul_f64(0.8);
        let concern = WriteConcern::builder()
            .w(::mongodb::options::Acknowledgment::Majority)
            .journal(true)
            .w_timeout(server_patience)
            .build();
        let settings = CollectionOptions::builder()
            .read_concern(ReadConcern::majority())
            .write_concern(concern)
            .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
            .build();
        let collection = |name| database.collection_with_options(name, settings.clone());
        Self {
            changes: collection("changes"),
            views: collection("views"),
            watermarks: collection("watermarks"),
            chunks: collection("chunks"),
            database,
        }
    }

    async fn create_indexes(&self, boundary: &Boundary) -> StoreResult<()> {
        let sparse = || IndexOptions::builder().sparse(true).build();
        let changes = [
            IndexModel::builder().keys(doc! { "l": 1, "f": 1 }).build(),
            IndexModel::builder().keys(doc! { "l": 1, "o": 1 }).build(),
            IndexModel::builder()
                .keys(doc! { "d.realm": 1, "d.repo": 1, "d.branch": 1 })
                .options(sparse())
                .build(),
        ];
        let views = [IndexModel::builder().keys(doc! { "l": 1, "k": 1, "p": 1, "_id": 1 }).build()];
        let what = "cannot create indexes";
        boundary.within(what, self.changes.create_indexes(changes).into_future()).await?;
        boundary.within(what, self.views.create_indexes(views).into_future()).await?;
        Ok(())
    }
}

async fn client_options(uri: &str, options: &MongoOptions) -> StoreResult<ClientOptions> {
    let parsed = tokio::time::timeout(options.connect_timeout, ClientOptions::parse(uri)).await;
    let mut client = match parsed {
        Ok(Ok(client)) => client,
        // What the driver says may quote the password.
        Ok(Err(_)) => {
            return Err(StoreError::new(
                StoreErrorKind::Invalid,
                format_args!(
                    "the MongoDB connection string for {} cannot be used: write \
                     mongodb://user:password@host:port/?options, with % escapes in user and \
                     password",
                    without_credentials(uri)
                ),
            ));
        }
        Err(_) => {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format_args!("cannot resolve {} in time", without_credentials(uri)),
            ));
        }
    };
    client.app_name.get_or_insert_with(|| "vdom".to_owned());
    // The answer to a second try says nothing of the first: it may be a refusal while the
    // first stands. So each try is ours, and each answer is about it alone.
    client.retry_writes = Some(false);
    client.server_selection_timeout = Some(options.connect_timeout);
    client.connect_timeout = Some(options.connect_timeout);
    Ok(client)
}

/// The hosts of a connection string; a password may hold an unescaped `@` or `/`.
fn without_credentials(uri: &str) -> &str {
    let hosts = uri.rsplit_once('@').map_or(uri, |(_, hosts)| hosts);
    let hosts = hosts.rsplit_once("://").map_or(hosts, |(_, hosts)| hosts);
    let end = hosts.find(['/', '?']).unwrap_or(hosts.len());
    &hosts[..end]
}

fn is_standalone(topology: &Document) -> bool {
    topology.get_str("setName").is_err() && topology.get_str("msg").ok() != Some("isdbgrid")
}
