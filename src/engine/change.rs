//! A change of the stock with all its consequences.
//!
//! **Invariant:** whoever changes the stock does it by a [`Change`], so that no command can forget the feed, the alerts or the
//! operator's numbers. They follow the writes, in the transaction of their cause.

use super::alerts::{self, Moves};
use super::effects::{self, Effect, Release};
use super::feed::{self, Event};
use super::keyspace::{Keyspace, Tally};
use crate::inventory::line::Line;
use crate::inventory::sku::{ReservationId, Sku};

/// What a step does. After it is known, nothing may fail.
#[derive(Default)]
pub(super) struct Change<'a> {
    /// What is written.
    pub(super) writes: Writes,
    /// What the feed tells of.
    pub(super) cause: Cause<'a>,
    /// How available units move, for the alerts.
    pub(super) moves: Moves,
    /// What is counted for the operator, and by how much.
    pub(super) tally: Option<(Tally, i64)>,
}

/// What a change writes, and how it goes to the copies.
pub(super) enum Writes {
    /// What a command does: replicated as one command.
    Effects(Vec<Effect>),
    /// What comes back by itself: replicated as plain commands.
    Release(Release),
}

impl Default for Writes {
    fn default() -> Self {
        Self::Effects(Vec::new())
    }
}

/// Why the stock changes, as the feed tells it.
#[derive(Default)]
pub(super) enum Cause<'a> {
    /// It does not change: the feed tells nothing.
    #[default]
    None,
    /// These lines of a reservation moved.
    Reservation(Event, &'a ReservationId, &'a [Line]),
    /// Units came or went without a reservation.
    Units(Event, Vec<(&'a Sku, i64)>),
}

impl<'a> Change<'a> {
    /// A command's change that moves no units.
    pub(super) fn of(effects: Vec<Effect>) -> Self {
        Self { writes: Writes::Effects(effects), ..Self::default() }
    }

    /// Writes it, and lets its consequences follow.
    pub(super) fn carry_out<K: Keyspace>(self, keys: &mut K) {
        match &self.writes {
            Writes::Effects(effects) => effects::write_all(keys, effects),
            Writes::Release(release) => release.write(keys),
        }
        match self.cause {
            Cause::None => {}
            Cause::Reservation(event, id, lines) => feed::tell_lines(keys, event, id, lines),
            Cause::Units(event, units) => {
                for (sku, units) in units {
                    feed::tell_units(keys, event, sku, units);
                }
            }
        }
        alerts::raise(keys, self.moves);
        if let Some((what, by)) = self.tally {
            keys.tally(what, by);
        }
    }
}
