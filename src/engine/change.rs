//! A change of the stock with all its consequences.
//!
//! **Invariant:** the stock is only changed through a [`Change`], so that no command can forget the feed, the alerts or
//! the statistics. These follow the writes in the same transaction.

use super::alerts::{self, Moves};
use super::effects::{self, Effect, Release};
use super::feed::{self, Event, Note};
use super::keyspace::{Keyspace, Tally};
use crate::inventory::line::Line;
use crate::inventory::sku::{ReservationId, Sku};

/// Everything that a step does. Once this is known, nothing may fail.
#[derive(Default)]
pub(super) struct Change<'a> {
    /// The writes.
    pub(super) writes: Writes,
    /// The event for the feed.
    pub(super) cause: Cause<'a>,
    /// The changes of available units, for the alerts.
    pub(super) moves: Moves,
    /// The statistic to increase, and by how much.
    pub(super) tally: Option<(Tally, i64)>,
}

/// The writes of a change, and the form in which they are replicated.
pub(super) enum Writes {
    /// The effects of a command, replicated as one command.
    Effects(Vec<Effect>),
    /// A release that no command asked for, replicated as plain commands.
    Release(Box<Release>),
}

impl Default for Writes {
    fn default() -> Self {
        Self::Effects(Vec::new())
    }
}

/// The reason for a change of the stock, as the feed reports it.
#[derive(Default)]
pub(super) enum Cause<'a> {
    /// The stock does not change, and the feed reports nothing.
    #[default]
    None,
    /// These lines of a reservation moved.
    Reservation(Event, &'a ReservationId, &'a [Line]),
    /// The reservation `new` took the place of `old`, which may be the same. For each sku, by how much more is held.
    Replacement { old: &'a ReservationId, new: &'a ReservationId, changes: Vec<(&'a Sku, i64)> },
    /// Units were added or removed without a reservation, perhaps with a note about the reason.
    Units(Event, Vec<(&'a Sku, i64)>, Option<&'a Note>),
}

impl<'a> Change<'a> {
    /// A change by a command that moves no units.
    pub(super) fn of(effects: Vec<Effect>) -> Self {
        Self { writes: Writes::Effects(effects), ..Self::default() }
    }

    /// Carries out the writes and their consequences.
    pub(super) fn carry_out<K: Keyspace>(self, keys: &mut K) {
        match &self.writes {
            // A count that confirms the stock changes nothing, but may have a note.
            Writes::Effects(effects) if effects.is_empty() => {}
            Writes::Effects(effects) => effects::write_all(keys, effects),
            Writes::Release(release) => release.write(keys),
        }
        match self.cause {
            Cause::None => {}
            Cause::Reservation(event, id, lines) => feed::tell_lines(keys, event, id, lines),
            Cause::Replacement { old, new, changes } => feed::tell_replaced(keys, old, new, &changes),
            Cause::Units(event, units, note) => {
                for (sku, units) in units {
                    feed::tell_units(keys, event, sku, units, note);
                }
            }
        }
        alerts::raise(keys, self.moves);
        if let Some((what, by)) = self.tally {
            keys.tally(what, by);
        }
    }
}
