//! The steps of docs/migrating-from-lua.md, with the usual scripts, on servers that start without the module.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};
use std::thread;

use crate::books::{counted, sleep_past};
use crate::cluster_clients::redis_py;
use crate::harness::{
    Client, Json, LATER, SOON, Server, assert_same, assert_same_data, code, json, module, server_program,
    wait_for, wait_until,
};
use crate::scripts::{LUA_COMMIT, LUA_RESERVE, LUA_ROLLBACK};
use crate::shop::{Dice, let_the_sweep_pass};

/// A server without the module, as the scripts use it.
fn without_module(options: &[&str]) -> Server {
    Server::start_without_module(server_program(), options)
}

/// Runs a script as applications do: by its hash, and with its text if the server does not know it.
fn run(client: &mut Client, script: &str, sku: &str, id: &str, arguments: &[&str]) -> Json {
    let keys =
        [format!("stock:available:{sku}"), format!("stock:reserved:{sku}"), format!("reservation:{id}")];
    let call = |how: &str, script: &str| -> Vec<Vec<u8>> {
        let words = [how, script, "3", &keys[0], &keys[1], &keys[2]];
        words.iter().chain(arguments).map(|word| word.as_bytes().to_vec()).collect()
    };
    match client.try_ask(call("EVALSHA", redis::Script::new(script).get_hash())) {
        Err(error) if code(&error) == "NOSCRIPT" => client.ask(call("EVAL", script)),
        reply => reply.unwrap_or_else(|error| panic!("{id}: {error}")),
    }
}

fn reserve(client: &mut Client, sku: &str, id: &str, units: i64, seconds: i64) {
    let arguments = [&*units.to_string(), "cart", &*seconds.to_string()];
    assert_eq!(run(client, LUA_RESERVE, sku, id, &arguments), 1, "{id}");
}

fn commit(client: &mut Client, sku: &str, id: &str, units: i64) {
    run(client, LUA_COMMIT, sku, id, &[&units.to_string()]);
}

fn roll_back(client: &mut Client, sku: &str, id: &str, units: i64) {
    run(client, LUA_ROLLBACK, sku, id, &[&units.to_string()]);
}

/// Runs MODULE LOADEX as in the document.
fn load(server: &Server) {
    let path = module().display().to_string();
    let load = ["MODULE", "LOADEX", &path, "CONFIG", "inv.load-repair", "report"];
    assert_eq!(server.connect().ask(load), "OK");
    wait_for_index(server);
}

fn wait_for_index(server: &Server) {
    server.wait_for_info("inv", "inv_index_ready", "1");
}

/// Runs SCAN … MATCH reservation:* to its end.
fn walk_over_records(client: &mut Client) {
    let mut cursor = "0".to_owned();
    loop {
        let page = client.ask(format!("SCAN {cursor} MATCH reservation:* COUNT 100"));
        page[0].as_str().expect("a cursor").clone_into(&mut cursor);
        if cursor == "0" {
            return;
        }
    }
}

/// The drift of each sku according to a complete `INV.AUDITSCAN` walk.
fn drifts(client: &mut Client) -> BTreeMap<String, i64> {
    let (mut cursor, mut found) = ("0".to_owned(), BTreeMap::new());
    loop {
        let page = client.ask(format!("INV.AUDITSCAN {cursor} COUNT 2"));
        for audit in page[1].as_array().expect("an array") {
            let sku = audit["sku"].as_str().expect("a sku").to_owned();
            found.insert(sku, audit["drift"].as_i64().expect("a number"));
        }
        page[0].as_str().expect("a cursor").clone_into(&mut cursor);
        if cursor == "0" {
            return found;
        }
    }
}

// --- the whole migration ---

/// The products for sale, one of them few enough to be sold out.
const GOODS: [(&str, i64); 3] = [("SHOE", 20_000), ("SOCK", 20_000), ("RARE", 60)];

/// A customer between reserving and paying.
struct Order {
    id: String,
    by_module: bool,
    product: usize,
    units: i64,
    pays: bool,
    /// It may have expired before it is ended.
    late: bool,
}

