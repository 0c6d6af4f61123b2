//! The pinned digests: XXH3, whose values are fixed by its specification and hold on every
//! machine and in every release of Tapeline.

use twox_hash::{XxHash3_64, XxHash3_128};

/// Returns 128 bits of the bytes' digest (XXH3-128, seed 0).
pub fn digest128(bytes: &[u8]) -> u128 {
    XxHash3_128::oneshot(bytes)
}

/// Returns 64 bits of the bytes' digest (XXH3-64, seed 0).
pub fn digest64(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_pinned() {
        // Test vectors of the XXH3 specification for empty input.
        assert_eq!(digest64(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(digest128(b""), 0x99aa_06d3_0147_98d8_6001_c324_468d_497f);
    }
}
