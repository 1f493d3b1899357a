//! Keeps the results of the readings and handles the keys. It uses no server, terminal or clock: the caller passes `now`, in Unix
//! ms by this machine's clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::stock::Stock;
use crate::watch::lists::{Cursor, Order, Panel};
use crate::watch::rates::{Counts, Rates};
use crate::watch::reading::{Absence, Alert, Ask, Change, Reading, Reservation, STOCKS, Search, Totals};

/// The number of products that are kept; further ones are not shown.
pub const MOST_PRODUCTS: usize = 10_000;

/// The number of newest alerts that are kept.
pub const MOST_ALERTS: usize = 500;

/// A reading that takes longer than this is reported.
const SLOW_MS: i64 = 2_000;

/// A product that is known.
#[derive(Clone, Debug, Default)]
pub struct Product {
    /// Its stock at the last reading; `None` before the first.
    pub stock: Option<Stock>,
    /// Why the last reading has no stock.
    pub absence: Option<Absence>,
    /// The largest number of units on hand seen so far: the length of its bar.
    pub most: i64,
    /// The number of the last reading that requested it.
    asked: u64,
    /// Named by the user: it stays on the screen even if the server does not know it.
    is_named: bool,
}

/// Everything on the screen.
pub struct State {
    /// The server as it is displayed.
    pub target: String,
    /// Name and version, if the user may know.
    pub server: String,
    /// Live reservations in all databases, if the user may know.
    pub holds: Option<u64>,
    /// Reservations by deadline.
    pub nearest: Vec<Reservation>,
    /// There are more reservations than those.
    pub is_cut: bool,
    /// The product whose reservations are listed; `None` for all products.
    pub of: Option<String>,
    /// The search has not covered all reservations yet.
    pub is_searching: bool,
    /// Newest first.
    pub alerts: Vec<Alert>,
    /// What could not be read, and why.
    pub notes: Vec<String>,
    /// Since when readings have failed, and why.
    pub trouble: Option<(i64, String)>,
    /// The pause between two readings, in ms.
    pub pause: i64,
    /// There are products that are not kept.
    pub are_products_cut: bool,
    /// The list that the keys control.
    pub focus: Panel,
    /// Which products stand first.
    pub order: Order,
    /// The help is visible.
    pub is_help: bool,
    cursors: [Cursor; 3],
    products: BTreeMap<String, Product>,
    /// Names of the listed products, in order.
    sorted: Vec<String>,
    /// The cursor of the search for the reservations of one product.
    from: String,
    /// The cursor of the walk over all products, and whether a walk has reached its end.
    walk: String,
    is_walk_over: bool,
    /// The server's clock minus this machine's, ms.
    ahead: i64,
    /// When the last reading was requested, by the server's clock.
    read_at: i64,
    run: String,
    counts: Counts,
    /// The same from the feed, for a user who may not read INFO.
    changes: Counts,
    changed: Totals,
    are_changes_cut: bool,
    after: Option<String>,
    last_change: Option<Change>,
    readings: u64,
    asked_at: Option<i64>,
}

impl State {
    /// At first, only the server and the named products are known.
    pub fn new(target: String, named: &[String]) -> Self {
        let product = |name: &String| (name.clone(), Product { is_named: true, ..Product::default() });
        let mut state = Self {
            target,
            server: String::new(),
            holds: None,
            nearest: Vec::new(),
            is_cut: false,
            of: None,
            is_searching: false,
            from: "0".to_owned(),
            alerts: Vec::new(),
            notes: Vec::new(),
            trouble: None,
            pause: 0,
            are_products_cut: false,
            focus: Panel::Products,
            order: Order::LeastAvailable,
            is_help: false,
            cursors: [Cursor::default(); 3],
            products: named.iter().take(MOST_PRODUCTS).map(product).collect(),
            sorted: Vec::new(),
            walk: "0".to_owned(),
            is_walk_over: false,
            ahead: 0,
            read_at: 0,
            run: String::new(),
            counts: Counts::default(),
            changes: Counts::default(),
            changed: Totals::default(),
            are_changes_cut: false,
            after: None,
            last_change: None,
            readings: 0,
            asked_at: None,
        };
        state.sort();
        state
    }

