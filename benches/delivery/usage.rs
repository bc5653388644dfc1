//! What a process and the machine have used, as Linux counts it; elsewhere
//! nothing is known.

use std::fs;

/// Clock ticks in a second of `/proc`'s figures: the kernel's interface has 100
/// on every architecture that this runs on, whatever its own timer does.
const TICKS_PER_SECOND: f64 = 100.0;

/// What one process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    memory_bytes: Option<u64>,
    peak_memory_bytes: Option<u64>,
    /// Time on all cores, its own and the kernel's for it.
    pub cpu_seconds: Option<f64>,
}

impl Usage {
    /// A process's usage.
    pub fn of(pid: u32) -> Self {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
        let status = read("status");
        let memory = |name: &str| status.as_deref().and_then(|status| memory_bytes(status, name));
        Self {
            memory_bytes: memory("VmRSS:"),
            peak_memory_bytes: memory("VmHWM:"),
            cpu_seconds: read("stat").as_deref().and_then(cpu_seconds),
        }
    }

    /// The memory it has resident, in millions of bytes.
    pub fn memory_mb(&self) -> Option<f64> {
        self.memory_bytes.map(megabytes)
    }

    /// The most memory it has ever had resident, in millions of bytes.
    pub fn peak_memory_mb(&self) -> Option<f64> {
        self.peak_memory_bytes.map(megabytes)
    }

    /// CPU seconds since an earlier look.
    pub fn cpu_seconds_since(&self, earlier: &Self) -> Option<f64> {
        Some(self.cpu_seconds? - earlier.cpu_seconds?)
    }
}

/// What all processes together have used so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine {
    busy_seconds: Option<f64>,
}

impl Machine {
    /// As of now.
    pub fn now() -> Self {
        Self { busy_seconds: fs::read_to_string("/proc/stat").ok().as_deref().and_then(busy_seconds) }
    }

    /// CPU seconds of everybody since an earlier look.
    pub fn busy_seconds_since(&self, earlier: &Self) -> Option<f64> {
        Some(self.busy_seconds? - earlier.busy_seconds?)
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The first line sums up the cores: user, nice, system, idle, waiting for I/O,
/// two sorts of interrupts, and what other guests of the host have stolen.
fn busy_seconds(stat: &str) -> Option<f64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: Vec<f64> = fields.map_while(|field| field.parse().ok()).take(8).collect();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some((ticks.iter().sum::<f64>() - idle) / TICKS_PER_SECOND)
}

fn memory_bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// The name, in parentheses, may hold anything; what follows is fields 3 and on,
/// of which the 14th and 15th are user and system time.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let user: f64 = times.next()?.parse().ok()?;
    let system: f64 = times.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}
