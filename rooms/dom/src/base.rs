//! Bases: the rows of the views as they were at a revision, in chunks, where the
//! changes before it are compacted.

use std::collections::HashSet;

use bytes::Bytes;
use minicbor::{Decode, Encode};
use vdom_core::limits::OPERATION_KEPT;
use vdom_core::{BranchAddress, Content, Hash, Node, NodeId, Result};
use vdom_store::{LogId, Position, Store, View, ViewWrite, Watermark};

use super::branch::Branch;
use super::error::from_store;
use super::operations;
use super::packs::PackReader;
use super::past::node_at_revision;
use super::quota::{USAGE_ID, Usage};
use super::records::{
    Base, BasePiece, DocumentView, KeptConflict, PlaceRecord, decode_node, decode_record,
    encode_record,
};
use super::{content, records};

/// A piece holds about so much: one is read for every earlier state of a node.
const PIECE_BYTES: usize = 128 << 10;
const ROWS_PER_PAGE: usize = 512;
const PLACE_HASH_BYTES: usize = 16;

/// The kinds of rows that a base holds.
const KINDS: [DocumentView; 7] = [
    DocumentView::Node,
    DocumentView::Place,
    DocumentView::Actor,
    DocumentView::Conflict,
    DocumentView::Pin,
    DocumentView::Operation,
    DocumentView::Usage,
];

/// Where a history is cut, and what of the rows before it is needed from there on.
pub(crate) struct Cut {
    /// The last revision that is compacted, and the oldest that can be read.
    pub revision: u64,
    /// The batch that ends with it.
    pub number: u64,
    now_ms: i64,
    /// What a branch continues shows through where it has no row of its own.
    continues_another: bool,
    /// Nodes that open conflicts are about.
    disputed: HashSet<NodeId>,
    /// Rows of places come newest first.
    last_place: Option<Bytes>,
}

impl Cut {
    /// A cut after this batch, which ends with this revision.
    pub(crate) async fn after(
        branch: &Branch,
        revision: u64,
        number: u64,
        now_ms: i64,
    ) -> Result<Self> {
        let mut disputed = HashSet::new();
        let mut rows = RowPages::new(branch, DocumentView::Conflict);
        while let Some(page) = rows.next().await? {
            for row in page.iter().filter(|row| row.live) {
                disputed.insert(decode_record::<KeptConflict>(&row.value)?.node_id);
            }
        }
        let continues_another = branch.origin.is_some();
        Ok(Self { revision, number, now_ms, continues_another, disputed, last_place: None })
    }

    /// Whether a row belongs to what comes after the cut.
    pub(crate) fn is_after(&self, kind: DocumentView, row: &View) -> bool {
        match kind {
            DocumentView::Node | DocumentView::History | DocumentView::Place => {
                row.position.revision > self.revision
            }
            // Notes have the number of their batch.
            DocumentView::Conflict | DocumentView::Pin | DocumentView::Compaction => {
                row.position.revision > self.number
            }
            DocumentView::Actor | DocumentView::Operation => false,
            // Counted anew for the cut.
            DocumentView::Usage => true,
        }
    }

    /// Whether a row from before the cut is needed after it. Places are asked about in
    /// descending order, each once.
    pub(crate) fn needs(&mut self, kind: DocumentView, row: &View) -> Result<bool> {
        Ok(match kind {
            DocumentView::History => false,
            DocumentView::Actor
            | DocumentView::Pin
            | DocumentView::Compaction
            | DocumentView::Usage => true,
            DocumentView::Conflict => row.live,
            DocumentView::Operation => operations::is_row_kept(row, self.now_ms)?,
            DocumentView::Node => row.live || self.needs_tombstone(&decode_node(&row.value)?),
            DocumentView::Place => {
                let place = row.id.slice(..PLACE_HASH_BYTES.min(row.id.len()));
                let is_newest = self.last_place.as_ref() != Some(&place);
                self.last_place = Some(place);
                is_newest
                    && (self.continues_another
                        || decode_record::<PlaceRecord>(&row.value)?.holder.is_some())
            }
        })
    }

    /// A tombstone tells late writers what became of the node, for a while; and it
    /// hides what the branch continues.
    fn needs_tombstone(&self, node: &Node) -> bool {
        let age_ms = self.now_ms.saturating_sub(node.timestamp_ms);
        self.continues_another
            || self.disputed.contains(&node.id)
            || age_ms <= OPERATION_KEPT.as_millis() as i64
    }
}

