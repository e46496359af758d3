//! A server as a process of its own, kept to the servers' core and ended with
//! its handle.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::machine::{SERVER_CORE, TICKS_PER_SECOND};
use crate::{Failure, Result};

/// At most one tick in such a time, and a server is at rest; longer than vdom puts views off.
const REST: Duration = Duration::from_millis(400);
const REST_DEADLINE: Duration = Duration::from_secs(20);
const START_DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct ServerProcess {
    name: String,
    child: Child,
    log: PathBuf,
}

/// What a server runs within: a program that becomes it, or stays beside it.
#[derive(Debug, Default)]
pub(crate) struct Wrapper {
    /// The program and its arguments; none for nothing.
    pub(crate) command: Vec<String>,
    /// Of the server's environment.
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl ServerProcess {
    /// Starts a program in a clean environment; its log goes into `folder`.
    pub(crate) fn start<I>(name: &str, program: &Path, folder: &Path, arguments: I) -> Result<Self>
    where
        I: IntoIterator<Item: AsRef<std::ffi::OsStr>>,
    {
        Self::start_under(&Wrapper::default(), name, program, folder, arguments)
    }

    /// The same, within another program.
    pub(crate) fn start_under<I>(
        wrapper: &Wrapper,
        name: &str,
        program: &Path,
        folder: &Path,
        arguments: I,
    ) -> Result<Self>
    where
        I: IntoIterator<Item: AsRef<std::ffi::OsStr>>,
    {
        let log = folder.join(format!("{name}.log"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let output = File::create(&log)?;
        // Both only prepare the process and then become the program. The signal
        // ends it even where this one is killed.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "taskset", "-c", &SERVER_CORE.to_string()])
            .args(&wrapper.command)
            .arg(program)
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("PATH", path)
            .envs(wrapper.variables.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| format!("cannot start {name} through setpriv: {error}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// As the system knows it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it is called in a report.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Waits until it takes connections.
    pub(crate) fn await_port(&mut self, address: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        while TcpStream::connect(address).is_err() {
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(self.did_not_start());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Processor time of all its threads, in user and kernel mode.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        cpu_time(&self.child.id().to_string())
            .map_err(|error| format!("{} has ended: {error}", self.name).into())
    }

    /// Waits until it is at rest; its processor time then.
    pub(crate) fn settle(&self) -> Result<Duration> {
        let deadline = Instant::now() + REST_DEADLINE;
        let mut before = self.cpu_time()?;
        loop {
            thread::sleep(REST);
            let now = self.cpu_time()?;
            if now.saturating_sub(before) <= Duration::from_millis(1_000 / TICKS_PER_SECOND)
                || Instant::now() > deadline
            {
                return Ok(now);
            }
            before = now;
        }
    }

    /// Resident memory, and its share where pages are shared, in bytes.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let id = self.child.id();
        let field = |file: &str, name: &str| -> Result<Option<u64>> {
            let text = fs::read_to_string(format!("/proc/{id}/{file}"))?;
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
            Ok(kilobytes.map(str::parse::<u64>).transpose()?.map(|kilobytes| kilobytes << 10))
        };
        Ok(Memory {
            resident: field("status", "VmRSS:")?.ok_or("the kernel does not tell VmRSS")?,
            // Readable only where the kernel lets us.
            proportional: field("smaps_rollup", "Pss:").ok().flatten(),
            peak: field("status", "VmHWM:")?.ok_or("the kernel does not tell VmHWM")?,
        })
    }

    /// Begins to measure its largest resident memory anew.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        // 5: reset the high-water mark.
        Ok(fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(&mut self) -> Result<()> {
        output(Path::new("kill"), &["-TERM", &self.child.id().to_string()])?;
        let deadline = Instant::now() + START_DEADLINE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Err(format!("{} does not end", self.name).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn did_not_start(&self) -> Failure {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(5)..].join("\n");
        format!("{} did not start. The end of its log:\n{last}", self.name).into()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // One that has ended already is what we want.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) proportional: Option<u64>,
    /// The most that was resident.
    pub(crate) peak: u64,
}

/// Processor time of this process.
pub(crate) fn own_cpu_time() -> Result<Duration> {
    cpu_time("self")
}

/// A port of the loopback interface that nobody used a moment ago.
pub(crate) fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Runs a command to its end: how long it took, and what it printed.
pub(crate) fn timed(command: &mut Command) -> Result<(Duration, String)> {
    let start = Instant::now();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {command:?}: {error}"))?;
    let length = start.elapsed();
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?}: {}", why.trim()).into());
    }
    Ok((length, String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}

/// A program in `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// What a program prints, without the line end.
pub(crate) fn output(program: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| {
        format!("cannot run {}: {error}; build it, or name it with --vdom", program.display())
    })?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} {}: {}", program.display(), arguments[0], why.trim()).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn cpu_time(process: &str) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may hold spaces.
    let (_, fields) = stat.rsplit_once(')').ok_or("/proc/PID/stat has no name")?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let mut next = || times.next().ok_or("/proc/PID/stat is short");
    let ticks = next()?? + next()??;
    Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}
