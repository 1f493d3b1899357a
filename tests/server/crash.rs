//! Rounds of load, `kill -9`, restart and audit.
//!
//! `INV_CRASH_ROUNDS` sets the number of rounds (20). `INV_CRASH_SEED` sets the calls that the clients send. The moment of a
//! kill depends on the machine, so a seed alone does not reproduce a crash.

use std::thread;
use std::time::Duration;

use crate::books::{Books, Units, counted};
use crate::customers::{self, Told};
use crate::dice::{Dice, any_seed, number};
use crate::harness::{Client, Json, Server};
use crate::lines::{Life, Lines};

const CLIENTS: u64 = 3;

/// The stock of each sku. There is so little of the rare one that reservations wait for each other's deadlines.
const STOCK: [(&str, i64); 7] = [
    ("P", 1_000_000),
    ("Q", 1_000_000),
    ("R", 1_000_000),
    (RARE, RARE_UNITS),
    ("W@north", 1_000_000),
    ("W@south", 1_000_000),
    ("W@east", 1_000_000),
];
const RARE: &str = "RARE";
const RARE_UNITS: i64 = 12;

/// What a crash preserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    /// The last snapshot, without the outcomes of reservations that fell due while the server was down.
    Snapshots,
    /// All but the latest writes.
    NearlyAll,
    /// Every change that was answered.
    All,
}

/// A shop with one kind of persistence. Every third round is about the same shop.
struct Site {
    keeps: Keeps,
    server: Server,
    /// Writes a file in the background. The kill may interrupt it.
    rewrite: &'static str,
}

impl Site {
    fn open(keeps: Keeps) -> Self {
        let (options, rewrite): (&[&str], _) = match keeps {
            Keeps::Snapshots => (&[], "BGSAVE"),
            Keeps::NearlyAll => (&["appendonly yes", "appendfsync everysec"], "BGREWRITEAOF"),
            Keeps::All => (&["appendonly yes", "appendfsync always"], "BGREWRITEAOF"),
        };
        let common = [
            "inv.outcome-ttl-ms 1000000000",
            "inv.feed-maxlen 1000000000",
            "inv.alert-ttl-ms 1000",
            // A REPLACE without a lifetime may make a reservation.
            "inv.hold-ttl-ms 1500",
        ];
        let server = Server::start_with(&[options, &common].concat());
        let mut shop = server.connect();
        shop.ask("INV.WAREHOUSES W SET north 0 south 1 east 2");
        for (sku, units) in STOCK {
            shop.ask(format!("SET stock:available:{sku} {units}"));
        }
        // The first reservation marks the database as the module's own.
        shop.ask("INV.RESERVE first EX 9000 ITEMS P 1 RARE 1");
        shop.ask("SAVE");
        Self { keeps, server, rewrite }
    }

    /// One round of load, kill, restart and audit. Returns a line for the report.
    fn crash(&mut self, round: u64, seed: u64) -> String {
        let mut dice = Dice::new(seed ^ (round << 8));
        let life = Duration::from_millis(50 + dice.roll(201));
        let clients = (0..CLIENTS).map(|n| {
            let (client, dice) = (self.server.connect(), Dice::new(seed ^ (round << 8) ^ (n + 1)));
            // Some reservations outlive the crash.
            let life = |dice: &mut Dice| Life::For(if dice.one_in(5) { 2000 } else { dice.up_to(120) });
            let lines = customers::lines(format!("{round}-{n}-"), life);
            Customer { client, dice, lines, told: Told::default() }
        });
        let clients: Vec<Customer> = clients.collect();
        let mut clerk = self.server.connect();
        // The units that were sold are replaced. FORCE, because some are promised before they arrive.
        clerk.ask(format!("INV.SET {RARE} AVAILABLE {RARE_UNITS} FORCE"));
        let mut told = Told::default();
        thread::scope(|scope| {
            let shopping: Vec<_> =
                clients.into_iter().map(|client| scope.spawn(move || client.shop())).collect();
            // The server lives for a random time, so there is no condition to wait for.
            let before = life.mul_f64(dice.roll(100) as f64 / 100.0);
            thread::sleep(before);
            let began = if dice.roll(3) > 0 { clerk.try_ask(self.rewrite) } else { Ok(Json::Null) };
            thread::sleep(life.saturating_sub(before));
            // The kill comes first, because the clients run until then.
            self.server.kill();
            began.expect("it begins to write a file");
            for client in shopping {
                told.append(client.join().expect("no client fails"));
            }
        });
        self.server.start_again();
        self.server.mend_aof();
        self.audit(&told)
    }

