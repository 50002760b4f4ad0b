//! A store that is elsewhere takes no processor time of the machine that backs up. One on this machine is given a processor of its
//! own, and all others do without that one.

use std::process::Command;

use xtask::seaweed::S3;
use xtask::{Result, install};

use crate::data::Data;

/// As long as it lives, server and clients have all processors but the last, which the store has.
#[derive(Debug)]
pub(crate) struct Apart {
    postmaster: u32,
    last: usize,
}

impl Apart {
    /// Gives each its processors; sessions that are opened from now on follow.
    pub(crate) fn begin(data: &Data, s3: &S3) -> Result<Self> {
        let last = std::thread::available_parallelism()?.get() - 1;
        if last == 0 {
            return Err(
                "one processor cannot be shared: the bucket is compared where there are two or more".into()
            );
        }
        let postmaster = data.server.pid().ok_or("the server is gone")?;
        let apart = Self { postmaster, last };
        pin(s3.pid()?, &last.to_string())?;
        pin(postmaster, &apart.others())?;
        Ok(apart)
    }

    fn others(&self) -> String {
        format!("0-{}", self.last - 1)
    }

    /// What a script begins with to stay on them.
    pub(crate) fn confine(&self) -> String {
        format!("taskset -cp {} $$ >/dev/null\n", self.others())
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // The server may be gone; then there is nothing to give back.
        drop(pin(self.postmaster, &format!("0-{}", self.last)));
    }
}

/// Confines all threads of a process.
fn pin(pid: u32, processors: &str) -> Result<()> {
    install::run(Command::new("taskset").args(["-a", "-c", "-p", processors, &pid.to_string()]))
}