    /// What the next reading requests: first the products on the screen, then those that have waited longest.
    pub fn ask(&mut self, now: i64) -> Ask {
        self.asked_at = Some(now);
        let Cursor { top, height, .. } = *self.cursor(Panel::Products);
        let shown = self.sorted.iter().skip(top).take(height.min(STOCKS));
        let shown: BTreeSet<&String> = shown.collect();
        let mut others: Vec<(u64, &String)> =
            self.products.iter().map(|(name, product)| (product.asked, name)).collect();
        others.retain(|(_, name)| !shown.contains(name));
        others.sort_unstable();
        let rest = STOCKS.saturating_sub(shown.len());
        let others = others.into_iter().map(|(_, name)| name).take(rest);
        Ask {
            products: shown.iter().copied().chain(others).cloned().collect(),
            of: self.of.as_ref().map(|product| Search {
                product: product.clone(),
                known: self.nearest.iter().map(|reservation| reservation.id.clone()).collect(),
                from: self.from.clone(),
            }),
            walk: self.walk.clone(),
            since: self.alerts.first().map_or(0, |alert| alert.timestamp),
            after: self.after.clone(),
        }
    }

    /// Handles a reading.
    pub fn take(&mut self, reading: Reading, now: i64) {
        self.trouble = None;
        self.readings += 1;
        self.ahead = reading.ahead.unwrap_or(0);
        let asked_at = self.asked_at.take().unwrap_or(now);
        self.read_at = self.there(asked_at);
        self.notes.clone_from(&reading.notes);
        self.count(&reading, now);
        self.meet(&reading);
        self.look_at_stock(reading.stock);
        self.hear(reading.alerts);
        let (of, from) = reading.of.unzip();
        // Ignore a reading that was requested before the selection changed.
        if of == self.of {
            self.nearest = reading.nearest;
            self.is_cut = reading.is_cut;
            self.is_searching &= from.as_deref().is_some_and(|from| from != "0");
            self.from = from.unwrap_or_default();
        }
        self.sort();
    }

    /// Removes reservations that have reached their deadline since the last reading.
    pub fn pass(&mut self, now: i64) {
        let over = self.read_at..=self.there(now);
        self.nearest.retain(|row| !row.expires_at.is_some_and(|deadline| over.contains(&deadline)));
    }

    /// Handles a failed reading.
    pub fn lose(&mut self, reason: String, now: i64) {
        self.asked_at = None;
        let since = self.trouble.as_ref().map_or(now, |(since, _)| *since);
        self.trouble = Some((since, reason));
        // The totals of this time are not from the last seconds.
        self.counts = Counts::default();
        self.changes = Counts::default();
    }

    /// A short description of what is wrong; `None` if all is well.
    pub fn complaint(&self, now: i64) -> Option<String> {
        if let Some((since, reason)) = &self.trouble {
            let seconds = (now - since) / 1000;
            return Some(format!("not connected for {seconds} s, trying again: {reason}"));
        }
        let waited = self.asked_at.map_or(0, |asked| now - asked);
        let first = if self.readings == 0 { "connecting" } else { "waiting for an answer" };
        (waited >= SLOW_MS).then(|| format!("{first} for {} s", waited / 1000))
    }

    /// Whether the server has answered at all.
    pub const fn has_read(&self) -> bool {
        self.readings > 0
    }

    /// Whether no product has been found or named.
    pub fn knows_no_product(&self) -> bool {
        self.products.is_empty()
    }

    /// Whether nothing has been read yet and the last attempt failed.
    pub const fn is_without_server(&self) -> bool {
        self.readings == 0 && self.trouble.is_some()
    }

    /// Whether the stock shown for a product may be out of date, because there are more products than a reading requests.
    pub fn is_old(&self, product: &Product) -> bool {
        self.readings.saturating_sub(product.asked) > 5
    }

