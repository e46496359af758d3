//! What `strace -f -ttt -y` wrote down: how often which system call was made, and what went into
//! files. The format is that of strace(1).

use std::collections::{BTreeMap, HashMap};
use std::io::BufRead;

use crate::Result;

/// A stretch of time, in seconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: f64,
    pub(super) to: f64,
}

/// System calls that began within some stretches of time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SystemCalls {
    /// By name.
    pub(super) calls: BTreeMap<String, u64>,
    /// Calls that woke another thread.
    pub(super) wake_ups: u64,
    /// Bytes that went into files.
    pub(super) written: u64,
}

/// A call whose end stands on another line.
struct Unfinished {
    name: String,
    arguments: String,
    /// Those that it counts in.
    windows: Vec<usize>,
}

impl SystemCalls {
    /// Counts those of the log that began in each of the windows.
    pub(super) fn read(log: impl BufRead, windows: &[Window]) -> Result<Vec<Self>> {
        let mut counted: Vec<Self> = windows.iter().map(|_| Self::default()).collect();
        let mut unfinished: HashMap<String, Unfinished> = HashMap::new();
        for line in log.lines() {
            let line = line?;
            let Some((thread, rest)) = line.trim_start().split_once(' ') else { continue };
            let Some((time, call)) = rest.trim_start().split_once(' ') else { continue };
            let Ok(time) = time.parse::<f64>() else { continue };
            if let Some(resumed) = call.strip_prefix("<... ") {
                if let Some(begun) = unfinished.remove(thread) {
                    for window in begun.windows {
                        counted[window].end(&begun.name, &begun.arguments, resumed);
                    }
                }
                continue;
            }
            let Some((name, arguments)) = call.split_once('(') else { continue };
            let begins_in = |at: &usize| (windows[*at].from..=windows[*at].to).contains(&time);
            let windows: Vec<_> = (0..windows.len()).filter(begins_in).collect();
            for window in &windows {
                *counted[*window].calls.entry(name.to_owned()).or_default() += 1;
            }
            if let Some(arguments) = arguments.strip_suffix("<unfinished ...>") {
                let (name, arguments) = (name.to_owned(), arguments.to_owned());
                unfinished.insert(thread.to_owned(), Unfinished { name, arguments, windows });
            } else {
                for window in windows {
                    counted[window].end(name, arguments, arguments);
                }
            }
        }
        Ok(counted)
    }

    pub(super) fn total(&self) -> u64 {
        self.calls.values().sum()
    }

    fn end(&mut self, name: &str, arguments: &str, end: &str) {
        let result = end.rsplit_once("= ").and_then(|(_, result)| result.split(' ').next());
        let result: u64 = result.and_then(|result| result.parse().ok()).unwrap_or(0);
        if name == "futex" && arguments.contains("FUTEX_WAKE") && result > 0 {
            self.wake_ups += 1;
        }
        let writes = ["write", "pwrite64", "writev", "pwritev", "pwritev2"];
        if writes.contains(&name) && is_file(arguments) {
            self.written += result;
        }
    }
}

/// Whether the first argument, a descriptor with what it is of, is a file on a disk.
fn is_file(arguments: &str) -> bool {
    let path = arguments.split_once('<').map_or("", |(_, path)| path);
    path.starts_with('/') && !path.starts_with("/dev/") && !path.starts_with("/proc/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_where_they_begin() {
        let log = "\
            7 10.000001 write(3</data/a>, \"\"..., 100) = 100\n\
            7 11.000000 write(3</data/a>, \"\"..., 200) = 200\n\
            7 11.100000 write(4<TCP:[1->2]>, \"\"..., 50) = 50\n\
            8 11.200000 pwrite64(5</data/b>, \"\"..., 4096, 0 <unfinished ...>\n\
            7 11.300000 futex(0x7f, FUTEX_WAKE_PRIVATE, 1) = 1\n\
            7 11.400000 futex(0x7f, FUTEX_WAKE_PRIVATE, 1) = 0\n\
            8 12.900000 <... pwrite64 resumed>) = 4096\n\
            8 12.950000 fdatasync(5</data/b>) = 0\n\
            9 11.500000 +++ exited with 0 +++\n";
        let windows = [(11.0, 12.0), (10.0, 10.5)].map(|(from, to)| Window { from, to });
        let counted = SystemCalls::read(log.as_bytes(), &windows).expect("a log");
        let calls = [("futex", 2), ("pwrite64", 1), ("write", 2)];
        assert_eq!(
            counted[0],
            SystemCalls {
                calls: calls.map(|(name, count)| (name.to_owned(), count)).into(),
                wake_ups: 1,
                written: 200 + 4096,
            }
        );
        assert_eq!(counted[0].total(), 5);
        assert_eq!((counted[1].total(), counted[1].written), (1, 100));
    }
}