/// What the customers know independently of the server.
#[derive(Default)]
struct Known {
    sold: [i64; GOODS.len()],
    /// Units that the scripts hold or have lost.
    scripts: [i64; GOODS.len()],
    open: Vec<Order>,
}

/// The instances of an application that can use scripts and the module, and their customers.
struct Shop {
    port: u16,
    /// For each instance: whether it reserves through the module.
    switches: [AtomicBool; 4],
    known: Mutex<Known>,
    /// Each step holds this for reading, so that a writer sees no incomplete step.
    quiet: RwLock<()>,
    steps: AtomicU64,
    refused: [AtomicUsize; 2],
    closed: AtomicBool,
}

impl Shop {
    fn new(port: u16) -> Self {
        Self {
            port,
            switches: Default::default(),
            known: Mutex::default(),
            quiet: RwLock::default(),
            steps: AtomicU64::new(0),
            refused: Default::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// Runs an instance: one step of one customer after the other, until the shop closes.
    fn serve(&self, instance: usize) {
        let mut client = Client::at(self.port).expect("the server takes connections");
        let mut dice = Dice::new(instance as u64);
        while !self.closed.load(Ordering::Relaxed) {
            let step = self.quiet.read().expect("no instance has failed");
            let open = {
                let known = &mut *self.known.lock().expect("no instance has failed");
                let is_to_end = known.open.len() > 40 || dice.roll(2) == 0;
                let which = usize::try_from(dice.roll(known.open.len().max(1) as u64)).expect("an index");
                (is_to_end && !known.open.is_empty()).then(|| known.open.swap_remove(which))
            };
            match open {
                // Whichever instance handles it, an order is ended in the way it was reserved.
                Some(order) => self.end(&mut client, &order),
                None => self.begin(&mut client, &mut dice, instance),
            }
            self.steps.fetch_add(1, Ordering::Relaxed);
            drop(step);
            // Lets the other threads run on a machine with two cores.
            thread::yield_now();
        }
    }

    fn begin(&self, client: &mut Client, dice: &mut Dice, instance: usize) {
        let by_module = self.switches[instance].load(Ordering::Relaxed);
        let product = usize::try_from(dice.roll(GOODS.len() as u64)).expect("an index");
        let units = 1 + i64::try_from(dice.roll(3)).expect("a small number");
        let vanishes = dice.roll(5) == 0;
        let order = Order {
            id: format!(
                "{}{instance}-{}",
                if by_module { "inv-" } else { "" },
                self.steps.load(Ordering::Relaxed) * 1000 + dice.roll(1000)
            ),
            by_module,
            product,
            units,
            pays: dice.roll(3) > 0,
            late: dice.roll(5) == 0,
        };
        let (sku, short) = (GOODS[product].0, vanishes || order.late);
        let is_held = if by_module {
            let life = if short { "PX 30" } else { "EX 900" };
            let made = client.try_ask(format!("INV.RESERVE {} {life} ITEMS {sku} {units}", order.id));
            if let Err(error) = &made {
                assert_eq!(code(error), "INSUFFICIENT", "{error}");
            }
            made.is_ok()
        } else {
            let arguments = [&*units.to_string(), "cart", if short { "1" } else { "900" }];
            run(client, LUA_RESERVE, sku, &order.id, &arguments) == 1
        };
        let known = &mut *self.known.lock().expect("no instance has failed");
        if !is_held {
            self.refused[usize::from(by_module)].fetch_add(1, Ordering::Relaxed);
            return;
        }
        if !by_module {
            known.scripts[product] += units;
        }
        if !vanishes {
            known.open.push(order);
        }
    }

    fn end(&self, client: &mut Client, order: &Order) {
        let Order { id, by_module, product, units, pays, late } = order;
        let sku = GOODS[*product].0;
        let is_sold = if *by_module {
            let command = if *pays { "INV.COMMIT" } else { "INV.ROLLBACK" };
            let ended = client.try_ask(format!("{command} {id}"));
            match &ended {
                Ok(reply) => assert_eq!(reply, "OK", "{id}"),
                Err(error) => assert!(*pays && *late && code(error) == "EXPIRED", "{command} {id}: {error}"),
            }
            // For example a retry after a timeout.
            assert_eq!(client.try_ask(format!("{command} {id}")).is_ok(), ended.is_ok(), "{id}");
            *pays && ended.is_ok()
        } else {
            // The scripts' cleanup job also does this after the record has expired.
            let script = if *pays { LUA_COMMIT } else { LUA_ROLLBACK };
            run(client, script, sku, id, &[&units.to_string()]);
            *pays
        };
        let known = &mut *self.known.lock().expect("no instance has failed");
        if is_sold {
            known.sold[*product] += units;
        }
        if !by_module {
            known.scripts[*product] -= units;
        }
    }

    /// Waits until the customers have taken this many steps.
    fn sell(&self, steps: u64) {
        let before = self.steps.load(Ordering::Relaxed);
        wait_until("the customers make progress", LATER, || {
            self.steps.load(Ordering::Relaxed) >= before + steps
        });
    }

    /// Stops all instances between two steps, and compares the counters and the audit with what the customers
    /// know.
    fn compare(&self, client: &mut Client, is_loaded: bool) {
        let _quiet = self.quiet.write().expect("no instance has failed");
        let known = self.known.lock().expect("no instance has failed");
        for (product, (sku, start)) in GOODS.iter().enumerate() {
            let [available, reserved] = at_once(client, sku);
            assert_eq!(available + reserved + known.sold[product], *start, "{sku}: {available}, {reserved}");
            if is_loaded {
                assert_eq!(client.ask(["INV.AUDIT", sku])["drift"], known.scripts[product], "{sku}");
            } else {
                assert_eq!(reserved, known.scripts[product], "{sku}");
            }
        }
    }

    fn scripts_hold_nothing(&self) -> bool {
        self.known.lock().expect("no instance has failed").open.iter().all(|order| order.by_module)
    }
}

/// Both counters at the same moment.
fn at_once(client: &mut Client, sku: &str) -> [i64; 2] {
    let both = client.ask(format!("MGET stock:available:{sku} stock:reserved:{sku}"));
    [0, 1].map(|which| both[which].as_str().map_or(0, |units| units.parse().expect("an integer")))
}

/// Stops the customers even if the test fails: otherwise it would hang.
struct Closing<'a>(&'a Shop);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_shop_moves_while_customers_buy_on_both_sides_and_every_unit_is_accounted_for() {
    let options = ["enable-module-command yes"];
    let mut server = without_module(&options);
    let replica = without_module(&[options[0], &format!("replicaof 127.0.0.1 {}", server.port())]);
    replica.wait_for_master(&server);
    let mut client = server.connect();
    for (sku, units) in GOODS {
        client.ask(format!("SET stock:available:{sku} {units}"));
    }
    let shop = Shop::new(server.port());
    thread::scope(|scope| {
        let closing = Closing(&shop);
        for instance in 0..shop.switches.len() {
            let shop = &shop;
            scope.spawn(move || {
                let _closing = Closing(shop);
                shop.serve(instance);
            });
        }
        shop.sell(300);
        shop.compare(&mut client, false);

        load(&replica);
        load(&server);
        assert_eq!(client.ask("CONFIG REWRITE"), "OK");
        shop.sell(300);
        shop.compare(&mut client, true);

        for (instance, switch) in shop.switches.iter().enumerate() {
            for is_on in [true, false, true] {
                switch.store(is_on, Ordering::Relaxed);
                for _ in 0..5 {
                    shop.sell(40);
                    shop.compare(&mut client, true);
                }
            }
            assert_eq!(counted(&mut client, "inv_panics_total"), 0, "instance {instance}");
        }

        // The last reservations of the scripts end. Abandoned ones expire within a second.
        wait_until("the scripts hold nothing", LATER, || shop.scripts_hold_nothing());
        wait_until("no record of the scripts is left", LATER, || {
            walk_over_records(&mut client);
            counted(&mut client, "inv_foreign_records") == 0
        });
        let lost = shop.known.lock().expect("no instance has failed").scripts;
        let lost: BTreeMap<String, i64> =
            GOODS.iter().zip(lost).map(|((sku, _), units)| ((*sku).to_owned(), units)).collect();
        assert!(lost.values().all(|units| *units > 0), "{lost:?}");
        assert_eq!(drifts(&mut client), lost, "the audit finds exactly the units that were lost");
        for (sku, units) in &lost {
            assert_eq!(client.ask(["INV.REPAIR", sku, "FORCE"])["drift"], *units, "{sku}");
        }
        shop.known.lock().expect("no instance has failed").scripts = Default::default();
        shop.sell(100);
        shop.compare(&mut client, true);
        assert_eq!(drifts(&mut client), BTreeMap::new());
        drop(closing);
    });
    let Known { sold, open, .. } = shop.known.into_inner().expect("no instance has failed");
    for order in open {
        client.ask(["INV.ROLLBACK", &order.id]);
    }
    for ((sku, start), sold) in GOODS.iter().zip(sold) {
        wait_for("all is back", SOON, (start - sold, 0), || client.counters(sku));
        assert!(sold > 0, "{sku}");
    }
    for (side, refused) in ["scripts", "module"].into_iter().zip(shop.refused) {
        assert!(refused.into_inner() > 0, "no shortage with the {side}");
    }
    assert_eq!(counted(&mut client, "inv_holds"), 0);
    assert_eq!(counted(&mut client, "inv_panics_total"), 0);
    replica.catch_up_with(&server);
    assert_same_data(&mut client, &mut replica.connect());

