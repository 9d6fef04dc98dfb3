//! What is asked of the others when somebody reads.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use super::outcomes::Label;
use crate::{limits::Limits, password::Hasher, store::Db};

/// Those who know.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) hasher: Hasher,
    pub(super) limits: std::sync::Arc<Limits>,
    pub(super) db: Db,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let version: Label = [("version", env!("CARGO_PKG_VERSION"))];
        let mut build = encoder.encode_descriptor(
            "build_info",
            "What runs here; always 1.",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(1).encode(build.encode_family(&version)?)?;

        let load = self.hasher.load();
        for (name, help, value) in [
            (
                "password_hashing_threads",
                "Passwords that can be hashed at once.",
                load.threads,
            ),
            (
                "password_hashing_queue_size",
                "Passwords that can wait to be hashed; with more the answer is 503.",
                load.queue,
            ),
            (
                "password_hashing_running",
                "Passwords that are hashed now.",
                load.running,
            ),
            (
                "password_hashing_waiting",
                "Passwords that wait to be hashed now.",
                load.waiting,
            ),
        ] {
            gauge(&mut encoder, name, help, value)?;
        }
        let refused = encoder.encode_descriptor(
            "password_hashing_refused",
            "Passwords that were not hashed since too many waited.",
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(load.refused).encode(refused)?;

        let mut limits = encoder.encode_descriptor(
            "limits_refused",
            "Attempts that a limit refused, by the limit.",
            None,
            MetricType::Counter,
        )?;
        for (limit, refused) in self.limits.refused() {
            let label: Label = [("limit", limit)];
            ConstCounter::new(refused).encode(limits.encode_family(&label)?)?;
        }

        let pools = self.db.connections();
        let mut connections = encoder.encode_descriptor(
            "database_connections",
            "Connections to the database that are open now.",
            None,
            MetricType::Gauge,
        )?;
        for pool in &pools {
            for (state, number) in [("idle", pool.idle), ("busy", pool.busy)] {
                let labels = [("pool", pool.name), ("state", state)];
                ConstGauge::new(i64::from(number)).encode(connections.encode_family(&labels)?)?;
            }
        }
        let mut most = encoder.encode_descriptor(
            "database_connections_max",
            "Connections to the database that may be open at once.",
            None,
            MetricType::Gauge,
        )?;
        for pool in &pools {
            let label: Label = [("pool", pool.name)];
            ConstGauge::new(i64::from(pool.max)).encode(most.encode_family(&label)?)?;
        }
        Ok(())
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: usize) -> fmt::Result {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value).encode(metric)
}
