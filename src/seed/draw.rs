//! Randomness that can be looked up: every row of every table has its own stretch of random numbers.
//!
//! Invariant: what a row draws depends on the seed, the table and the row's index only, never on what was
//! generated before. So a row that refers to another can work that row out anew instead of remembering it,
//! and memory does not grow with the data. Integers only: floats may differ between machines.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::copy::Uuid;

/// The random words set aside for one row, as a power of two. The longest row draws some hundred.
const WORDS_PER_ROW_LOG2: u32 = 16;

/// The source of all draws of one data set.
#[derive(Clone, Debug)]
pub(super) struct Source(ChaCha8Rng);

impl Source {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// The random numbers of row `index` of the table that has the stream number `stream`.
    pub(super) fn row(&self, stream: u64, index: u64) -> Draw {
        let mut random = self.0.clone();
        random.set_stream(stream);
        random.set_word_pos(u128::from(index) << WORDS_PER_ROW_LOG2);
        Draw(random)
    }
}

/// The random numbers of one row, in order.
#[derive(Debug)]
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        // The bias of the multiplication is bound / 2^64, nothing for a generator of sample data.
        let wide = u128::from(self.0.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("a product of two u64, shifted by 64, is a u64")
    }

    /// A number of `low ..= high`.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in `percent` of 100 cases.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`, which is not empty.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[place(self.below(choices.len() as u64))]
    }

    /// One of `choices`, each as often as its weight says. The weights do not add up to 0.
    pub(super) fn weighted<T: Copy>(&mut self, choices: &[(T, u64)]) -> T {
        let mut rest = self.below(choices.iter().map(|choice| choice.1).sum());
        for &(value, weight) in choices {
            if rest < weight {
                return value;
            }
            rest -= weight;
        }
        unreachable!("the rest was below the sum of the weights")
    }

    /// `count` of `choices`, none twice, in their order. `count` is at most their number.
    pub(super) fn several<T: Copy>(&mut self, choices: &[T], count: usize) -> Vec<T> {
        let mut wanted = count as u64;
        let mut taken = Vec::with_capacity(count);
        for (position, &choice) in choices.iter().enumerate() {
            if self.below((choices.len() - position) as u64) < wanted {
                taken.push(choice);
                wanted -= 1;
            }
        }
        taken
    }

    /// A random UUID (version 4).
    pub(super) fn uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        Uuid::random(bytes)
    }
}

/// A number that is below the length of a list, as an index into it.
pub(super) fn place(index: u64) -> usize {
    usize::try_from(index).expect("a list is no longer than memory")
}

/// A skewed choice among `size` things: the thing of rank r is chosen in proportion to 1 / (r + offset).
///
/// The offset takes the edge off the very first ranks; a lead has hundreds of e-mails, not thousands.
#[derive(Debug)]
pub(super) struct Zipf {
    cumulative: Vec<u64>,
}

impl Zipf {
    const OFFSET: u64 = 20;
    const ONE: u64 = 1 << 32;
    /// A prime above any size: ranks times it, modulo the size, are a permutation.
    const SPREAD: u64 = 2_147_483_647;

    /// A choice among `size` things, which is neither 0 nor above 2^31 - 2.
    pub(super) fn new(size: u64) -> Self {
        let mut sum = 0;
        let cumulative = (0..size)
            .map(|rank| {
                sum += Self::ONE / (rank + Self::OFFSET);
                sum
            })
            .collect();
        Self { cumulative }
    }

    /// The index of one thing. Neighbours in rank are strewn over the indexes, always the same way.
    pub(super) fn index(&self, draw: &mut Draw) -> u64 {
        let total = *self.cumulative.last().expect("the size is not 0");
        let point = draw.below(total);
        let rank = self.cumulative.partition_point(|&sum| sum <= point) as u64;
        (rank * Self::SPREAD + 7) % self.cumulative.len() as u64
    }
}

/// Children shared out among parents in groups whose sizes repeat: parent p has `sizes[p % n]` of them.
///
/// Both ways of the relation are plain arithmetic, so neither side has to be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups {
    sizes: &'static [u64],
}

impl Groups {
    pub(super) const fn new(sizes: &'static [u64]) -> Self {
        Self { sizes }
    }

    /// How many children `parent` has.
    pub(super) fn size(self, parent: u64) -> u64 {
        self.sizes[self.turn(parent)]
    }

    /// The index of the first child of `parent`; equally, how many children all parents before it have.
    pub(super) fn first(self, parent: u64) -> u64 {
        let cycles = parent / self.sizes.len() as u64;
        cycles * self.cycle() + self.sizes[..self.turn(parent)].iter().sum::<u64>()
    }

    /// The parent of `child`, and which of its children it is, from 0.
    pub(super) fn parent(self, child: u64) -> (u64, u64) {
        let mut position = child % self.cycle();
        let mut parent = child / self.cycle() * self.sizes.len() as u64;
        for &size in self.sizes {
            if position < size {
                break;
            }
            position -= size;
            parent += 1;
        }
        (parent, position)
    }

    fn cycle(self) -> u64 {
        self.sizes.iter().sum()
    }

    fn turn(self, parent: u64) -> usize {
        place(parent % self.sizes.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_draws_the_same_whatever_came_before() {
        let source = Source::new(1);
        let mut first = source.row(3, 5);
        source.row(3, 4).below(9);
        let mut second = source.row(3, 5);
        assert_eq!(first.uuid(), second.uuid());
        assert_ne!(source.row(3, 5).uuid(), source.row(3, 6).uuid());
        assert_ne!(source.row(3, 5).uuid(), source.row(4, 5).uuid());
        assert_ne!(source.row(3, 5).uuid(), Source::new(2).row(3, 5).uuid());
    }

    #[test]
    fn draws_stay_in_their_bounds() {
        let mut draw = Source::new(7).row(0, 0);
        for _ in 0..1000 {
            assert!(draw.below(3) < 3);
            assert!((5..=6).contains(&draw.between(5, 6)));
            assert_eq!(draw.weighted(&[("never", 0), ("always", 2)]), "always");
            let several = draw.several(&[1, 2, 3, 4], 2);
            assert!(several.len() == 2 && several[0] < several[1]);
        }
    }

    #[test]
    fn every_index_can_be_drawn_and_a_few_are_drawn_often() {
        let (zipf, mut draw) = (Zipf::new(100), Source::new(7).row(0, 0));
        let mut counts = [0_u32; 100];
        for _ in 0..100_000 {
            counts[usize::try_from(zipf.index(&mut draw)).unwrap()] += 1;
        }
        counts.sort_unstable();
        assert!(counts[0] > 0);
        assert!(
            counts[90..].iter().sum::<u32>() > 20_000,
            "the first tenth has more than a fifth"
        );
    }

    #[test]
    fn groups_agree_in_both_directions() {
        let groups = Groups::new(&[1, 3, 2]);
        let mut child = 0;
        for parent in 0..20 {
            assert_eq!(groups.first(parent), child);
            for position in 0..groups.size(parent) {
                assert_eq!(groups.parent(child), (parent, position));
                child += 1;
            }
        }
    }
}
