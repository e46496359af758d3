//! A disk that is full: a real one, small, in a mount namespace of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tonic::{Code, Status};
use vdom_testkit::client::{Client, operation_id};
use vdom_testkit::http::{HttpClient, Place};
use vdom_testkit::process::ServerProcess;
use vdom_testkit::{eventually, skipped};

use super::workload::Random;

/// Writes are refused while less than this is free: what a gateway keeps.
const WATERMARK_BYTES: u64 = 256 << 20;
const ROOM_BYTES: u64 = 12 << 20;
const CONTENT_BYTES: usize = 256 << 10;

/// How often the disk is filled up behind the store's back at most: it looks twice a second, and
/// may look just then; and what it writes mostly has its place on the disk already.
const TRIES: u64 = 1_000;

/// A file system in memory, seen by the commands that run [`SmallDisk::within`] alone.
struct SmallDisk {
    /// Holds the namespaces until its input ends.
    holder: Child,
    path: PathBuf,
}

impl SmallDisk {
    async fn mount(path: &Path, bytes: u64) -> Result<Self, String> {
        const MOUNT: &str = r#"mount -t tmpfs -o "size=$2" small-disk "$1" && echo mounted && cat"#;
        let mut holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", MOUNT, "sh"])
            .arg(path)
            .arg(bytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let said = BufReader::new(holder.stdout.take().unwrap()).lines().next_line().await;
        match said {
            Ok(Some(_)) => Ok(Self { holder, path: path.to_owned() }),
            _ => Err("no file system can be mounted in a namespace of our own".to_owned()),
        }
    }

    /// The command, where it sees the disk.
    fn within(&self, command: &Command) -> Command {
        let command = command.as_std();
        let mut within = Command::new("nsenter");
        within
            .args(["--preserve-credentials", "--user", "--mount", "--target"])
            .arg(self.holder.id().unwrap().to_string())
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        within
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(program);
        command.args(arguments).arg(&self.path);
        let output = self.within(&command).output().await.unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// How much is taken, in bytes.
    async fn used(&self) -> u64 {
        let shown = self.run("df", &["--block-size=1", "--output=used"]).await.unwrap();
        shown.split_whitespace().last().unwrap().parse().unwrap()
    }

    /// Leaves so much room.
    async fn leave(&self, free_bytes: u64) {
        // A size is refused where more than that was taken meanwhile.
        eventually("the disk has another size", async || {
            let size = format!("remount,size={}", self.used().await + free_bytes);
            self.run("mount", &["-o", &size]).await.is_ok()
        })
        .await;
    }
}

/// A gateway on the disk, and who talks to it.
struct Server {
    process: ServerProcess,
    client: Client,
    admin: HttpClient,
}

impl Server {
    async fn start(disk: &SmallDisk) -> Self {
        let command =
            ServerProcess::up_command(&disk.path.join("data"), &["--dev", "--log", "off"]);
        let process = ServerProcess::start_command(disk.within(&command)).await;
        let url = format!("http://{}", process.text("gateway.grpc"));
        let admin = process.text("gateway.admin").parse().expect("an address");
        let client = Client::connect(&url, None).await;
        Self { client, admin: HttpClient::new(Place::Tcp(admin), None), process }
    }

    async fn write(&mut self, number: u64) -> Result<u64, Status> {
        let mut request = self.client.put_request(&format!("n{number}"), &content(number));
        request.operation_id = operation_id(number);
        let answer = self.client.write(request).await?;
        assert!(answer.success, "{answer:?}");
        Ok(answer.revision)
    }

    /// All that was written is there as it was, and no more.
    async fn holds(&mut self, written: u64) {
        for number in 1..=written {
            let read = self.client.read(&format!("n{number}")).await.expect("readable");
            assert_eq!((read.changed_revision, read.version), (number, 1));
            assert!(read.content == content(number), "n{number} is another");
        }
        let next = self.client.read(&format!("n{}", written + 1)).await.expect_err("not written");
        assert_eq!(next.code(), Code::NotFound, "{next}");
    }

    async fn is_not_ready(&self, why: &str) {
        eventually(why, async || {
            let ready = self.admin.get("/health/ready").await;
            ready.status == 503 && ready.json().to_string().contains(why)
        })
        .await;
    }
}

/// Bytes that do not compress.
fn content(number: u64) -> Vec<u8> {
    let mut random = Random(number);
    (0..CONTENT_BYTES / 8).flat_map(|_| random.next().to_le_bytes()).collect()
}

fn is_full(refusal: &Status) -> bool {
    let full = refusal.code() == Code::ResourceExhausted;
    assert!(!full || refusal.message().contains("no room for writes"), "{refusal}");
    full
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_refuses_writes_in_time_and_takes_them_again() {
    let folder = tempfile::tempdir().unwrap();
    let disk = match SmallDisk::mount(folder.path(), WATERMARK_BYTES + ROOM_BYTES).await {
        Ok(disk) => disk,
        Err(reason) => {
            let test = "a_disk_that_fills_up_refuses_writes_in_time_and_takes_them_again";
            return skipped(test, &reason);
        }
    };
    let mut server = Server::start(&disk).await;
    let mut written = 0;
    let refusal = loop {
        match server.write(written + 1).await {
            Ok(revision) => written = revision,
            Err(refusal) => break refusal,
        }
        assert!(written < 200, "never full");
    };
    assert!(is_full(&refusal), "{refusal}");
    assert!(written > 3, "only {written} writes");
    server.is_not_ready("make room on it").await;
    server.holds(written).await;

    // So does a server that starts on a disk that is full.
    server.process.kill().await;
    let mut server = Server::start(&disk).await;
    assert!(is_full(&server.write(written + 1).await.expect_err("full")));
    server.holds(written).await;

    disk.leave(WATERMARK_BYTES + ROOM_BYTES).await;
    let next = written + 1;
    let deadline = Instant::now() + Duration::from_secs(20);
    let revision = loop {
        match server.write(next).await {
            Ok(revision) => break revision,
            Err(refusal) => assert!(is_full(&refusal) && Instant::now() < deadline, "{refusal}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(revision, next);
    server.holds(next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_all_of_a_sudden_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = match SmallDisk::mount(folder.path(), 2 * WATERMARK_BYTES).await {
        Ok(disk) => disk,
        Err(reason) => {
            return skipped("a_disk_that_is_full_all_of_a_sudden_loses_nothing", &reason);
        }
    };
    let mut server = Server::start(&disk).await;
    let (mut written, mut refusal) = (0, None);
    for attempt in 0..TRIES {
        match server.write(written + 1).await {
            Ok(revision) => written = revision,
            Err(full) if is_full(&full) => {}
            Err(other) => {
                refusal = Some(other);
                break;
            }
        }
        // Room for a part of the next write, and then room again.
        let room = if attempt % 2 == 0 { 64 << 10 } else { 2 * WATERMARK_BYTES };
        disk.leave(room).await;
    }
    let refusal = refusal.expect("the store never met a full disk");
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal}");
    let next = server.write(written + 2).await.expect_err("stopped");
    assert!(next.message().contains("the store has stopped"), "{next}");
    server.is_not_ready("No space left on device").await;
    server.process.kill().await;

    disk.leave(2 * WATERMARK_BYTES).await;
    let mut server = Server::start(&disk).await;
    let next = server.client.read(&format!("n{}", written + 1)).await;
    if next.is_err() {
        server.holds(written).await;
    }
    // What was refused may be repeated, and is there once.
    assert_eq!(server.write(written + 1).await.expect("room"), written + 1);
    server.holds(written + 1).await;
}
