//! Which worker a key belongs to. One hash for the ingest thread that cuts a batch into shares and
//! for the exchanges of operators, so that what was cut well needn't move again.

use types::{AssetId, Sym};

/// The route of a wallet's position in an asset.
pub fn route(wallet: Sym, asset: AssetId) -> u64 {
    mix((u64::from(wallet.index()) << 32) | u64::from(asset.0))
}

/// The route of an asset.
pub fn route_asset(asset: AssetId) -> u64 {
    mix(u64::from(asset.0))
}

/// The route of a wallet.
pub fn route_wallet(wallet: Sym) -> u64 {
    mix(u64::from(wallet.index()))
}

/// Mixes the bits of a number (the finaliser of `SplitMix64`, Steele et al. 2014).
pub fn mix(number: u64) -> u64 {
    let a = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ (b >> 31)
}
