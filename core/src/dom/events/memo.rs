//! Values that are made once and kept by their type.

use std::any::Any;
use std::sync::OnceLock;

/// At most one value of each type, made when it is first asked for. A list: there are as
/// many types as transports have encodings.
#[derive(Default)]
pub(super) struct Memo(OnceLock<Box<Entry>>);

struct Entry {
    value: Box<dyn Any + Send + Sync>,
    next: Memo,
}

impl Memo {
    /// The value of this type. Who asks while another makes it waits.
    pub(super) fn get_or_make<T: Any + Send + Sync>(&self, make: impl Fn() -> T) -> &T {
        let mut memo = self;
        loop {
            let entry = memo
                .0
                .get_or_init(|| Box::new(Entry { value: Box::new(make()), next: Self::default() }));
            if let Some(value) = entry.value.downcast_ref() {
                return value;
            }
            memo = &entry.next;
        }
    }
}
