//! A table without lines for a person: names fold where the terminal is narrow, numbers stand to the right.
//!
//! Apart from the reports that are made of it, so that all of them look alike. What stands in the cells is the
//! reports' own business, as is that it is printable.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};

/// Columns to which a name may be folded, at least.
const NAME_WIDTH: u16 = 16;

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Names or sentences, which are folded where the terminal is narrow.
    Name,
    /// Words, never folded.
    Word,
    /// The same, to the right.
    Number,
}

/// How many columns the terminal on standard output has; none where it is no terminal.
#[must_use]
pub fn terminal_width() -> Option<u16> {
    Table::new().width()
}

/// The rows below their header, without a line end, folded to `width` columns where there is a width. `column` says what
/// stands in each column, counted from 0.
#[must_use]
pub fn grid<R: IntoIterator<Item = String>>(
    width: Option<u16>,
    header: &[&str],
    column: impl Fn(usize) -> Column,
    rows: impl IntoIterator<Item = R>,
) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    if let Some(width) = width {
        table
            .set_width(width)
            .set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(header.iter().copied());
    table.add_rows(rows);
    for (index, cells) in table.column_iter_mut().enumerate() {
        let kind = column(index);
        cells.set_constraint(if kind == Column::Name {
            ColumnConstraint::LowerBoundary(Width::Fixed(NAME_WIDTH))
        } else {
            ColumnConstraint::ContentWidth
        });
        if kind == Column::Number {
            cells.set_cell_alignment(CellAlignment::Right);
        }
        if index == 0 {
            cells.set_padding((0, 1));
        }
    }
    table.trim_fmt()
}
