//! The change feed: a stream with one entry for every change of stock that the module makes, and for every alert, in
//! order. Another database can follow it. The feed is off by default, and then costs one comparison.

use super::keyspace::{Counter, Keyspace};
use crate::inventory::alert::Alert;
use crate::inventory::key::Key;
use crate::inventory::line::Line;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{ReservationId, Sku};

/// The cause of a change of stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Units were held for a reservation.
    Reserved,
    /// Units were sold.
    Committed,
    /// Units were sold after the deadline had returned them: available falls, and reserved does not change.
    CommittedLate,
    /// A command returned units.
    RolledBack,
    /// The deadline returned units, or something else removed the record.
    Expired,
    /// Units were added or removed.
    Adjusted,
    /// The stock was set to a count.
    Set,
    /// Units were moved between warehouses. This makes two entries.
    Transferred,
    /// The repair returned units.
    Repaired,
    /// A reservation was changed, or another one took its place. The quantity is by how much more is held, and negative
    /// if less is.
    Replaced,
}

impl Event {
    /// The value of the `event` field.
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
            Event::Replaced => "replaced",
        }
    }
}

/// A note of the shop about a change: its reason, or the document behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The text.
    pub text: String,
    /// The ACL user who made the change. `None` if it was the server itself.
    pub user: Option<String>,
}

/// Checks that a note can be kept.
///
/// # Errors
///
/// `ERR` if there is one and the feed is off.
pub(super) fn check_note<K: Keyspace>(keys: &K, note: Option<&Note>) -> Result<(), Refusal> {
    if note.is_some() && keys.settings().feed_maxlen == 0 {
        return Err(Refusal::invalid(
            "NOTE cannot be used while inv.feed-maxlen is 0: notes are kept in the change feed",
        ));
    }
    Ok(())
}

/// Reports the lines of a reservation that moved.
pub(super) fn tell_lines<K: Keyspace>(keys: &mut K, event: Event, id: &ReservationId, lines: &[Line]) {
    if keys.settings().feed_maxlen > 0 {
        for line in lines {
            append(keys, event, &[("reservation_id", id.as_str())], &line.sku, line.quantity.units(), None);
        }
    }
}

/// Reports the net change of each sku when the reservation `new` takes the place of `old`.
pub(super) fn tell_replaced<K: Keyspace>(
    keys: &mut K,
    old: &ReservationId,
    new: &ReservationId,
    changes: &[(&Sku, i64)],
) {
    if keys.settings().feed_maxlen > 0 {
        let ids = [("reservation_id", new.as_str()), ("replaces", old.as_str())];
        for (sku, units) in changes {
            append(keys, Event::Replaced, &ids, sku, *units, None);
        }
    }
}

/// Reports units that were added or removed without a reservation.
pub(super) fn tell_units<K: Keyspace>(
    keys: &mut K,
    event: Event,
    sku: &Sku,
    units: i64,
    note: Option<&Note>,
) {
    if keys.settings().feed_maxlen > 0 {
        append(keys, event, &[], sku, units, note);
    }
}

/// Reports an alert, with the fields of its JSON.
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

fn append<K: Keyspace>(
    keys: &mut K,
    event: Event,
    ids: &[(&str, &str)],
    sku: &Sku,
    quantity: i64,
    note: Option<&Note>,
) {
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
    fields.extend_from_slice(ids);
    fields.push(("sku", sku.as_str()));
    fields.extend(numbers.iter().map(|(name, number)| (*name, number.as_str())));
    fields.extend(note.map(|note| ("note", note.text.as_str())));
    fields.extend(note.and_then(|note| Some(("user", note.user.as_deref()?))));
    let most = keys.settings().feed_maxlen;
    keys.append(Key::Feed(sku.product()), &fields, most);
}
