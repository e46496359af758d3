//! Triples from keystrokes that people typed.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use flate2::bufread::GzDecoder;
use serde_json::Value;

use super::random::Random;
use super::triples::Triple;

/// Replaces so many bytes at a position by text. The traces are ASCII.
struct Patch {
    at: usize,
    deleted: usize,
    inserted: String,
}

/// Triples of a history that one writer typed: the text at some time, and what
/// two later stretches of typing each make of it alone.
pub(super) fn of_one_writer(file: &Path, count: usize) -> Vec<Triple> {
    let trace = read(file);
    let patches: Vec<_> = transactions(&trace).iter().flat_map(patches).collect();
    let mut random = Random::new(count as u64);
    let mut starts: Vec<_> = (0..count).map(|_| random.below(patches.len())).collect();
    starts.sort_unstable();
    let mut text = trace["startContent"].as_str().unwrap_or_default().to_owned();
    let mut typed = 0;
    let mut triples = Vec::new();
    for start in starts {
        for patch in &patches[typed..start] {
            text.replace_range(patch.at..patch.at + patch.deleted, &patch.inserted);
        }
        typed = start;
        let length = 1 << random.within(2..=9);
        // Right after the first stretch the writer is mostly at the same place.
        let pause = if random.percent(20) { 0 } else { 1 << random.within(8..=12) };
        let mut pieces = Pieces::new(&text);
        let mut rest = &patches[start..];
        for (length, writer) in
            [(length, Writer::Current), (pause, Writer::Neither), (length, Writer::Proposed)]
        {
            let (stretch, after) = rest.split_at(length.min(rest.len()));
            for patch in stretch {
                pieces.apply(patch, writer);
            }
            rest = after;
        }
        triples.push(Triple {
            base: text.clone().into_bytes(),
            current: pieces.text_of(Writer::Current).into_bytes(),
            proposed: pieces.text_of(Writer::Proposed).into_bytes(),
        });
    }
    for patch in &patches[typed..] {
        text.replace_range(patch.at..patch.at + patch.deleted, &patch.inserted);
    }
    assert_eq!(text, trace["endContent"], "the trace was replayed wrongly");
    triples
}

/// Triples of a history that two people typed at once: at each place where what
/// both did comes together, what they had and what each had made of it. Of the
/// first so many transactions, as the time goes with the square of their number.
pub(super) fn of_two_writers(file: &Path, count: usize) -> Vec<Triple> {
    let trace = read(file);
    let mut history = History::default();
    let mut triples = Vec::new();
    for transaction in transactions(&trace).iter().take(count) {
        let parents: Vec<_> = transaction["parents"]
            .as_array()
            .expect("parents")
            .iter()
            .map(|parent| history.seen_after[number(parent)])
            .collect();
        let seen = parents.iter().fold(Seen::default(), |all, seen| all.joined(*seen));
        if let [one, other] = parents[..] {
            triples.push(Triple {
                base: history.text_as_of(one.met(other)),
                current: history.text_as_of(one),
                proposed: history.text_as_of(other),
            });
        }
        history.apply(
            number(&transaction["agent"]),
            seen,
            &patches(transaction).collect::<Vec<_>>(),
        );
    }
    triples
}

fn read(file: &Path) -> Value {
    let file = BufReader::new(File::open(file).expect("a trace"));
    serde_json::from_reader(BufReader::new(GzDecoder::new(file))).expect("JSON")
}

fn transactions(trace: &Value) -> &[Value] {
    trace["txns"].as_array().expect("txns")
}

fn patches(transaction: &Value) -> impl Iterator<Item = Patch> {
    transaction["patches"].as_array().expect("patches").iter().map(|patch| Patch {
        at: number(&patch[0]),
        deleted: number(&patch[1]),
        inserted: patch[2].as_str().expect("text").to_owned(),
    })
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().expect("a number")).expect("fits")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    Current,
    Proposed,
    Neither,
}

/// A piece of a text that is edited by one after the other.
#[derive(Clone)]
struct Piece {
    text: String,
    /// `None`: it stood in the base.
    from: Option<Writer>,
    deleted_by: Option<Writer>,
}

struct Pieces(Vec<Piece>);

