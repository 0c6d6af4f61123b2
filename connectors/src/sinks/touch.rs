//! A look at rows before they are used, so that what one waits for from memory, all wait for together.

use std::hash::{Hash, Hasher};

/// Reads all of a row by way of its hash, so that it comes from memory together with other rows, before
/// each is used. Of a text the first byte does.
#[derive(Default)]
pub(super) struct Touch(u64);

impl Touch {
    /// Looks at a row, or at what else lies elsewhere.
    #[inline]
    pub(super) fn look(&mut self, at: &impl Hash) {
        at.hash(self);
    }

    /// What was read counts as used, or it wouldn't be read.
    pub(super) fn end(&self) {
        std::hint::black_box(self.0);
    }
}

macro_rules! touch {
    ($($write:ident($int:ty)),*) => {
        $(#[inline]
        fn $write(&mut self, number: $int) {
            // Its lowest byte says enough.
            self.write(&number.to_ne_bytes());
        })*
    };
}

impl Hasher for Touch {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= bytes.first().map_or(0, |byte| u64::from(*byte));
    }

    touch! {
        write_u8(u8), write_u16(u16), write_u32(u32), write_u64(u64), write_u128(u128),
        write_usize(usize), write_i8(i8), write_i16(i16), write_i32(i32), write_i64(i64),
        write_i128(i128), write_isize(isize)
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
