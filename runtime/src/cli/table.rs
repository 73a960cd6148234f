//! Aligned columns of text.

use owo_colors::Style;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// What stands over it.
    pub title: &'static str,
    /// Its width where rows come one by one; wider cells push what follows to the right.
    pub width: usize,
    /// Whether it is a number, which ends at the column's right edge.
    pub number: bool,
}

/// What stands in one place of a table.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub fn plain(text: impl AsRef<str>) -> Self {
        Self::styled(text, Style::new())
    }

    pub fn styled(text: impl AsRef<str>, style: Style) -> Self {
        Self { text: clean(text.as_ref()), style }
    }
}

/// `text` without what a terminal would obey: names and reasons come from files and from pods.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Titles and rows, each column as wide as its widest cell.
pub(super) fn table(columns: &[Column], rows: &[Vec<Cell>]) -> String {
    let mut columns = columns.to_vec();
    for (index, column) in columns.iter_mut().enumerate() {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| width(&cell.text));
        column.width = cells.chain([width(column.title)]).max().unwrap_or_default();
    }
    let mut text = titles(&columns);
    for cells in rows {
        text.push_str(&row(&columns, cells));
    }
    text
}

/// The titles, as one line.
pub(super) fn titles(columns: &[Column]) -> String {
    let cells: Vec<_> =
        columns.iter().map(|column| Cell::styled(column.title, Style::new().bold())).collect();
    row(columns, &cells)
}

/// One line. The last column is not filled up.
pub(super) fn row(columns: &[Column], cells: &[Cell]) -> String {
    let mut line = String::new();
    for (index, (column, cell)) in columns.iter().zip(cells).enumerate() {
        let fill = " ".repeat(column.width.saturating_sub(width(&cell.text)));
        let text = if cell.style.is_plain() {
            cell.text.clone()
        } else {
            cell.style.style(cell.text.as_str()).to_string()
        };
        if index > 0 {
            line.push_str("  ");
        }
        match (column.number, index + 1 == columns.len()) {
            (true, _) => line.push_str(&(fill + &text)),
            (false, true) => line.push_str(&text),
            (false, false) => line.push_str(&(text + &fill)),
        }
    }
    line.push('\n');
    line
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column { title: "NAME", width: 6, number: false },
        Column { title: "N", width: 4, number: true },
        Column { title: "WHY", width: 9, number: false },
    ];

    fn cells(name: &str, number: &str, why: &str) -> Vec<Cell> {
        vec![Cell::plain(name), Cell::plain(number), Cell::plain(why)]
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [cells("payment", "7", "a"), cells("x", "12345", "bc")];
        let lines = strip(&table(&COLUMNS, &rows));
        assert_eq!(lines, "NAME         N  WHY\npayment      7  a\nx        12345  bc\n");
    }

    #[test]
    fn a_row_that_comes_alone_keeps_the_given_widths() {
        assert_eq!(row(&COLUMNS, &cells("a", "1", "b")), "a          1  b\n");
        assert_eq!(row(&COLUMNS, &cells("too-long", "1", "b")), "too-long     1  b\n");
    }

    #[test]
    fn what_a_terminal_would_obey_is_taken_out() {
        assert_eq!(clean("a\u{1b}[2Jb\rc\u{9b}d"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
    }

    fn strip(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }
}
