//! What the process takes of its machine, as Linux tells it in `/proc/self` (proc(5)); elsewhere
//! nothing. The names are those that every client of Prometheus uses, so that dashboards know them.

use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

/// Ticks a second, of every time in `/proc`: the kernel's `USER_HZ`, which is 100 on every machine
/// that Rust runs Linux on.
const TICKS: f64 = 100.0;

/// This process.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let read = |path: &str| fs::read_to_string(path).ok();
        if let Some(times) = read("/proc/self/stat").as_deref().and_then(Times::parse) {
            let cpu = encoder.encode_descriptor(
                "process_cpu_seconds",
                "Processor time that was used.",
                None,
                MetricType::Counter,
            )?;
            ConstCounter::new(times.cpu).encode(cpu)?;
            if let Some(boot) = read("/proc/stat").as_deref().and_then(boot_time) {
                let start = encoder.encode_descriptor(
                    "process_start_time_seconds",
                    "When the process started, in Unix time.",
                    None,
                    MetricType::Gauge,
                )?;
                ConstGauge::new(boot + times.start).encode(start)?;
            }
        }
        let status = read("/proc/self/status").unwrap_or_default();
        for (name, help, value) in [
            (
                "process_resident_memory_bytes",
                "Memory that is in use.",
                kibibytes(&status, "VmRSS"),
            ),
            (
                "process_virtual_memory_bytes",
                "Memory that is addressed.",
                kibibytes(&status, "VmSize"),
            ),
            ("process_threads", "Threads.", number(&status, "Threads")),
            (
                "process_open_fds",
                "Files and connections that are open.",
                fs::read_dir("/proc/self/fd")
                    .ok()
                    // The folder itself is one while it is read.
                    .and_then(|files| i64::try_from(files.count()).ok()?.checked_sub(1)),
            ),
            (
                "process_max_fds",
                "Files and connections that may be open at once.",
                read("/proc/self/limits").as_deref().and_then(most_files),
            ),
        ] {
            if let Some(value) = value {
                let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
                ConstGauge::new(value).encode(metric)?;
            }
        }
        Ok(())
    }
}

/// Of `/proc/self/stat`, in seconds.
#[derive(Debug, PartialEq)]
struct Times {
    cpu: f64,
    /// Since the machine started.
    start: f64,
}

impl Times {
    fn parse(stat: &str) -> Option<Self> {
        // The name, in parentheses, may hold anything; what follows does not.
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<_> = fields.split_ascii_whitespace().collect();
        // The third field of all is the first one here.
        let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu: (ticks(14)? + ticks(15)?) / TICKS,
            start: ticks(22)? / TICKS,
        })
    }
}

/// When the machine started, in Unix seconds.
fn boot_time(stat: &str) -> Option<f64> {
    stat.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

/// A line of `/proc/self/status`: `VmRSS:     1234 kB`.
fn number(status: &str, name: &str) -> Option<i64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?
        .split_ascii_whitespace()
        .next()?
        .parse()
        .ok()
}

fn kibibytes(status: &str, name: &str) -> Option<i64> {
    number(status, name)?.checked_mul(1024)
}

/// The soft limit of `/proc/self/limits`: `Max open files   1024   524288   files`.
fn most_files(limits: &str) -> Option<i64> {
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?
        .split_ascii_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_also_where_the_name_has_parentheses() {
        let stat =
            "42 (a) b (c)) S 1 42 42 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 9 0 123456 1 2 3";

        assert_eq!(
            Times::parse(stat),
            Some(Times {
                cpu: 3.0,
                start: 1234.56
            })
        );
        assert_eq!(Times::parse("42 (a) S 1"), None);
        assert_eq!(Times::parse(""), None);
    }

    #[test]
    fn memory_is_in_bytes_and_what_is_missing_is_left_out() {
        let status = "Name:\tx\nVmSize:\t    2048 kB\nVmRSS:\t      10 kB\nThreads:\t7\n";

        assert_eq!(kibibytes(status, "VmRSS"), Some(10_240));
        assert_eq!(number(status, "Threads"), Some(7));
        assert_eq!(number(status, "VmSwap"), None);
    }

    #[test]
    fn start_of_the_machine_and_the_limit_of_files_are_read() {
        assert_eq!(
            boot_time("cpu 1 2\nbtime 1700000000\n"),
            Some(1_700_000_000.0)
        );
        assert_eq!(
            most_files(
                "Limit  Soft Limit  Hard Limit  Units\nMax open files   1024   524288   files\n"
            ),
            Some(1024)
        );
        assert_eq!(
            most_files("Max open files   unlimited   unlimited   files"),
            None
        );
    }
}
