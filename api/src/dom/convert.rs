//! Between `virtualdom.v1` on the wire and the words of the domain.

pub mod decode;
pub mod encode;
