//! From values to Arrow columns.

use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Decimal128Builder, Float64Builder, StringBuilder, TimestampNanosecondBuilder,
    UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use types::relations::{Relation, TakeColumn};
use types::{Cell, Column, Kind, Names};

use crate::sinks::misfit;
use crate::sinks::shown::Shown;

/// All decimals are `Decimal128(38, 9)`.
const PRECISION: u8 = 38;
const SCALE: u8 = 9;
const DECIMALS: i8 = 9;
/// What that holds, in units of 1e-9.
const DECIMAL_MAX: i128 = 10i128.pow(38) - 1;

/// Collects rows into batches of columns.
pub(super) struct Columns {
    schema: SchemaRef,
    of_view: Vec<Column>,
    n_key: usize,
    builders: Vec<Builder>,
    /// `_epoch` and `_op`, in files of changes.
    of_change: Option<(UInt64Builder, StringBuilder)>,
    n_rows: usize,
}

enum Builder {
    Bool(BooleanBuilder),
    Count(UInt64Builder),
    Decimal(Decimal128Builder),
    Float(Float64Builder),
    Time(TimestampNanosecondBuilder),
    Text(StringBuilder),
}

impl Columns {
    /// Makes columns for final rows, or for changes, where a deletion holds but its key.
    pub(super) fn new(schema: &types::Schema, has_changes: bool) -> Self {
        let of_view = schema.columns.clone();
        let fields = of_view.iter().enumerate().map(|(index, column)| {
            let is_nullable = column.nullable || (has_changes && index >= schema.n_key);
            Field::new(column.name.as_ref(), data_type(column.kind), is_nullable)
        });
        let mut fields: Vec<Field> = fields.collect();
        if has_changes {
            fields.push(Field::new("_epoch", DataType::UInt64, false));
            fields.push(Field::new("_op", DataType::Utf8, false));
        }
        let builders = of_view.iter().map(|column| Builder::new(column.kind)).collect();
        let of_change = has_changes.then(Default::default);
        let (schema, n_key) = (Arc::new(Schema::new(fields)), schema.n_key);
        Self { schema, of_view, n_key, builders, of_change, n_rows: 0 }
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// How many columns come from the view.
    pub(super) const fn len(&self) -> usize {
        self.of_view.len()
    }

    /// How many rows wait for a batch.
    pub(super) const fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Takes rows, a column after the other.
    ///
    /// # Errors
    /// Where a cell isn't one of its column's: says so in words.
    pub(super) fn push<R: Relation>(
        &mut self,
        rows: &[Shown<'_, R>],
        names: &Names,
    ) -> Result<(), String> {
        for (index, (column, builder)) in self.of_view.iter().zip(&mut self.builders).enumerate() {
            for rows in rows.chunk_by(|a, b| a.is_deleted == b.is_deleted) {
                // A deletion holds but its key.
                if index >= self.n_key && rows.first().is_some_and(|shown| shown.is_deleted) {
                    builder.push_nulls(rows.len());
                } else {
                    let rows = rows.iter().map(|shown| shown.row);
                    R::take_column(rows, index, names, Filled { column, builder })?;
                }
            }
        }
        if let Some((epochs, ops)) = &mut self.of_change {
            for shown in rows {
                epochs.append_value(shown.epoch.0);
                ops.append_value(if shown.is_deleted { "del" } else { "put" });
            }
        }
        self.end_rows(rows.len());
        Ok(())
    }

    /// The column of this index, to be filled with what it holds in the rows that follow.
    ///
    /// # Errors
    /// Where there is no such column.
    pub(super) fn column(&mut self, index: usize) -> Result<Filled<'_>, String> {
        let both = self.of_view.get(index).zip(self.builders.get_mut(index));
        let (column, builder) = both.ok_or_else(|| format!("there is no column {index}"))?;
        Ok(Filled { column, builder })
    }

    /// Ends rows of which each column was filled.
    pub(super) const fn end_rows(&mut self, n_rows: usize) {
        self.n_rows += n_rows;
    }

    /// Gives the rows collected since the last batch.
    ///
    /// # Errors
    /// Where a column that is never null holds a null.
    pub(super) fn batch(&mut self) -> Result<RecordBatch, ArrowError> {
        self.n_rows = 0;
        let mut arrays = Vec::with_capacity(self.schema.fields().len());
        for builder in &mut self.builders {
            arrays.push(builder.finish()?);
        }
        if let Some((epochs, ops)) = &mut self.of_change {
            arrays.push(Arc::new(epochs.finish()));
            arrays.push(Arc::new(ops.finish()));
        }
        RecordBatch::try_new(self.schema(), arrays)
    }
}

impl Builder {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Bool => Self::Bool(BooleanBuilder::new()),
            Kind::Count => Self::Count(UInt64Builder::new()),
            Kind::Price | Kind::Size | Kind::Money | Kind::Number => {
                Self::Decimal(Decimal128Builder::new())
            }
            Kind::Float => Self::Float(Float64Builder::new()),
            Kind::Time => Self::Time(TimestampNanosecondBuilder::new()),
            Kind::Text | Kind::Name | Kind::Word(_) => Self::Text(StringBuilder::new()),
        }
    }

    fn push_nulls(&mut self, n_rows: usize) {
        match self {
            Self::Bool(builder) => builder.append_nulls(n_rows),
            Self::Count(builder) => builder.append_nulls(n_rows),
            Self::Decimal(builder) => builder.append_nulls(n_rows),
            Self::Float(builder) => builder.append_nulls(n_rows),
            Self::Time(builder) => builder.append_nulls(n_rows),
            Self::Text(builder) => builder.append_nulls(n_rows),
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Bool(builder) => Arc::new(builder.finish()),
            Self::Count(builder) => Arc::new(builder.finish()),
            Self::Decimal(builder) => {
                Arc::new(builder.finish().with_precision_and_scale(PRECISION, DECIMALS)?)
            }
            Self::Float(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish().with_timezone("UTC")),
            Self::Text(builder) => Arc::new(builder.finish()),
        })
    }
}