impl Pieces {
    fn new(base: &str) -> Self {
        Self(vec![Piece { text: base.to_owned(), from: None, deleted_by: None }])
    }

    fn apply(&mut self, patch: &Patch, writer: Writer) {
        let from = self.boundary(patch.at);
        let to = self.boundary(patch.at + patch.deleted);
        for piece in &mut self.0[from..to] {
            piece.deleted_by.get_or_insert(writer);
        }
        match self.0[..from].last_mut() {
            Some(before) if before.from == Some(writer) && before.deleted_by.is_none() => {
                before.text.push_str(&patch.inserted);
            }
            _ => {
                let text = patch.inserted.clone();
                self.0.insert(from, Piece { text, from: Some(writer), deleted_by: None });
            }
        }
    }

    /// The text as this writer alone would have made it of the base.
    fn text_of(&self, writer: Writer) -> String {
        let own = |piece: &&Piece| match (piece.from, piece.deleted_by) {
            (None, deleted_by) => deleted_by != Some(writer),
            (Some(from), deleted_by) => from == writer && deleted_by != Some(writer),
        };
        self.0.iter().filter(own).map(|piece| piece.text.as_str()).collect()
    }

    /// The index of the piece that starts at this position of what is left.
    fn boundary(&mut self, mut position: usize) -> usize {
        for index in 0..self.0.len() {
            if position == 0 {
                return index;
            }
            let piece = &mut self.0[index];
            if piece.deleted_by.is_some() {
                continue;
            }
            if position < piece.text.len() {
                let rest = Piece { text: piece.text.split_off(position), ..piece.clone() };
                self.0.insert(index + 1, rest);
                return index + 1;
            }
            position -= piece.text.len();
        }
        self.0.len()
    }
}

/// How many transactions of each writer a version has in it.
#[derive(Clone, Copy, Default)]
struct Seen([usize; 2]);

impl Seen {
    fn joined(self, other: Self) -> Self {
        Self([self.0[0].max(other.0[0]), self.0[1].max(other.0[1])])
    }

    fn met(self, other: Self) -> Self {
        Self([self.0[0].min(other.0[0]), self.0[1].min(other.0[1])])
    }

    fn has(self, (agent, sequence): (usize, usize)) -> bool {
        sequence <= self.0[agent]
    }
}

/// Text that a transaction of an agent typed, and which ones deleted it.
#[derive(Clone)]
struct Span {
    text: String,
    typed: (usize, usize),
    deleted: Vec<(usize, usize)>,
}

/// All that was ever typed, in one order, with who typed and deleted it when.
#[derive(Default)]
struct History {
    spans: Vec<Span>,
    /// What each transaction had seen, itself included.
    seen_after: Vec<Seen>,
}

impl History {
    fn apply(&mut self, agent: usize, mut seen: Seen, patches: &[Patch]) {
        seen.0[agent] += 1;
        let own = (agent, seen.0[agent]);
        for patch in patches {
            let from = self.boundary(patch.at, seen);
            let to = self.boundary(patch.at + patch.deleted, seen);
            for span in &mut self.spans[from..to] {
                if span.is_visible(seen) {
                    span.deleted.push(own);
                }
            }
            if !patch.inserted.is_empty() {
                let text = patch.inserted.clone();
                self.spans.insert(from, Span { text, typed: own, deleted: Vec::new() });
            }
        }
        self.seen_after.push(seen);
    }

    fn text_as_of(&self, seen: Seen) -> Vec<u8> {
        let visible = self.spans.iter().filter(|span| span.is_visible(seen));
        visible.flat_map(|span| span.text.bytes()).collect()
    }

    fn boundary(&mut self, mut position: usize, seen: Seen) -> usize {
        for index in 0..self.spans.len() {
            if position == 0 {
                return index;
            }
            let span = &mut self.spans[index];
            if !span.is_visible(seen) {
                continue;
            }
            if position < span.text.len() {
                let rest = Span { text: span.text.split_off(position), ..span.clone() };
                self.spans.insert(index + 1, rest);
                return index + 1;
            }
            position -= span.text.len();
        }
        self.spans.len()
    }
}

impl Span {
    fn is_visible(&self, seen: Seen) -> bool {
        seen.has(self.typed) && !self.deleted.iter().any(|deleted| seen.has(*deleted))
    }
}
