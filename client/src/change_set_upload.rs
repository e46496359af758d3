//! A change set of any size, sent piece by piece.

use bytes::Bytes;
use futures::SinkExt;
use futures::channel::mpsc;
use tokio::task::JoinHandle;
use tonic::{Response, Status};
use vdom_proto::v1::write_diffs_chunk::Chunk;
use vdom_proto::v1::{WriteDiffRequest, WriteDiffsChunk, WriteDiffsRequest, WriteDiffsResponse};

use crate::client::Client;
use crate::error::{Error, Result};

/// How many chunks wait for the connection.
const WAITING_CHUNKS: usize = 4;

/// A change set that is being sent. Nothing of it is visible before
/// [`ChangeSetUpload::finish`]; dropped before that, nothing ever is.
///
/// ```no_run
/// use bytes::Bytes;
/// use vdom_client::{Client, put_without_content, random_operation_id};
/// use vdom_proto::v1::{WriteDiffRequest, WriteDiffsRequest};
///
/// # async fn example(client: Client) -> vdom_client::Result<()> {
/// let header = WriteDiffsRequest {
///     repo: "site".to_owned(),
///     branch: "main".to_owned(),
///     operation_id: random_operation_id()?,
///     ..WriteDiffsRequest::default()
/// };
/// let mut upload = client.upload_change_set(header).await?;
/// upload
///     .diff(WriteDiffRequest {
///         path: "video.mp4".to_owned(),
///         diff_bson: put_without_content(),
///         ..WriteDiffRequest::default()
///     })
///     .await?;
/// upload.content(Bytes::from_static(b"...")).await?;
/// let answer = upload.finish().await?;
/// assert!(answer.success);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ChangeSetUpload {
    chunks: mpsc::Sender<WriteDiffsChunk>,
    /// Taken when it is known.
    answer: Option<JoinHandle<std::result::Result<WriteDiffsResponse, Status>>>,
}

impl Client {
    /// Begins a change set of any size; `header.diffs` stays empty. Unlike one message
    /// it is not repeated where the connection breaks.
    ///
    /// # Errors
    ///
    /// What the server answers where it refuses the header at once.
    pub async fn upload_change_set(&self, header: WriteDiffsRequest) -> Result<ChangeSetUpload> {
        let (chunks, waiting) = mpsc::channel(WAITING_CHUNKS);
        let mut raw = self.raw();
        let answer =
            tokio::spawn(
                async move { raw.write_diffs_stream(waiting).await.map(Response::into_inner) },
            );
        let mut upload = ChangeSetUpload { chunks, answer: Some(answer) };
        upload.send(Chunk::Header(header)).await?;
        Ok(upload)
    }
}

impl ChangeSetUpload {
    /// Sends the next diff.
    ///
    /// # Errors
    ///
    /// What the server answers where it has given the change set up.
    pub async fn diff(&mut self, diff: WriteDiffRequest) -> Result<()> {
        self.send(Chunk::Diff(diff)).await
    }

    /// Sends the next piece, of at most 1 MiB, of the content of a `put` without `v`.
    ///
    /// # Errors
    ///
    /// As [`ChangeSetUpload::diff`].
    pub async fn content(&mut self, piece: Bytes) -> Result<()> {
        self.send(Chunk::Content(piece)).await
    }

    /// Makes it visible, all of it or nothing.
    ///
    /// # Errors
    ///
    /// Where the server refuses the call. A conflict is no error: the answer says so.
    pub async fn finish(mut self) -> Result<WriteDiffsResponse> {
        self.chunks.close_channel();
        self.answered().await
    }

    async fn send(&mut self, chunk: Chunk) -> Result<()> {
        if self.chunks.send(WriteDiffsChunk { chunk: Some(chunk) }).await.is_ok() {
            return Ok(());
        }
        // The server no longer reads: its answer says why.
        match self.answered().await {
            Ok(_) => {
                let problem = "the server answered before it had the whole change set";
                Err(Error::Protocol(problem.to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    async fn answered(&mut self) -> Result<WriteDiffsResponse> {
        let Some(answer) = self.answer.take() else {
            return Err(Error::Protocol("the change set has ended".to_owned()));
        };
        let broke_off = |error| Error::Protocol(format!("the change set broke off: {error}"));
        Ok(answer.await.map_err(broke_off)??)
    }
}

impl Drop for ChangeSetUpload {
    fn drop(&mut self) {
        // A stream that merely ends is a whole change set: break it off instead.
        if let Some(answer) = &self.answer {
            answer.abort();
        }
    }
}