/// A column that is being filled.
pub(super) struct Filled<'a> {
    column: &'a Column,
    builder: &'a mut Builder,
}

impl TakeColumn for Filled<'_> {
    type Output = Result<(), String>;

    fn take<'a>(self, cells: impl Iterator<Item = Cell<'a>>) -> Result<(), String> {
        let (column, mut cells) = (self.column, cells);
        match self.builder {
            Builder::Bool(builder) => each(column, cells, bool, |bool| builder.append_option(bool)),
            Builder::Count(builder) => {
                each(column, cells, count, |count| builder.append_option(count))
            }
            Builder::Decimal(builder) => {
                each(column, cells, decimal, |raw| builder.append_option(raw))
            }
            Builder::Float(builder) => {
                each(column, cells, float, |float| builder.append_option(float))
            }
            Builder::Time(builder) => {
                each(column, cells, time, |nanos| builder.append_option(nanos))
            }
            Builder::Text(builder) => cells.try_for_each(|cell| {
                match (&cell, cell.as_str()) {
                    (Cell::Null, _) => builder.append_null(),
                    (_, Some(text)) => builder.append_value(text),
                    (_, None) => return Err(misfit(column, &cell)),
                }
                Ok(())
            }),
        }
    }
}

/// Appends cells one after the other; the column's kind is known.
#[inline]
fn each<'a, T>(
    column: &Column,
    mut cells: impl Iterator<Item = Cell<'a>>,
    read: impl Fn(&Cell<'a>) -> Option<T>,
    mut append: impl FnMut(Option<T>),
) -> Result<(), String> {
    cells.try_for_each(|cell| {
        let value = match &cell {
            Cell::Null => None,
            cell => Some(read(cell).ok_or_else(|| misfit(column, cell))?),
        };
        append(value);
        Ok(())
    })
}

fn bool(cell: &Cell<'_>) -> Option<bool> {
    if let Cell::Bool(bool) = cell { Some(*bool) } else { None }
}

fn count(cell: &Cell<'_>) -> Option<u64> {
    u64::try_from(cell.at_scale(0)?).ok()
}

fn decimal(cell: &Cell<'_>) -> Option<i128> {
    cell.at_scale(SCALE).filter(|raw| raw.unsigned_abs() <= DECIMAL_MAX.unsigned_abs())
}

fn float(cell: &Cell<'_>) -> Option<f64> {
    if let Cell::Float(float) = cell { Some(float.get()) } else { None }
}

fn time(cell: &Cell<'_>) -> Option<i64> {
    if let Cell::Time(time) = cell { Some(time.nanos()) } else { None }
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Bool => DataType::Boolean,
        Kind::Count => DataType::UInt64,
        Kind::Price | Kind::Size | Kind::Money | Kind::Number => {
            DataType::Decimal128(PRECISION, DECIMALS)
        }
        Kind::Float => DataType::Float64,
        Kind::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        Kind::Text | Kind::Name | Kind::Word(_) => DataType::Utf8,
    }
}
