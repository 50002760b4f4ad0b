//! Which operating-system user runs the servers: PostgreSQL refuses to run as root.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::{Context, Result};

/// The user a server runs as when that isn't the user who runs the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    uid: u32,
    gid: u32,
}

impl RunAs {
    /// `None` for an ordinary user; as root, the account named by `PGCASK_TEST_USER` (`nobody` unless set).
    pub fn detect() -> Result<Option<Self>> {
        if effective_uid()? != 0 {
            return Ok(None);
        }
        let name = std::env::var("PGCASK_TEST_USER").unwrap_or_else(|_| "nobody".to_owned());
        let passwd = std::fs::read_to_string("/etc/passwd").context(|| "read /etc/passwd".to_owned())?;
        let account = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find_map(|fields| {
            let [account, _, uid, gid, ..] = fields.as_slice() else {
                return None;
            };
            (*account == name).then_some((uid.parse().ok()?, gid.parse().ok()?))
        });
        let (uid, gid) = account.ok_or_else(|| {
            format!("servers don't run as root and there is no user {name}: name one in PGCASK_TEST_USER")
        })?;
        Ok(Some(Self { uid, gid }))
    }

    /// Gives a file or folder to this user.
    pub fn own(self, path: &Path) -> Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .context(|| format!("hand {} to uid {}", path.display(), self.uid))
    }

    /// Makes a command run as this user.
    pub fn apply(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// The numeric user.
    pub fn uid(self) -> u32 {
        self.uid
    }
}

/// Who owns this process, by what the kernel says about it.
pub fn effective_uid() -> Result<u32> {
    Ok(std::fs::metadata("/proc/self").context(|| "read /proc/self".to_owned())?.uid())
}
