//! How many cases run, from which seeds, and what is said of them.

use std::fmt::Debug;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Instant;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{RngAlgorithm, RngSeed, TestRng, TestRunner};

/// Multiplies how many cases of each law run: for long runs on demand.
const SCALE: &str = "TAPELINE_LAW_CASES";

/// Checks a law on random cases, and says how many there were and with which seed they come again. A
/// seed that fails is kept beside the tests, in `proptest-regressions`, and tried first from then on.
pub(super) fn check_cases<S>(law: &'static str, n: u32, strategy: S, case: impl Fn(S::Value))
where
    S: Strategy,
    S::Value: Debug,
{
    let scale = std::env::var(SCALE).ok().and_then(|text| text.parse::<u32>().ok()).unwrap_or(1);
    let mut config = ProptestConfig {
        source_file: Some(file!()),
        test_name: Some(law),
        max_shrink_iters: 2_000,
        ..ProptestConfig::with_cases(n * scale.max(1))
    };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(RandomState::new().build_hasher().finish());
    }
    let (n, seed) = (config.cases, config.rng_seed);
    #[expect(clippy::disallowed_methods, reason = "the log says how long a law took")]
    let start = Instant::now();
    println!("PROPTEST_RNG_SEED={seed}");
    let ran = TestRunner::new(config).run(&strategy, |value| {
        case(value);
        Ok(())
    });
    if let Err(failure) = ran {
        panic!("{law}, PROPTEST_RNG_SEED={seed}: {failure}");
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("law cases: {n} of {law}, {seconds:.1} s, PROPTEST_RNG_SEED={seed}");
}

/// A value of a strategy, the same for the same seed.
pub(super) fn sample<S: Strategy>(strategy: &S, seed: u64) -> S::Value {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    strategy.new_tree(&mut runner).unwrap().current()
}
