//! Identities whose numbers ascend as they come, as counted ids do.
//!
//! An id above all that came is new whatever its wallet and asset: nothing has to be looked for. It
//! is kept behind the others in the order of ids, exactly, without a digest or a filter: 12 bytes
//! where ids are counted one by one, else 16. An identity that comes below is looked for by halving.
//!
//! Blocks are sealed when they are full and never change then, so that they may lie outside memory,
//! the oldest first.

use dataflows::cold::{Failure, Piece};
use types::relations::Identity;

use super::run::{Cold, Entry};

/// Entries of a block; equal ids are in one block, so that it may be a few more.
const BLOCK: usize = 256;

/// The same where nothing may stay in memory, so that what is tested small leaves as well.
const BLOCK_BARE: usize = 4;

/// Entries that a block has at least. Fewer, whose ids lie far apart, are handed back.
const BLOCK_MIN: usize = 64;

/// Identities of one id that are kept here, at most; they are looked at one after the other.
const EQUAL_MAX: usize = 8;

/// An identity by its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbered {
    id: u64,
    wallet: u32,
    asset: u32,
}

impl Numbered {
    /// The identity, if its id is a number that may ascend.
    pub(super) fn of(identity: &Identity) -> Option<Self> {
        let id = u64::try_from(identity.id).ok()?;
        // All identities of a relation have a wallet or none has, and so with assets.
        let wallet = identity.wallet.map_or(0, types::Sym::index);
        let asset = identity.asset.map_or(0, |asset| asset.0);
        Some(Self { id, wallet, asset })
    }

    /// The identity again.
    fn identity(self) -> Identity {
        let (wallet, asset) = (types::Sym::from_index(self.wallet), types::AssetId(self.asset));
        Identity { wallet: Some(wallet), asset: Some(asset), id: self.id.into() }
    }
}

/// What is kept of an identity beside its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    wallet: u32,
    asset: u32,
    content: u32,
}

/// Entries in the order of their ids.
#[derive(Debug, Default)]
struct Entries {
    /// The id of the first.
    first: u64,
    kept: Vec<Kept>,
    /// How far each id is above the first; empty where they are counted one by one.
    steps: Vec<u32>,
}

/// A sealed block.
struct Block {
    /// The id of its first entry.
    first: u64,
    place: Place,
}

enum Place {
    Here(Entries),
    Away(Piece),
}

/// See the module.
#[derive(Default)]
pub(super) struct Ascending {
    /// The greatest id that came, here or elsewhere.
    greatest: Option<u64>,
    sealed: Vec<Block>,
    open: Entries,
    /// How many of the sealed blocks are outside memory: the first ones.
    n_away: usize,
    /// The block that was read last, for the next look.
    last_read: Option<(usize, Entries)>,
}

impl Ascending {
    /// Counts an id in; whether it is above all that came.
    #[inline]
    pub(super) fn raise(&mut self, numbered: Numbered) -> bool {
        let is_above = self.greatest.is_none_or(|greatest| numbered.id > greatest);
        if is_above {
            self.greatest = Some(numbered.id);
        }
        is_above
    }

    /// Adds an identity whose id is above all, or the greatest; false if it must be kept elsewhere.
    /// `hand_back` gets those that are kept here no longer.
    #[inline]
    pub(super) fn push(
        &mut self,
        numbered: Numbered,
        content: u32,
        cold: &mut Cold,
        hand_back: impl FnMut(&Identity, u32, &mut Cold) -> Result<(), Box<Failure>>,
    ) -> Result<bool, Box<Failure>> {
        let Numbered { id, wallet, asset } = numbered;
        if Some(id) != self.greatest || self.open.has_many(id) {
            return Ok(false);
        }
        let kept = Kept { wallet, asset, content };
        let is_full = self.open.kept.len() >= if cold.is_bare() { BLOCK_BARE } else { BLOCK };
        if (is_full && self.open.last() != Some(id)) || !self.open.push(id, kept) {
            self.seal(cold, hand_back)?;
            self.open.push(id, kept);
        }
        Ok(true)
    }

    /// The content of an identity that is kept here.
    pub(super) fn find(
        &mut self,
        numbered: Numbered,
        cold: &mut Cold,
    ) -> Result<Option<u32>, Box<Failure>> {
        if !self.open.kept.is_empty() && numbered.id >= self.open.first {
            return Ok(self.open.find(numbered));
        }
        let behind = self.sealed.partition_point(|block| block.first <= numbered.id);
        let Some(index) = behind.checked_sub(1) else { return Ok(None) };
        let Some(block) = self.sealed.get(index) else { return Ok(None) };
        let piece = match &block.place {
            Place::Here(entries) => return Ok(entries.find(numbered)),
            Place::Away(piece) => *piece,
        };
        // What is repeated was mostly in order before.
        let entries = match self.last_read.take() {
            Some((of, entries)) if of == index => entries,
            _ => Entries::read(block.first, piece, cold)?,
        };
        let found = entries.find(numbered);
        self.last_read = Some((index, entries));
        Ok(found)
    }

