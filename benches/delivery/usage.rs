//! What a process and the machine have used, as Linux counts it; elsewhere
//! nothing is known. What a store's own server has used is asked of its backend.

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

    /// What several processes have used together; their peaks need not have been
    /// at the same time.
    pub fn sum(usages: impl IntoIterator<Item = Self>) -> Option<Self> {
        usages.into_iter().reduce(|sum, usage| Self {
            memory_bytes: sum.memory_bytes.zip(usage.memory_bytes).map(|(sum, bytes)| sum + bytes),
            peak_memory_bytes: sum.peak_memory_bytes.zip(usage.peak_memory_bytes).map(|(sum, bytes)| sum + bytes),
            cpu_seconds: sum.cpu_seconds.zip(usage.cpu_seconds).map(|(sum, seconds)| sum + seconds),
        })
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

/// CPU seconds of a process and all that it has started, those that have ended
/// included; `None` where that is not known.
pub fn cpu_seconds_of_family(parent: u32) -> Option<f64> {
    let mut seconds = cpu_seconds_with_ended(&fs::read_to_string(format!("/proc/{parent}/stat")).ok()?)?;
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        // What is no process has no such file, and one may end meanwhile.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        if parent_of(&stat) == Some(parent) {
            seconds += cpu_seconds(&stat).unwrap_or_default();
        }
    }
    Some(seconds)
}

/// The process that started this one.
pub fn parent(pid: u32) -> Option<u32> {
    parent_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// What the server of a store has done so far. All of it only grows.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct StoreUsage {
    /// Of all its processes.
    pub cpu_seconds: f64,
    /// Written to its log of changes.
    pub wal_bytes: f64,
    /// Committed, those that only read included.
    pub transactions: f64,
    /// Inserted, updated or deleted.
    pub rows: f64,
}

impl StoreUsage {
    /// What it did since an earlier look.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds - earlier.cpu_seconds,
            wal_bytes: self.wal_bytes - earlier.wal_bytes,
            transactions: self.transactions - earlier.transactions,
            rows: self.rows - earlier.rows,
        }
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

/// The 14th and 15th field are user and system time.
fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((field(stat, 14)? + field(stat, 15)?) / TICKS_PER_SECOND)
}

/// The two fields after those are the same for children that have ended.
fn cpu_seconds_with_ended(stat: &str) -> Option<f64> {
    Some(cpu_seconds(stat)? + (field(stat, 16)? + field(stat, 17)?) / TICKS_PER_SECOND)
}

fn parent_of(stat: &str) -> Option<u32> {
    field(stat, 4).map(|pid| pid as u32)
}

/// A field by its number in the kernel's documentation. The name, in parentheses,
/// may hold anything; the third is the first after it.
fn field(stat: &str, number: usize) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(number - 3)?.parse().ok()
}
