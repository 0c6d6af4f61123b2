//! Edges between views: typed first, so that a fill travels as a struct and not as a boxed row.

use differential_dataflow::VecCollection;
use timely::dataflow::StreamVec;
use types::relations::{PositionStep, RelationKind};
use types::{Event, for_relations, relations};

/// Rows of one type with +1 or -1 at epochs.
pub type Coll<'s, R> = VecCollection<'s, u64, R, isize>;

/// Declares the enum over all relations.
macro_rules! edges {
    ($($variant:ident($row:ty),)*) => {
        /// The output of a view.
        #[derive(Clone)]
        pub enum Edge<'s> {
            $(#[doc = concat!("Rows of [`", stringify!($row), "`].")] $variant(Coll<'s, $row>),)*
            /// Positions as of the steps of a grid; read by operators alone.
            Steps(Coll<'s, PositionStep>),
            /// Fills before it is settled which of them stand; read by operators alone.
            FillEvents(StreamVec<'s, u64, Event<relations::Fill>>),
            /// Trades, likewise.
            TradeEvents(StreamVec<'s, u64, Event<relations::Trade>>),
        }

        impl Edge<'_> {
            /// The kind of the rows; `None` for what operators alone read.
            pub const fn kind(&self) -> Option<RelationKind> {
                match self {
                    $(Self::$variant(_) => Some(RelationKind::$variant),)*
                    Self::Steps(_) | Self::FillEvents(_) | Self::TradeEvents(_) => None,
                }
            }
        }
    };
}
for_relations!(edges);

/// Says how a typed collection becomes an edge and how an operator takes it out again.
macro_rules! typed {
    ($($variant:ident($row:ty),)*) => {
        $(impl<'s> From<Coll<'s, $row>> for Edge<'s> {
            fn from(rows: Coll<'s, $row>) -> Self {
                Self::$variant(rows)
            }
        })*
    };
}
for_relations!(typed);

/// Runs an expression with the typed collection of an edge; panics for what is no relation.
#[macro_export]
macro_rules! with_edge {
    ($edge:expr, $rows:ident => $body:expr) => {
        match $edge {
            $crate::Edge::Fills($rows) => $body,
            $crate::Edge::Trades($rows) => $body,
            $crate::Edge::Quotes($rows) => $body,
            $crate::Edge::Settlements($rows) => $body,
            $crate::Edge::Positions($rows) => $body,
            $crate::Edge::Errors($rows) => $body,
            $crate::Edge::Breaks($rows) => $body,
            $crate::Edge::Bars($rows) => $body,
            $crate::Edge::Pnl($rows) => $body,
            $crate::Edge::PositionPnl($rows) => $body,
            $crate::Edge::PnlNow($rows) => $body,
            $crate::Edge::Marks($rows) => $body,
            $crate::Edge::Alerts($rows) => $body,
            $crate::Edge::Rows($rows) => $body,
            $crate::Edge::Steps(_) | $crate::Edge::FillEvents(_) | $crate::Edge::TradeEvents(_) => {
                unreachable!("the plan reads relations and views only")
            }
        }
    };
}

impl<'s> Edge<'s> {
    /// The fills of an edge.
    ///
    /// # Panics
    /// If the plan let another kind through.
    pub fn fills(&self) -> Coll<'s, relations::Fill> {
        match self {
            Self::Fills(rows) => rows.clone(),
            other => panic!("fills were planned, {:?} came", other.kind()),
        }
    }

    /// The trades of an edge.
    ///
    /// # Panics
    /// If the plan let another kind through.
    pub fn trades(&self) -> Coll<'s, relations::Trade> {
        match self {
            Self::Trades(rows) => rows.clone(),
            other => panic!("trades were planned, {:?} came", other.kind()),
        }
    }

    /// The quotes of an edge.
    ///
    /// # Panics
    /// If the plan let another kind through.
    pub fn quotes(&self) -> Coll<'s, relations::Quote> {
        match self {
            Self::Quotes(rows) => rows.clone(),
            other => panic!("quotes were planned, {:?} came", other.kind()),
        }
    }

    /// The bars of an edge.
    ///
    /// # Panics
    /// If the plan let another kind through.
    pub fn bars(&self) -> Coll<'s, relations::Bar> {
        match self {
            Self::Bars(rows) => rows.clone(),
            other => panic!("bars were planned, {:?} came", other.kind()),
        }
    }

    /// The settlements of an edge.
    ///
    /// # Panics
    /// If the plan let another kind through.
    pub fn settlements(&self) -> Coll<'s, relations::Settlement> {
        match self {
            Self::Settlements(rows) => rows.clone(),
            other => panic!("settlements were planned, {:?} came", other.kind()),
        }
    }

    /// The positions as of steps of an edge.
    ///
    /// # Panics
    /// If the plan let another kind through.
    pub fn steps(&self) -> Coll<'s, PositionStep> {
        match self {
            Self::Steps(rows) => rows.clone(),
            other => panic!("steps were planned, {:?} came", other.kind()),
        }
    }
}
