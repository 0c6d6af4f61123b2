//! The words that all packages of Tapeline share. No I/O.
//!
//! | type | unit | range |
//! |---|---|---|
//! | [`Price`] | 1e-9 of the quote currency a unit, 64 bits | below 1e9 in size |
//! | [`Size`] | 1e-9 units, 128 bits | at most 38 digits |
//! | [`Money`] | 1e-18 of the quote currency, 128 bits; leaves at 1e-9 | about 1.7e20 |
//! | [`Decimal`] | exact, any scale up to 36; what expressions compute with | 38 digits |
//! | [`VenueTime`], [`ReceiveTime`] | nanoseconds since 1970, UTC | 64 bits |
//! | [`Epoch`] | a number that the ingest log gives | 64 bits |
//!
//! No float touches money: this package denies float arithmetic, but for the float next to a decimal, which
//! scores are made of.
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]

pub mod cell;
pub mod changes;
pub mod digest;
mod draft;
pub mod event;
pub mod expr;
pub mod fault;
pub mod fixed;
pub mod id;
pub mod json;
pub mod names;
pub mod number;
pub mod options;
mod probe;
pub mod rate;
pub mod relations;
pub mod row;
pub mod sabotage;
pub mod schema;
pub mod short;
pub mod spell;
pub mod time;
pub mod value;

pub use cell::Cell;
pub use changes::Changes;
pub use event::{Event, Op, Reject};
pub use fixed::{Money, Price, Size};
pub use id::{AssetId, Epoch, EventId, Sym};
pub use names::{Interner, Names};
pub use number::{Decimal, NumberError, Rounding};
pub use rate::Rate;
pub use row::Row;
pub use schema::{Column, Kind, Schema};
pub use short::ShortText;
pub use time::{ReceiveTime, Span, VenueTime};
pub use value::{Text, Value};
