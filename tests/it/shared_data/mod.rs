//! Real data that isn't ours to ship: read where it lies beside the workspace (or in
//! `TAPELINE_SHARED`). Elsewhere these tests say that they were left out; in CI that is a failure.

mod hyperliquid;
mod nobel;
mod polymarket;

use std::path::PathBuf;

/// A folder of the data, or `None` where the tests over it are left out.
fn data(name: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("TAPELINE_SHARED").map_or_else(beside, PathBuf::from);
    let data = shared.join("data").join(name);
    if data.is_dir() {
        return Some(data);
    }
    let is_ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!is_ci, "{} isn't there", data.display());
    println!("left out: {} isn't there", data.display());
    None
}
