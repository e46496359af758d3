//! How ids are shown: as hex, for people and for records.

macro_rules! shown_as_hex {
    ($($id:ty),+) => {$(
        impl ::std::fmt::Display for $id {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&::hex::encode(self.0))
            }
        }

        impl ::std::fmt::Debug for $id {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(f, concat!(stringify!($id), "({})"), self)
            }
        }
    )+};
}

pub(crate) use shown_as_hex;
