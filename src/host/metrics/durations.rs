//! How long something took, as a histogram: how many took at most so long, and what they come to together.

use std::time::Duration;

/// Upper bounds of the buckets in milliseconds; what took longer than the last is in none.
pub const BOUNDS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000];

/// Durations of one kind.
#[derive(Debug, Clone, Default)]
pub struct Durations {
    /// How many took at most the bound of this place, and longer than the one before.
    buckets: [u64; BOUNDS.len()],
    /// How many there were.
    pub count: u64,
    /// Together, in seconds.
    pub sum: f64,
    /// The sum of their squares.
    squares: f64,
    /// The shortest and the longest, in seconds.
    pub range: (f64, f64),
}

impl Durations {
    /// One more.
    pub fn add(&mut self, took: Duration) {
        if let Some(index) = BOUNDS.iter().position(|bound| took <= Duration::from_millis(*bound)) {
            self.buckets[index] += 1;
        }
        let secs = took.as_secs_f64();
        self.range = match self.count {
            0 => (secs, secs),
            _ => (self.range.0.min(secs), self.range.1.max(secs)),
        };
        self.count += 1;
        self.sum += secs;
        self.squares += secs * secs;
    }
    /// Each bound in seconds, and how many took at most so long.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut total = 0;
        BOUNDS.iter().zip(self.buckets).map(move |(bound, count)| {
            total += count;
            (Duration::from_millis(*bound).as_secs_f64(), total)
        })
    }
    /// Mean and standard deviation in seconds; zero of nothing.
    pub fn spread(&self) -> (f64, f64) {
        if self.count == 0 {
            return (0.0, 0.0);
        }
        let mean = self.sum / self.count as f64;
        (mean, (self.squares / self.count as f64 - mean * mean).max(0.0).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_every_bucket_that_is_long_enough() {
        let mut durations = Durations::default();
        assert_eq!(durations.spread(), (0.0, 0.0));
        for millis in [1, 2, 40, 60_000] {
            durations.add(Duration::from_millis(millis));
        }
        let cumulative: Vec<u64> = durations.cumulative().map(|(_, count)| count).collect();
        assert_eq!(cumulative, [1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3]);
        assert_eq!((durations.count, durations.range), (4, (0.001, 60.0)));
        assert!((durations.sum - 60.043).abs() < 1e-9);
        let (mean, deviation) = durations.spread();
        assert!((mean - 15.010_75).abs() < 1e-9 && (deviation - 25.974_88).abs() < 1e-3, "{mean} {deviation}");
    }
}
