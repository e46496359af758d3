//! The Redis protocol as the load generator speaks it: one command at a time.

use super::Protocol;
use crate::Result;

/// One connection; a request is a whole command.
pub(crate) struct Redis;

impl Redis {
    /// Appends a command in the form of an array of strings.
    pub(crate) fn command(parts: &[&[u8]], out: &mut Vec<u8>) {
        out.extend(format!("*{}\r\n", parts.len()).as_bytes());
        for part in parts {
            out.extend(format!("${}\r\n", part.len()).as_bytes());
            out.extend(*part);
            out.extend(b"\r\n");
        }
    }
}

impl Protocol for Redis {
    fn start(&mut self, _: &mut Vec<u8>) {}

    fn call(&mut self, _: usize, message: &[u8], out: &mut Vec<u8>) -> bool {
        out.extend(message);
        true
    }

    fn receive(
        &mut self,
        input: &[u8],
        _: &mut Vec<u8>,
        answered: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<usize> {
        let Some(end) = input.windows(2).position(|pair| pair == b"\r\n") else { return Ok(0) };
        answered(0, &input[..end]);
        Ok(end + 2)
    }
}
