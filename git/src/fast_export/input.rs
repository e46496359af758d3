//! The bytes of a stream: lines and counted data, with the place where they stand.

use std::io::{BufRead, Read};

use bytes::Bytes;

use super::FastExportError;

/// How much is asked of the system at once for data whose size is only claimed.
const DATA_STEP_BYTES: usize = 1 << 20;

/// A line without its line break.
#[derive(Debug)]
pub(super) struct StreamLine {
    /// Where it begins.
    pub(super) offset: u64,
    pub(super) text: Vec<u8>,
}

impl StreamLine {
    /// What follows `start` on this line, and where.
    pub(super) fn after(&self, start: &str) -> Option<LinePart<'_>> {
        let text = self.text.strip_prefix(start.as_bytes())?;
        Some(LinePart { offset: self.offset + start.len() as u64, text })
    }

    /// True where nothing else stands on the line.
    pub(super) fn is(&self, text: &str) -> bool {
        self.text == text.as_bytes()
    }
}

/// A part of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinePart<'a> {
    /// Where it begins.
    pub(super) offset: u64,
    pub(super) text: &'a [u8],
}

impl<'a> LinePart<'a> {
    pub(super) fn bytes(self) -> Bytes {
        Bytes::copy_from_slice(self.text)
    }

    /// What stands before the first space, and what stands after it.
    pub(super) fn split(self) -> Option<(LinePart<'a>, LinePart<'a>)> {
        let at = self.text.iter().position(|byte| *byte == b' ')?;
        let after = LinePart { offset: self.offset + at as u64 + 1, text: &self.text[at + 1..] };
        Some((LinePart { text: &self.text[..at], ..self }, after))
    }

    pub(super) fn number(self) -> Option<u64> {
        // `parse` would take a sign.
        let digits = std::str::from_utf8(self.text).ok()?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    }

    pub(super) fn refuse(self, expected: &'static str) -> FastExportError {
        FastExportError::unexpected(self.offset, expected, self.text)
    }
}

/// A stream that is being read.
#[derive(Debug)]
pub(super) struct StreamInput<R> {
    reader: R,
    offset: u64,
    line_max_bytes: usize,
    unread: Option<StreamLine>,
}

impl<R: BufRead> StreamInput<R> {
    pub(super) fn new(reader: R, line_max_bytes: usize) -> Self {
        Self { reader, offset: 0, line_max_bytes, unread: None }
    }

    /// Where the next line or data begins.
    pub(super) fn offset(&self) -> u64 {
        self.unread.as_ref().map_or(self.offset, |line| line.offset)
    }

    /// The next line that is no comment; `None` at the end of the stream.
    pub(super) fn line(&mut self) -> Result<Option<StreamLine>, FastExportError> {
        if let Some(line) = self.unread.take() {
            return Ok(Some(line));
        }
        loop {
            match self.any_line()? {
                Some(line) if line.text.starts_with(b"#") => {}
                line => return Ok(line),
            }
        }
    }

    /// The next line, where the stream must not end yet.
    pub(super) fn expect_line(
        &mut self,
        expected: &'static str,
    ) -> Result<StreamLine, FastExportError> {
        self.line()?.ok_or_else(|| FastExportError::end(self.offset, expected))
    }

    /// Gives a line back, to be read again.
    pub(super) fn unread(&mut self, line: StreamLine) {
        self.unread = Some(line);
    }

    /// Exactly so many bytes, and the line break after them where there is one.
    pub(super) fn data(&mut self, size_bytes: usize) -> Result<Bytes, FastExportError> {
        let start = self.offset;
        // A claimed size must not reserve memory that never gets filled.
        let mut data = Vec::with_capacity(size_bytes.min(DATA_STEP_BYTES));
        let read = self.reader.by_ref().take(size_bytes as u64).read_to_end(&mut data);
        let read = read.map_err(|error| FastExportError::io(start, &error))?;
        self.offset += read as u64;
        if read < size_bytes {
            return Err(FastExportError::end(self.offset, "the rest of the data"));
        }
        self.line_break()?;
        Ok(data.into())
    }

    /// Data up to a line that is `delimiter`.
    pub(super) fn delimited(
        &mut self,
        delimiter: &[u8],
        max_bytes: usize,
    ) -> Result<Bytes, FastExportError> {
        let mut data = Vec::new();
        loop {
            let Some(line) = self.any_line()? else {
                return Err(FastExportError::end(self.offset, "the line that ends the data"));
            };
            if line.text == delimiter {
                self.line_break()?;
                return Ok(data.into());
            }
            if data.len() + line.text.len() >= max_bytes {
                return Err(FastExportError::too_large(line.offset, "data", max_bytes));
            }
            data.extend(line.text);
            data.push(b'\n');
        }
    }

    fn any_line(&mut self) -> Result<Option<StreamLine>, FastExportError> {
        let offset = self.offset;
        let mut text = Vec::new();
        let limit = self.line_max_bytes as u64 + 1;
        let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut text);
        let read = read.map_err(|error| FastExportError::io(offset, &error))?;
        self.offset += read as u64;
        if text.pop_if(|byte| *byte == b'\n').is_some() {
            return Ok(Some(StreamLine { offset, text }));
        }
        match read {
            0 => Ok(None),
            read if read > self.line_max_bytes => {
                Err(FastExportError::too_large(offset, "a line", self.line_max_bytes))
            }
            _ => Err(FastExportError::end(self.offset, "the rest of the line")),
        }
    }

    fn line_break(&mut self) -> Result<(), FastExportError> {
        let next =
            self.reader.fill_buf().map_err(|error| FastExportError::io(self.offset, &error))?;
        if next.first() == Some(&b'\n') {
            self.reader.consume(1);
            self.offset += 1;
        }
        Ok(())
    }
}
