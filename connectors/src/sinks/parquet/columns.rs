//! From values to Arrow columns.

use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Decimal128Builder, Float64Builder, StringBuilder, TimestampNanosecondBuilder,
    UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use types::{Cell, Column, Epoch, Kind};

use crate::sinks::misfit;

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
        Self { schema: Arc::new(Schema::new(fields)), of_view, builders, of_change, n_rows: 0 }
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

    /// Takes one column of the next row.
    ///
    /// # Errors
    /// Where the cell isn't one of the column's: says so in words.
    pub(super) fn push(&mut self, index: usize, cell: &Cell<'_>) -> Result<(), String> {
        let (Some(column), Some(builder)) = (self.of_view.get(index), self.builders.get_mut(index))
        else {
            return Err(format!("there is no column {index}"));
        };
        builder.push(cell).ok_or_else(|| misfit(column, cell))
    }

    /// Ends a row.
    pub(super) const fn end_row(&mut self) {
        self.n_rows += 1;
    }

    /// Ends a row that is a change.
    pub(super) fn end_change(&mut self, epoch: Epoch, is_deleted: bool) {
        if let Some((epochs, ops)) = &mut self.of_change {
            epochs.append_value(epoch.0);
            ops.append_value(if is_deleted { "del" } else { "put" });
        }
        self.n_rows += 1;
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

    /// Takes a cell; `None` where it isn't one of this column's.
    fn push(&mut self, cell: &Cell<'_>) -> Option<()> {
        if matches!(cell, Cell::Null) {
            self.push_null();
            return Some(());
        }
        match self {
            Self::Bool(builder) => {
                let Cell::Bool(bool) = cell else { return None };
                builder.append_value(*bool);
            }
            Self::Count(builder) => {
                builder.append_value(u64::try_from(cell.at_scale(0)?).ok()?);
            }
            Self::Decimal(builder) => {
                let raw = cell.at_scale(SCALE)?;
                if raw.unsigned_abs() > DECIMAL_MAX.unsigned_abs() {
                    return None;
                }
                builder.append_value(raw);
            }
            Self::Float(builder) => {
                let Cell::Float(float) = cell else { return None };
                builder.append_value(float.get());
            }
            Self::Time(builder) => {
                let Cell::Time(time) = cell else { return None };
                builder.append_value(time.nanos());
            }
            Self::Text(builder) => builder.append_value(cell.as_str()?),
        }
        Some(())
    }

    fn push_null(&mut self) {
        match self {
            Self::Bool(builder) => builder.append_null(),
            Self::Count(builder) => builder.append_null(),
            Self::Decimal(builder) => builder.append_null(),
            Self::Float(builder) => builder.append_null(),
            Self::Time(builder) => builder.append_null(),
            Self::Text(builder) => builder.append_null(),
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
