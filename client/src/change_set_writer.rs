//! A change set that goes in one message while it fits, and piece by piece once it
//! does not.

use vdom_core::limits::UNARY_MESSAGE_MAX_BYTES;
use vdom_proto::v1::{WriteDiffRequest, WriteDiffsRequest, WriteDiffsResponse};

use crate::change_set_upload::ChangeSetUpload;
use crate::client::Client;
use crate::error::{Error, Result};

/// A change set up to this size, and of so many diffs, is sent in one message.
const MESSAGE_MAX_BYTES: usize = UNARY_MESSAGE_MAX_BYTES - (256 << 10);
const MESSAGE_MAX_DIFFS: usize = 4_096;
/// What a diff takes beside path and content.
const DIFF_OVERHEAD_BYTES: usize = 128;

/// A change set that is put together diff by diff. It is kept until
/// [`ChangeSetWriter::finish`] while it fits one message, which may be repeated where
/// the connection breaks; [`ChangeSetWriter::upload`] begins to send it before.
///
/// ```no_run
/// use vdom_client::{ChangeSetWriter, Client};
/// use vdom_proto::v1::{WriteDiffRequest, WriteDiffsRequest};
///
/// # async fn example(
/// #     client: Client,
/// #     header: WriteDiffsRequest,
/// #     diffs: Vec<WriteDiffRequest>,
/// # ) -> vdom_client::Result<()> {
/// let mut set = ChangeSetWriter::new(client, header);
/// for diff in diffs {
///     set.push(diff).await?;
///     if set.exceeds_message() {
///         set.upload().await?;
///     }
/// }
/// assert!(set.finish().await?.success);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ChangeSetWriter {
    client: Client,
    header: WriteDiffsRequest,
    kept: Vec<WriteDiffRequest>,
    kept_bytes: usize,
    diffs: u64,
    upload: Option<ChangeSetUpload>,
}

impl ChangeSetWriter {
    /// An empty change set; `header.diffs` stays empty.
    pub fn new(client: Client, header: WriteDiffsRequest) -> Self {
        Self { client, header, kept: Vec::new(), kept_bytes: 0, diffs: 0, upload: None }
    }

    /// Everything but the diffs.
    pub fn header(&self) -> &WriteDiffsRequest {
        &self.header
    }

    /// How many diffs were pushed.
    pub fn diffs(&self) -> u64 {
        self.diffs
    }

    /// True once it is sent piece by piece.
    pub fn is_uploading(&self) -> bool {
        self.upload.is_some()
    }

    /// True where what is kept no longer fits one message: call
    /// [`ChangeSetWriter::upload`].
    pub fn exceeds_message(&self) -> bool {
        self.kept_bytes > MESSAGE_MAX_BYTES || self.kept.len() > MESSAGE_MAX_DIFFS
    }

    /// Adds the next diff.
    ///
    /// # Errors
    ///
    /// Once it is uploading, what the server answers where it has given it up.
    pub async fn push(&mut self, diff: WriteDiffRequest) -> Result<()> {
        self.diffs += 1;
        if let Some(upload) = &mut self.upload {
            return upload.diff(diff).await;
        }
        self.kept_bytes += diff.diff_bson.len() + diff.path.len() + DIFF_OVERHEAD_BYTES;
        self.kept.push(diff);
        Ok(())
    }

    /// Adds the next diff, a `put` whose content the caller sends after it.
    ///
    /// # Errors
    ///
    /// As [`ChangeSetWriter::upload`].
    pub async fn push_put(&mut self, diff: WriteDiffRequest) -> Result<&mut ChangeSetUpload> {
        self.diffs += 1;
        let upload = self.upload().await?;
        upload.diff(diff).await?;
        Ok(upload)
    }

    /// Begins to send it piece by piece, with what was kept first.
    ///
    /// # Errors
    ///
    /// What the server answers where it refuses the change set already.
    pub async fn upload(&mut self) -> Result<&mut ChangeSetUpload> {
        if self.upload.is_none() {
            let mut upload = self.client.upload_change_set(self.header.clone()).await?;
            for diff in std::mem::take(&mut self.kept) {
                upload.diff(diff).await?;
            }
            self.kept_bytes = 0;
            self.upload = Some(upload);
        }
        let gone = || Error::Protocol("the change set has ended".to_owned());
        self.upload.as_mut().ok_or_else(gone)
    }

    /// The whole change set as one message, and about how many bytes that has. What is
    /// uploading already is broken off.
    pub fn into_message(self) -> (WriteDiffsRequest, usize) {
        (WriteDiffsRequest { diffs: self.kept, ..self.header }, self.kept_bytes)
    }

    /// Makes it visible, all of it or nothing.
    ///
    /// # Errors
    ///
    /// Where the server refuses the call. A conflict is no error: the answer says so.
    pub async fn finish(self) -> Result<WriteDiffsResponse> {
        if let Some(upload) = self.upload {
            return upload.finish().await;
        }
        let request = WriteDiffsRequest { diffs: self.kept, ..self.header };
        self.client.write_set(request).await
    }
}