/// Collects rows in chunks.
pub(crate) struct BaseWriter<'a> {
    branch: &'a Branch,
    kind: DocumentView,
    rows: Vec<Row>,
    bytes: usize,
    pieces: Vec<BasePiece>,
    usage: Usage,
}

impl<'a> BaseWriter<'a> {
    /// Nothing collected yet.
    pub(crate) fn new(branch: &'a Branch) -> Self {
        let (rows, pieces) = (Vec::new(), Vec::new());
        Self { branch, kind: DocumentView::Node, rows, bytes: 0, pieces, usage: Usage::default() }
    }

    /// Takes all that the views have and the cut needs.
    pub(crate) async fn add_views(&mut self, cut: &mut Cut) -> Result<()> {
        for kind in KINDS {
            let mut pages = RowPages::new(self.branch, kind);
            while let Some(page) = pages.next().await? {
                for row in page {
                    if !cut.is_after(kind, &row) {
                        if cut.needs(kind, &row)? {
                            self.add(kind, row).await?;
                        }
                    } else if kind == DocumentView::Node
                        && let Some(row) = self.earlier(NodeId::from_slice(&row.id)?, cut).await?
                    {
                        self.add(kind, row).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes a row.
    pub(crate) async fn add(&mut self, kind: DocumentView, row: View) -> Result<()> {
        if kind == DocumentView::Node && row.live {
            self.usage += Usage::of(&decode_node(&row.value)?);
        }
        let bytes = row.value.len() + row.id.len() + row.path.as_ref().map_or(0, String::len) + 32;
        if self.kind != kind || self.bytes + bytes > PIECE_BYTES {
            self.seal().await?;
        }
        self.kind = kind;
        self.bytes += bytes;
        self.rows.push(Row {
            id: row.id.to_vec(),
            path: row.path,
            live: row.live,
            epoch: row.position.epoch,
            revision: row.position.revision,
            value: row.value.to_vec(),
        });
        Ok(())
    }

    /// The base; its chunks are durable.
    pub(crate) async fn finish(mut self, cut: &Cut, hash: Hash) -> Result<Base> {
        let epoch = self.branch.head().epoch;
        let (revision, number) = (cut.revision, cut.number);
        let (id, value) = (Bytes::from_static(USAGE_ID), encode_record(&self.usage)?);
        let position = Position { epoch, revision };
        let usage = View { id, path: None, live: true, position, value };
        self.add(DocumentView::Usage, usage).await?;
        self.seal().await?;
        Ok(Base { epoch, revision, number, hash, pieces: self.pieces })
    }

    /// The row of a node that has changed since, as it was at the cut.
    async fn earlier(&self, id: NodeId, cut: &Cut) -> Result<Option<View>> {
        let node = node_at_revision(self.branch, id, cut.revision).await?;
        let inherited = self.branch.inherited_revision();
        let is_own = |node: &std::sync::Arc<Node>| node.changed_revision > inherited;
        let Some(node) = node.filter(is_own) else { return Ok(None) };
        if !node.live && !cut.needs_tombstone(&node) {
            return Ok(None);
        }
        let (store, address) = (&*self.branch.store, &self.branch.address);
        let node = content::at_hand(store, address, node).await?;
        Ok(Some(records::node_row(&node)?))
    }

    async fn seal(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let Some(last) = rows.last() else { return Ok(()) };
        let (last, kind) = (last.id.clone(), self.kind.kind().number);
        let (store, address) = (&*self.branch.store, &self.branch.address);
        let chunk = content::stage_chunk(store, address, encode_record(&rows)?).await?;
        self.pieces.push(BasePiece { chunk, kind, last });
        self.bytes = 0;
        Ok(())
    }
}

/// A node as the base of its branch has it.
pub(crate) async fn node(branch: &Branch, base: &Base, id: NodeId) -> Result<Option<Node>> {
    let nodes = base.pieces.iter().filter(|piece| piece.kind == DocumentView::Node.kind().number);
    let piece = nodes.into_iter().find(|piece| piece.last.as_slice() <= id.as_bytes());
    let Some(piece) = piece else { return Ok(None) };
    let rows = read_piece(&mut branch.packs(), piece).await?;
    let row = rows.into_iter().find(|row| row.id == id.as_bytes());
    row.map(|row| decode_node(&row.value.into())).transpose()
}

/// The rows of the base of some kinds, into the views of its log.
pub(crate) async fn install(
    store: &dyn Store,
    address: &BranchAddress,
    log: LogId,
    base: &Base,
    kinds: &[DocumentView],
) -> Result<()> {
    let mut packs = PackReader::new(store, address);
    for kind in kinds {
        for piece in base.pieces.iter().filter(|piece| piece.kind == kind.kind().number) {
            let rows = read_piece(&mut packs, piece).await?.into_iter();
            let rows: Vec<_> =
                rows.map(|row| ViewWrite { kind: kind.kind(), view: row.view() }).collect();
            let written = store.write_views(log, &rows, None).await;
            written.map_err(|error| from_store(error, address))?;
        }
    }
    Ok(())
}

/// The whole base, into views that have nothing newer.
pub(crate) async fn install_all(
    store: &dyn Store,
    address: &BranchAddress,
    log: LogId,
    base: &Base,
) -> Result<Watermark> {
    install(store, address, log, base, &KINDS).await?;
    let position = Position { epoch: base.epoch, revision: base.revision };
    let watermark = Watermark { position, number: base.number };
    let written = store.write_views(log, &[], Some(watermark)).await;
    written.map_err(|error| from_store(error, address))?;
    Ok(watermark)
}

/// The contents in chunks that the nodes of a base name.
pub(crate) async fn named_contents(
    store: &dyn Store,
    address: &BranchAddress,
    base: &Base,
) -> Result<Vec<vdom_store::ChunkId>> {
    let mut packs = PackReader::new(store, address);
    let mut named = Vec::new();
    for piece in base.pieces.iter().filter(|piece| piece.kind == DocumentView::Node.kind().number) {
        for row in read_piece(&mut packs, piece).await? {
            if let Content::Chunked(chunks) = decode_node(&row.value.into())?.content {
                named.extend(chunks.iter().map(|chunk| vdom_store::ChunkId(chunk.hash.0)));
            }
        }
    }
    Ok(named)
}

/// All rows of a kind, descending by id, a page at a time.
pub(crate) struct RowPages<'a> {
    branch: &'a Branch,
    kind: DocumentView,
    before: Option<Bytes>,
    ended: bool,
}

impl<'a> RowPages<'a> {
    /// From the greatest id on.
    pub(crate) fn new(branch: &'a Branch, kind: DocumentView) -> Self {
        Self { branch, kind, before: None, ended: false }
    }

    /// The next page; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<View>>> {
        if self.ended {
            return Ok(None);
        }
        let (store, log) = (&self.branch.store, self.branch.log);
        // No id begins with so many bytes 0xff: a node's has 16, a name's none.
        let to = self.before.clone().unwrap_or_else(|| Bytes::from_static(&[0xff; 32]));
        let rows = store.scan_reverse(log, self.kind.kind(), &[], &to, ROWS_PER_PAGE).await;
        let mut rows = rows.map_err(|error| from_store(error, &self.branch.address))?;
        self.ended = rows.len() < ROWS_PER_PAGE;
        // The bound belongs to the page.
        rows.retain(|row| self.before.as_ref() != Some(&row.id));
        self.before = rows.last().map(|row| row.id.clone());
        Ok((!rows.is_empty()).then_some(rows))
    }
}

/// The stored form of a row in a base.
#[derive(Encode, Decode)]
struct Row {
    #[cbor(n(0), with = "minicbor::bytes")]
    id: Vec<u8>,
    #[n(1)]
    path: Option<String>,
    #[n(2)]
    live: bool,
    #[n(3)]
    epoch: u64,
    #[n(4)]
    revision: u64,
    #[cbor(n(5), with = "minicbor::bytes")]
    value: Vec<u8>,
}

impl Row {
    fn view(self) -> View {
        let position = Position { epoch: self.epoch, revision: self.revision };
        let (id, value) = (self.id.into(), self.value.into());
        View { id, path: self.path, live: self.live, position, value }
    }
}

async fn read_piece(packs: &mut PackReader<'_>, piece: &BasePiece) -> Result<Vec<Row>> {
    decode_record(&packs.pack(piece.chunk).await?)
}
