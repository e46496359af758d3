//! Text edits as values: one after another, backwards, and from two texts.

use crate::error::{Error, Result};

use super::{TextEdit, TextOperation, Utf8Bytes};

impl TextEdit {
    /// The least edit of one place that makes `new` of `old`: all between their
    /// common start and their common end.
    pub fn between(old: &str, new: &str) -> Self {
        let (old_bytes, new_bytes) = (old.as_bytes(), new.as_bytes());
        let mut prefix = common(old_bytes.iter(), new_bytes.iter());
        // The bytes before are the same, so both have the boundary or neither.
        while !old.is_char_boundary(prefix) {
            prefix -= 1;
        }
        let mut suffix = common(old_bytes[prefix..].iter().rev(), new_bytes[prefix..].iter().rev());
        while !old.is_char_boundary(old.len() - suffix) {
            suffix -= 1;
        }
        let mut edit = Collector::default();
        edit.retain(prefix as u64);
        edit.insert(new[prefix..new.len() - suffix].into());
        edit.delete((old.len() - suffix - prefix) as u64);
        edit.finish()
    }

    /// The edit that does this one and then `next`. `InvalidArgument` where
    /// `next` cuts text that this one inserts inside a character.
    pub fn compose(&self, next: &Self) -> Result<Self> {
        let mut composed = Collector::default();
        let mut first = Steps::new(&self.operations);
        let mut second = Steps::new(&next.operations);
        loop {
            if let Step::Delete(bytes) = first.step {
                composed.delete(bytes);
                first.advance();
                continue;
            }
            if let Step::Insert(text) = &second.step {
                composed.insert(text.clone());
                second.advance();
                continue;
            }
            if matches!((&first.step, &second.step), (Step::Rest, Step::Rest)) {
                return Ok(composed.finish());
            }
            let bytes = first.step.len().min(second.step.len());
            let operation = second.index;
            let before = first.take(bytes).ok_or_else(|| {
                Error::invalid(format!(
                    "text operation {operation} of the later edit ends inside a character that \
                     the earlier one inserts"
                ))
            })?;
            let deletes = matches!(second.step, Step::Delete(_));
            second.take(bytes);
            match (before, deletes) {
                (Step::Insert(text), false) => composed.insert(text),
                (Step::Insert(_), true) => {}
                (_, false) => composed.retain(bytes),
                (_, true) => composed.delete(bytes),
            }
        }
    }

    /// The edit that takes this one back, where this one applies to `base`;
    /// refuses as [`TextEdit::apply`] does.
    pub fn invert(&self, base: &str) -> Result<Self> {
        self.length_after(base)?;
        let mut inverse = Collector::default();
        let mut at = 0usize;
        for operation in &self.operations {
            match operation {
                TextOperation::Retain(bytes) => {
                    inverse.retain(*bytes);
                    at += *bytes as usize;
                }
                TextOperation::Insert(text) => inverse.delete(text.len() as u64),
                TextOperation::Delete(bytes) => {
                    let end = at + *bytes as usize;
                    inverse.insert(base[at..end].into());
                    at = end;
                }
            }
        }
        Ok(inverse.finish())
    }
}

fn common<'a>(left: impl Iterator<Item = &'a u8>, right: impl Iterator<Item = &'a u8>) -> usize {
    left.zip(right).take_while(|(left, right)| left == right).count()
}

/// Gathers operations in their shortest form: neighbours joined, inserts before
/// deletes, no empty ones, no retain at the end.
#[derive(Default)]
struct Collector {
    operations: Vec<TextOperation>,
}

impl Collector {
    fn retain(&mut self, bytes: u64) {
        match self.operations.last_mut() {
            _ if bytes == 0 => {}
            Some(TextOperation::Retain(before)) => *before = before.saturating_add(bytes),
            _ => self.operations.push(TextOperation::Retain(bytes)),
        }
    }

    fn delete(&mut self, bytes: u64) {
        match self.operations.last_mut() {
            _ if bytes == 0 => {}
            Some(TextOperation::Delete(before)) => *before = before.saturating_add(bytes),
            _ => self.operations.push(TextOperation::Delete(bytes)),
        }
    }

    fn insert(&mut self, text: Utf8Bytes) {
        if text.is_empty() {
            return;
        }
        let deleted = self.operations.pop_if(|last| matches!(last, TextOperation::Delete(_)));
        match self.operations.last_mut() {
            Some(TextOperation::Insert(before)) => before.push(&text),
            _ => self.operations.push(TextOperation::Insert(text)),
        }
        self.operations.extend(deleted);
    }

    fn finish(mut self) -> TextEdit {
        self.operations.pop_if(|last| matches!(last, TextOperation::Retain(_)));
        TextEdit::new(self.operations)
    }
}

/// What remains of the operation at hand.
enum Step {
    Retain(u64),
    Insert(Utf8Bytes),
    Delete(u64),
    /// After the last operation: retains what is left.
    Rest,
}

impl Step {
    fn len(&self) -> u64 {
        match self {
            Self::Rest => u64::MAX,
            Self::Retain(bytes) | Self::Delete(bytes) => *bytes,
            Self::Insert(text) => text.len() as u64,
        }
    }
}

/// Walks the operations of an edit in pieces.
struct Steps<'a> {
    operations: &'a [TextOperation],
    /// Of the operation at hand.
    index: usize,
    step: Step,
}

impl<'a> Steps<'a> {
    fn new(operations: &'a [TextOperation]) -> Self {
        let mut steps = Self { operations, index: 0, step: Step::Retain(0) };
        steps.load();
        steps
    }

    fn advance(&mut self) {
        self.index += 1;
        self.load();
    }

    /// Takes so many bytes of the step at hand; `None` inside a character.
    fn take(&mut self, bytes: u64) -> Option<Step> {
        let (taken, rest) = match &self.step {
            Step::Rest => return Some(Step::Retain(bytes)),
            Step::Retain(left) => (Step::Retain(bytes), Step::Retain(left - bytes)),
            Step::Delete(left) => (Step::Delete(bytes), Step::Delete(left - bytes)),
            Step::Insert(text) => {
                let (before, after) = text.split_at(bytes as usize)?;
                (Step::Insert(before), Step::Insert(after))
            }
        };
        self.step = rest;
        if self.step.len() == 0 {
            self.advance();
        }
        Some(taken)
    }

    /// Loads the next operation that is not empty.
    fn load(&mut self) {
        self.step = loop {
            let step = match self.operations.get(self.index) {
                None => break Step::Rest,
                Some(TextOperation::Retain(bytes)) => Step::Retain(*bytes),
                Some(TextOperation::Insert(text)) => Step::Insert(text.clone()),
                Some(TextOperation::Delete(bytes)) => Step::Delete(*bytes),
            };
            if step.len() > 0 {
                break step;
            }
            self.index += 1;
        };
    }
}
