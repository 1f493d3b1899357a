//! Load, kill -9, restart, audit; again and again.
//!
//! `INV_CRASH_ROUNDS` says how often (20), `INV_CRASH_SEED` which course the clients take. The moment of each kill is the
//! machine's, so a seed alone does not bring the same crash again.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use crate::books::{Books, Units, counted};
use crate::dice::{Dice, any_seed, number};
use crate::harness::{Client, Json, Server, code};

const CLIENTS: u64 = 3;

/// Skus and their stock. Of the last so little that reservations wait for each other's deadlines; it is never sold.
const STOCK: [(&str, i64); 4] = [("P", 1_000_000), ("Q", 1_000_000), ("R", 1_000_000), (RARE, 12)];
const RARE: &str = "RARE";

/// What a crash may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    /// All since the last snapshot, and the outcomes of what fell due while the server was down.
    Snapshots,
    /// What was written last.
    NearlyAll,
    /// Nothing that was answered.
    All,
}

/// A shop that goes through every third crash.
struct Site {
    keeps: Keeps,
    server: Server,
    /// In the background now and then, and perhaps cut off by the kill.
    now_and_then: &'static str,
}

impl Site {
    fn open(keeps: Keeps) -> Self {
        let (options, now_and_then): (&[&str], _) = match keeps {
            Keeps::Snapshots => (&[], "BGSAVE"),
            Keeps::NearlyAll => (&["appendonly yes", "appendfsync everysec"], "BGREWRITEAOF"),
            Keeps::All => (&["appendonly yes", "appendfsync always"], "BGREWRITEAOF"),
        };
        let common = ["inv.outcome-ttl-ms 1000000000", "inv.feed-maxlen 1000000000", "inv.alert-ttl-ms 1000"];
        let server = Server::start_with(&[options, &common].concat());
        let mut shop = server.connect();
        for (sku, units) in STOCK {
            shop.ask(format!("SET stock:available:{sku} {units}"));
        }
        // The first reservation marks the database as the module's alone.
        shop.ask("INV.RESERVE first EX 9000 ITEMS P 1 RARE 1");
        shop.ask("SAVE");
        Self { keeps, server, now_and_then }
    }

    /// One round: load, kill, restart, audit. Gives a line that tells of it.
    fn crash(&mut self, round: u64, seed: u64) -> String {
        let mut dice = Dice::new(seed ^ (round << 8));
        let life = Duration::from_millis(50 + dice.roll(201));
        let clients = (0..CLIENTS).map(|n| {
            let (client, dice) = (self.server.connect(), Dice::new(seed ^ (round << 8) ^ (n + 1)));
            Customer { client, dice, prefix: format!("{round}-{n}"), told: BTreeMap::new(), open: Vec::new() }
        });
        let clients: Vec<Customer> = clients.collect();
        let mut clerk = self.server.connect();
        let told: BTreeMap<String, &[&str]> = thread::scope(|scope| {
            let shopping: Vec<_> =
                clients.into_iter().map(|client| scope.spawn(move || client.shop())).collect();
            // How long it lives is what the round is about: there is nothing to wait for.
            let before = life.mul_f64(dice.roll(100) as f64 / 100.0);
            thread::sleep(before);
            let began = if dice.roll(3) > 0 { clerk.try_ask(self.now_and_then) } else { Ok(Json::Null) };
            thread::sleep(life.saturating_sub(before));
            // Before anything can fail: the clients go on until then.
            self.server.kill();
            began.expect("it begins to write a file");
            shopping.into_iter().flat_map(|client| client.join().expect("no client fails")).collect()
        });
        self.server.start_again();
        self.server.mend_aof();
        self.audit(&told)
    }

    fn audit(&self, told: &BTreeMap<String, &[&str]>) -> String {
        let mut shop = self.server.connect();
        let keeps = self.keeps;
        let books = Books::balanced(&mut shop);
        let sold = sold_by_feed(&mut shop);
        for (sku, units) in STOCK {
            let all = books.on_hand()[sku] + sold.get(sku).copied().unwrap_or(0);
            assert_eq!(all, units, "{keeps:?}: units of {sku}, of which these are sold: {sold:?}");
        }
        let repaired = counted(&mut shop, "inv_repaired_units");
        assert_eq!(counted(&mut shop, "inv_unexplained_units"), 0, "{keeps:?}");
        if keeps != Keeps::Snapshots {
            // Of a reservation that an RDB load drops, nothing tells what was sold of it before.
            assert_eq!(books.sold, sold, "{keeps:?}: the outcomes and the feed");
            assert_eq!(repaired, 0, "{keeps:?}");
        }
        if keeps == Keeps::All {
            assert_all_known(&mut shop, told);
        }
        format!(
            "{keeps:?}: {} reservations, {} live and {} ended are kept, {repaired} units repaired",
            told.len(),
            books.live.len(),
            books.ended.len(),
        )
    }
}

