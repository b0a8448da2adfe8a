//! Zipf's law: a few keys get most of the traffic, and most keys get a little.

use rand::Rng;

/// Ranks `0..n`, where rank `k` is drawn in proportion to `1 / (k + 1)`.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    /// The sum of the weights up to and including each rank.
    cumulative: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(n: usize) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=n)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        Self { cumulative }
    }

    /// A rank; 0 when there is nothing to choose from.
    pub(crate) fn draw(&self, random: &mut impl Rng) -> usize {
        let Some(total) = self.cumulative.last() else {
            return 0;
        };
        let point = random.random_range(0.0..*total);
        self.cumulative.partition_point(|sum| *sum <= point)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn low_ranks_are_drawn_most_and_every_rank_is_in_range() {
        let zipf = Zipf::new(100);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut counts = [0_u32; 100];
        for _ in 0..100_000 {
            counts[zipf.draw(&mut random)] += 1;
        }
        // The 100th harmonic number is 5.187, so rank 0 gets 19.3 % and rank 99 gets 0.19 %.
        assert!((18_500..20_000).contains(&counts[0]), "{}", counts[0]);
        assert!((120..270).contains(&counts[99]), "{}", counts[99]);
    }

    #[test]
    fn nothing_and_one_are_fine() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(Zipf::new(0).draw(&mut random), 0);
        assert_eq!(Zipf::new(1).draw(&mut random), 0);
    }
}
