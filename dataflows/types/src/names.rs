//! The dictionary: texts to numbers at ingest, numbers to texts at the edges.

use std::sync::{Arc, RwLock};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::id::{AssetId, EventId, Sym};
use crate::probe::{Probe, Probes};
use crate::value::Text;

/// The texts of all interned names. Only grows; read by every thread without a lock.
#[derive(Debug, Default)]
pub struct Names {
    texts: boxcar::Vec<Text>,
    assets: boxcar::Vec<(Sym, Sym)>,
    /// Texts of digested event ids. Filled only where a view shows them, so the fold's runs don't
    /// pay for it.
    id_texts: RwLock<FxHashMap<EventId, Text>>,
    /// The ids of those, in the order in which they came.
    ids: boxcar::Vec<EventId>,
}

/// How large a dictionary was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    texts: usize,
    assets: usize,
    ids: usize,
}

/// What came into a dictionary, in the order in which it came: whoever enters it into an equal
/// dictionary gets the same numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewNames {
    /// Texts of names.
    pub texts: Vec<String>,
    /// Venues and names of assets.
    pub assets: Vec<(Sym, Sym)>,
    /// Texts of ids, as far as they are kept.
    pub ids: Vec<String>,
}

impl Names {
    /// The text of a name.
    ///
    /// # Panics
    /// If the name isn't of this dictionary.
    pub fn text(&self, sym: Sym) -> &Text {
        &self.texts[usize::try_from(sym.index()).unwrap_or(usize::MAX)]
    }

    /// The texts of all names from the one of this number on, in the order in which they came.
    pub fn since(&self, number: usize) -> impl Iterator<Item = &Text> {
        (number..).map_while(|number| self.texts.get(number))
    }

    /// How large it is.
    pub fn extent(&self) -> Extent {
        let (texts, assets) = (self.texts.count(), self.assets.count());
        Extent { texts, assets, ids: self.ids.count() }
    }

    /// What came since it was smaller.
    pub fn new_since(&self, extent: Extent) -> NewNames {
        let texts = self.since(extent.texts).map(|text| text.as_str().to_owned());
        let ids = (extent.ids..).map_while(|number| self.ids.get(number));
        NewNames {
            texts: texts.collect(),
            assets: (extent.assets..).map_while(|n| self.assets.get(n).copied()).collect(),
            ids: ids.map(|id| self.id_text(*id).as_str().to_owned()).collect(),
        }
    }

    /// The venue of an asset, as a name.
    ///
    /// # Panics
    /// If the asset isn't of this dictionary.
    pub fn venue(&self, asset: AssetId) -> Sym {
        self.pair(asset).0
    }

    /// The venue's own name of an asset.
    ///
    /// # Panics
    /// If the asset isn't of this dictionary.
    pub fn asset(&self, asset: AssetId) -> Sym {
        self.pair(asset).1
    }

    /// The text of an event id: its digits, the text where it is kept, else 32 hex digits.
    pub fn id_text(&self, id: EventId) -> Text {
        if id.is_digest() {
            let kept = self.id_texts.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(text) = kept.get(&id) {
                return text.clone();
            }
        }
        Text::from(id.to_string())
    }

    fn pair(&self, asset: AssetId) -> (Sym, Sym) {
        self.assets[usize::try_from(asset.0).unwrap_or(usize::MAX)]
    }
}

/// The only writer of a dictionary; it stands where order and epoch are given.
#[derive(Debug, Default)]
pub struct Interner {
    names: Arc<Names>,
    syms: Probes,
    assets: Probes,
    /// The venue of the last asset, since rows that follow one another mostly share theirs.
    venue: Option<(Probe, Sym)>,
    keeps_id_texts: bool,
}

impl Interner {
    /// Starts an empty dictionary; `keeps_id_texts` says whether a view shows the texts of ids.
    pub fn new(keeps_id_texts: bool) -> Self {
        Self { keeps_id_texts, ..Self::default() }
    }

    /// The dictionary for readers.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// Interns a text.
    ///
    /// # Panics
    /// From the 2^32nd name on.
    #[inline]
    pub fn sym(&mut self, text: &str) -> Sym {
        sym(&mut self.syms, &self.names, text)
    }

    /// What some texts are called, `None` where one isn't known yet. Costs less than asking for one after
    /// the other.
    pub fn known<const N: usize>(&self, texts: &[Option<&str>; N]) -> [Option<Sym>; N] {
        let probes = texts.map(|text| text.map(|text| Probe::new(text, 0)));
        let found = self.syms.find_all(&probes, |index, named| {
            let text = self.names.text(Sym::from_index(named)).as_str();
            texts.get(index).copied().flatten() == Some(text)
        });
        found.map(|named| named.map(Sym::from_index))
    }

    /// Interns an asset of a venue.
    ///
    /// # Panics
    /// From the 2^32nd asset on.
    #[inline]
    pub fn asset(&mut self, venue: &str, asset: &str) -> AssetId {
        let venue = self.venue(venue);
        let (names, syms) = (&self.names, &mut self.syms);
        let is_it = |named| {
            let pair = names.pair(AssetId(named));
            pair.0 == venue && names.text(pair.1).as_str() == asset
        };
        AssetId(self.assets.find_or_insert(Probe::new(asset, venue.index()), is_it, || {
            let index = names.assets.push((venue, sym(syms, names, asset)));
            u32::try_from(index).expect("fewer than 2^32 assets")
        }))
    }

    #[inline]
    fn venue(&mut self, text: &str) -> Sym {
        let probe = Probe::new(text, 0);
        if let Some((_, venue)) = self.venue.filter(|(last, _)| probe.is_whole() && *last == probe)
        {
            return venue;
        }
        let venue = self.sym(text);
        self.venue = Some((probe, venue));
        venue
    }

