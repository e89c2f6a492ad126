//! A server process seen through `/proc`: its CPU time and memory, those of its children included (some
//! servers fork their workers).

use std::fs;
use std::io;
use std::time::Duration;

use crate::sys;

#[derive(Clone, Copy)]
pub(crate) struct Process {
    pid: u32,
}

impl Process {
    /// Fails when there is no such process.
    pub(crate) fn new(pid: u32) -> io::Result<Self> {
        read(pid, "stat")?;
        Ok(Self { pid })
    }

    /// User and system time of all threads, in steps of 10 ms.
    pub(crate) fn cpu_time(self) -> Duration {
        let ticks: u64 = self.sum("stat", parse_cpu_ticks);
        Duration::from_millis(ticks * 1_000 / sys::clock_ticks_per_second())
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(self) -> u64 {
        self.sum("status", parse_resident_kib) * 1_024
    }

    /// Adds up one number over the process and its descendants; those that have just ended count nothing.
    fn sum(self, file: &str, parse: fn(&str) -> Option<u64>) -> u64 {
        family(self.pid).into_iter().filter_map(|pid| parse(&read(pid, file).ok()?)).sum()
    }
}

/// The process and all its descendants.
fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&pid) = family.get(next) {
        family.extend(children(pid));
        next += 1;
    }
    family
}

/// The kernel lists children by the thread that forked them.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

fn read(pid: u32, file: &str) -> io::Result<String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
}

/// `utime` and `stime`, fields 14 and 15 of `stat`. The name in field 2 may itself contain spaces and
/// parentheses, so fields are counted from the last one that closes.
fn parse_cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn parse_resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn cpu_ticks_are_found_after_any_name() {
        let rest = "S 1 2 2 0 -1 4194560 900 0 3 0 250 17 5 6 20 0 3 0 88 1000 200";
        assert_eq!(parse_cpu_ticks(&format!("42 (php) {rest}")), Some(267));
        assert_eq!(parse_cpu_ticks(&format!("42 (a) b (c) {rest}")), Some(267));
        assert_eq!(parse_cpu_ticks("42 (php) S 1"), None);
        assert_eq!(parse_cpu_ticks(""), None);
    }

    #[test]
    fn resident_memory_is_in_kib() {
        assert_eq!(parse_resident_kib("Name:\tphp\nVmRSS:\t   12345 kB\nThreads:\t3\n"), Some(12_345));
        assert_eq!(parse_resident_kib("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn children_count() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let family = family(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(family.contains(&child.id()));
    }

    #[test]
    fn this_process_has_memory() {
        assert!(Process::new(std::process::id()).unwrap().resident_bytes() > 100_000);
    }

    #[test]
    fn no_such_process_is_an_error() {
        assert!(Process::new(u32::MAX).is_err());
    }
}