    the_module_is_told_that_it_is_alone(&mut server);
}

/// The last step. From then on, the module returns what an RDB load drops.
fn the_module_is_told_that_it_is_alone(server: &mut Server) {
    let mut client = server.connect();
    let before = client.counters("SHOE");
    for own in ["SET inventory:managed plain", "CONFIG SET inv.load-repair auto", "CONFIG REWRITE"] {
        assert_eq!(client.ask(own), "OK");
    }
    let made = client.ask("INV.RESERVE inv-last PX 300 ITEMS SHOE 4");
    server.shut_down_saving();
    sleep_past(made["expires_at"].as_i64().expect("a time"));
    server.start_again();
    let mut client = server.connect();
    wait_for("the units are back", SOON, before, || client.counters("SHOE"));
    assert_eq!(counted(&mut client, "inv_repaired_units"), 4);
    assert_eq!(client.ask("CONFIG GET inv.load-repair")["inv.load-repair"], "auto");
}

// --- loading ---

#[test]
fn loading_the_module_writes_nothing_and_takes_nothing_over() {
    let (server, mut client) = with_the_scripts_alone();
    let before = client.contents();
    let sent = server.propagated_by(|| {
        load(&server);
        let_the_cron_pass(&server);
    });
    assert!(sent.is_empty(), "{sent:?}");
    assert_same(&client.contents(), &before);
    assert_eq!(client.counters("P"), (92, 8));
    assert_eq!(counted(&mut client, "inv_foreign_records"), 1);
    assert_eq!(drifts(&mut client), [("P".to_owned(), 8)].into());
}

/// Waits until the comparison after a load is finished and logged.
fn let_the_cron_pass(server: &Server) {
    wait_until("the load's repair is done", SOON, || {
        server.log().contains("none are returned (inv.load-repair)")
    });
}

#[test]
fn the_configuration_that_was_rewritten_loads_the_module_and_what_it_was_given() {
    let mut server = without_module(&["enable-module-command yes", "appendonly yes"]);
    load(&server);
    let mut client = server.connect();
    client.ask("SET stock:available:P 100");
    reserve(&mut client, "P", "LIVE", 5, 900);
    client.ask("INV.RESERVE inv-1 ITEMS P 2");
    assert_eq!(client.ask("CONFIG REWRITE"), "OK");
    server.shut_down();
    server.start_again();
    wait_for_index(&server);
    let mut client = server.connect();
    assert_eq!(client.ask("CONFIG GET inv.*")["inv.load-repair"], "report");
    assert_eq!(client.ask("INV.COMMIT inv-1"), "OK");
    // A script that is not loaded any more.
    commit(&mut client, "P", "LIVE", 5);
    assert_eq!(client.counters("P"), (93, 0));
}

#[test]
fn without_the_right_to_load_it_comes_with_restarts_the_replica_first() {
    let mut old = without_module(&["appendonly yes"]);
    let mut client = old.connect();
    client.ask("SET stock:available:P 100");
    let load = format!("MODULE LOAD {}", module().display());
    assert!(client.refusal(&load).contains("enable-module-command"), "{}", client.refusal(&load));
    client.refusal("CONFIG SET enable-module-command yes");
    let mut new = without_module(&[&format!("replicaof 127.0.0.1 {}", old.port())]);
    new.wait_for_master(&old);
    reserve(&mut client, "P", "LOST", 3, 900);
    client.ask("EXPIRE reservation:LOST 0");

    // The replica restarts while the master keeps running.
    new.shut_down();
    add_lines(&new);
    reserve(&mut client, "P", "LIVE", 5, 900);
    new.start_again();
    new.wait_for_master(&old);
    client.ask(format!("FAILOVER TO 127.0.0.1 {}", new.port()));
    new.wait_for_info("replication", "role", "master");
    old.wait_for_info("replication", "role", "slave");

    // The application follows, and reserves in both ways.
    let mut client = new.connect();
    wait_for_index(&new);
    reserve(&mut client, "P", "LIVE-2", 4, 900);
    client.ask("INV.RESERVE inv-1 ITEMS P 2");

    // The old master is a replica now, but FAILOVER has not changed its configuration file.
    old.connect().ask("CONFIG REWRITE");
    old.shut_down();
    add_lines(&old);
    client.ask("INV.RESERVE inv-2 ITEMS P 1");
    old.start_again();
    old.wait_for_master(&new);
    commit(&mut client, "P", "LIVE", 5);
    commit(&mut client, "P", "LIVE-2", 4);
    assert_eq!(client.ask("INV.COMMIT inv-1"), "OK");
    assert_eq!(client.ask("INV.ROLLBACK inv-2"), "OK");
    assert_eq!(client.counters("P"), (86, 3));
    assert_eq!(drifts(&mut client), [("P".to_owned(), 3)].into());
    assert_eq!(client.ask("INV.REPAIR P FORCE")["drift"], 3);
    assert_eq!(client.counters("P"), (89, 0));
    old.catch_up_with(&new);
    assert_same_data(&mut client, &mut old.connect());
}

/// Adds the lines that an operator adds to the configuration.
fn add_lines(server: &Server) {
    let mut file =
        std::fs::OpenOptions::new().append(true).open(server.configuration()).expect("a configuration file");
    let lines = format!(
        "\nloadmodule {}\ninv.load-repair report\npropagation-error-behavior panic-on-replicas\n",
        module().display()
    );
    file.write_all(lines.as_bytes()).expect("it can be written");
}

// --- side by side; tests/server/dropin.rs has more tests ---

/// A server on which the scripts hold 5 units of P for LIVE and have lost 3.
fn with_the_scripts_alone() -> (Server, Client) {
    let server = without_module(&["enable-module-command yes", "appendonly yes"]);
    let mut client = server.connect();
    client.ask("SET stock:available:P 100");
    reserve(&mut client, "P", "LIVE", 5, 900);
    reserve(&mut client, "P", "LOST", 3, 900);
    client.ask("EXPIRE reservation:LOST 0");
    (server, client)
}

/// The same, with the module next to them.
fn beside_the_scripts() -> (Server, Client) {
    let (server, mut client) = with_the_scripts_alone();
    load(&server);
    assert_eq!(client.counters("P"), (92, 8));
    (server, client)
}

#[test]
fn an_expired_record_counts_as_foreign_until_a_walk_meets_it() {
    let (_server, mut client) = beside_the_scripts();
    client.ask("DEBUG SET-ACTIVE-EXPIRE 0");
    let until = client.now() + 20;
    client.ask(format!("PEXPIREAT reservation:LIVE {until}"));
    wait_until("it has expired", SOON, || client.now() > until);
    assert_eq!(counted(&mut client, "inv_foreign_records"), 1);
    assert_eq!(code(&client.refusal("INV.REPAIR P")), "FOREIGN");
    walk_over_records(&mut client);
    assert_eq!(counted(&mut client, "inv_foreign_records"), 0);
    assert_eq!(client.ask("INV.REPAIR P FORCE")["drift"], 8);
    assert_eq!(client.counters("P"), (100, 0));
}

#[test]
fn a_script_whose_text_is_the_modules_own_form_is_taken_over() {
    let server = without_module(&["enable-module-command yes"]);
    let mut client = server.connect();
    client.ask("SET stock:available:P 100");
    let until = client.now() + 900_000;
    for id in ["SOLD", "LAPSED"] {
        let text = json!({"reservation_id": id, "created_at": 1, "expires_at": until,
            "items": [{"product_id": "P", "quantity": 5}]});
        assert_eq!(run(&mut client, LUA_RESERVE, "P", id, &["5", &text.to_string(), "900"]), 1);
    }
    load(&server);
    assert_eq!(counted(&mut client, "inv_foreign_records"), 0);
    assert_eq!(client.ask("INV.AUDIT P")["held"], 10);
    commit(&mut client, "P", "SOLD", 5);
    client.ask("PEXPIRE reservation:LAPSED 20");
    wait_for("its units are back", SOON, (95, 0), || client.counters("P"));
}

#[test]
fn a_restart_during_the_move_gives_nothing_back_that_a_script_may_hold() {
    let (mut server, mut client) = beside_the_scripts();
    client.ask("INV.RESERVE inv-1 EX 900 ITEMS P 2");
    let made = client.ask("INV.RESERVE inv-2 PX 200 ITEMS P 4");
    client.ask("CONFIG REWRITE");
    server.rewrite("BGREWRITEAOF");
    server.shut_down();
    sleep_past(made["expires_at"].as_i64().expect("a time"));
    server.start_again();
    let mut client = server.connect();
    // After an AOF load, what expired in the meantime is released, and it belongs to the module.
    wait_for("the module's own are back", SOON, (90, 10), || client.counters("P"));
    commit(&mut client, "P", "LIVE", 5);
    assert_eq!(client.ask("INV.COMMIT inv-1"), "OK");
    assert_eq!(client.ask("INV.REPAIR P FORCE")["drift"], 3);
    assert_eq!(client.counters("P"), (93, 0));

    // The next start finds every counter correct, and no other program.
    assert_eq!(client.ask("EXISTS inventory:managed"), 0);
    server.shut_down();
    server.start_again();
    wait_for_index(&server);
    let mut client = server.connect();
    let_the_sweep_pass(&mut client);
    client.ask("INV.RESERVE inv-3 ITEMS P 1");
    assert_eq!(client.ask("GET inventory:managed"), "plain");
}

/// The code around the functions of the document: one instance with its switch off, and one with it on.
const PYTHON: &str = "
import sys, redis
server = redis.Redis(port=int(sys.argv[1]))
reserve_script, commit_script, rollback_script = [server.register_script(open(path).read()) for path in sys.argv[2:]]
DOCUMENT
use_module = False
old = reserve('py-1', 'P', 2, 'cart')
assert old == 'py-1' and reserve('py-2', 'P', 1000, 'cart') is None
use_module = True
new = reserve('py-3', 'P', 4, 'cart')
assert new == 'inv-py-3' and reserve('py-4', 'P', 1000, 'cart') is None
assert server.mget('stock:available:P', 'stock:reserved:P') == [b'86', b'14']
commit(old, 'P', 2)
commit(new, 'P', 4)
assert server.mget('stock:available:P', 'stock:reserved:P') == [b'86', b'8']
new = reserve('py-5', 'P', 4, 'cart')
use_module = False
old = reserve('py-6', 'P', 2, 'cart')
assert server.mget('stock:available:P', 'stock:reserved:P') == [b'80', b'14']
rollback(old, 'P', 2)
rollback(new, 'P', 4)
assert server.mget('stock:available:P', 'stock:reserved:P') == [b'86', b'8']
";

#[test]
fn the_python_of_the_document_reserves_and_sells_on_both_sides() {
    let (server, _client) = beside_the_scripts();
    let document = include_str!("../../docs/migrating-from-lua.md");
    let functions = document.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    let program = PYTHON.replace("DOCUMENT", functions.expect("the functions"));
    let lua = |name: &str| format!("{}/tests/lua/{name}.lua", env!("CARGO_MANIFEST_DIR"));
    let done = Command::new("python3")
        .args(["-c", &program, &server.port().to_string(), &lua("reserve"), &lua("commit"), &lua("rollback")])
        .env("PYTHONPATH", redis_py())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap_or_else(|error| panic!("python3 is needed for the tests through redis-py: {error}"));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

// --- going back ---

/// Removes the module from one server as the document describes.
fn take_the_module_out(server: &Server) {
    let mut client = server.connect();
    client.ask("DEL inventory:managed");
    // It is refused for a moment while a release is queued.
    wait_until("the module is unloaded", SOON, || client.try_ask("MODULE UNLOAD inv").is_ok());
    assert_eq!(client.ask("CONFIG REWRITE"), "OK");
    server.rewrite("BGREWRITEAOF");
}

/// Restarts it without the module.
fn start_anew(server: &mut Server) -> Client {
    server.shut_down();
    server.start_again();
    let mut client = server.connect();
    assert!(client.refusal("INV.GET R").contains("unknown command"));
    client
}

#[test]
fn taken_out_before_it_reserved_anything_the_module_leaves_no_trace() {
    let (mut server, mut client) = beside_the_scripts();
    assert_eq!(client.ask("CONFIG REWRITE"), "OK");
    let before = client.contents();
    take_the_module_out(&server);
    assert_same(&client.contents(), &before);
    let mut client = start_anew(&mut server);
    assert_same(&client.contents(), &before);
    commit(&mut client, "P", "LIVE", 5);
    assert_eq!(client.counters("P"), (92, 3));
}

#[test]
fn after_a_proper_removal_the_scripts_keep_what_they_hold_on_master_and_replica() {
    let (mut server, mut client) = beside_the_scripts();
    let master = format!("replicaof 127.0.0.1 {}", server.port());
    let replica = without_module(&["enable-module-command yes", &master]);
    load(&replica);
    replica.wait_for_master(&server);
    client.ask("INV.RESERVE inv-1 EX 900 ITEMS P 2");
    client.ask("INV.RESERVE inv-2 PX 100 ITEMS P 4");
    reserve(&mut client, "P", "LIVE-2", 1, 900);
    // The switches are off, and the last reservations of the module end.
    assert_eq!(client.ask("INV.COMMIT inv-1"), "OK");
    wait_for("the module holds nothing", SOON, 0, || counted(&mut client, "inv_holds"));
    take_the_module_out(&server);
    replica.catch_up_with(&server);
    assert_eq!(replica.connect().unload(), "OK");
    assert_same_data(&mut client, &mut replica.connect());
    let mut client = start_anew(&mut server);
    commit(&mut client, "P", "LIVE", 5);
    roll_back(&mut client, "P", "LIVE-2", 1);
    assert_eq!(client.counters("P"), (90, 3));
    replica.wait_for_master(&server);
    assert_same_data(&mut client, &mut replica.connect());
}

#[test]
fn in_haste_the_scripts_end_what_the_module_held_and_a_later_load_finds_the_rest() {
    let (mut server, mut client) = beside_the_scripts();
    for (id, units) in [("inv-sold", 10), ("inv-back", 20), ("inv-lost", 6), ("inv-due", 7)] {
        client.ask(format!("INV.RESERVE {id} EX 900 ITEMS P {units}"));
    }
    take_the_module_out(&server);
    let mut client = start_anew(&mut server);
    client.ask("DEBUG SET-ACTIVE-EXPIRE 0");
    assert_eq!(client.counters("P"), (49, 51));
    let text = client.document("reservation:inv-sold");
    assert_eq!(text["items"], json!([{"product_id": "P", "quantity": 10}]));
    commit(&mut client, "P", "inv-sold", 10);
    roll_back(&mut client, "P", "inv-back", 20);
    commit(&mut client, "P", "LIVE", 5);
    assert_eq!(client.counters("P"), (69, 16));

    // Two abandoned reservations: the server deletes one, and does not come across the other.
    let until = client.now() + 100;
    for id in ["inv-lost", "inv-due"] {
        client.ask(format!("PEXPIREAT reservation:{id} {until}"));
    }
    wait_until("they have expired", SOON, || client.now() > until);
    assert_eq!(client.ask("EXISTS reservation:inv-lost"), 0);
    assert_eq!(client.counters("P"), (69, 16), "nothing returns them");
    load(&server);
    wait_for("the units of the remaining record are back", SOON, (76, 9), || client.counters("P"));
    assert_eq!(drifts(&mut client), [("P".to_owned(), 6 + 3)].into());
    assert_eq!(client.ask("INV.REPAIR P FORCE")["drift"], 9);
    assert_eq!(client.counters("P"), (85, 0), "100, of which 15 are sold");
}

// --- other faults ---

/// A reservation of 4 units has expired and returned them. The scripts hold nothing.
fn run_out() -> (Server, Client) {
    let server = Server::start();
    let mut client = server.connect();
    client.ask("SET stock:available:P 100");
    client.ask("INV.RESERVE inv-1 PX 20 ITEMS P 4");
    let_the_sweep_pass(&mut client);
    assert_eq!(client.counters("P"), (100, 0));
    (server, client)
}

#[test]
fn a_script_that_ends_an_id_of_the_module_after_its_deadline_is_corrected_by_a_repair() {
    let (_server, mut client) = run_out();
    roll_back(&mut client, "P", "inv-1", 4);
    assert_eq!(client.counters("P"), (104, -4), "back twice");
    assert_eq!(client.ask("INV.REPAIR P")["drift"], -4);
    assert_eq!(client.counters("P"), (100, 0));

    let (_server, mut client) = run_out();
    commit(&mut client, "P", "inv-1", 4);
    assert_eq!(client.counters("P"), (100, -4), "sold, and back");
    assert_eq!(client.ask("INV.REPAIR P")["drift"], -4);
    assert_eq!(client.counters("P"), (96, 0));
}

#[test]
fn a_job_that_sets_the_reserved_counter_takes_the_modules_units_out_of_it() {
    let (_server, mut client) = beside_the_scripts();
    client.ask("INV.RESERVE inv-1 EX 900 ITEMS P 12");
    assert_eq!(client.counters("P"), (80, 20));
    // The job sums up the records that it knows, and so also returns what the scripts have lost.
    client.ask("SET stock:reserved:P 5");
    client.ask("INCRBY stock:available:P 3");
    let refusal = client.refusal("INV.COMMIT inv-1");
    assert_eq!(code(&refusal), "DRIFT", "{refusal}");
    let held = client.ask("INV.AUDIT P")["held"].as_i64().expect("a number");
    client.ask(format!("INCRBY stock:reserved:P {held}"));
    assert_eq!(client.ask("INV.COMMIT inv-1"), "OK");
    commit(&mut client, "P", "LIVE", 5);
    assert_eq!(client.counters("P"), (83, 0));
}

#[test]
fn force_and_return_give_away_what_a_script_holds() {
    let (_server, mut client) = beside_the_scripts();
    assert_eq!(code(&client.refusal("INV.REPAIR P")), "FOREIGN");
    assert_eq!(client.ask("INV.REPAIR P FORCE")["drift"], 8);
    assert_eq!(client.counters("P"), (100, 0));
    commit(&mut client, "P", "LIVE", 5);
    assert_eq!(client.counters("P"), (100, -5), "sold, and available");

    let (mut server, mut client) = beside_the_scripts();
    client.ask("CONFIG SET inv.load-repair return");
    client.ask("CONFIG REWRITE");
    server.shut_down();
    server.start_again();
    let mut client = server.connect();
    wait_for("they are returned", SOON, (100, 0), || client.counters("P"));
}

#[test]
fn a_commit_script_that_ran_twice_takes_units_that_only_a_count_finds() {
    let (_server, mut client) = beside_the_scripts();
    reserve(&mut client, "P", "LIVE-2", 2, 900);
    for _ in 0..2 {
        commit(&mut client, "P", "LIVE-2", 2);
    }
    commit(&mut client, "P", "LIVE", 5);
    // 3 units were lost and 2 are missing.
    assert_eq!(client.ask("INV.REPAIR P FORCE")["drift"], 1);
    assert_eq!(client.counters("P"), (91, 0), "of 100, 7 are sold");
    client.ask("INV.RESERVE inv-1 ITEMS P 10");
    assert_eq!(client.ask("INV.SET P ONHAND 93"), 83);
    assert_eq!(client.counters("P"), (83, 10));
}
