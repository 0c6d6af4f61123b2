//! A blocked Bloom filter (Putze, Sanders, Singler 2007): an identity's bits stand in one block of 32
//! bytes, so that asking costs one look into memory.

use super::Print;

/// Bits of a filter for each identity in it, at least: about one in a hundred of those that aren't
/// there is thought to be.
const BITS_OF_EACH: usize = 12;
const BITS_OF_BLOCK: usize = 256;

/// Which identities may have come. Never says no of one that did.
#[derive(Debug)]
pub(super) struct Filter {
    blocks: Vec<[u64; 4]>,
}

impl Filter {
    /// A filter with room for so many identities.
    pub(super) fn for_identities(n: usize) -> Self {
        Self { blocks: vec![[0; 4]; (n * BITS_OF_EACH).div_ceil(BITS_OF_BLOCK).max(1)] }
    }

    /// How many identities it has room for.
    pub(super) fn room(&self) -> usize {
        self.blocks.len() * BITS_OF_BLOCK / BITS_OF_EACH
    }

    /// Adds an identity.
    pub(super) fn mark(&mut self, print: Print) {
        let index = share(print.high, self.blocks.len());
        let Some(block) = self.blocks.get_mut(index) else { return };
        block.iter_mut().zip(bits(print)).for_each(|(word, bit)| *word |= bit);
    }

    /// Whether an identity may be there.
    pub(super) fn may_hold(&self, print: Print) -> bool {
        let block = self.blocks.get(share(print.high, self.blocks.len()));
        block.is_some_and(|block| block.iter().zip(bits(print)).all(|(word, bit)| word & bit != 0))
    }

    /// Bytes that it holds.
    pub(super) fn n_bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<[u64; 4]>()
    }
}

/// The bits of an identity: one in each word of its block.
fn bits(print: Print) -> [u64; 4] {
    [0, 6, 12, 18].map(|shift| 1 << (print.low >> shift & 63))
}

/// Where an identity stands among `n` equal shares of its shard, in the order of identities: who
/// adds them in order writes from the front to the back.
pub(super) fn share(high: u64, n: usize) -> usize {
    let within = high << super::shard::N_SHARDS.ilog2();
    let (_, share) = within.carrying_mul(u64::try_from(n).unwrap_or(u64::MAX), 0);
    usize::try_from(share).unwrap_or_default()
}
