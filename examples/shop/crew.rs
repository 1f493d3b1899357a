//! Everybody who works at the same time: shops, recovery jobs, webhooks, and whatever goes wrong meanwhile. The demonstration and
//! the tests use it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use serde_json::json;

use super::orders::{Cart, Method};
use super::protocol::OrderState;
use super::relay::Cut;
use super::shop::{Repairs, Shop};
use super::world::{Process, World};

/// What happens in the middle of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// PostgreSQL is killed and restarted.
    Database,
    /// The stock server is killed and restarted.
    Stock,
    /// The replica receives nothing for a while, and is then promoted.
    Failover,
    /// Many deadlines pass, and the time for paying is over.
    Deadlines,
}

/// A day of work.
#[derive(Clone, Copy, Debug)]
pub struct Day {
    /// Processes in Rust, each with so many orders.
    pub shops: usize,
    /// Orders of each.
    pub orders: usize,
    /// Orders of a process in Python, which has a recovery job in Python beside it. 0: there are none.
    pub python: usize,
    /// How many of a hundred times a connection is cut at a random step.
    pub faults: u8,
    /// What happens.
    pub trouble: Trouble,
    /// The dice.
    pub seed: u64,
}

impl Day {
    /// Runs it. Two recovery jobs work beside the shops.
    pub fn run(&self, world: &World) -> Repairs {
        let over = AtomicBool::new(false);
        let repairs = Mutex::new(Repairs::default());
        let at_work = AtomicUsize::new(self.shops + usize::from(self.python > 0));
        let dice = |number: u64| Rng::with_seed(self.seed << 8 | number);
        let add = |done: Repairs| *repairs.lock().expect("a sum") += done;
        thread::scope(|scope| {
            let (over, at_work, add) = (&over, &at_work, &add);
            for number in 0..self.shops {
                let dice = dice(number as u64);
                scope.spawn(move || {
                    add(serve(world, self.orders, self.faults, dice));
                    at_work.fetch_sub(1, Ordering::SeqCst);
                });
            }
            for number in 0..2 {
                let dice = dice(100 + number);
                scope.spawn(move || add(recover(world, self.faults, over, dice)));
            }
            let postman = dice(110);
            scope.spawn(move || deliver(world, self.faults, over, postman));
            if self.python > 0 {
                let (clerk, job) = (dice(120), dice(121));
                scope.spawn(move || {
                    serve_in_python(world, self.python, self.faults, clerk);
                    at_work.fetch_sub(1, Ordering::SeqCst);
                });
                scope.spawn(move || recover_in_python(world, self.faults, over, job));
            }
            make_trouble(world, self.trouble, dice(130));
            // The crew is at work until every customer is served.
            while at_work.load(Ordering::SeqCst) > 0 {
                thread::sleep(Duration::from_millis(5));
            }
            over.store(true, Ordering::SeqCst);
        });
        repairs.into_inner().expect("a sum")
    }
}

fn make_trouble(world: &World, trouble: Trouble, mut dice: Rng) {
    let pause = Duration::from_millis(dice.u64(100..400));
    thread::sleep(pause);
    match trouble {
        Trouble::None => {}
        Trouble::Database => world.restart_database(),
        Trouble::Stock => world.restart_stock(None),
        Trouble::Failover => {
            world.part();
            thread::sleep(pause);
            world.fail_over();
        }
        Trouble::Deadlines => {
            world.expire_holds(70, &mut dice);
            world.let_payments_time_out();
            thread::sleep(pause);
            world.expire_holds(70, &mut dice);
        }
    }
}

/// Plans a cut, or mends the connections.
fn prepare(process: &Process, faults: u8, steps: u64, dice: &mut Rng) {
    process.line.mend();
    if dice.u8(..100) < faults {
        let cut = if dice.bool() { Cut::BeforeTheRequest } else { Cut::BeforeTheAnswer };
        process.line.cut_at(dice.u64(..steps), cut);
    }
}

/// A cart of a customer who pays in either way.
pub fn cart(world: &World, dice: &mut Rng) -> Cart {
    let method = if dice.bool() { Method::Authorise } else { Method::Charge };
    world.cart(dice, method)
}

