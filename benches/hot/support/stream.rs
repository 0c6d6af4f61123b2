//! The events: fills of 100,000 wallets in 2,000 assets, both of them Zipf, at 5,000,000 in 24 hours
//! of event time. One in a hundred comes late, by up to a minute; one in a thousand is cancelled,
//! half of those within seconds, half at any time after. The same seed gives the same events.

/// Wallets, the busiest first: Zipf with exponent 1.1.
pub(crate) const N_WALLETS: u32 = 100_000;
/// Assets, the busiest first: Zipf with exponent 1.0.
pub(crate) const N_ASSETS: u32 = 2_000;
/// When the first fill happens: 2026-01-05T00:00:00Z, in nanoseconds since 1970.
pub(crate) const START: i64 = 1_767_571_200_000_000_000;
/// Nanoseconds from one fill to the next, on the average.
pub(crate) const STEP: i64 = 17_280_000;
/// The most by which a late fill is late, in nanoseconds.
pub(crate) const LATENESS: i64 = 60_000_000_000;
/// The most by which a cancellation follows its fill, for those that follow soon, in nanoseconds.
const SOON: i64 = 10_000_000_000;

/// A fill, or the cancellation of one: the same row again. Amounts are in units of 1e-9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    /// Event time, in nanoseconds since 1970.
    pub(crate) time: i64,
    pub(crate) price: i64,
    pub(crate) size: i64,
    pub(crate) fee: i64,
    /// Counted in the order of event time; unique, so it breaks ties.
    pub(crate) id: u32,
    pub(crate) wallet: u32,
    pub(crate) asset: u32,
    pub(crate) is_buy: bool,
    pub(crate) is_bust: bool,
}

/// The events of a seed in the order of their arrival; `n` counts fills, cancellations are added.
/// A longer step than [`STEP`] spreads few fills over more time.
pub(crate) fn arrivals(n: u32, seed: u64, step: i64) -> Vec<Fill> {
    let mut dice = Dice(seed);
    let (wallets, assets) = (zipf(N_WALLETS, 1.1), zipf(N_ASSETS, 1.0));
    let mut prices: Vec<i64> = (0..N_ASSETS).map(|_| 10_000 + dice.below(500_000_000)).collect();
    let end = START + i64::from(n) * step;
    let mut arrivals: Vec<(i64, Fill)> =
        Vec::with_capacity(usize::try_from(n + n / 900).expect("it fits"));
    for id in 0..n {
        let (wallet, asset) = (draw(&wallets, &mut dice), draw(&assets, &mut dice));
        let price = &mut prices[usize::try_from(asset).expect("it fits")];
        // A walk in steps of up to 0.1 %, in units of 1e-6.
        *price = (*price + dice.below(*price / 500 + 3) - *price / 1_000 - 1).max(1_000);
        let size = size(&mut dice);
        let time = START + i64::from(id) * step + dice.below(step);
        let fill = Fill {
            time,
            price: *price * 1_000,
            size: size * 1_000,
            // 0.02 %, in units of 1e-6.
            fee: i64::try_from(i128::from(*price) * i128::from(size) / 5_000_000_000)
                .expect("it fits")
                * 1_000,
            id,
            wallet,
            asset,
            is_buy: dice.below(2) == 0,
            is_bust: false,
        };
        let is_late = dice.below(100) == 0;
        let arrives = if is_late { time + 1 + dice.below(LATENESS) } else { time };
        arrivals.push((arrives, fill));
        match dice.below(2_000) {
            0 => arrivals.push((arrives + 1 + dice.below(SOON), cancelled(fill))),
            1 => arrivals.push((arrives + 1 + dice.below((end - arrives).max(1)), cancelled(fill))),
            _ => {}
        }
    }
    arrivals.sort_by_key(|(arrives, fill)| (*arrives, fill.is_bust, fill.id));
    arrivals.into_iter().map(|(_, fill)| fill).collect()
}

fn cancelled(fill: Fill) -> Fill {
    Fill { is_bust: true, ..fill }
}

/// What is left of the events once all have come, in the order of event time.
pub(crate) fn truth(arrivals: &[Fill]) -> Vec<Fill> {
    let mut cancelled: Vec<u32> =
        arrivals.iter().filter(|fill| fill.is_bust).map(|fill| fill.id).collect();
    cancelled.sort_unstable();
    let stands = |fill: &&Fill| !fill.is_bust && cancelled.binary_search(&fill.id).is_err();
    let mut left: Vec<Fill> = arrivals.iter().filter(stands).copied().collect();
    left.sort_unstable_by_key(|fill| (fill.time, fill.id));
    left
}

/// Sizes from 0.001 to about 1,000 with most of them small, in units of 1e-6.
fn size(dice: &mut Dice) -> i64 {
    let digits = u32::try_from(dice.below(6)).expect("it fits");
    1_000 + dice.below(1_000 * 10_i64.pow(digits))
}

/// The sums of the shares of ranks 1, 2, ..: what a draw is looked up in.
fn zipf(n: u32, exponent: f64) -> Vec<f64> {
    let mut sum = 0.0;
    let mut sums: Vec<f64> = Vec::new();
    for rank in 1..=n {
        sum += f64::from(rank).powf(-exponent);
        sums.push(sum);
    }
    sums
}

fn draw(sums: &[f64], dice: &mut Dice) -> u32 {
    let at = dice.unit() * sums.last().expect("it fits");
    let rank = sums.partition_point(|sum| *sum <= at);
    u32::try_from(rank.min(sums.len() - 1)).expect("it fits")
}

/// Chance from a seed: `SplitMix64` (Steele et al. 2014).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        b ^ (b >> 31)
    }

    /// A number from 0 up to, but not including, one above zero.
    pub(crate) fn below(&mut self, n: i64) -> i64 {
        let wide = u128::from(self.next()) * u128::from(u64::try_from(n).expect("it fits"));
        i64::try_from(wide >> 64).expect("it fits")
    }

    fn unit(&mut self) -> f64 {
        let [high, low] = [self.next() >> 32, self.next() >> 32]
            .map(|half| f64::from(u32::try_from(half).expect("it fits")));
        (high + low / 4_294_967_296.0) / 4_294_967_296.0
    }
}
