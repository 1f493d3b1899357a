//! One sale: the doors open, the crowd runs, and somebody keeps the books.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use redis::{Client, Connection, RedisResult};

use super::crowd::{LONGEST, Mind, Shopper};
use super::shop::Shop;

/// Who has got none by then goes home.
const CLOSES: Duration = Duration::from_secs(9);

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
    pub left_without: Counter,
}

/// A number that many count on.
#[derive(Default)]
pub struct Counter(AtomicI64);

impl Counter {
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
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

        let (books, is_over) = (Books::default(), AtomicBool::new(false));
        // When the last thread waits at the doors.
        let doors = Instant::now() + Duration::from_millis(300);
        let looks = thread::scope(|scope| {
            let clerk = scope.spawn(|| keep_looking::<S>(&mut own, &books, &bar, doors, &is_over));
            let shoppers: RedisResult<Vec<_>> = (self.crowd.iter().zip(connections))
                .map(|(shopper, mut connection)| {
                    let (books, bar) = (&books, &bar);
                    let shop = move || {
                        let went = go_shopping::<S>(&mut connection, shopper, books, doors);
                        bar.inc(1);
                        went
                    };
                    Ok(thread::Builder::new().stack_size(STACK).spawn_scoped(scope, shop)?)
                })
                .collect();
            let went = shoppers
                .and_then(|shoppers| shoppers.into_iter().try_for_each(|shopper| joined(shopper.join())));
            is_over.store(true, Ordering::Relaxed);
            let looks = joined(clerk.join());
            went.and(looks)
        })?;
        bar.finish();
        let (available, held) = S::stock(&mut own, &books)?;
        let settled = books.sold.count() + books.given_back.count() + held;
        Ok(Report {
            name: S::NAME,
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
) -> RedisResult<()> {
    sleep_until(doors + shopper.comes);
    let mut attempt = 1;
    let order = loop {
        let order = format!("order-{}-{attempt}", shopper.number);
        if S::take(connection, &order, || thread::sleep(shopper.page))? {
            books.taken.add();
            break order;
        }
        if doors.elapsed() > CLOSES {
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
        Mind::Vanishes => {}
    }
    Ok(())
}

/// Looks at the stock until all have gone, and what is held for those who vanished had its time.
fn keep_looking<S: Shop>(
    connection: &mut Connection,
    books: &Books,
    bar: &ProgressBar,
    doors: Instant,
    is_over: &AtomicBool,
) -> RedisResult<Vec<Look>> {
    sleep_until(doors);
    let mut looks = Vec::new();
    // The last may have taken hers at the end.
    let latest = CLOSES + S::HOLD.unwrap_or_default() + 2 * LONGEST;
    loop {
        let gone = is_over.load(Ordering::Relaxed);
        let (available, held) = S::stock(connection, books)?;
        let look = Look { at: doors.elapsed(), available, held, sold: books.sold.count() };
        bar.set_message(format!("available {available:>3}, reserved {held:>3}, sold {:>3}", look.sold));
        let at = look.at;
        looks.push(look);
        if gone && (S::HOLD.is_none() || held == 0 || at > latest) {
            return Ok(looks);
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
