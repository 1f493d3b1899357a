//! Runs one sale and keeps its records.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use redis::{Client, Connection, RedisResult};

use crate::demo::books::Books;
use crate::demo::crowd::{Mind, Shopper};
use crate::demo::shop::Shop;

/// How often the stock is sampled.
const LOOK: Duration = Duration::from_millis(50);

/// A shopper's thread needs little memory.
const STACK: usize = 256 * 1024;

/// A sample of the sale.
pub struct Look {
    pub at: Duration,
    pub available: i64,
    pub held: i64,
    pub sold: i64,
}

/// The results of a sale.
pub struct Report {
    pub name: &'static str,
    pub shoppers: i64,
    pub units: i64,
    pub books: Books,
    pub looks: Vec<Look>,
    /// Units that are left, and units that stay held forever.
    pub available: i64,
    pub held: i64,
    /// Units that no shopper returned, and that returned by themselves.
    pub by_deadline: i64,
    pub time: Duration,
}

impl Report {
    /// Why the table does not add up, if it does not. Every unit taken and every shopper must have ended in some way; and if no
    /// more units were taken than existed, unsold units must be available or held.
    pub fn fault(&self) -> Option<String> {
        let [taken, sold, given_back, _] = self.books.moves();
        let (left, late) = (self.books.left_without.count(), self.books.too_late.count());
        let ends = sold + given_back + self.by_deadline + self.held;
        if taken + left != self.shoppers {
            Some(format!("{taken} took a unit and {left} left without one, of {} shoppers", self.shoppers))
        } else if taken != ends || self.by_deadline < late {
            Some(format!("{taken} units were taken, but only {ends} ended in a known way"))
        } else if self.available + taken - given_back - self.by_deadline != self.units {
            let available = self.available;
            Some(format!("{available} of {} are available: units were lost or doubled", self.units))
        } else if self.available > 0 && left > 0 {
            Some(format!("{} units are available, although {left} shoppers left without one", self.available))
        } else {
            None
        }
    }

    /// Units that were sold and did not exist.
    pub fn oversold(&self) -> i64 {
        (self.books.sold.count() - self.units).max(0)
    }
}

/// A server, a crowd, and the stock for it.
pub struct Sale {
    pub client: Client,
    pub crowd: Vec<Shopper>,
    pub units: i64,
}

impl Sale {
    /// Holds the sale in this way.
    pub fn hold<S: Shop>(&self) -> RedisResult<Report> {
        let mut own = self.client.get_connection()?;
        S::open(&mut own, self.units)?;
        let bar = bar(S::NAME, self.crowd.len());
        bar.set_message("the crowd gathers");
        let connections = (self.crowd.iter())
            .map(|_| self.client.get_connection().inspect(|_| bar.inc(1)))
            .collect::<RedisResult<Vec<Connection>>>()?;
        bar.set_position(0);

        let (books, is_over, have_gone) = (Books::default(), AtomicBool::new(false), AtomicBool::new(false));
        // By then, every thread is waiting for the sale to open.
        let doors = Instant::now() + Duration::from_millis(300);
        let looks = thread::scope(|scope| {
            let clerk =
                scope.spawn(|| keep_looking::<S>(&mut own, &books, &bar, doors, [&is_over, &have_gone]));
            let shoppers: RedisResult<Vec<_>> = (self.crowd.iter().zip(connections))
                .map(|(shopper, mut connection)| {
                    let (books, bar, is_over) = (&books, &bar, &is_over);
                    let shop = move || {
                        let went = go_shopping::<S>(&mut connection, shopper, books, doors, is_over);
                        bar.inc(1);
                        went
                    };
                    Ok(thread::Builder::new().stack_size(STACK).spawn_scoped(scope, shop)?)
                })
                .collect();
            let went = shoppers
                .and_then(|shoppers| shoppers.into_iter().try_for_each(|shopper| joined(shopper.join())));
            have_gone.store(true, Ordering::SeqCst);
            let looks = joined(clerk.join());
            went.and(looks)
        })?;
        bar.finish();
        let (available, held) = S::stock(&mut own, &books)?;
        let settled = books.sold.count() + books.given_back.count() + held;
        Ok(Report {
            name: S::NAME,
            shoppers: i64::try_from(self.crowd.len()).unwrap_or(i64::MAX),
            units: self.units,
            available,
            held,
            by_deadline: books.taken.count() - settled,
            time: doors.elapsed(),
            books,
            looks,
        })
    }
}

/// The result of a thread. Its panic becomes one here.
fn joined<T>(answer: thread::Result<RedisResult<T>>) -> RedisResult<T> {
    answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn go_shopping<S: Shop>(
    connection: &mut Connection,
    shopper: &Shopper,
    books: &Books,
    doors: Instant,
    is_over: &AtomicBool,
) -> RedisResult<()> {
    sleep_until(doors + shopper.comes);
    let mut attempt = 1;
    let order = loop {
        let order = format!("order-{}-{attempt}", shopper.number);
        if S::take(connection, &order, books, || thread::sleep(shopper.page))? {
            break order;
        }
        if is_over.load(Ordering::SeqCst) {
            books.left_without.add();
            return Ok(());
        }
        thread::sleep(shopper.waits);
        attempt += 1;
    };
    thread::sleep(shopper.decides);
    match shopper.mind {
        Mind::Pays => {
            thread::sleep(shopper.pays);
            let is_sold = S::sell(connection, &order)?;
            if is_sold { books.sold.add() } else { books.too_late.add() }
        }
        Mind::Changes => {
            S::give_back(connection, &order)?;
            books.given_back.add();
        }
        // The browser was closed, or the battery is empty.
        Mind::Vanishes => books.vanished.add(),
    }
    Ok(())
}

/// Samples the stock until all shoppers have gone and all holds of those who disappeared have expired. When no unit can return
/// any more, it tells the shoppers who wait for one.
fn keep_looking<S: Shop>(
    connection: &mut Connection,
    books: &Books,
    bar: &ProgressBar,
    doors: Instant,
    [is_over, have_gone]: [&AtomicBool; 2],
) -> RedisResult<Vec<Look>> {
    sleep_until(doors);
    let mut looks = Vec::new();
    loop {
        let all_have_gone = have_gone.load(Ordering::SeqCst);
        let before = books.moves();
        let (available, held) = S::stock(connection, books)?;
        let look = Look { at: doors.elapsed(), available, held, sold: books.sold.count() };
        bar.set_message(format!("available {available:>3}, reserved {held:>3}, sold {:>3}", look.sold));
        looks.push(look);
        // Without a deadline, units of shoppers who disappeared never return. All other held units may.
        let [.., vanished] = before;
        let lost = if S::HOLD.is_none() { vanished } else { 0 };
        // The counters were read one after the other: they are consistent only if nothing has changed in between.
        if held == lost && books.moves() == before {
            if available <= 0 {
                is_over.store(true, Ordering::SeqCst);
            }
            if all_have_gone {
                return Ok(looks);
            }
        }
        thread::sleep(LOOK);
    }
}

fn bar(name: &'static str, shoppers: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:<16}{wide_bar} {pos:>5}/{len} gone, {msg}");
    let bar = ProgressBar::new(shoppers as u64).with_prefix(name);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

fn sleep_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}
