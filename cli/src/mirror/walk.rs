//! The order in which everything is compared: first what the server has, then what only the tables have.
//!
//! A walk finds what no entry of a feed tells: counters that another client has changed, floors and other settings, quotas,
//! deadlines that INV.EXTEND has moved, and whatever a gap or a failover has taken away.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use crate::tables::settings::Setting;

/// The next page of a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// The keys of the stock on the master at this place, from this cursor of SCAN on.
    Keys(usize, String),
    /// The live reservations there, from this cursor of INV.SCAN on.
    Live(usize, String),
    /// The skus of the table `stock` after this one.
    Skus(String),
    /// The rows of `quota`.
    Quotas(String),
    /// The rows of `setting`.
    Settings(Setting),
    /// The rows of `reservation` that hold units.
    Held(String),
    /// Everything has been looked at. The walk ends when the feeds have been read up to what was seen.
    End,
}

/// A walk through everything, or only through the reservations.
#[derive(Debug)]
pub struct Walk {
    /// When it began.
    pub began: Instant,
    /// Whether it also compares the stock.
    pub is_complete: bool,
    /// The next page.
    pub page: Page,
    masters: usize,
    seen: HashSet<u64>,
}

const START: &str = "0";

impl Walk {
    /// Begins to compare everything, on so many masters.
    pub fn complete(masters: usize) -> Self {
        Self::new(masters, true, Page::Keys(0, START.to_owned()))
    }

    /// Begins to compare only the reservations.
    pub fn reservations(masters: usize) -> Self {
        Self::new(masters, false, Page::Live(0, START.to_owned()))
    }

    fn new(masters: usize, is_complete: bool, page: Page) -> Self {
        Self { began: Instant::now(), is_complete, page, masters, seen: HashSet::new() }
    }

    /// Notes that the server has this.
    pub fn see(&mut self, kind: &str, name: &str) {
        self.seen.insert(hash(kind, name));
    }

    /// Whether the server was not found to have this.
    pub fn is_unseen(&self, kind: &str, name: &str) -> bool {
        !self.seen.contains(&hash(kind, name))
    }

    /// Goes on after a page of a server, whose next cursor this is.
    pub fn go_on(&mut self, cursor: String) {
        self.page = match &self.page {
            Page::Keys(place, _) if cursor != START => Page::Keys(*place, cursor),
            Page::Keys(place, _) if place + 1 < self.masters => Page::Keys(place + 1, START.to_owned()),
            Page::Keys(..) => Page::Live(0, START.to_owned()),
            Page::Live(place, _) if cursor != START => Page::Live(*place, cursor),
            Page::Live(place, _) if place + 1 < self.masters => Page::Live(place + 1, START.to_owned()),
            Page::Live(..) if self.is_complete => Page::Skus(String::new()),
            Page::Live(..) => Page::Held(String::new()),
            page => page.clone(),
        };
    }

    /// Goes on after a page of the tables, whose last name this is; `None` after the last page.
    pub fn go_on_after(&mut self, last: Option<Setting>) {
        self.page = match (&self.page, last) {
            (Page::Skus(_), Some(last)) => Page::Skus(last.name),
            (Page::Skus(_), None) => Page::Quotas(String::new()),
            (Page::Quotas(_), Some(last)) => Page::Quotas(last.name),
            (Page::Quotas(_), None) => Page::Settings(Setting { kind: String::new(), name: String::new() }),
            (Page::Settings(_), Some(last)) => Page::Settings(last),
            (Page::Settings(_), None) => Page::Held(String::new()),
            (Page::Held(_), Some(last)) => Page::Held(last.name),
            (Page::Held(_), None) => Page::End,
            (page, _) => page.clone(),
        };
    }
}

fn hash(kind: &str, name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (kind, name).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::{Page, Walk};
    use crate::tables::settings::Setting;

    fn pages(mut walk: Walk) -> Vec<String> {
        let mut pages = Vec::new();
        while walk.page != Page::End {
            pages.push(format!("{:?}", walk.page).split(['(', ' ']).next().unwrap().to_owned());
            match &walk.page {
                Page::Keys(_, cursor) | Page::Live(_, cursor) => {
                    let next = if cursor == "0" { "7" } else { "0" };
                    walk.go_on(next.to_owned());
                }
                Page::Skus(name) | Page::Quotas(name) | Page::Held(name) => {
                    let setting = Setting { kind: String::new(), name: "x".to_owned() };
                    let last = name.is_empty().then_some(setting);
                    walk.go_on_after(last);
                }
                Page::Settings(after) => {
                    let setting = Setting { kind: "floor".to_owned(), name: "x".to_owned() };
                    let last = after.name.is_empty().then_some(setting);
                    walk.go_on_after(last);
                }
                Page::End => {}
            }
        }
        pages
    }

    #[test]
    fn a_walk_visits_every_page_of_every_master_and_table() {
        let twice = |name: &str| vec![name.to_owned(); 2];
        let all = ["Keys", "Keys", "Live", "Live", "Skus", "Quotas", "Settings", "Held"];
        assert_eq!(pages(Walk::complete(2)), all.map(twice).concat());
        assert_eq!(pages(Walk::reservations(1)), ["Live", "Held"].map(twice).concat());
    }

    #[test]
    fn what_the_server_has_is_not_looked_up_again() {
        let mut walk = Walk::complete(1);
        walk.see("sku", "P");
        assert!(!walk.is_unseen("sku", "P"));
        assert!(walk.is_unseen("quota", "P"));
    }
}