/// Units that the feed says were sold. Summed up in the server: it grows with every round.
fn sold_by_feed(shop: &mut Client) -> Units {
    const SUM: &str = "
    local sold, found = {}, {}
    for _, entry in ipairs(redis.call('XRANGE', 'inventory:feed', '-', '+')) do
      local fields = {}
      for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
      if fields.event == 'committed' or fields.event == 'committed_late' then
        sold[fields.sku] = (sold[fields.sku] or 0) + tonumber(fields.quantity)
      end
    end
    for sku, units in pairs(sold) do
      found[#found + 1] = {sku, units}
    end
    return found";
    let sold = shop.ask(["EVAL", SUM, "0"]);
    let pair = |pair: &Json| {
        (pair[0].as_str().expect("a sku").to_owned(), pair[1].as_i64().expect("a number of units"))
    };
    sold.as_array().expect("an array").iter().map(pair).collect()
}

/// Each reservation is in one of the states that its client was told of.
fn assert_all_known(shop: &mut Client, told: &BTreeMap<String, &[&str]>) {
    let told: Vec<_> = told.iter().collect();
    for part in told.chunks(100) {
        let commands: Vec<String> = part.iter().map(|(id, _)| format!("INV.GET {id}")).collect();
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        for ((id, states), found) in part.iter().zip(shop.burst(&commands)) {
            let state = found["state"].as_str().unwrap_or("not there");
            assert!(states.contains(&state), "{id} is {state}, its client was told {states:?}");
        }
    }
}

/// A client that goes on until its server dies.
struct Customer {
    client: Client,
    dice: Dice,
    prefix: String,
    /// The states that each reservation may be in, by the answers that came.
    told: BTreeMap<String, &'static [&'static str]>,
    /// Reservations that may be live, and the sku of their first line.
    open: Vec<(String, &'static str)>,
}

const HELD: &[&str] = &["reserved", "expired"];

impl Customer {
    fn shop(mut self) -> BTreeMap<String, &'static [&'static str]> {
        for n in 0.. {
            if self.reserve(n).is_none() {
                break;
            }
            if self.open.len() > 5 {
                let at = usize::try_from(self.dice.roll(self.open.len() as u64)).expect("a small number");
                let (id, sku) = self.open.swap_remove(at);
                if self.go_on_with(id, sku).is_none() {
                    break;
                }
            }
        }
        self.told
    }

    fn reserve(&mut self, n: u64) -> Option<()> {
        let id = format!("{}-{n}", self.prefix);
        let (sku, other) = (*self.dice.pick(&[&"P", &"Q", &RARE]), *self.dice.pick(&[&"R", &"S"]));
        // More than all parts of it that are asked for, so that no part ends it.
        let units = 4 + self.dice.roll(3);
        // Some outlive the crash, of the plentiful ones.
        let outlives = sku != RARE && self.dice.roll(5) == 0;
        let life = if outlives { 2000 } else { 1 + self.dice.roll(120) };
        // There is no S: one line.
        let second = if other == "R" { " R 1" } else { "" };
        let command = format!("INV.RESERVE {id} PX {life} ITEMS {sku} {units}{second}");
        match self.client.ask_if_alive(command)? {
            Ok(_) => {
                self.told.insert(id.clone(), HELD);
                self.open.push((id, sku));
            }
            Err(refusal) => assert_eq!(code(&refusal), "INSUFFICIENT", "{refusal}"),
        }
        Some(())
    }

    fn go_on_with(&mut self, id: String, sku: &'static str) -> Option<()> {
        let way = self.dice.roll(10);
        let answer = match way {
            _ if sku == RARE => self.ask(&id, "INV.ROLLBACK", "", &["rolled_back"])?,
            0..3 => self.ask(&id, "INV.COMMIT", "", &["committed"])?,
            3 => self.ask(&id, "INV.COMMIT", " LATE", &["committed"])?,
            4..6 => self.ask(&id, "INV.ROLLBACK", "", &["rolled_back"])?,
            6 => self.ask(&id, "INV.EXTEND", " PX 150 ONCE e", HELD)?,
            7 => self.ask(&id, "INV.COMMIT", &format!(" ONCE p ITEMS {sku} 1"), HELD)?,
            8 => {
                // Both ways of a part, and then the rest.
                self.ask(&id, "INV.COMMIT", &format!(" ITEMS {sku} 1"), HELD)?.ok();
                self.ask(&id, "INV.ROLLBACK", &format!(" ONCE r ITEMS {sku} 1"), &[])?.ok();
                self.ask(&id, "INV.COMMIT", "", &["committed"])?
            }
            // It is left to its deadline.
            _ => return Some(()),
        };
        if let Err(refusal) = answer {
            assert_eq!(code(&refusal), "EXPIRED", "{id}: {refusal}");
            self.told.insert(id, &["expired"]);
        } else if way == 6 || way == 7 {
            self.open.push((id, sku));
        }
        Some(())
    }

    /// `None` where the server died; then the command may have had its effect.
    fn ask(
        &mut self,
        id: &str,
        command: &str,
        rest: &str,
        then: &'static [&'static str],
    ) -> Option<Result<Json, String>> {
        self.told.insert(id.to_owned(), &["reserved", "expired", "committed", "rolled_back"]);
        let answer = self.client.ask_if_alive(format!("{command} {id}{rest}"))?;
        if answer.is_ok() && !then.is_empty() {
            self.told.insert(id.to_owned(), then);
        }
        Some(answer)
    }
}

#[test]
fn twenty_rounds_of_load_and_kill_9_lose_no_unit() {
    let rounds = number("INV_CRASH_ROUNDS").unwrap_or(20);
    let seed = number("INV_CRASH_SEED").unwrap_or_else(any_seed);
    eprintln!("INV_CRASH_SEED={seed}");
    let mut sites = [Keeps::Snapshots, Keeps::NearlyAll, Keeps::All].map(Site::open);
    for (round, site) in (0..rounds).zip((0..3).cycle()) {
        let report = sites[site].crash(round, seed);
        eprintln!("round {} of {rounds}: {report}", round + 1);
    }
}
