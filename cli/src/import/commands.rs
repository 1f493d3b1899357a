//! The commands of a row.

use redis::cmd;
use ring::digest::{SHA256, digest};

use crate::import::row::{Count, Kind, Row, Setting};
use crate::server::deliver::Request;
use crate::server::masters::Masters;
use crate::server::reason;
use crate::server::style::Style;

/// How the rows of one import are sent.
#[derive(Clone, Debug)]
pub struct Import {
    /// Tells this import from others.
    pub id: String,
    /// How the server spells skus.
    pub style: Style,
    /// Counts are set even if the server would refuse them otherwise.
    pub is_forced: bool,
}

/// The id of an import by its content: the same file is the same import.
pub fn id_of(file: &[u8]) -> String {
    hex(digest(&SHA256, file).as_ref().get(..8).unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Count {
    fn words(self) -> (&'static str, &'static [&'static str], i64) {
        match self {
            Self::Available(units) => ("INV.SET", &["AVAILABLE"], units),
            Self::OnHand(units) => ("INV.SET", &["ONHAND"], units),
            Self::Adjust(units) => ("INV.ADJUST", &[], units),
        }
    }
}

impl Import {
    /// The command that changes the units of a row.
    pub fn count(&self, row: &Row) -> Option<Request> {
        let (name, words, units) = row.count?.words();
        let sku = self.style.sku(&row.sku);
        let mut command = cmd(name);
        command.arg(&sku).arg(words).arg(units);
        if self.is_forced {
            command.arg("FORCE");
        }
        command.arg("ONCE").arg(self.token(row)?);
        if let Some(note) = &row.note {
            command.arg("NOTE").arg(note);
        }
        Some(Request { id: sku, command })
    }

    /// The same import and the same row have the same token, wherever the row stands: a file can be corrected and imported again
    /// under the same id.
    fn token(&self, row: &Row) -> Option<String> {
        let (name, words, units) = row.count?.words();
        let text = format!("{name} {words:?} {units} {}", row.repetition);
        let hash = digest(&SHA256, text.as_bytes());
        Some(format!("{}:{}", self.id, hex(hash.as_ref().get(..6).unwrap_or_default())))
    }

    /// Asks whether the server remembers the token of a row, so that the report can say what an earlier run has done. See
    /// docs/keys.md.
    pub fn remembers(&self, row: &Row) -> Option<Request> {
        let kind = match row.count? {
            Count::Available(_) | Count::OnHand(_) => "set",
            Count::Adjust(_) => "adjust",
        };
        let sku = self.style.in_key(&row.sku);
        let key = format!("inventory:once:{kind}:{}:{sku}:{}", sku.len(), self.token(row)?);
        let mut command = cmd("EXISTS");
        command.arg(key);
        Some(Request { id: sku, command })
    }

    /// Whether the user may ask so at all.
    pub fn may_ask(&self, rows: &[Row], masters: &mut Masters) -> bool {
        let question = rows.iter().find_map(|row| self.remembers(row));
        let node = masters.nodes().first_mut();
        question.zip(node).is_some_and(|(question, node)| {
            node.ask(&question.command).err().is_none_or(|error| !reason::is_of_command(&error))
        })
    }

    /// The command for a setting of a row.
    pub fn setting(&self, row: &Row, setting: &Setting) -> Request {
        let sku = self.style.sku(&row.sku);
        let product = row.product();
        let mut command = cmd(match setting.kind {
            Kind::Priority => "INV.WAREHOUSES",
            Kind::Threshold => "INV.THRESHOLD",
            Kind::Limit => "INV.LIMIT",
            Kind::Floor => "INV.FLOOR",
        });
        match setting.kind {
            Kind::Priority => command.arg(product).arg("SET").arg(row.warehouse().unwrap_or_default()),
            Kind::Threshold | Kind::Limit => command.arg(product),
            Kind::Floor => command.arg(&sku),
        };
        command.arg(&setting.value);
        Request { id: sku, command }
    }
}

#[cfg(test)]
mod tests {
    use super::{Import, id_of};
    use crate::import::table::Table;
    use crate::server::style::Style;

    fn commands(text: &str, style: Style) -> Vec<String> {
        let table = Table::read(text.as_bytes()).expect("a header");
        assert_eq!(table.faults, []);
        let import = Import { id: "day-1".to_owned(), style, is_forced: false };
        let spell = |packed: Vec<u8>| {
            let packed = String::from_utf8(packed).expect("text");
            packed.split("\r\n").skip(2).step_by(2).collect::<Vec<_>>().join(" ")
        };
        let mut commands = Vec::new();
        for row in &table.rows {
            let settings = row.settings.iter().map(|setting| import.setting(row, setting));
            commands.extend(
                settings.chain(import.count(row)).map(|request| spell(request.command.get_packed_command())),
            );
        }
        commands
    }

    #[test]
    fn a_row_becomes_the_commands_that_it_stands_for() {
        let text = "sku,available,on_hand,adjust,priority,threshold,limit,floor,note\n\
            A,5,,,,,,,\n\
            B,,6,,,,,,\"count, May\"\n\
            C,,,-7,,,,,\n\
            P@W,1,,,closed,off,2,-3,\n";
        let commands = commands(text, Style::Plain);
        let expected = [
            "INV.SET A AVAILABLE 5 ONCE day-1:",
            "INV.SET B ONHAND 6 ONCE day-1:",
            "INV.ADJUST C -7 ONCE day-1:",
            "INV.WAREHOUSES P SET W CLOSED",
            "INV.THRESHOLD P OFF",
            "INV.LIMIT P 2",
            "INV.FLOOR P@W -3",
            "INV.SET P@W AVAILABLE 1 ONCE day-1:",
        ];
        assert_eq!(commands.len(), expected.len());
        for (command, expected) in commands.iter().zip(expected) {
            assert!(command.starts_with(expected), "{command}");
        }
        assert!(commands[1].ends_with(" NOTE count, May"), "{}", commands[1]);
    }

    #[test]
    fn in_tagged_style_the_sku_of_a_warehouse_is_in_the_slot_of_its_product() {
        let commands = commands("sku,available,priority\nP@W,1,1\nP2,2,\n", Style::Tagged);
        assert_eq!(commands[0].trim_end(), "INV.WAREHOUSES P SET W 1");
        assert!(commands[1].starts_with("INV.SET {P}@W AVAILABLE 1"), "{}", commands[1]);
        assert!(commands[2].starts_with("INV.SET P2 AVAILABLE 2"), "{}", commands[2]);
    }

    #[test]
    fn each_row_has_a_token_of_its_own_wherever_it_stands() {
        let adjust = commands("sku,adjust\nA,1\nA,1\nA,2\nB,1\n", Style::Plain);
        let moved = commands("sku,adjust\nB,1\nA,2\nA,1\nA,1\n", Style::Plain);
        let [mut one, mut other] = [adjust.clone(), moved];
        one.sort();
        other.sort();
        assert_eq!(one, other);
        one.dedup();
        assert_eq!(one.len(), 4, "{adjust:?}");
        assert_ne!(
            commands("sku,available\nA,1\n", Style::Plain),
            commands("sku,on_hand\nA,1\n", Style::Plain)
        );
        assert_ne!(id_of(b"sku,adjust\nA,1\n"), id_of(b"sku,adjust\nA,2\n"));
        assert_eq!(id_of(b""), id_of(b""));
        assert_eq!(id_of(b"").len(), 16);
    }
}
