//! MongoDB servers for tests.
//!
//! `VDOM_TEST_MONGODB_URI` names a deployment to test against. Without it, a server
//! written in Java stands in: it needs `java`, and in `VDOM_MONGO_LIB` the directory
//! that `mvn dependency:copy-dependencies` filled from `testkit/mongo/pom.xml`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const DEPLOYMENT: &str = "VDOM_TEST_MONGODB_URI";
const LIBRARIES: &str = "VDOM_MONGO_LIB";

/// A deployment that tests may write to.
#[derive(Debug)]
pub struct MongoServer {
    uri: String,
    java: Option<Java>,
}

#[derive(Debug)]
struct Java {
    process: Child,
    /// The server ends when this closes, also if this process is killed.
    _stdin: ChildStdin,
}

impl MongoServer {
    /// The deployment that the environment names, or a server of its own in memory.
    ///
    /// # Errors
    /// Why there is none: the reason to skip a test.
    pub fn start() -> Result<Self, String> {
        match std::env::var(DEPLOYMENT) {
            Ok(uri) if !uri.is_empty() => Ok(Self { uri, java: None }),
            _ => Self::start_java(None),
        }
    }

    /// A server of its own that keeps every acknowledged write in a file.
    ///
    /// # Errors
    /// As [`MongoServer::start`].
    pub fn start_on_file(file: &Path) -> Result<Self, String> {
        Self::start_java(Some(file))
    }

    /// One server for all tests of this process; they use databases of their own.
    ///
    /// # Errors
    /// As [`MongoServer::start`].
    pub fn shared() -> Result<&'static Self, String> {
        static SHARED: OnceLock<Result<MongoServer, String>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref().map_err(Clone::clone)
    }

    /// The connection string.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Host and port, of a server that was started here.
    pub fn address(&self) -> Option<&str> {
        self.java.as_ref()?;
        self.uri.strip_prefix("mongodb://")?.strip_suffix('/')
    }

    /// A name that no other test has used for its database.
    pub fn fresh_database() -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let nanos = now.map_or(0, |now| now.as_nanos());
        format!("vdom_test_{nanos}_{}_{number}", std::process::id())
    }

    /// Kills a server that was started here, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(java) = &mut self.java {
            java.kill();
        }
    }

    fn start_java(file: Option<&Path>) -> Result<Self, String> {
        let libraries = std::env::var_os(LIBRARIES)
            .ok_or_else(|| format!("neither {DEPLOYMENT} nor {LIBRARIES} is set"))?;
        let libraries = PathBuf::from(libraries);
        if !libraries.is_dir() {
            return Err(format!("{} ({LIBRARIES}) is no directory", libraries.display()));
        }
        let launcher = Path::new(env!("CARGO_MANIFEST_DIR")).join("mongo/Launcher.java");
        let mut command = Command::new("java");
        command.arg("-Xshare:auto").arg("-XX:TieredStopAtLevel=1").arg("-cp");
        command.arg(libraries.join("*")).arg(launcher).args(["--port", "0"]);
        if let Some(file) = file {
            command.arg("--file").arg(file);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process =
            command.spawn().map_err(|error| format!("java does not start: {error}"))?;
        let (Some(stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("java has no standard input and output".to_owned());
        };
        let mut java = Java { process, _stdin: stdin };
        let mut line = String::new();
        // Ends with a line, or with the process.
        let read = BufReader::new(stdout).read_line(&mut line);
        if let Some(port) = line.trim_end().strip_prefix("ready ") {
            return Ok(Self { uri: format!("mongodb://127.0.0.1:{port}/"), java: Some(java) });
        }
        java.kill();
        Err(format!("the Java server does not start: {read:?} {line:?}"))
    }
}

impl Java {
    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        self.kill();
    }
}