    /// Makes an event id; keeps its text where a view shows it.
    #[inline]
    pub fn event_id(&mut self, text: &str) -> EventId {
        let id = EventId::new(text);
        if self.keeps_id_texts && id.is_digest() {
            let mut kept =
                self.names.id_texts.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            kept.entry(id).or_insert_with(|| {
                self.names.ids.push(id);
                Text::from(text)
            });
        }
        id
    }

    /// Enters what came into another dictionary that was equal to this one. False where it wasn't: then
    /// this one is of no use any more.
    #[must_use]
    pub fn enter(&mut self, names: &NewNames) -> bool {
        let before = self.names.extent();
        for text in &names.texts {
            self.sym(text);
        }
        let known =
            |sym: Sym| usize::try_from(sym.index()).is_ok_and(|n| n < self.names.extent().texts);
        if !names.assets.iter().all(|(venue, asset)| known(*venue) && known(*asset)) {
            return false;
        }
        for (venue, asset) in &names.assets {
            let [venue, asset] = [*venue, *asset].map(|sym| self.names.text(sym).clone());
            self.asset(venue.as_str(), asset.as_str());
        }
        for text in &names.ids {
            self.event_id(text);
        }
        self.names.extent()
            == Extent {
                texts: before.texts + names.texts.len(),
                assets: before.assets + names.assets.len(),
                ids: before.ids + names.ids.len(),
            }
    }
}

#[inline]
fn sym(syms: &mut Probes, names: &Names, text: &str) -> Sym {
    let is_it = |named| names.text(Sym::from_index(named)).as_str() == text;
    Sym::from_index(syms.find_or_insert(Probe::new(text, 0), is_it, || {
        let index = names.texts.push(Text::from(text));
        u32::try_from(index).expect("fewer than 2^32 names")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_its_name_and_venues_never_meet() {
        let mut interner = Interner::new(false);
        let (a, b) = (interner.asset("x", "BTC"), interner.asset("y", "BTC"));
        assert_ne!(a, b);
        assert_eq!(interner.asset("x", "BTC"), a);
        let names = interner.names();
        assert_eq!(names.text(names.venue(b)).as_str(), "y");
        assert_eq!(names.asset(a), names.asset(b));
    }

    #[test]
    fn numbers_are_those_of_a_plain_map() {
        let mut interner = Interner::new(false);
        let mut twin: std::collections::BTreeMap<String, Sym> = std::collections::BTreeMap::new();
        let mut pairs = std::collections::BTreeMap::new();
        for i in 0..20_000u32 {
            let number = i.wrapping_mul(0x9e37_79b9) % 5000;
            let long = if number % 3 == 0 { "0x00000000000000000000000" } else { "w" };
            let text = format!("{long}{number}");
            let next = u32::try_from(twin.len()).unwrap();
            let known = [twin.get(&text).copied(), None, None];
            assert_eq!(interner.known(&[Some(&text), None, Some("never")]), known);
            let sym = *twin.entry(text.clone()).or_insert(Sym::from_index(next));
            assert_eq!(interner.sym(&text), sym);
            assert_eq!(interner.names().text(sym).as_str(), text);
            if i % 3 == 0 {
                let venue = format!("w{}", i % 7);
                let asset = interner.asset(&venue, &text);
                let pair = (interner.names().venue(asset), interner.names().asset(asset));
                assert_eq!(*pairs.entry(pair).or_insert(asset), asset);
                assert_eq!(interner.names().text(pair.0).as_str(), venue);
                assert_eq!(pair.1, sym);
                twin.entry(venue).or_insert(pair.0);
            }
        }
    }

    #[test]
    fn names_enter_an_equal_dictionary_under_the_same_numbers() {
        let mut one = Interner::new(true);
        let mut extents = vec![one.names().extent()];
        for n in 0..300 {
            one.sym(&format!("w{}", n % 70));
            one.asset(&format!("v{}", n % 3), &format!("w{}", n % 90));
            one.event_id(&format!("id {}", n % 40));
            if n % 17 == 0 {
                extents.push(one.names().extent());
            }
        }
        let mut other = Interner::new(true);
        for extent in extents.windows(2) {
            assert_eq!(other.names().extent(), extent[0]);
            let new = one.names().new_since(extent[0]);
            let of = |all: usize, first: usize| all - first;
            let part = NewNames {
                texts: new.texts[..of(extent[1].texts, extent[0].texts)].to_vec(),
                assets: new.assets[..of(extent[1].assets, extent[0].assets)].to_vec(),
                ids: new.ids[..of(extent[1].ids, extent[0].ids)].to_vec(),
            };
            assert!(other.enter(&part));
        }
        let rest = one.names().new_since(other.names().extent());
        assert!(other.enter(&rest));
        assert_eq!(other.sym("w69"), one.sym("w69"));
        assert_eq!(other.asset("v2", "w89"), one.asset("v2", "w89"));
        assert_eq!(other.names().id_text(EventId::new("id 39")).as_str(), "id 39");
        let all = one.names().new_since(Extent::default());
        assert!(!other.enter(&all), "they are there already");
        let unknown = vec![(Sym::from_index(9_999), Sym::from_index(0))];
        assert!(!other.enter(&NewNames { assets: unknown, ..NewNames::default() }));
    }

    #[test]
    fn texts_of_ids_are_kept_on_request_only() {
        for (keeps, text) in [(true, "t/buy"), (false, "c8")] {
            let mut interner = Interner::new(keeps);
            let id = interner.event_id("t/buy");
            assert_eq!(interner.names().id_text(id).as_str().starts_with(text), keeps);
            assert_eq!(interner.names().id_text(EventId::new("12")).as_str(), "12");
        }
    }
}
