//! The JSON of reservations: records of live ones, and outcomes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Units by sku.
pub type Lines = BTreeMap<String, i64>;

/// A line as the JSON has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The product.
    pub product_id: String,
    /// The warehouse, if the units are in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warehouse: Option<String>,
    /// The units.
    pub quantity: i64,
}

/// What a record or an outcome says. Fields that only one of them has are optional.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The id of the reservation.
    pub reservation_id: String,
    /// How it ended; `None` while it is live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// When it was made, Unix ms.
    pub created_at: i64,
    /// Its deadline.
    pub expires_at: i64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<i64>,
    /// What it holds, or after its end all that it held.
    pub items: Vec<Line>,
    /// What was requested, if it is not just that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Vec<Line>>,
    /// What was sold, if it was sold in parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sold: Option<Vec<Line>>,
    /// What was returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned: Option<Vec<Line>>,
    /// The client's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// What a rollback had returned before the deadline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rolled_back: Vec<Line>,
    /// What PARTIAL left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short: Option<Vec<Line>>,
    /// The buyer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buyer: Option<String>,
    /// What it holds of the buyer's quotas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Vec<Line>>,
    /// The reservation that replaced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
    /// Whether another client has put the record back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<String>,
}

impl Document {
    /// Reads the JSON of a key. `None` if it is not a document of this reservation.
    pub fn read(id: &str, json: &str) -> Option<Self> {
        let document: Self = serde_json::from_str(json).ok()?;
        let unbraced = |id: &str| id.strip_prefix('{').and_then(|id| id.strip_suffix('}')).map(str::to_owned);
        let is_own =
            document.reservation_id == id || unbraced(&document.reservation_id).as_deref() == Some(id);
        is_own.then_some(document)
    }

    /// What it holds, or held.
    pub fn held(&self) -> Lines {
        lines(&self.items)
    }

    /// The skus of the buyer's quotas that it has used.
    pub fn quotas(&self) -> Vec<String> {
        let Some(buyer) = &self.buyer else { return Vec::new() };
        let quota = self.quota.as_deref().unwrap_or_default();
        quota.iter().map(|line| format!("{}@@{buyer}", line.product_id)).collect()
    }

    /// Its JSON, in the form that the module writes.
    pub fn write(&self) -> String {
        // Texts and numbers can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The units of these lines by sku.
pub fn lines(lines: &[Line]) -> Lines {
    let mut sums = Lines::new();
    for line in lines {
        let sku = match &line.warehouse {
            Some(warehouse) => format!("{}@{warehouse}", line.product_id),
            None => line.product_id.clone(),
        };
        *sums.entry(sku).or_default() += line.quantity;
    }
    sums
}

/// The lines as the JSON has them.
pub fn to_lines(units: &Lines) -> Vec<Line> {
    let line = |(sku, quantity): (&String, &i64)| Line {
        product_id: crate::keys::product_of(sku).to_owned(),
        warehouse: crate::keys::warehouse_of(sku).map(str::to_owned),
        quantity: *quantity,
    };
    units.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{Document, Lines, lines, to_lines};

    const RECORD: &str = r#"{"reservation_id":"r","created_at":1,"expires_at":9,"items":[{"product_id":"P","quantity":2},{"product_id":"W","warehouse":"A","quantity":1}],"sold":[{"product_id":"P","quantity":1}],"data":"x","short":[],"buyer":"b","quota":[{"product_id":"P","quantity":2}]}"#;
    const OUTCOME: &str = r#"{"reservation_id":"r","state":"expired","created_at":1,"expires_at":9,"resolved_at":10,"items":[{"product_id":"P","quantity":2}],"sold":[],"returned":[{"product_id":"P","quantity":2}],"data":"x","rolled_back":[{"product_id":"P","quantity":1}]}"#;

    #[test]
    fn a_document_is_written_as_the_module_writes_it() {
        for json in [RECORD, OUTCOME] {
            assert_eq!(Document::read("r", json).unwrap().write(), json);
        }
        assert_eq!(Document::read("other", RECORD), None);
        assert_eq!(Document::read("r", "{}"), None);
    }

    #[test]
    fn lines_are_units_by_sku() {
        let record = Document::read("r", RECORD).unwrap();
        let held = Lines::from([("P".to_owned(), 2), ("W@A".to_owned(), 1)]);
        assert_eq!(record.held(), held);
        assert_eq!(lines(&to_lines(&held)), held);
        assert_eq!(record.quotas(), ["P@@b"]);
    }
}
