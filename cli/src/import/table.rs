//! Reads the file: its header and its rows. It knows no server.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::csv;
use crate::failure::Failure;
use crate::import::row::{self, Count, Fault, Kind, Row, Setting};

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// What can be imported, in the order of the file.
    pub rows: Vec<Row>,
    /// What cannot.
    pub faults: Vec<Fault>,
    /// Rows that have a sku and no value.
    pub empty: usize,
    /// The header, and the line of each fault as it is in the file, so that they can be written into a file of their own.
    pub header: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Sku,
    Available,
    OnHand,
    Adjust,
    Note,
    Setting(Kind),
    /// What inv export writes for people only.
    Ignored,
}

const COLUMNS: [(&str, Column); 10] = [
    ("sku", Column::Sku),
    ("available", Column::Available),
    ("on_hand", Column::OnHand),
    ("adjust", Column::Adjust),
    ("priority", Column::Setting(Kind::Priority)),
    ("threshold", Column::Setting(Kind::Threshold)),
    ("limit", Column::Setting(Kind::Limit)),
    ("floor", Column::Setting(Kind::Floor)),
    ("note", Column::Note),
    ("reserved", Column::Ignored),
];

/// What the file has said before, with the line.
#[derive(Debug, Default)]
struct Before {
    /// The first line that sets or adjusts the units of a sku, and whether it sets them.
    counted: HashMap<String, (usize, bool)>,
    /// How often the units of a sku were adjusted by so many.
    adjusted: HashMap<(String, i64), u32>,
    settings: HashMap<(Kind, String), (usize, String)>,
}

impl Table {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If there is no header that can be used. A row that cannot be read is a fault of its own.
    pub fn read(bytes: &[u8]) -> Result<Self, Failure> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(Failure::usage("the file is in UTF-16. Save it as CSV UTF-8"));
        }
        let mut lines = bytes
            .split(|byte| *byte == b'\n')
            .enumerate()
            .map(|(number, line)| (number + 1, line.strip_suffix(b"\r").unwrap_or(line)));
        let Some((first, header)) = lines.find(|(_, line)| !is_blank(line)) else {
            return Err(Failure::usage(format!("the file is empty. {HEADER_HELP}")));
        };
        let Ok(header) = std::str::from_utf8(header) else {
            return Err(Failure::usage(format!(
                "line {first}, the header, is not UTF-8. Save the file as CSV UTF-8"
            )));
        };
        let separator = separator(header);
        let columns = columns(header, separator)
            .map_err(|reason| Failure::usage(format!("line {first}, the header: {reason}. {HEADER_HELP}")))?;
        let mut table = Self { header: header.to_owned(), ..Self::default() };
        let mut before = Before::default();
        for (line, bytes) in lines {
            if is_blank(bytes) {
                continue;
            }
            let mut sku = String::new();
            match read_row(line, bytes, separator, &columns, &mut sku).and_then(|row| before.check(row)) {
                Ok(row) if row.count.is_none() && row.settings.is_empty() => table.empty += 1,
                Ok(row) => table.rows.push(row),
                Err(reason) => table.faults.push(Fault { line, sku, reason }),
            }
        }
        Ok(table)
    }
}

const HEADER_HELP: &str = "The first line names the columns, as in sku,available. Columns: sku, and available, on_hand or \
                           adjust, and priority, threshold, limit, floor, note";

/// Whether a line has no field with a text.
fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b',' | b';'))
}

/// Spreadsheets write commas, or semicolons where a comma is part of numbers, or tabs.
fn separator(header: &str) -> char {
    let count = |separator: &char| header.matches(*separator).count();
    [',', ';', '\t'].into_iter().rev().max_by_key(count).unwrap_or(',')
}

fn columns(header: &str, separator: char) -> Result<Vec<Column>, String> {
    let mut columns = Vec::new();
    for field in csv::split(header, separator)? {
        let name = field.trim().to_ascii_lowercase().replace([' ', '-'], "_");
        let found = COLUMNS.iter().find(|(column, _)| *column == name);
        let Some((_, column)) = found else {
            return Err(format!("'{}' is not a column", field.trim()));
        };
        if columns.contains(column) && *column != Column::Ignored {
            return Err(format!("the column {name} is there twice"));
        }
        columns.push(*column);
    }
    if !columns.contains(&Column::Sku) {
        return Err("the column sku is missing".to_owned());
    }
    let is_value = |column: &Column| !matches!(column, Column::Sku | Column::Note | Column::Ignored);
    if !columns.iter().any(is_value) {
        return Err("there is no column besides sku".to_owned());
    }
    Ok(columns)
}

