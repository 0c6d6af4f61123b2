//! The rows of a key by place: a list while they are few, then a map.

use std::collections::BTreeMap;

use super::{Place, Ties};

/// Rows by place. Of most keys there are few, and a map takes room for eleven.
pub(super) enum Places<R> {
    /// In order; at most [`FEW`].
    Few(Vec<(Place, Ties<R>)>),
    Many(BTreeMap<Place, Ties<R>>),
}

/// Places up to which they stand in a list.
const FEW: usize = if cfg!(test) { 2 } else { 6 };

impl<R> Places<R> {
    /// The rows of a place, if there are any.
    pub(super) fn get_mut(&mut self, place: &Place) -> Option<&mut Ties<R>> {
        match self {
            Self::Few(few) => {
                let at = few.binary_search_by(|(other, _)| other.cmp(place)).ok()?;
                few.get_mut(at).map(|(_, ties)| ties)
            }
            Self::Many(many) => many.get_mut(place),
        }
    }

    /// Puts rows where there are none.
    pub(super) fn insert(&mut self, place: Place, ties: Ties<R>) {
        match self {
            Self::Few(few) if few.len() < FEW => {
                let at = few.partition_point(|(other, _)| *other < place);
                few.reserve_exact(1);
                few.insert(at, (place, ties));
            }
            Self::Few(few) => {
                let mut many: BTreeMap<_, _> = few.drain(..).collect();
                many.insert(place, ties);
                *self = Self::Many(many);
            }
            Self::Many(many) => {
                many.insert(place, ties);
            }
        }
    }

    pub(super) fn remove(&mut self, place: &Place) {
        match self {
            Self::Few(few) => few.retain(|(other, _)| other != place),
            Self::Many(many) => {
                many.remove(place);
            }
        }
    }

    pub(super) fn last(&self) -> Option<&Ties<R>> {
        match self {
            Self::Few(few) => few.last().map(|(_, ties)| ties),
            Self::Many(many) => many.last_key_value().map(|(_, ties)| ties),
        }
    }

    /// Forgets all but the last place.
    pub(super) fn keep_last(&mut self) {
        let last = match self {
            Self::Few(few) => few.pop(),
            Self::Many(many) => many.pop_last(),
        };
        *self = Self::Few(last.into_iter().collect());
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => many.is_empty(),
        }
    }

    /// Those before a place.
    pub(super) fn before(
        &self,
        place: &Place,
    ) -> impl DoubleEndedIterator<Item = (&Place, &Ties<R>)> {
        let (few, many) = match self {
            Self::Few(few) => {
                let at = few.partition_point(|(other, _)| other < place);
                (few.get(..at), None)
            }
            Self::Many(many) => (None, Some(many.range(..place))),
        };
        let few = few.into_iter().flatten().map(|(place, ties)| (place, ties));
        few.chain(many.into_iter().flatten())
    }

    /// Those from a place on.
    pub(super) fn from(&self, place: &Place) -> impl Iterator<Item = (&Place, &Ties<R>)> {
        let (few, many) = match self {
            Self::Few(few) => {
                let at = few.partition_point(|(other, _)| other < place);
                (few.get(at..), None)
            }
            Self::Many(many) => (None, Some(many.range(place..))),
        };
        let few = few.into_iter().flatten().map(|(place, ties)| (place, ties));
        few.chain(many.into_iter().flatten())
    }
}