    /// Sends the oldest block in memory out of it; false if there is none.
    pub(super) fn spill(&mut self, cold: &mut Cold) -> Result<bool, Box<Failure>> {
        let Some(block) = self.sealed.get_mut(self.n_away) else { return Ok(false) };
        if let Place::Here(entries) = &block.place
            && let Some(piece) = cold.put(&entries.written())?
        {
            cold.n_held -= entries.kept.len();
            block.place = Place::Away(piece);
        }
        self.n_away += 1;
        Ok(true)
    }

    /// Bytes that are held.
    pub(super) fn n_bytes(&self) -> usize {
        let of_block = |block: &Block| match &block.place {
            Place::Here(entries) => entries.n_bytes(),
            Place::Away(_) => 0,
        };
        self.sealed.iter().map(of_block).sum::<usize>()
            + self.sealed.capacity() * size_of::<Block>()
            + self.open.n_bytes()
    }

    /// Makes a block of the open entries, or hands them back where they are too few for one.
    #[cold]
    fn seal(
        &mut self,
        cold: &mut Cold,
        mut hand_back: impl FnMut(&Identity, u32, &mut Cold) -> Result<(), Box<Failure>>,
    ) -> Result<(), Box<Failure>> {
        let n = self.open.kept.len();
        if n < BLOCK_MIN && !cold.is_bare() {
            for (id, Kept { wallet, asset, content }) in self.open.ids().zip(&self.open.kept) {
                let numbered = Numbered { id, wallet: *wallet, asset: *asset };
                hand_back(&numbered.identity(), *content, cold)?;
            }
            self.open.clear();
            return Ok(());
        }
        cold.n_held += n;
        let place = Place::Here(self.open.shrunk());
        self.sealed.push(Block { first: self.open.first, place });
        self.open.clear();
        Ok(())
    }
}

impl Entries {
    /// Adds an entry behind the others; false if its id is too far above the first.
    #[inline]
    fn push(&mut self, id: u64, kept: Kept) -> bool {
        if self.kept.is_empty() {
            self.first = id;
        }
        let Ok(step) = u32::try_from(id - self.first) else { return false };
        let n = self.kept.len();
        if !self.steps.is_empty() {
            self.steps.push(step);
        } else if usize::try_from(step) != Ok(n) {
            self.steps.extend((0u32..).take(n));
            self.steps.push(step);
        }
        self.kept.push(kept);
        true
    }

    fn clear(&mut self) {
        self.kept.clear();
        self.steps.clear();
    }

    /// The id of the last entry.
    fn last(&self) -> Option<u64> {
        let last = self.kept.len().checked_sub(1)?;
        self.id(last)
    }

    fn id(&self, index: usize) -> Option<u64> {
        let step = match self.steps.get(index) {
            Some(step) => u64::from(*step),
            None => u64::try_from(index).ok()?,
        };
        self.first.checked_add(step)
    }

    fn ids(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.kept.len()).filter_map(|index| self.id(index))
    }

    /// Whether the last entries are of this id, as many as may be.
    #[inline]
    fn has_many(&self, id: u64) -> bool {
        let Some(index) = self.kept.len().checked_sub(EQUAL_MAX) else { return false };
        self.id(index) == Some(id)
    }

    /// The content of an identity.
    fn find(&self, numbered: Numbered) -> Option<u32> {
        let Numbered { id, wallet, asset } = numbered;
        let step = u32::try_from(id.checked_sub(self.first)?).ok()?;
        if self.steps.is_empty() {
            let kept = self.kept.get(usize::try_from(step).ok()?)?;
            return ((kept.wallet, kept.asset) == (wallet, asset)).then_some(kept.content);
        }
        let start = self.steps.partition_point(|other| *other < step);
        let equal = self.steps.iter().zip(&self.kept).skip(start);
        let mut equal = equal.take_while(|(other, _)| **other == step);
        let found = equal.find(|(_, kept)| (kept.wallet, kept.asset) == (wallet, asset));
        found.map(|(_, kept)| kept.content)
    }

    /// A copy that takes no more room than it needs.
    fn shrunk(&self) -> Self {
        Self { first: self.first, kept: self.kept.clone(), steps: self.steps.clone() }
    }

    /// The entries as they are kept outside memory.
    fn written(&self) -> Vec<Entry> {
        let entry = |(id, kept): (u64, &Kept)| Entry {
            high: u64::from(kept.wallet) << 32 | u64::from(kept.asset),
            // Ids of a block are at most 2^32 above its first.
            low: u32::try_from(id - self.first).unwrap_or_default(),
            content: kept.content,
        };
        self.ids().zip(&self.kept).map(entry).collect()
    }

    /// Reads a block back.
    fn read(first: u64, piece: Piece, cold: &mut Cold) -> Result<Self, Box<Failure>> {
        let mut written = Vec::new();
        cold.get(piece, &mut written)?;
        let mut entries = Self { first, ..Self::default() };
        for Entry { high, low, content } in written {
            let [asset, wallet] = [high & u64::from(u32::MAX), high >> 32]
                .map(|part| u32::try_from(part).unwrap_or_default());
            entries.push(first + u64::from(low), Kept { wallet, asset, content });
        }
        Ok(entries)
    }

    fn n_bytes(&self) -> usize {
        self.kept.capacity() * size_of::<Kept>() + self.steps.capacity() * size_of::<u32>()
    }
}
