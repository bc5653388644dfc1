//! What the system says of this process.

/// Bytes of memory that it has to itself or shares, as far as the system says so.
pub fn resident_bytes() -> Option<u64> {
    resident(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// As Linux writes it down.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_read() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    1234 kB\nThreads:\t2\n"), Some(1_234 * 1_024));
        for odd in ["", "VmRSS:", "VmRSS: many kB", "VmRSS: 12"] {
            assert_eq!(resident(odd), None, "{odd}");
        }
    }
}
