//! One sale: the doors open, the crowd runs, and somebody keeps the books.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use redis::{Client, Connection, RedisResult};

use super::crowd::{Mind, Shopper};
use super::shop::Shop;

/// How often the stock is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// All threads of shoppers hardly do anything at a time.
const STACK: usize = 256 * 1024;

/// What the shop has written down.
#[derive(Default)]
pub struct Books {
    pub taken: Counter,
    pub sold: Counter,
    pub given_back: Counter,
    pub too_late: Counter,
    /// Those who have taken a unit and are never seen again.
    pub vanished: Counter,
    pub left_without: Counter,
}

impl Books {
    /// What changes while somebody takes or brings back a unit.
    fn moves(&self) -> [i64; 4] {
        [&self.taken, &self.sold, &self.given_back, &self.vanished].map(Counter::count)
    }
}

/// A number that many count on.
#[derive(Default)]
pub struct Counter(AtomicI64);

impl Counter {
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub fn add_if(&self, is_so: bool) {
        if is_so {
            self.add();
        }
    }

    pub fn count(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// What was there at a moment of the sale.
pub struct Look {
    pub at: Duration,
    pub available: i64,
    pub held: i64,
    pub sold: i64,
}

/// How a sale went.
pub struct Report {
    pub name: &'static str,
    pub shoppers: i64,
    pub units: i64,
    pub books: Books,
    pub looks: Vec<Look>,
    /// Units that are left, and those that are held for ever.
    pub available: i64,
    pub held: i64,
    /// Units that nobody gave back, and that came back.
    pub by_deadline: i64,
    pub time: Duration,
}

impl Report {
    /// Where the table does not add up, if anywhere. Every unit that was taken and every shopper ended in some way; and where
    /// no more is taken than there is, what is not sold is available or held.
    pub fn fault(&self) -> Option<String> {
        let [taken, sold, given_back, _] = self.books.moves();
        let (left, late) = (self.books.left_without.count(), self.books.too_late.count());
        let ends = sold + given_back + self.by_deadline + self.held;
        if taken + left != self.shoppers {
            Some(format!("{taken} took a unit and {left} left without one, of {} shoppers", self.shoppers))
        } else if taken != ends || self.by_deadline < late {
            Some(format!("{taken} units were taken, and it is known of {ends} what became of them"))
        } else if self.available + taken - given_back - self.by_deadline != self.units {
            let available = self.available;
            Some(format!("{available} of {} are available: units were lost or doubled", self.units))
        } else if self.available > 0 && left > 0 {
            Some(format!("{} units are available, and {left} left without one", self.available))
        } else {
            None
        }
    }

    /// Sold, and not there.
    pub fn oversold(&self) -> i64 {
        (self.books.sold.count() - self.units).max(0)
    }
}

/// A server, a crowd, and what there is for it.
pub struct Sale {
    pub client: Client,
    pub crowd: Vec<Shopper>,
    pub units: i64,
}

impl Sale {
    /// Holds the sale in this way of selling.
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
        // When the last thread waits at the doors.
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

/// What a thread has answered. A panic there is one here.
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
        // The browser is closed, the battery is empty.
        Mind::Vanishes => books.vanished.add(),
    }
    Ok(())
}

/// Looks at the stock until all have gone, and what is held for those who vanished had its time. On the way it tells those
/// who wait for a unit when none can come any more.
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
        // Without a deadline the units of those who have vanished never come back. All others that are held may.
        let [.., vanished] = before;
        let lost = if S::HOLD.is_none() { vanished } else { 0 };
        // Counts that were taken one after the other are of one moment only if nothing has moved meanwhile.
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
