//! The types of BSON elements, as the byte before each key.

/// 64-bit IEEE 754.
pub const DOUBLE: u8 = 0x01;
/// UTF-8 text.
pub const STRING: u8 = 0x02;
/// A document.
pub const DOCUMENT: u8 = 0x03;
/// A document whose keys are positions.
pub const ARRAY: u8 = 0x04;
/// Bytes with a subtype.
pub const BINARY: u8 = 0x05;
/// Deprecated: nothing.
pub const UNDEFINED: u8 = 0x06;
/// 12 bytes.
pub const OBJECT_ID: u8 = 0x07;
/// One byte, 0 or 1.
pub const BOOLEAN: u8 = 0x08;
/// Milliseconds since the Unix epoch.
pub const DATETIME: u8 = 0x09;
/// No value.
pub const NULL: u8 = 0x0A;
/// Two NUL-terminated texts.
pub const REGEX: u8 = 0x0B;
/// Deprecated: a name and an object id.
pub const DB_POINTER: u8 = 0x0C;
/// JavaScript.
pub const CODE: u8 = 0x0D;
/// Deprecated: text.
pub const SYMBOL: u8 = 0x0E;
/// Deprecated: JavaScript and a document.
pub const CODE_WITH_SCOPE: u8 = 0x0F;
/// 32-bit integer.
pub const INT32: u8 = 0x10;
/// Increment and seconds.
pub const TIMESTAMP: u8 = 0x11;
/// 64-bit integer.
pub const INT64: u8 = 0x12;
/// 128-bit decimal floating point.
pub const DECIMAL128: u8 = 0x13;
/// Greater than everything.
pub const MAX_KEY: u8 = 0x7F;
/// Less than everything.
pub const MIN_KEY: u8 = 0xFF;

/// How errors call a type; `None` for a byte that is none.
pub fn name(tag: u8) -> Option<&'static str> {
    Some(match tag {
        DOUBLE => "double",
        STRING => "string",
        DOCUMENT => "document",
        ARRAY => "array",
        BINARY => "binary",
        UNDEFINED => "undefined",
        OBJECT_ID => "object id",
        BOOLEAN => "boolean",
        DATETIME => "datetime",
        NULL => "null",
        REGEX => "regular expression",
        DB_POINTER => "db pointer",
        CODE => "code",
        SYMBOL => "symbol",
        CODE_WITH_SCOPE => "code with scope",
        INT32 => "int32",
        TIMESTAMP => "timestamp",
        INT64 => "int64",
        DECIMAL128 => "decimal128",
        MAX_KEY => "max key",
        MIN_KEY => "min key",
        _ => return None,
    })
}
