//! Numbers for people: medians with their spread, aligned Markdown tables, CSV.

use std::fmt;

/// A measured quantity over the rounds of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Smallest value.
    pub min: f64,
    /// Middle value; of an even number of values, the mean of the middle two.
    pub median: f64,
    /// Largest value.
    pub max: f64,
}

impl Spread {
    /// `None` without values.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let upper = *values.get(values.len() / 2)?;
        let lower = *values.get((values.len() - 1) / 2)?;
        Some(Self { min, median: f64::midpoint(lower, upper), max })
    }

    /// Median and range, with `decimals` digits after the point.
    #[must_use]
    pub fn show(&self, decimals: usize) -> String {
        format!("{:.decimals$} ({:.decimals$}..{:.decimals$})", self.median, self.min, self.max)
    }
}

/// A table with a header, shown as Markdown whose columns line up in plain text too.
#[derive(Debug)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(header: &[&str]) -> Self {
        Self { header: header.iter().map(ToString::to_string).collect(), rows: Vec::new() }
    }

    /// Adds a row; cells beyond the header are not shown, missing ones are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The same table as CSV. Cells are numbers and names: none has a comma or quote.
    #[must_use]
    pub fn to_csv(&self) -> String {
        [&self.header].into_iter().chain(&self.rows).map(|row| row.join(",") + "\n").collect()
    }

    /// Columns whose cells all begin like a number, or are empty, are aligned to the right.
    fn is_numeric(&self, column: usize) -> bool {
        let like_number = |cell: &String| cell.is_empty() || cell.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        self.rows.iter().filter_map(|row| row.get(column)).all(like_number)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = || [&self.header].into_iter().chain(&self.rows);
        let columns: Vec<(usize, bool)> = (0..self.header.len())
            .map(|column| {
                let width = lines().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
                (width.unwrap_or(0).max(3), self.is_numeric(column))
            })
            .collect();
        for (number, row) in lines().enumerate() {
            for (column, (width, numeric)) in columns.iter().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                if *numeric { write!(f, "| {cell:>width$} ")? } else { write!(f, "| {cell:<width$} ")? }
            }
            writeln!(f, "|")?;
            if number == 0 {
                for (width, numeric) in &columns {
                    write!(f, "|{:-<1$}{2}", "", width + 1, if *numeric { ':' } else { '-' })?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// `-` for what was not measured.
#[must_use]
pub fn or_dash<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

/// `yes` or `no`, or what to say if it was not measured.
#[must_use]
pub fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "not measured",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_of_sorted_values() {
        assert_eq!(Spread::of([9.0, 1.0, 5.0]), Some(Spread { min: 1.0, median: 5.0, max: 9.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 9.0]).map(|spread| spread.median), Some(3.0));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn table_lines_up_and_numbers_go_right() {
        let mut table = Table::new(&["name", "requests/s"]);
        table.row(["direct".to_owned(), "91743".to_owned()]);
        table.row(["a".to_owned(), "-".to_owned()]);
        let expected = "| name   | requests/s |\n|--------|-----------:|\n| direct |      91743 |\n| a      |          - |\n";
        assert_eq!(table.to_string(), expected);
        assert_eq!(table.to_csv(), "name,requests/s\ndirect,91743\na,-\n");
    }
}