/// Reads a row. `sku` is set as soon as it is known, also if the rest cannot be read.
fn read_row(
    line: usize,
    bytes: &[u8],
    separator: char,
    columns: &[Column],
    sku: &mut String,
) -> Result<Row, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the line is not UTF-8".to_owned())?;
    let fields = csv::split(text, separator)?;
    if let Some(field) =
        columns.iter().position(|column| *column == Column::Sku).and_then(|at| fields.get(at))
    {
        sku.clone_from(&field.clone().into_owned());
    }
    if fields.len() != columns.len() {
        let (has, wants) = (fields.len(), columns.len());
        return Err(format!("the line has {has} fields, but the header has {wants}"));
    }
    row::check_sku(sku)?;
    let mut row =
        Row { line, sku: sku.clone(), count: None, note: None, settings: Vec::new(), repetition: 0 };
    for (column, field) in columns.iter().zip(&fields) {
        let field: &Cow<'_, str> = field;
        if field.is_empty() {
            continue;
        }
        let count = match column {
            Column::Sku | Column::Ignored => continue,
            Column::Available => Count::Available(row::units("available", field)?),
            Column::OnHand => Count::OnHand(row::units("on_hand", field)?),
            Column::Adjust => Count::Adjust(row::units("adjust", field)?),
            Column::Note => {
                row::check_text("the note", field)?;
                row.note = Some(field.clone().into_owned());
                continue;
            }
            Column::Setting(kind) => {
                if *kind == Kind::Priority && row.warehouse().is_none() {
                    return Err(
                        "a priority belongs to a warehouse: write the sku as product@warehouse".to_owned()
                    );
                }
                row.settings.push(Setting { kind: *kind, value: kind.parse(field)? });
                continue;
            }
        };
        if row.count.replace(count).is_some() {
            return Err("the units are given twice: fill in one of available, on_hand and adjust".to_owned());
        }
    }
    row.settings.sort_by_key(|setting| setting.kind);
    if row.note.is_some() && row.count.is_none() {
        return Err("there is a note, and no number of units that it explains".to_owned());
    }
    Ok(row)
}

