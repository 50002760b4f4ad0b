//! The most memory a process used, as the kernel counts it.

use std::process::Child;
use std::time::Duration;

/// How often the kernel is asked. The mark only rises, so that only the last interval can be missed.
const INTERVAL: Duration = Duration::from_millis(5);

/// Waits for a child and returns the peak of its resident memory in bytes, with its outcome.
///
/// The child's stdout and stderr must not be pipes that somebody has to empty meanwhile: send them to files.
pub(crate) fn peak(mut child: Child) -> (u64, std::process::ExitStatus) {
    let mut peak = 0;
    loop {
        peak = peak.max(high_water_mark(child.id()).unwrap_or_default());
        if let Some(status) = child.try_wait().unwrap() {
            return (peak, status);
        }
        std::thread::sleep(INTERVAL);
    }
}

/// `VmHWM` of a process in bytes; none once it has ended.
pub(crate) fn high_water_mark(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}

#[test]
fn a_child_that_fills_64_mib_is_seen_with_64_mib() {
    use std::process::{Command, Stdio};

    let fill = |mib: &str| {
        let mut dd = Command::new("dd");
        dd.args(["if=/dev/zero", "of=/dev/null", &format!("bs={mib}M"), "count=16"]);
        let (peak, status) = peak(dd.stderr(Stdio::null()).spawn().unwrap());
        assert!(status.success());
        peak >> 20
    };
    let (small, large) = (fill("1"), fill("64"));
    assert!((64..96).contains(&large), "{large} MiB");
    assert!(small < 32, "{small} MiB");
}