/// Customers at a process in Rust. If its connections are cut, it counts as killed, and another one takes its place.
fn serve(world: &World, orders: usize, faults: u8, mut dice: Rng) -> Repairs {
    let process = world.process();
    let mut shop: Option<Shop> = None;
    let mut repairs = Repairs::default();
    for _ in 0..orders {
        let cart = cart(world, &mut dice);
        prepare(&process, faults, 60, &mut dice);
        let mut open = match shop.take().map_or_else(|| Shop::open(&process.settings), Ok) {
            Ok(open) => open,
            Err(_) => {
                world.happened("shops killed");
                continue;
            }
        };
        let state = open.checkout(&cart);
        // Some customers do not wait for their bank.
        let changes_her_mind = matches!(state, Ok(OrderState::Placed)) && dice.u8(..3) == 0;
        let cancelled =
            changes_her_mind.then(|| open.order(&cart.order).and_then(|order| open.cancel(&order)));
        repairs += std::mem::take(&mut open.repairs);
        if state.is_err() || cancelled.is_some_and(|cancelled| cancelled.is_err()) {
            world.happened("shops killed");
        } else {
            shop = Some(open);
        }
    }
    repairs
}

/// A recovery job, until the day is over.
fn recover(world: &World, faults: u8, over: &AtomicBool, mut dice: Rng) -> Repairs {
    let process = world.process();
    let mut shop: Option<Shop> = None;
    let mut repairs = Repairs::default();
    while !over.load(Ordering::SeqCst) {
        prepare(&process, faults, 120, &mut dice);
        let opened = shop.take().map_or_else(|| Shop::open(&process.settings), Ok);
        if let Ok(mut open) = opened {
            let is_broken = open.recover().is_err();
            repairs += std::mem::take(&mut open.repairs);
            if !is_broken {
                shop = Some(open);
            }
        }
        if shop.is_none() {
            world.happened("recovery jobs killed");
        }
        thread::sleep(Duration::from_millis(50));
    }
    repairs
}

/// Webhooks, which come hours and days later.
fn deliver(world: &World, faults: u8, over: &AtomicBool, mut dice: Rng) {
    let process = world.process();
    let mut shop = None;
    while !over.load(Ordering::SeqCst) {
        prepare(&process, faults, 40, &mut dice);
        world.provider.let_pass(Duration::from_secs(dice.u64(..6 * 3600)));
        world.deliver_webhooks(&mut shop, &process);
        if process.line.is_cut() {
            world.happened("receivers of webhooks killed");
            shop = None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A process of shop.py.
pub struct Python {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Python {
    /// Starts it: `checkout` or `recover`.
    pub fn start(process: &Process, what: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/shop/shop.py");
        let mut child = python()
            .arg(script)
            .args([what, &process.python()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let (input, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        Self { child, input, output: BufReader::new(output) }
    }

    /// Gives it a cart.
    pub fn send(&mut self, cart: &Cart) {
        let method = if cart.method == Method::Charge { "charge" } else { "authorise" };
        let line = json!({"order": cart.order, "lines": cart.lines, "method": method, "amount": cart.amount});
        writeln!(self.input, "{line}").expect("it reads");
    }

    /// What became of the cart: `ORDER-1 sold`.
    pub fn answer(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("it ends");
    }

    /// Ends its input, and waits until it has ended.
    pub fn end(self) {
        let Self { mut child, input, .. } = self;
        drop(input);
        assert!(child.wait().expect("it ends").success(), "shop.py ended with an error");
    }
}

/// Python with the libraries that `scripts/setup-redis-py.sh` and `scripts/setup-psycopg.sh` have found.
pub fn python() -> Command {
    let paths = ["INV_REDIS_PY", "INV_PSYCOPG"];
    let paths =
        paths.map(|name| std::env::var(name).unwrap_or_else(|_| panic!("{name}, see scripts/setup-*.sh")));
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", paths.join(":")).env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

/// Customers at a process in Python. It survives cuts as a shop would, and is killed now and then.
fn serve_in_python(world: &World, orders: usize, faults: u8, mut dice: Rng) {
    let process = world.process();
    let mut shop = Python::start(&process, "checkout");
    for _ in 0..orders {
        let cart = cart(world, &mut dice);
        prepare(&process, faults, 50, &mut dice);
        shop.send(&cart);
        if dice.u8(..100) < faults / 4 {
            thread::sleep(Duration::from_millis(dice.u64(..15)));
            shop.kill();
            world.happened("shops in Python killed (kill -9)");
            shop = Python::start(&process, "checkout");
        } else if shop.answer().contains("broken") {
            world.happened("shops in Python killed");
        }
    }
    shop.end();
}

fn recover_in_python(world: &World, faults: u8, over: &AtomicBool, mut dice: Rng) {
    let process = world.process();
    let mut job = Python::start(&process, "recover");
    while !over.load(Ordering::SeqCst) {
        prepare(&process, faults, 200, &mut dice);
        thread::sleep(Duration::from_millis(200));
        if dice.u8(..100) < faults / 4 {
            job.kill();
            world.happened("recovery jobs in Python killed (kill -9)");
            job = Python::start(&process, "recover");
        }
    }
    process.line.mend();
    job.end();
}
