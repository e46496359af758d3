//! Cuts what the fuzzer gives into the parts that a target needs.

/// Takes the first bytes; fewer where there are no more.
pub fn take<'a>(data: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = data.split_at(length.min(data.len()));
    *data = rest;
    taken
}

/// Takes one byte; 0 where there is none.
pub fn byte(data: &mut &[u8]) -> u8 {
    take(data, 1).first().copied().unwrap_or_default()
}

/// Takes bytes behind their length, which has 16 bits in little-endian.
pub fn part<'a>(data: &mut &'a [u8]) -> &'a [u8] {
    let length = usize::from(byte(data)) | usize::from(byte(data)) << 8;
    take(data, length)
}
