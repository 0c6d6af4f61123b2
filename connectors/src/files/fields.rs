//! The fields of one row: ranges of its bytes, or of a scratch where they stand escaped.

/// Where the fields of a row are. Recycled from row to row.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// Where each field of a plain row ends; the next one starts behind its delimiter. Empty where the
    /// fields stand in slots.
    ends: Vec<u32>,
    slots: Vec<Slot>,
    scratch: Vec<u8>,
}

/// Where one field is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Slot {
    /// Not in this row, or null.
    #[default]
    Absent,
    /// A range of the row's bytes.
    Raw(usize, usize),
    /// A range of the scratch.
    Scratch(usize, usize),
}

impl Fields {
    /// Empties the fields, and the scratch with them.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.ends.clear();
        self.slots.clear();
        self.scratch.clear();
    }

    /// Empties the fields; those of a plain row are added by their ends.
    #[inline]
    pub(super) fn plain(&mut self) -> &mut Vec<u32> {
        self.clear();
        &mut self.ends
    }

    /// Where a field of a plain row is.
    #[inline]
    fn plain_place(&self, index: usize) -> Option<(usize, usize)> {
        let end = usize::try_from(*self.ends.get(index)?).ok()?;
        let before = index.checked_sub(1).and_then(|before| self.ends.get(before));
        let start =
            before.map_or(Some(0), |before| usize::try_from(*before).ok()?.checked_add(1))?;
        Some((start, end))
    }

    /// Empties the fields and makes place for so many absent ones.
    #[inline]
    pub(super) fn reset(&mut self, n: usize) {
        self.clear();
        self.slots.resize(n, Slot::Absent);
    }

    /// How many there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.slots.len() + self.ends.len()
    }

    /// Adds a field.
    #[inline]
    pub(super) fn push(&mut self, slot: Slot) {
        self.slots.push(slot);
    }

    /// Sets a field made by [`Fields::reset`].
    #[inline]
    pub(super) fn set(&mut self, index: usize, slot: Slot) {
        if let Some(place) = self.slots.get_mut(index) {
            *place = slot;
        }
    }

    /// Makes a field of what `write` adds to the scratch.
    pub(super) fn unescaped(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Slot {
        let start = self.scratch.len();
        write(&mut self.scratch);
        Slot::Scratch(start, self.scratch.len())
    }
}

/// A row's bytes with its fields.
#[derive(Clone, Copy)]
pub(super) struct RowView<'a> {
    /// The row as it stands in the file.
    pub(super) raw: &'a [u8],
    /// Its fields.
    pub(super) fields: &'a Fields,
}

impl<'a> RowView<'a> {
    /// Where a field is.
    #[inline]
    pub(super) fn slot(self, slot: usize) -> Slot {
        if let Some((start, end)) = self.fields.plain_place(slot) {
            return Slot::Raw(start, end);
        }
        self.fields.slots.get(slot).copied().unwrap_or_default()
    }

    /// Where a field is among the row's bytes, if it is there as it is.
    #[inline]
    pub(super) fn plain_place(self, slot: usize) -> Option<(usize, usize)> {
        if let Some(place) = self.fields.plain_place(slot) {
            return Some(place);
        }
        match self.fields.slots.get(slot) {
            Some(Slot::Raw(start, end)) => Some((*start, *end)),
            Some(Slot::Absent | Slot::Scratch(..)) | None => None,
        }
    }

    /// The bytes of a field; `None` where it is absent or null.
    #[inline]
    pub(super) fn get(self, slot: usize) -> Option<&'a [u8]> {
        match self.slot(slot) {
            Slot::Absent => None,
            Slot::Raw(start, end) => self.raw.get(start..end),
            Slot::Scratch(start, end) => self.fields.scratch.get(start..end),
        }
    }
}
