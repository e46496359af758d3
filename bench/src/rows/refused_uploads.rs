//! What uploads that come to nothing leave on the disk: refused for what stands at their path, and
//! cut off in their midst.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Bench, progress};
use crate::Result;
use crate::report::{Comparison, Figure, Table};
use crate::servers::{BRANCH, Gateway, Noise, REPO};

/// How many uploads there were, each time.
const UPLOADS: [usize; 3] = [1, 10, 50];
const CONTENT_BYTES: usize = 60_000_000;
/// Of one that is cut off, so much arrives.
const SENT_BYTES: usize = 30_000_000;
/// The engine's journals, which it writes again and again; never a content.
const KEPT_MAX_MB: f64 = 200.0;
const BLOCK_BYTES: u64 = 512;

#[derive(Clone, Copy)]
enum End {
    Refused,
    CutOff,
}

/// One table.
pub(super) fn run(bench: &Bench) -> Result<Vec<Table>> {
    let mut figures = Vec::new();
    for (end, what) in [(End::Refused, "refused"), (End::CutOff, "cut off")] {
        let gateway = Gateway::start(bench, &format!("uploads-{}", what.replace(' ', "-")))?;
        let mut noise = Noise::new();
        upload(&gateway, "there", &noise.bytes(1_000), 1_000)?;
        gateway.process.settle()?;
        let before = disk_bytes(&gateway.store())?;
        let mut done = 0;
        for count in UPLOADS {
            while done < count {
                let content = noise.bytes(CONTENT_BYTES);
                match end {
                    End::Refused => {
                        let answer = upload(&gateway, "there", &content, CONTENT_BYTES)?;
                        if !answer.contains(" 412 ") {
                            return Err(format!("not refused: {answer}").into());
                        }
                    }
                    End::CutOff => {
                        upload(&gateway, &format!("new-{done}"), &content, SENT_BYTES)?;
                    }
                }
                done += 1;
            }
            gateway.process.settle()?;
            let kept = disk_bytes(&gateway.store())?.saturating_sub(before) as f64 / 1e6;
            progress(&format!("{count} uploads {what}: {kept:.1} MB kept"));
            figures.push(Figure::once(&format!("after {count} uploads {what}"), "MB", kept));
        }
    }
    Ok(vec![Table {
        row: "refused-uploads",
        load: "60 MB each, disk kept".to_owned(),
        comparisons: figures.iter().map(|kept| Comparison::at_most(kept, KEPT_MAX_MB)).collect(),
        figures,
        notes: vec![
            "disk kept: blocks of the store's directory, less those before the first upload; the \
             engine keeps journals of what it wrote for a while"
                .to_owned(),
            "refused: `If-None-Match: *` on a path that is taken; cut off: after 30 MB".to_owned(),
        ],
        ..Table::default()
    }])
}

/// Sends the first bytes of a content, on condition that its path is free; gives back the first
/// line of the answer to one that was sent as a whole.
fn upload(gateway: &Gateway, path: &str, content: &[u8], sent: usize) -> Result<String> {
    let mut connection = TcpStream::connect(gateway.http)?;
    write!(
        connection,
        "PUT /v1/repos/{REPO}/branches/{BRANCH}/nodes/{path} HTTP/1.1\r\nhost: {}\r\n\
         authorization: Bearer {}\r\nif-none-match: *\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        gateway.http,
        gateway.token,
        content.len()
    )?;
    // Who is refused may be told so before all is sent, and need not read on.
    let all_sent = connection.write_all(&content[..sent]);
    if sent < content.len() {
        all_sent?;
        return Ok(String::new());
    }
    let mut answer = String::new();
    let read = connection.read_to_string(&mut answer);
    if answer.is_empty() {
        all_sent?;
        read?;
    }
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

fn disk_bytes(path: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        // What the engine has removed meanwhile takes nothing.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += metadata.blocks() * BLOCK_BYTES;
        if metadata.is_dir() {
            bytes += disk_bytes(&entry.path())?;
        }
    }
    Ok(bytes)
}
