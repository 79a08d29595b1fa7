//! Usage of a process since its start.

use std::time::Duration;

/// Of one process, at one moment.
#[derive(Clone, Copy)]
pub struct Usage {
    pub cpu: Duration,
    /// Memory at the moment, and the most there was, in bytes.
    pub resident: u64,
    pub peak: u64,
}

impl Usage {
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let process = procfs::process::Process::new(i32::try_from(pid)?)?;
        let (stat, status) = (process.stat()?, process.status()?);
        let ticks = (stat.utime + stat.stime) as f64;
        let kib = |value: Option<u64>| value.unwrap_or_default() * 1024;
        Ok(Self {
            cpu: Duration::from_secs_f64(ticks / procfs::ticks_per_second() as f64),
            resident: kib(status.vmrss),
            peak: kib(status.vmhwm),
        })
    }
}
