//! Checkpoints: the rows of the views as they were at a revision, in chunks, where the
//! changes before it are compacted.

use bytes::Bytes;
use minicbor::{Decode, Encode};
use vdom_core::{BranchAddress, Content, Node, NodeId, Result};
use vdom_security::PermittedStore;
use vdom_store::{LogId, Position, View, ViewWrite, Watermark};

use crate::branch::Branch;
use crate::content::packs::PackReader;
use crate::error::from_store;
use crate::records::{
    CHECKPOINT_ID, Checkpoint, CheckpointPiece, DocumentView, KeptConflict, decode_node,
    decode_record, encode_record,
};

/// The kinds of rows that a checkpoint holds.
pub(crate) const KINDS: [DocumentView; 7] = [
    DocumentView::Node,
    DocumentView::PathHistory,
    DocumentView::Actor,
    DocumentView::Conflict,
    DocumentView::Pin,
    DocumentView::Operation,
    DocumentView::Usage,
];

/// A node as the checkpoint of its branch has it; `None`: it has no such node.
pub(crate) async fn node(
    branch: &Branch,
    checkpoint: &Checkpoint,
    id: NodeId,
) -> Result<Option<Node>> {
    let nodes =
        checkpoint.pieces.iter().filter(|piece| piece.kind == DocumentView::Node.kind().number);
    let piece = nodes.into_iter().find(|piece| piece.last.as_slice() <= id.as_bytes());
    let Some(piece) = piece else { return Ok(None) };
    let rows = read_piece(&mut branch.packs(), piece).await?;
    let row = rows.into_iter().find(|row| row.id == id.as_bytes());
    row.map(|row| decode_node(&row.value.into())).transpose()
}

/// Writes the rows of some kinds of a checkpoint into the views of its log.
pub(crate) async fn install(
    store: PermittedStore<'_>,
    address: &BranchAddress,
    log: LogId,
    checkpoint: &Checkpoint,
    kinds: &[DocumentView],
) -> Result<()> {
    let mut packs = PackReader::new(store, address);
    for kind in kinds {
        for piece in checkpoint.pieces.iter().filter(|piece| piece.kind == kind.kind().number) {
            let rows = read_piece(&mut packs, piece).await?.into_iter();
            let rows: Vec<_> =
                rows.map(|row| ViewWrite { kind: kind.kind(), view: row.view() }).collect();
            let written = store.write_views(log, &rows, None).await;
            written.map_err(|error| from_store(error, address))?;
        }
    }
    Ok(())
}

/// Writes the whole checkpoint into views that have nothing newer.
pub(crate) async fn install_all(
    store: PermittedStore<'_>,
    address: &BranchAddress,
    log: LogId,
    checkpoint: &Checkpoint,
) -> Result<Watermark> {
    install(store, address, log, checkpoint, &KINDS).await?;
    let position = Position { epoch: checkpoint.epoch, revision: checkpoint.revision };
    let watermark = Watermark { position, number: checkpoint.number };
    // Who goes on from here must know what stands in for what came before.
    let known = ViewWrite {
        kind: DocumentView::Compaction.kind(),
        view: View {
            id: Bytes::from_static(CHECKPOINT_ID),
            path: None,
            live: true,
            position: Position { epoch: checkpoint.epoch, revision: checkpoint.number },
            value: encode_record(checkpoint)?,
        },
    };
    let written = store.write_views(log, &[known], Some(watermark)).await;
    written.map_err(|error| from_store(error, address))?;
    Ok(watermark)
}

/// The contents in chunks that the nodes and conflicts of a checkpoint name.
pub(crate) async fn named_contents(
    store: PermittedStore<'_>,
    address: &BranchAddress,
    checkpoint: &Checkpoint,
) -> Result<Vec<vdom_store::ChunkId>> {
    let mut packs = PackReader::new(store, address);
    let mut named = Vec::new();
    let (nodes, conflicts) =
        (DocumentView::Node.kind().number, DocumentView::Conflict.kind().number);
    for piece in &checkpoint.pieces {
        if piece.kind != nodes && piece.kind != conflicts {
            continue;
        }
        for row in read_piece(&mut packs, piece).await?.into_iter().filter(|row| row.live) {
            if piece.kind == conflicts {
                named.extend(decode_record::<KeptConflict>(&row.value)?.named_chunks()?);
            } else if let Content::Chunked(chunks) = decode_node(&row.value.into())?.content {
                named.extend(chunks.iter().map(|chunk| vdom_store::ChunkId(chunk.hash.0)));
            }
        }
    }
    Ok(named)
}

/// The stored form of a row in a checkpoint.
#[derive(Encode, Decode)]
pub(crate) struct CheckpointRow {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub id: Vec<u8>,
    #[n(1)]
    pub path: Option<String>,
    #[n(2)]
    pub live: bool,
    #[n(3)]
    pub epoch: u64,
    #[n(4)]
    pub revision: u64,
    #[cbor(n(5), with = "minicbor::bytes")]
    pub value: Vec<u8>,
}

impl CheckpointRow {
    fn view(self) -> View {
        let position = Position { epoch: self.epoch, revision: self.revision };
        let (id, value) = (self.id.into(), self.value.into());
        View { id, path: self.path, live: self.live, position, value }
    }
}

async fn read_piece(
    packs: &mut PackReader<'_>,
    piece: &CheckpointPiece,
) -> Result<Vec<CheckpointRow>> {
    decode_record(&packs.pack(piece.chunk).await?)
}
