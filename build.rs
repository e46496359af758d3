//! Embeds the built console, where there is one, so that a gateway shows it from any directory.

use std::error::Error;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// Where a build of the console leaves it, from the root of the checkout.
const CONSOLE: &str = "web/console/dist";

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let console = root.join(CONSOLE);
    let is_built = console.join("index.html").is_file();
    // Cargo takes a missing path for one that always changes. The folder above changes when
    // the console is built.
    let watched = if is_built { Some(Path::new(CONSOLE)) } else { Path::new(CONSOLE).parent() };
    if let Some(watched) = watched {
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    let mut files = Vec::new();
    if is_built {
        collect(&console, &mut files)?;
        files.sort();
    }
    let mut code = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&console)?.to_str().ok_or("a name that is no text")?;
        let content_type = content_type(&file)?;
        let etag = entity_tag(&std::fs::read(&file)?);
        let path = file.to_str().ok_or("a path that is no text")?;
        writeln!(
            code,
            "    EmbeddedFile {{ path: {name:?}, content_type: {content_type:?}, etag: {etag:?}, \
             content: include_bytes!({path:?}) }},"
        )?;
    }
    code.push_str("]\n");
    std::fs::write(PathBuf::from(std::env::var("OUT_DIR")?).join("embedded_console.rs"), code)?;
    Ok(())
}

/// Adds every file below `folder`.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// From the content alone: gateways of one build answer alike.
fn entity_tag(content: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// By the ending of the name. Browsers are told not to guess, so that one that is not here
/// fails the build.
fn content_type(file: &Path) -> Result<&'static str, String> {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    Ok(match ending {
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "ico" => "image/x-icon",
        "js" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        "woff2" => "font/woff2",
        _ => return Err(format!("{}: its content type is not known", file.display())),
    })
}
