//! The change feed: one stream entry for every change of stock that the module makes, and for every alert, in order, so
//! that another database can be kept in step. Off by default; then it costs a comparison.

use super::keyspace::{Counter, Keyspace};
use crate::inventory::alert::Alert;
use crate::inventory::key::Key;
use crate::inventory::line::Line;
use crate::inventory::sku::{ReservationId, Sku};

/// What changed the stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Held for a reservation.
    Reserved,
    /// Sold.
    Committed,
    /// Sold after its deadline had given it back: available falls, reserved does not.
    CommittedLate,
    /// Given back by a command.
    RolledBack,
    /// Given back by the deadline, or by whatever removed the record.
    Expired,
    /// Added, or taken away.
    Adjusted,
    /// Counted.
    Set,
    /// Moved from one warehouse to another: two entries.
    Transferred,
    /// Given back by the repair.
    Repaired,
}

impl Event {
    /// Its name in the `event` field.
    pub fn name(self) -> &'static str {
        match self {
            Event::Reserved => "reserved",
            Event::Committed => "committed",
            Event::CommittedLate => "committed_late",
            Event::RolledBack => "rolled_back",
            Event::Expired => "expired",
            Event::Adjusted => "adjusted",
            Event::Set => "set",
            Event::Transferred => "transferred",
            Event::Repaired => "repaired",
        }
    }
}

/// Tells of lines of a reservation that moved.
pub(super) fn tell_lines<K: Keyspace>(keys: &mut K, event: Event, id: &ReservationId, lines: &[Line]) {
    if keys.settings().feed_maxlen > 0 {
        for line in lines {
            append(keys, event, Some(id), &line.sku, line.quantity.units());
        }
    }
}

/// Tells of units that came or went without a reservation.
pub(super) fn tell_units<K: Keyspace>(keys: &mut K, event: Event, sku: &Sku, units: i64) {
    if keys.settings().feed_maxlen > 0 {
        append(keys, event, None, sku, units);
    }
}

/// Tells of an alert, in the fields of its JSON.
pub(super) fn tell_alert<K: Keyspace>(keys: &mut K, alert: &Alert) {
    let most = keys.settings().feed_maxlen;
    if most > 0 {
        let [available, threshold, timestamp] =
            [alert.available, alert.threshold, alert.timestamp].map(|number| number.to_string());
        let fields = [
            ("event", "alert"),
            ("product_id", &alert.product_id),
            ("type", alert.kind.name()),
            ("available", &available),
            ("threshold", &threshold),
            ("timestamp", &timestamp),
        ];
        keys.append(Key::Feed(&alert.product_id), &fields, most);
    }
}

fn append<K: Keyspace>(keys: &mut K, event: Event, id: Option<&ReservationId>, sku: &Sku, quantity: i64) {
    let mut units = |key| match Counter::from(keys.peek(key)) {
        Counter::Units(units) => units,
        Counter::Absent | Counter::Broken(_) => 0,
    };
    let numbers = [
        ("quantity", quantity),
        ("available", units(Key::Available(sku))),
        ("reserved", units(Key::Reserved(sku))),
        ("timestamp", keys.now()),
    ]
    .map(|(name, number)| (name, number.to_string()));
    let mut fields = vec![("event", event.name())];
    fields.extend(id.map(|id| ("reservation_id", id.as_str())));
    fields.push(("sku", sku.as_str()));
    fields.extend(numbers.iter().map(|(name, number)| (*name, number.as_str())));
    let most = keys.settings().feed_maxlen;
    keys.append(Key::Feed(sku.product()), &fields, most);
}
