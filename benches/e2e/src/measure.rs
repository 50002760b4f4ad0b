//! What a run costs: wall clock, processor seconds of its processes and of the server, memory.
//!
//! Processor time of ended children is what the kernel adds up for their parent (`/proc/<pid>/stat`), so that workers
//! and pipelines are counted to the last tick, without unsafe code and without another program.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use xtask::{Context, Result};

/// The unit of `/proc/<pid>/stat` on every architecture Linux runs servers on.
const TICKS_PER_SECOND: f64 = 100.0;
/// How often memory is looked at. The kernel's mark only rises, so that only the last interval is missed.
const INTERVAL: Duration = Duration::from_millis(10);

/// The cost of one run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cost {
    /// Seconds on the wall.
    pub(crate) wall: f64,
    /// Processor seconds of the client's processes.
    pub(crate) client: f64,
    /// Processor seconds of the server.
    pub(crate) server: f64,
    /// Processor seconds that were neither's: how quiet the machine was.
    pub(crate) other: f64,
    /// Peak memory in MiB, added up over the client's processes.
    pub(crate) memory: f64,
    /// Size of what was written, in MB.
    pub(crate) megabytes: f64,
    /// Seconds between the begin of the first load of rows and the end of the last one.
    pub(crate) load: f64,
    /// Seconds between the first foreign key's begin and the last one's end.
    pub(crate) foreign_keys: f64,
    /// What the command printed.
    pub(crate) output: String,
}

/// Runs a script in bash and says what it cost. Its failure is ours.
pub(crate) fn run(script: &str, postmaster: u32) -> Result<Cost> {
    let (own, server, all) = (waited_for(std::process::id())?, tree(postmaster), machine()?);
    let began = Instant::now();
    let log = tempfile::NamedTempFile::new()?;
    let mut command = Command::new("bash");
    command.args(["-o", "pipefail", "-ec", script]).stdin(Stdio::null());
    command.stdout(Stdio::from(log.reopen()?)).stderr(Stdio::from(log.reopen()?));
    let mut child = command.spawn().context(|| "run bash".to_owned())?;
    let mut peaks = BTreeMap::new();
    let status = loop {
        for pid in descendants(child.id()) {
            let peak = high_water_mark(pid).unwrap_or_default();
            peaks.entry(pid).and_modify(|known: &mut f64| *known = known.max(peak)).or_insert(peak);
        }
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(INTERVAL);
    };
    let wall = began.elapsed().as_secs_f64();
    let output = std::fs::read_to_string(log.path()).unwrap_or_default();
    if !status.success() {
        return Err(format!("failed ({status}): {script}\n{output}").into());
    }
    let client = waited_for(std::process::id())? - own;
    let server = tree(postmaster) - server;
    let other = (machine()? - all - client - server).max(0.0);
    let memory = peaks.values().sum();
    Ok(Cost { wall, client, server, other, memory, output, ..Cost::default() })
}

/// Size of a file or of a folder's files, in MB.
pub(crate) fn megabytes(path: &Path) -> f64 {
    let Ok(meta) = std::fs::metadata(path) else { return 0.0 };
    if meta.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        return entries.map(|entry| megabytes(&entry.path())).sum();
    }
    u32::try_from(meta.len() / 1000).map_or(f64::INFINITY, f64::from) / 1000.0
}

/// The fields of `/proc/<pid>/stat` after the name, which may hold anything.
fn stat(pid: u32) -> Option<Vec<u64>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').map(|field| field.trim().parse().unwrap_or_default()).collect())
}

fn seconds(ticks: u64) -> f64 {
    u32::try_from(ticks).map_or(f64::INFINITY, f64::from) / TICKS_PER_SECOND
}

/// Fields 16 and 17: time of all children that ended and were waited for, and of theirs.
fn waited_for(pid: u32) -> Result<f64> {
    let fields = stat(pid).ok_or("no /proc/self/stat")?;
    Ok(seconds(fields.iter().skip(13).take(2).sum()))
}

/// Time of a process, of its ended children, and of its living ones.
fn tree(pid: u32) -> f64 {
    let all = |pid| stat(pid).map_or(0, |fields| fields.iter().skip(11).take(4).sum());
    descendants(pid).into_iter().map(|pid| seconds(all(pid))).sum()
}

/// Busy time of all processors.
fn machine() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/stat").context(|| "read /proc/stat".to_owned())?;
    let first = text.lines().next().unwrap_or_default();
    let fields: Vec<u64> = first.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let idle: u64 = fields.iter().skip(3).take(2).sum();
    // Guests are part of user time.
    Ok(seconds(fields.iter().take(8).sum::<u64>() - idle))
}

/// A process and all that it started.
fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        next += 1;
    }
    found
}

/// `VmHWM` in MiB. The shell that starts the programs is nobody's client.
fn high_water_mark(pid: u32) -> Option<f64> {
    if std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim() == "bash" {
        return None;
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u32 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(f64::from(kib) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::run;

    #[test]
    fn processor_time_of_a_pipeline_is_counted() {
        // A fixed amount of work on both sides, so that a busy machine only makes it slower.
        let burn = "head -c 200000000 /dev/zero | md5sum";
        let cost = run(&format!("{burn} & {burn}; wait"), std::process::id()).unwrap();
        assert!(cost.client > 0.2 && cost.wall >= cost.client / 64.0, "{cost:?}");
        assert!(cost.output.contains("  -"), "{cost:?}");
    }
}