impl Before {
    /// Refuses a row that contradicts an earlier one, and drops what was said before. Rows are sent in an order of their own, so
    /// the last one cannot win.
    fn check(&mut self, mut row: Row) -> Result<Row, String> {
        for Setting { kind, value } in &row.settings {
            let name = if kind.is_of_product() { row.product() } else { &row.sku };
            if let Some((line, earlier)) = self.settings.get(&(*kind, name.to_owned()))
                && earlier != value
            {
                let column = kind.column();
                return Err(format!("the {column} of {name} is {earlier} in line {line} and {value} here"));
            }
        }
        if let Some(count) = row.count {
            let is_set = !matches!(count, Count::Adjust(_));
            match self.counted.entry(row.sku.clone()) {
                Entry::Vacant(entry) => {
                    entry.insert((row.line, is_set));
                }
                Entry::Occupied(entry) => {
                    let (line, was_set) = *entry.get();
                    if is_set || was_set {
                        return Err(format!(
                            "line {line} gives the units of the same sku. Only rows that adjust them can be repeated"
                        ));
                    }
                }
            }
            if let Count::Adjust(units) = count {
                let times = self.adjusted.entry((row.sku.clone(), units)).or_default();
                row.repetition = *times;
                *times += 1;
            }
        }
        let (line, sku, product) = (row.line, row.sku.clone(), row.product().to_owned());
        row.settings.retain(|Setting { kind, value }| {
            let name = if kind.is_of_product() { &product } else { &sku };
            match self.settings.entry((*kind, name.clone())) {
                Entry::Occupied(_) => false,
                Entry::Vacant(entry) => {
                    entry.insert((line, value.clone()));
                    true
                }
            }
        });
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::Table;
    use crate::import::row::{Count, Kind};

    fn read(text: &str) -> Table {
        Table::read(text.as_bytes()).expect("a header")
    }

    fn refusal(text: &[u8]) -> String {
        Table::read(text).expect_err("no header").text
    }

    fn faults(text: &str) -> Vec<(usize, String)> {
        read(text).faults.into_iter().map(|fault| (fault.line, fault.reason)).collect()
    }

    fn counts(text: &str) -> Vec<(String, Option<Count>)> {
        let table = read(text);
        assert_eq!(table.faults, []);
        table.rows.into_iter().map(|row| (row.sku, row.count)).collect()
    }

    #[test]
    fn files_of_spreadsheets_are_read_with_all_their_habits() {
        let expected =
            [("SHOE".to_owned(), Some(Count::Available(5))), ("商品".to_owned(), Some(Count::Available(7)))];
        for text in [
            "sku,available\nSHOE,5\n商品,7\n",
            "sku,available\r\nSHOE,5\r\n商品,7",
            "\u{feff}sku,available\nSHOE,5\n商品,7\n",
            "SKU;Available\nSHOE;5\n商品;7\n",
            "sku\tavailable\nSHOE\t5\n商品\t7\n",
            "\n\"sku\",\"available\"\n\n\"SHOE\",\"5\"\n,\n 商品 , 7 \n,,\n",
        ] {
            assert_eq!(counts(text), expected, "{text}");
        }
    }

    #[test]
    fn a_header_that_cannot_be_used_is_refused_with_a_reason() {
        for (text, reason) in [
            (&b""[..], "the file is empty"),
            (b"\n\n", "the file is empty"),
            (b"PROD-1,10\n", "'PROD-1' is not a column"),
            (b"sku,qty\n", "'qty' is not a column"),
            (b"available\n5\n", "the column sku is missing"),
            (b"sku\nA\n", "no column besides sku"),
            (b"sku,note\nA,b\n", "no column besides sku"),
            (b"sku,available,sku\n", "the column sku is there twice"),
            (b"\xff\xfes\0k\0u\0", "UTF-16"),
            (b"sku,av\xe4ilable\n", "not UTF-8"),
            (b"sku,\"available\nA,5\n", "not closed"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(reason), "{reason}: {refusal}");
        }
    }

    #[test]
    fn a_broken_row_costs_only_itself_and_is_named() {
        let text = "sku,available,adjust,floor,note\n\
            A,12.5,,,\n\
            B,5,3,,\n\
            C,,,x,\n\
            ,5,,,\n\
            \"D,5,,,\n\
            E,5\n\
            F,99999999999999999999,,,\n\
            G,,,,why\n\
            H,5,,,\n";
        let found = faults(text);
        let reasons = [
            (2, "available '12.5' is not an integer: write it without separators"),
            (3, "the units are given twice"),
            (4, "floor 'x' is not an integer"),
            (5, "the sku is empty"),
            (6, "a quote is opened and not closed"),
            (7, "the line has 2 fields, but the header has 5"),
            (8, "is not an integer up to 9007199254740991"),
            (9, "there is a note, and no number"),
        ];
        assert_eq!(found.len(), reasons.len(), "{found:?}");
        for ((line, reason), (expected_line, expected)) in found.iter().zip(reasons) {
            assert!(*line == expected_line && reason.contains(expected), "{line}: {reason}");
        }
        assert_eq!(read(text).rows.len(), 1);
    }

    #[test]
    fn a_row_that_is_not_utf_8_costs_only_itself() {
        let table = Table::read(b"sku,available\nA\xe4,5\nB,6\n").expect("a header");
        assert_eq!((table.rows.len(), table.faults.len()), (1, 1));
        assert_eq!(table.faults[0].reason, "the line is not UTF-8");
    }

    #[test]
    fn rows_that_contradict_each_other_are_refused_and_equal_settings_are_sent_once() {
        let text = "sku,available,adjust,threshold,floor\n\
            A,5,,3,\n\
            A,5,,,\n\
            A,,2,,\n\
            B,,2,,\n\
            B,,2,,\n\
            P@X,1,,7,\n\
            P@Y,1,,7,\n\
            P@Z,1,,8,\n\
            A,,,,1\n\
            A,,,,2\n";
        let found = faults(text);
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 4, 9, 11], "{found:?}");
        assert!(found[2].1.contains("the threshold of P is 7 in line 7 and 8 here"), "{found:?}");
        let rows = read(text).rows;
        let repeated: Vec<u32> = rows.iter().filter(|row| row.sku == "B").map(|row| row.repetition).collect();
        assert_eq!(repeated, [0, 1]);
        assert!(rows.iter().find(|row| row.sku == "P@Y").expect("a row").settings.is_empty());
    }

    #[test]
    fn settings_are_read_and_put_in_the_order_in_which_they_are_sent() {
        let text = "floor,limit,threshold,priority,sku\n-5,off,DEFAULT,closed,P@A\n1,2,off,+3,P2@A\n";
        let table = read(text);
        assert_eq!(table.faults, []);
        let settings = |at: usize| -> Vec<(Kind, &str)> {
            table.rows[at].settings.iter().map(|setting| (setting.kind, setting.value.as_str())).collect()
        };
        let kinds = [Kind::Priority, Kind::Threshold, Kind::Limit, Kind::Floor];
        assert_eq!(
            settings(0),
            kinds.into_iter().zip(["CLOSED", "DEFAULT", "OFF", "-5"]).collect::<Vec<_>>()
        );
        assert_eq!(settings(1), kinds.into_iter().zip(["3", "OFF", "2", "1"]).collect::<Vec<_>>());
        assert_eq!(faults("sku,priority\nP,1\n").len(), 1, "a product has no priority");
        assert_eq!(faults("sku,threshold\nP,-1\n").len(), 1);
    }

    #[test]
    fn a_row_without_a_value_leaves_everything_as_it_is() {
        let table = read("sku,available\nA,\nB,5\n");
        assert_eq!((table.rows.len(), table.empty, table.faults.len()), (1, 1, 0));
    }
}
