//! Reads a server, or all masters of a cluster, into one reading.

use std::cmp::Reverse;

use redis::RedisError;

use crate::failure::{Exit, Failure};
use crate::server::address::Address;
use crate::server::masters::Masters;
use crate::server::reason;
use crate::watch::link::{Link, Rights, Share};
use crate::watch::reading::{ALERTS, Ask, Info, NEAREST, Reading, Trouble};

/// The masters, and the connections to them if there are any.
pub struct Source {
    address: Address,
    masters: Option<(Masters, Rights)>,
    is_broken: bool,
}

impl Source {
    /// A server, or any node of a cluster. It does not connect yet.
    pub const fn new(address: Address) -> Self {
        Self { address, masters: None, is_broken: false }
    }

    /// Makes one reading. If it fails, the next one finds the masters again.
    pub fn read(&mut self, ask: &Ask) -> Result<Reading, Trouble> {
        let reading = self.try_read(ask);
        self.is_broken = reading.is_err();
        reading
    }

    fn try_read(&mut self, ask: &Ask) -> Result<Reading, Trouble> {
        let lost = |error: &RedisError| trouble(error, &self.address);
        let (mut masters, mut rights) = match self.masters.take() {
            None => {
                let mut masters =
                    Masters::connect(self.address.clone()).map_err(|failure| connecting(&failure))?;
                let rights = match masters.nodes().first_mut() {
                    Some(node) => Rights::of(node).map_err(|error| lost(&error))?,
                    None => return Err(Trouble::Lost("the cluster has no master".to_owned())),
                };
                (masters, rights)
            }
            Some((mut masters, rights)) if self.is_broken => {
                let found = masters.find_again();
                if let Err(failure) = found {
                    // The nodes of a cluster are remembered: the one in the URL may be gone for long.
                    let is_cluster = masters.is_cluster();
                    self.masters = is_cluster.then_some((masters, rights));
                    return Err(connecting(&failure));
                }
                (masters, rights)
            }
            Some(masters) => masters,
        };
        let reading = read(&mut masters, &mut rights, ask).map_err(|error| lost(&error));
        self.masters = Some((masters, rights));
        reading
    }
}

/// Reads every master and joins what they say.
fn read(masters: &mut Masters, rights: &mut Rights, ask: &Ask) -> Result<Reading, RedisError> {
    let count = masters.nodes().len();
    let mut shares: Vec<Share> = (0..count).map(|_| Share::default()).collect();
    let (walked, from) = walk_of(&ask.walk, count);
    for (place, share) in shares.iter_mut().enumerate() {
        share.since = ask.since;
        share.after.clone_from(&ask.after);
        share.lists_nearest = ask.of.is_none();
        share.walk = (place == walked).then(|| from.to_owned());
    }
    for product in &ask.products {
        // While nobody serves its slot, its stock is as old as it is.
        if let Ok(place) = masters.place_of(product) {
            shares[place].products.push(product.clone());
        }
    }
    if let Some(search) = &ask.of
        && let Ok(place) = masters.place_of(&search.product)
    {
        shares[place].search = Some(search.clone());
    }
    let mut all = Reading::default();
    for (place, (node, share)) in masters.nodes().iter_mut().zip(&shares).enumerate() {
        let mut reading = Link { node, rights }.read(share)?;
        if place == walked {
            all.walk = reading.walk.take().map(|cursor| next_walk(&cursor, place, count));
        }
        join(&mut all, reading, place);
    }
    all.nearest.sort_by_key(|reservation| reservation.expires_at);
    all.is_cut |= all.nearest.len() > NEAREST;
    all.nearest.truncate(NEAREST);
    all.alerts.sort_by_key(|alert| Reverse(alert.timestamp));
    all.alerts.truncate(ALERTS);
    all.notes.extend(rights.notes());
    all.notes.dedup();
    Ok(all)
}

/// Adds what one more master says.
fn join(all: &mut Reading, one: Reading, place: usize) {
    let Reading { ahead, info, stock, nearest, is_cut, of, walk: _, alerts, changes, are_changes_cut, notes } =
        one;
    if place == 0 {
        (all.ahead, all.info) = (ahead, info);
    } else {
        // Totals of some of the masters would say too little.
        all.info = all.info.take().zip(info).map(|(sum, one)| add(sum, &one));
    }
    all.stock.extend(stock);
    all.nearest.extend(nearest);
    all.is_cut |= is_cut;
    all.of = all.of.take().or(of);
    all.alerts.extend(alerts);
    all.changes.extend(changes);
    all.are_changes_cut |= are_changes_cut;
    all.notes.extend(notes);
}

fn add(mut sum: Info, one: &Info) -> Info {
    sum.run += &one.run;
    sum.holds += one.holds;
    let (totals, more) = (&mut sum.totals, one.totals);
    totals.reserved += more.reserved;
    totals.committed += more.committed;
    totals.rolled_back += more.rolled_back;
    totals.expired += more.expired;
    totals.short += more.short;
    sum
}

/// The master whose products are walked over, and its cursor. In a cluster, a cursor is `2/c123`: the place of the master and its
/// own cursor.
fn walk_of(cursor: &str, count: usize) -> (usize, &str) {
    let own = cursor.split_once('/').and_then(|(place, own)| Some((place.parse().ok()?, own)));
    own.filter(|(place, _)| *place < count).unwrap_or((0, if cursor.contains('/') { "0" } else { cursor }))
}

fn next_walk(cursor: &str, place: usize, count: usize) -> String {
    match (count, cursor) {
        (1, cursor) => cursor.to_owned(),
        (_, "0") if place + 1 == count => "0".to_owned(),
        (_, "0") => format!("{}/0", place + 1),
        (_, cursor) => format!("{place}/{cursor}"),
    }
}

/// Why the masters were not found.
fn connecting(failure: &Failure) -> Trouble {
    match failure.exit {
        Exit::Refused => Trouble::Refused(failure.text.clone()),
        _ => Trouble::Lost(failure.text.clone()),
    }
}

fn trouble(error: &RedisError, address: &Address) -> Trouble {
    if reason::is_of_login(error) {
        return Trouble::Refused(format!("the server rejects this user: {}", reason::text(error)));
    }
    if error.is_timeout() {
        Trouble::Lost(format!("no answer within {} s", address.patience().as_secs()))
    } else if reason::is_unknown_command(error) {
        Trouble::Lost("the server does not know INV.SCAN: is the module loaded?".to_owned())
    } else {
        Trouble::Lost(reason::text(error))
    }
}

#[cfg(test)]
mod tests {
    use super::{next_walk, walk_of};

    /// The masters that a walk passes, each with two pages.
    fn passed(count: usize) -> Vec<(usize, String)> {
        let (mut cursor, mut passed) = ("0".to_owned(), Vec::new());
        loop {
            let (place, own) = walk_of(&cursor, count);
            passed.push((place, own.to_owned()));
            cursor = next_walk(if own == "0" { "c7" } else { "0" }, place, count);
            if cursor == "0" {
                return passed;
            }
        }
    }

    #[test]
    fn a_walk_passes_all_pages_of_all_masters() {
        let expected = |count: usize| -> Vec<(usize, String)> {
            (0..count).flat_map(|place| ["0", "c7"].map(|own| (place, own.to_owned()))).collect()
        };
        for count in 1..4 {
            assert_eq!(passed(count), expected(count));
        }
        assert_eq!(walk_of("2/c7", 2), (0, "0"), "there are fewer masters now");
        assert_eq!(walk_of("2/c7", 1), (0, "0"));
    }
}