    /// The listed products, in order.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &Product)> {
        self.sorted.iter().filter_map(|name| Some((name.as_str(), self.products.get(name)?)))
    }

    /// The number of listed products.
    pub fn count_of_products(&self) -> usize {
        self.sorted.len()
    }

    /// Whether the first walk over all products has not reached its end.
    pub const fn is_finding_products(&self) -> bool {
        self.has_read() && !self.is_walk_over
    }

    /// The server's time, Unix ms.
    pub const fn there(&self, now: i64) -> i64 {
        now.saturating_add(self.ahead)
    }

    /// What happens per second; `None` if neither INFO nor a feed is available.
    pub fn rates(&self) -> Option<Rates> {
        let of = |counts: &Counts, has_short: bool, are_at_least: bool| {
            Some(Rates {
                reserved: counts.rate(|totals| totals.reserved)?,
                committed: counts.rate(|totals| totals.committed)?,
                rolled_back: counts.rate(|totals| totals.rolled_back)?,
                expired: counts.rate(|totals| totals.expired)?,
                short: if has_short { counts.rate(|totals| totals.short) } else { None },
                are_at_least,
            })
        };
        if self.holds.is_some() {
            return of(&self.counts, true, false);
        }
        self.after.as_ref().and_then(|_| of(&self.changes, false, self.are_changes_cut))
    }

    /// Handles a key. Returns false if the program should end.
    pub fn press(&mut self, key: KeyEvent) -> bool {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => return false,
            KeyCode::Char('q') => return false,
            _ if self.is_help => self.is_help = false,
            KeyCode::Char('?' | 'h') => self.is_help = true,
            KeyCode::Tab => self.focus = self.focus.next(),
            KeyCode::BackTab => self.focus = self.focus.previous(),
            KeyCode::Char('1') => self.focus = Panel::Products,
            KeyCode::Char('2') => self.focus = Panel::Reservations,
            KeyCode::Char('3') => self.focus = Panel::Alerts,
            KeyCode::Char('s') => {
                self.order = self.order.next();
                self.cursor(Panel::Products).at = 0;
                self.sort();
            }
            KeyCode::Enter => self.choose(),
            KeyCode::Esc => self.show_reservations_of(None),
            code => {
                let length = self.length(self.focus);
                self.cursor(self.focus).press(code, length);
            }
        }
        true
    }

    /// The position in a list.
    pub const fn cursor(&mut self, panel: Panel) -> &mut Cursor {
        let [products, reservations, alerts] = &mut self.cursors;
        match panel {
            Panel::Products => products,
            Panel::Reservations => reservations,
            Panel::Alerts => alerts,
        }
    }

    /// The number of rows of a list.
    pub fn length(&self, panel: Panel) -> usize {
        match panel {
            Panel::Products => self.sorted.len(),
            Panel::Reservations => self.nearest.len(),
            Panel::Alerts => self.alerts.len(),
        }
    }

    /// Lists the reservations of the selected product, or all again.
    fn choose(&mut self) {
        let at = self.cursor(self.focus).at;
        let product = match self.focus {
            Panel::Products => self.sorted.get(at),
            Panel::Reservations => {
                self.nearest.get(at).and_then(|row| row.items.first()).map(|item| &item.product)
            }
            Panel::Alerts => self.alerts.get(at).map(|alert| &alert.product),
        };
        let product = product.cloned().filter(|product| self.of.as_ref() != Some(product));
        self.show_reservations_of(product);
    }

    fn show_reservations_of(&mut self, product: Option<String>) {
        if product != self.of {
            self.is_searching = product.is_some();
            self.from = "0".to_owned();
            self.of = product;
            self.nearest.clear();
            self.is_cut = false;
            *self.cursor(Panel::Reservations) = Cursor::default();
        }
    }

    fn count(&mut self, reading: &Reading, now: i64) {
        self.holds = reading.info.as_ref().map(|info| info.holds);
        if let Some(info) = &reading.info {
            if info.run != self.run {
                self.counts = Counts::default();
            }
            self.run.clone_from(&info.run);
            self.server.clone_from(&info.server);
            self.counts.add(self.there(now), info.totals);
        }
        for change in &reading.changes {
            // The lines of one reservation in the same step count once.
            let is_same = self.last_change.as_ref().is_some_and(|last| {
                change.reservation.is_some()
                    && (&last.reservation, &last.event, last.timestamp)
                        == (&change.reservation, &change.event, change.timestamp)
            });
            if !is_same {
                let total = match change.event.as_str() {
                    "reserved" => Some(&mut self.changed.reserved),
                    "committed" | "committed_late" => Some(&mut self.changed.committed),
                    "rolled_back" => Some(&mut self.changed.rolled_back),
                    "expired" => Some(&mut self.changed.expired),
                    _ => None,
                };
                total.into_iter().for_each(|total| *total += 1);
            }
            self.last_change = Some(change.clone());
            self.after = Some(change.entry.clone());
        }
        self.are_changes_cut = reading.are_changes_cut;
        self.changes.add(now, self.changed);
    }

    /// Adds the products that a reading names, and continues the walk.
    fn meet(&mut self, reading: &Reading) {
        let items = reading.nearest.iter().flat_map(|reservation| &reservation.items);
        let items = items.map(|item| &item.product);
        let alerts = reading.alerts.iter().map(|alert| &alert.product);
        let changes = reading.changes.iter().map(|change| &change.product);
        let met = reading.stock.iter().filter(|(_, stock)| stock.is_ok()).map(|(name, _)| name);
        for name in items.chain(alerts).chain(changes).chain(met) {
            if self.products.contains_key(name) {
                continue;
            }
            if self.products.len() < MOST_PRODUCTS {
                self.products.insert(name.clone(), Product::default());
            } else {
                self.are_products_cut = true;
            }
        }
        // A user who may not walk finds no more products than these. After its end, the walk begins again.
        self.is_walk_over |= reading.walk.as_deref().is_none_or(|walk| walk == "0");
        self.walk = reading.walk.clone().unwrap_or_else(|| "0".to_owned());
    }

    fn look_at_stock(&mut self, stock: Vec<(String, Result<Stock, Absence>)>) {
        for (name, stock) in stock {
            let Some(product) = self.products.get_mut(&name) else { continue };
            product.asked = self.readings;
            if let Ok(stock) = &stock {
                product.most = product.most.max(stock.units.on_hand());
            } else if !product.is_named {
                self.products.remove(&name);
                continue;
            }
            product.absence = stock.as_ref().err().copied();
            product.stock = stock.ok();
        }
    }

    fn hear(&mut self, alerts: Vec<Alert>) {
        self.alerts.extend(alerts);
        self.alerts.sort_by_cached_key(|alert| {
            (Reverse(alert.timestamp), alert.product.clone(), alert.kind.clone())
        });
        self.alerts.dedup();
        self.alerts.truncate(MOST_ALERTS);
    }

    /// Sorts the products. A selected product stays selected when its row changes; the first row stays the first row.
    fn sort(&mut self) {
        let cursor = *self.cursor(Panel::Products);
        let chosen = self.sorted.get(cursor.at).filter(|_| cursor.at > 0).cloned();
        let is_shown = |product: &Product| product.stock.is_some() || product.is_named;
        let mut rows: Vec<(&String, &Product)> =
            self.products.iter().filter(|(_, product)| is_shown(product)).collect();
        let units = |product: &Product| product.stock.as_ref().map(|stock| stock.units);
        match self.order {
            // A missing product cannot be sold, like one without units.
            Order::LeastAvailable => {
                rows.sort_by_key(|(_, product)| units(product).map(|units| units.reservable))
            }
            Order::MostReserved => {
                rows.sort_by_key(|(_, product)| Reverse(units(product).map(|units| units.reserved)))
            }
            Order::Name => {}
        }
        self.sorted = rows.into_iter().map(|(name, _)| name.clone()).collect();
        if let Some(chosen) = chosen
            && let Some(at) = self.sorted.iter().position(|name| *name == chosen)
        {
            let cursor = self.cursor(Panel::Products);
            // The selected product keeps its position on the screen if the list allows.
            cursor.top = (cursor.top + at).saturating_sub(cursor.at);
            cursor.at = at;
        }
    }
}
