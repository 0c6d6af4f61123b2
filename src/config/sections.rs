//! The options of the config's own sections, as tables: the check, the messages and `list` are made
//! from them.

use types::options::OptionKind::{
    Bytes, Choice, Columns, Count, Duration, DurationOrZero, Path, Text, Texts, Views,
};
use types::options::{Need, OptionSpec, option};

/// `[pipeline]`, beside `epoch`.
pub const PIPELINE: &[OptionSpec] = &[
    option("name", Text, Need::Required, "what the pipeline is called, in folders and tables"),
    option("data_dir", Path, Need::Optional, "where state is kept; `.tapeline/<name>` by default"),
    option(
        "history_memory",
        Bytes,
        Need::Optional,
        "bytes of old events and identities in memory, the rest goes to `data_dir`; all by default",
    ),
    option(
        "journal",
        Choice(&["positions", "events"]),
        Need::Default("positions"),
        "what the log keeps of rows: where they are read again, or what they said",
    ),
    option(
        "sync",
        Choice(&["data", "none"]),
        Need::Default("data"),
        "when the log counts as kept: on the disk, or given to the system (lost if the power is)",
    ),
    option(
        "checkpoint_every",
        Bytes,
        Need::Default("32MiB"),
        "bytes of the log between checkpoints, where it keeps events",
    ),
    option(
        "retain",
        Choice(&["all", "checkpoints"]),
        Need::Default("all"),
        "how much of the log is kept: all, or what three checkpoints need; the latter with \
         `journal = \"events\"`",
    ),
    option(
        "quarantine_bytes",
        Bytes,
        Need::Default("1GiB"),
        "bytes of rows that can't be used, which are kept with their reasons",
    ),
    option(
        "quarantine_full",
        Choice(&["stop", "count"]),
        Need::Default("stop"),
        "what a row does that the quarantine has no room for: end the run, or be counted alone",
    ),
    option("workers", Count(1, 64), Need::Default("1"), "how many timely workers compute"),
];

/// The least that `history_memory` may be: below, what can't leave memory is more.
pub const HISTORY_MEMORY_MIN: u64 = 1 << 20;

/// `epoch = { .. }` of the pipeline.
pub const EPOCH: &[OptionSpec] = &[
    option("max_events", Count(1, 10_000_000), Need::Default("10000"), "rows of an epoch at most"),
    option("max_age", Duration, Need::Default("100ms"), "how long a live epoch is open at most"),
];

/// `[server]`.
pub const SERVER: &[OptionSpec] = &[
    option("listen", Text, Need::Default("127.0.0.1:8080"), "loopback address and port"),
    option("retain", Duration, Need::Default("24h"), "event time held of views indexed by time"),
    option("origins", Texts, Need::Optional, "origins of browsers that may connect"),
];

/// `[sources.NAME]`, beside `columns` and the options of its type.
pub const SOURCE: &[OptionSpec] = &[
    option("type", Text, Need::Required, "which kind of source it is"),
    option("path", Path, Need::Required, "file or glob pattern; `.gz` is unpacked"),
    option("relation", Text, Need::Required, "the relation that its rows enter"),
    option("lateness", DurationOrZero, Need::Default("0s"), "how late its rows may come"),
    option(
        "order",
        Choice(&["arrival", "newest_first", "unsorted"]),
        Need::Default("arrival"),
        "how rows stand in its files",
    ),
    option(
        "on_bad_row",
        Choice(&["quarantine", "stop"]),
        Need::Default("quarantine"),
        "what becomes of a row that can't be used",
    ),
    option("identity", Columns, Need::Optional, "source columns that together stand for `id`"),
    option("quote_asset", Text, Need::Optional, "the asset in which fees are summed"),
];

/// `[views.NAME]`, beside the options of its operator.
pub const VIEW: &[OptionSpec] =
    &[option("op", Text, Need::Required, "the operator that makes the view")];

/// `[sinks.NAME]`, beside the options of its type.
pub const SINK: &[OptionSpec] = &[
    option("type", Text, Need::Required, "which kind of sink it is"),
    option("views", Views, Need::Optional, "what it writes; all keyed views by default"),
];
