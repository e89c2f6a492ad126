//! Latencies in buckets of less than one percent width, from 1 ns to hours, at a few nanoseconds a record.

use std::time::Duration;

use crate::report::{Report, Value};

/// Buckets in each power of two: the width of one is at most 1/128 of its value.
const STEPS: u64 = 128;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Values of 2^44 ns (almost five hours) and more share the last bucket.
const LARGEST: u64 = (1 << 44) - 1;

pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; bucket(LARGEST) + 1], total: 0, max: 0 }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        let value = u64::try_from(latency.as_nanos()).unwrap_or(LARGEST).min(LARGEST);
        self.counts[bucket(value)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    /// The latency that this share of all records does not exceed, in nanoseconds; 0 without records.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_edge(index).min(self.max);
            }
        }
        self.max
    }

    /// Adds the usual percentiles in microseconds.
    pub(crate) fn report(&self, report: &mut Report) {
        let micros = |nanos: u64| Value::Decimal(nanos as f64 / 1e3, 1);
        report.add("p50_us", micros(self.quantile(0.5)));
        report.add("p99_us", micros(self.quantile(0.99)));
        report.add("p999_us", micros(self.quantile(0.999)));
        report.add("max_us", micros(self.max));
    }
}

/// Below `STEPS` each value has its bucket; above, each power of two has `STEPS` of them.
fn bucket(value: u64) -> usize {
    let power = (u64::BITS - value.leading_zeros()).saturating_sub(STEP_BITS + 1);
    (u64::from(power) * STEPS + (value >> power)) as usize
}

/// The largest value of a bucket.
fn upper_edge(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let power = (bucket / STEPS).saturating_sub(1);
    ((bucket - power * STEPS + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket() {
        for value in
            (0..5_000).chain((12..44).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 12_345]))
        {
            let index = bucket(value);
            assert!(value <= upper_edge(index), "{value}");
            assert!(index == 0 || value > upper_edge(index - 1), "{value}");
            assert!(upper_edge(index) - value <= value / 100, "{value}: too wide");
        }
    }

    #[test]
    fn quantiles_of_a_known_distribution() {
        let mut histogram = Histogram::new();
        for micros in 1..=1_000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (share, micros) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1_000.0)] {
            let measured = histogram.quantile(share) as f64 / 1e3;
            assert!((measured / micros - 1.0).abs() < 0.01, "{share}: {measured}");
        }
    }

    #[test]
    fn an_empty_one_answers_zero() {
        assert_eq!(Histogram::new().quantile(0.99), 0);
    }

    #[test]
    fn the_longest_latency_fits() {
        let mut histogram = Histogram::new();
        histogram.record(Duration::MAX);
        assert_eq!(histogram.quantile(0.5), LARGEST);
    }

    #[test]
    fn a_single_record_is_every_quantile() {
        let mut histogram = Histogram::new();
        histogram.record(Duration::from_nanos(23_456));
        assert_eq!(histogram.quantile(0.001), 23_456);
        assert_eq!(histogram.quantile(0.999), 23_456);
    }
}