    fn audit(&self, told: &Told) -> String {
        let mut shop = self.server.connect();
        let keeps = self.keeps;
        let books = Books::balanced(&mut shop);
        let [sold, counted_in] = units_by_feed(&mut shop);
        for (sku, units) in STOCK {
            let of = |units: &Units| units.get(sku).copied().unwrap_or(0);
            let all = books.on_hand()[sku] + of(&sold) - of(&counted_in);
            assert_eq!(all, units, "{keeps:?}: units of {sku}; sold {sold:?}, counted in {counted_in:?}");
        }
        let repaired = counted(&mut shop, "inv_repaired_units");
        assert_eq!(counted(&mut shop, "inv_unexplained_units"), 0, "{keeps:?}");
        if keeps != Keeps::Snapshots {
            // An RDB load drops overdue reservations, and with them what was sold of them before.
            assert_eq!(books.sold, sold, "{keeps:?}: by the outcomes and by the feed");
            assert_eq!(repaired, 0, "{keeps:?}");
        }
        if keeps == Keeps::All {
            assert_all_known(&mut shop, told);
        }
        format!(
            "{keeps:?}: {} reservations, {} live and {} ended are kept, {repaired} units repaired",
            told.ids().len(),
            books.live.len(),
            books.ended.len(),
        )
    }
}

/// By the feed, the units of each sku that were sold, and those that were counted in or transferred. The server computes the
/// sums, because the feed grows with every round.
fn units_by_feed(shop: &mut Client) -> [Units; 2] {
    const SUM: &str = "
    local sums = {{}, {}}
    for _, entry in ipairs(redis.call('XRANGE', 'inventory:feed', '-', '+')) do
      local fields = {}
      for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
      local sum = nil
      if fields.event == 'committed' or fields.event == 'committed_late' then
        sum = sums[1]
      elseif fields.event == 'set' or fields.event == 'transferred' then
        sum = sums[2]
      end
      if sum then sum[fields.sku] = (sum[fields.sku] or 0) + tonumber(fields.quantity) end
    end
    local found = {{}, {}}
    for i = 1, 2 do
      for sku, units in pairs(sums[i]) do
        table.insert(found[i], {sku, units})
      end
    end
    return found";
    let sums = shop.ask(["EVAL", SUM, "0"]);
    let pair = |pair: &Json| {
        (pair[0].as_str().expect("a sku").to_owned(), pair[1].as_i64().expect("a number of units"))
    };
    [0, 1].map(|sum| sums[sum].as_array().expect("an array").iter().map(pair).collect())
}

/// Each reservation is in a state that its client could expect.
fn assert_all_known(shop: &mut Client, told: &Told) {
    for ids in told.ids().chunks(100) {
        let commands: Vec<String> = ids.iter().map(|id| format!("INV.GET {id}")).collect();
        for (id, found) in ids.iter().zip(shop.burst(&commands)) {
            assert!(told.allows(id, &found), "{id} is {found}, of {}", told.states(id));
        }
    }
}

/// A client that sends calls until its server dies.
struct Customer {
    client: Client,
    dice: Dice,
    lines: Lines,
    told: Told,
}

impl Customer {
    fn shop(mut self) -> Told {
        loop {
            let line = self.lines.call(&mut self.dice);
            self.told.send(&line);
            let Some(answer) = self.client.ask_if_alive(line.join(" ")) else { return self.told };
            self.told.hear(&line, &answer).unwrap_or_else(|error| panic!("{error}"));
        }
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
