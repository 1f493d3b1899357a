//! An order over products in different slots, as in examples/order.rs, with a client that dies at any step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterConnection};
use redis::{Cmd, ConnectionLike, ErrorKind, RedisResult, cmd};
use redis_inventory::inventory::cluster_slot::Slot;

use crate::harness::{Client, Json, SOON, Server, json, wait_for, wait_until};
use crate::shards::{Cluster, GOSSIP, node_id};
use crate::shop::Dice;

#[path = "../../examples/order.rs"]
#[allow(dead_code, reason = "its main function is not called here")]
mod recipe;

use recipe::{Order, Unsold, commit, finish, give_up, reserve};

/// Products with three tags, each on another master, in the order in which the recipe reserves them.
const PRODUCTS: [&str; 4] = ["BED", "CHAIR", "{shop7}:CUP", "{shop7}:PLATE"];

/// Units of each product.
const STOCK: i64 = 1000;

/// Units of each product in one order.
const EACH: [u64; 4] = [1, 2, 3, 4];

/// Groups in an order.
const GROUPS: usize = 3;

/// A deadline that passes in no test.
const FAR: i64 = 600_000;

/// A deadline that leaves enough time for a few dozen commands.
const NEAR: i64 = 4_000;

/// The limit for a step that the cluster may answer late.
const PATIENCE: Duration = Duration::from_secs(30);

struct Shop {
    cluster: Cluster,
    /// The number of the master of each product.
    owners: [usize; 4],
    client: ClusterConnection,
}

impl Shop {
    fn open() -> Self {
        let cluster = Cluster::start_with(3, 0, &[]);
        let owners = PRODUCTS.map(|product| cluster.owner(product));
        assert_eq!(BTreeSet::from(owners).len(), GROUPS, "{PRODUCTS:?} are on all masters");
        let mut client = recipe::connect(&urls(&cluster)).expect("a cluster");
        for product in PRODUCTS {
            cmd("INV.SET").arg(product).arg("AVAILABLE").arg(STOCK).exec(&mut client).expect("stock");
        }
        Self { cluster, owners, client }
    }

    /// An order whose units are held.
    fn held(&mut self, id: impl Into<String>, ms: i64) -> Order {
        let order = new_order(&self.cluster, id, ms);
        reserve(&mut self.client, &order).expect("units for all");
        order
    }

    /// The state of each group of an order.
    fn states(&self, order: &Order) -> Vec<Json> {
        order.groups().iter().map(|group| self.state(&group.reservation)).collect()
    }

    fn state(&self, reservation: &str) -> Json {
        self.ask("INV.GET", reservation)["state"].clone()
    }

    /// Asserts that every product has the units that these orders leave: nothing is lost, and nothing is sold twice.
    #[track_caller]
    fn check(&self, orders: &[Order]) {
        let mut taken: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for group in orders.iter().flat_map(Order::groups) {
            let state = self.state(&group.reservation);
            for (product, units) in group.lines {
                let (held, sold) = taken.entry(product).or_default();
                match state.as_str() {
                    Some("reserved") => *held += units.cast_signed(),
                    Some("committed") => *sold += units.cast_signed(),
                    _ => {}
                }
            }
        }
        for product in PRODUCTS {
            let (held, sold) = taken.get(product).copied().unwrap_or_default();
            // The state of an overdue group is computed from the clock; its units follow within a moment.
            wait_for(product, SOON, (STOCK - held - sold, held), || self.units(product));
        }
        self.cluster.check_keys();
    }

    /// Waits until no group of the order is held any more.
    fn wait_for_the_deadline(&self, order: &Order) {
        wait_until("the deadline", PATIENCE, || !self.states(order).contains(&json!("reserved")));
    }

    /// Available and reserved units.
    fn units(&self, product: &str) -> (i64, i64) {
        let stock = &self.ask("INV.STOCK", product)[0];
        let number = |name: &str| stock[name].as_i64().expect("a number");
        (number("available"), number("reserved"))
    }

    /// Asks only the master of an id, because another one may be suspended.
    fn ask(&self, command: &str, id: &str) -> Json {
        let place =
            PRODUCTS.iter().position(|product| recipe::tag(product) == recipe::tag(id)).expect("of ours");
        self.cluster.masters[self.owners[place]].connect().ask([command, id])
    }
}

/// An order of all products that expires after this many ms.
fn new_order(cluster: &Cluster, id: impl Into<String>, ms: i64) -> Order {
    let lines = PRODUCTS.iter().zip(EACH).map(|(&product, units)| (product.to_owned(), units));
    let deadline = cluster.masters[0].connect().now() + ms;
    Order { id: id.into(), lines: lines.collect(), deadline: deadline.cast_unsigned() }
}

/// When the client dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// Before it sends the command.
    BeforeItAsks,
    /// After it sends the command, but before the reply.
    BeforeTheAnswer,
}

const DEATHS: [Death; 2] = [Death::BeforeItAsks, Death::BeforeTheAnswer];

/// A client that dies at a command, after it has completed this many.
struct Mortal<'a> {
    client: &'a mut ClusterConnection,
    left: Option<usize>,
    death: Death,
}

impl<'a> Mortal<'a> {
    fn new(client: &'a mut ClusterConnection, commands: usize, death: Death) -> Self {
        Self { client, left: Some(commands), death }
    }

    fn is_dead(&self) -> bool {
        self.left.is_none()
    }
}

impl ConnectionLike for Mortal<'_> {
    fn req_command(&mut self, command: &Cmd) -> RedisResult<redis::Value> {
        match self.left {
            Some(0) => {
                self.left = None;
                if matches!(self.death, Death::BeforeTheAnswer) {
                    // Whatever the reply is, the client does not receive it.
                    let _ = self.client.req_command(command);
                }
            }
            Some(left) => {
                self.left = Some(left - 1);
                return self.client.req_command(command);
            }
            None => {}
        }
        Err((ErrorKind::Io, "this client is dead").into())
    }

    fn req_packed_command(&mut self, _: &[u8]) -> RedisResult<redis::Value> {
        panic!("the recipe sends commands one by one")
    }

    fn req_packed_commands(&mut self, _: &[u8], _: usize, _: usize) -> RedisResult<Vec<redis::Value>> {
        panic!("the recipe sends commands one by one")
    }

    fn get_db(&self) -> i64 {
        0
    }

    fn check_connection(&mut self) -> bool {
        !self.is_dead()
    }

    fn is_open(&self) -> bool {
        !self.is_dead()
    }
}

fn urls(cluster: &Cluster) -> Vec<String> {
    cluster.masters.iter().map(|master| format!("redis://127.0.0.1:{}", master.port())).collect()
}

/// This many groups in the first state, the others in the second.
fn first(count: usize, one: Json, other: Json) -> Vec<Json> {
    (0..GROUPS).map(|group| if group < count { one.clone() } else { other.clone() }).collect()
}

#[track_caller]
fn assert_sold(answer: RedisResult<Vec<Unsold>>) {
    let unsold = answer.expect("every group answers");
    assert!(unsold.is_empty(), "{unsold:?}");
}

#[test]
fn an_order_holds_and_sells_units_on_every_master() {
    let mut shop = Shop::open();
    let order = shop.held("ORDER-1", FAR);
    let reservations: Vec<String> = order.groups().into_iter().map(|group| group.reservation).collect();
    assert_eq!(reservations, ["{BED}:ORDER-1", "{CHAIR}:ORDER-1", "{shop7}:ORDER-1"]);
    assert_eq!(shop.states(&order), first(0, json!(null), json!("reserved")));
    shop.check(std::slice::from_ref(&order));
    // Sent again, for example after a timeout.
    reserve(&mut shop.client, &order).expect("the same reservations");
    shop.check(std::slice::from_ref(&order));
    for _ in 0..2 {
        assert_sold(commit(&mut shop.client, &order));
        assert_eq!(shop.states(&order), first(GROUPS, json!("committed"), json!(null)));
        shop.check(std::slice::from_ref(&order));
    }
}

#[test]
fn a_refused_group_rolls_the_others_back_and_its_refusal_is_handed_on() {
    let mut shop = Shop::open();
    for (short, expected) in [
        (0, [json!(null), json!(null), json!(null)]),
        (1, [json!("rolled_back"), json!(null), json!(null)]),
        (2, [json!("rolled_back"), json!("rolled_back"), json!(null)]),
    ] {
        let mut order = new_order(&shop.cluster, format!("ORDER-{short}"), FAR);
        order.lines[short].1 = STOCK.cast_unsigned() + 1;
        let refusal = reserve(&mut shop.client, &order).expect_err("too much");
        assert_eq!(refusal.code(), Some("INSUFFICIENT"), "{refusal}");
        assert!(refusal.detail().is_some_and(|detail| detail.contains(PRODUCTS[short])), "{refusal}");
        assert_eq!(shop.states(&order), expected);
        shop.check(&[]);
    }
    // The customer cancels, twice because of a timeout. A cancelled order cannot be held again.
    let order = shop.held("ORDER-3", FAR);
    for _ in 0..2 {
        give_up(&mut shop.client, &order).expect("it is not sold");
        shop.check(&[]);
    }
    let refusal = reserve(&mut shop.client, &order).expect_err("it is given up");
    assert_eq!(refusal.code(), Some("ROLLEDBACK"), "{refusal}");
}

#[test]
fn an_id_that_is_sold_or_of_another_order_is_not_rolled_back() {
    let mut shop = Shop::open();
    // The order was paid and is partly sold: a second client that starts it again must not roll back the rest.
    let order = shop.held("ORDER-1", FAR);
    cmd("INV.COMMIT").arg("{CHAIR}:ORDER-1").exec(&mut shop.client).expect("it is held");
    let refusal = reserve(&mut shop.client, &order).expect_err("it is sold");
    assert_eq!(refusal.code(), Some("COMMITTED"), "{refusal}");
    assert_eq!(shop.states(&order), [json!("reserved"), json!("committed"), json!("reserved")]);
    let mut other = order.clone();
    other.lines[3].1 += 1;
    let refusal = reserve(&mut shop.client, &other).expect_err("another order");
    assert_eq!(refusal.code(), Some("COMMITTED"), "{refusal}");
    other.lines[1].0 = "STOOL".to_owned();
    cmd("INV.SET").arg("STOOL").arg("AVAILABLE").arg(STOCK).exec(&mut shop.client).expect("stock");
    let refusal = reserve(&mut shop.client, &other).expect_err("another order");
    assert_eq!(refusal.code(), Some("MISMATCH"), "{refusal}");
    assert_eq!(shop.states(&order), [json!("reserved"), json!("committed"), json!("reserved")]);
    give_up(&mut shop.client, &order).expect_err("it is sold in part");
}

#[test]
fn what_a_client_holds_that_dies_before_the_payment_comes_back_at_the_deadline() {
    let mut shop = Shop::open();
    let mut orders = Vec::new();
    for death in DEATHS {
        // The last client dies after everything is held.
        for done in 0..=GROUPS {
            let order = new_order(&shop.cluster, format!("{death:?}-{done}"), NEAR);
            let mut client = Mortal::new(&mut shop.client, done, death);
            let answer = reserve(&mut client, &order);
            assert_eq!(answer.is_ok(), done == GROUPS);
            let held = done + usize::from(matches!(death, Death::BeforeTheAnswer));
            assert_eq!(shop.states(&order), first(held, json!("reserved"), json!(null)), "{death:?} {done}");
            orders.push((order, held));
        }
    }
    shop.check(&orders.iter().map(|(order, _)| order.clone()).collect::<Vec<_>>());
    for (order, held) in &orders {
        shop.wait_for_the_deadline(order);
        assert_eq!(shop.states(order), first(*held, json!("expired"), json!(null)), "{order:?}");
        // A client that repeats the order too late, and does not know that it was paid, gets nothing.
        if *held > 0 {
            let refusal = reserve(&mut shop.client, order).expect_err("it is over");
            assert_eq!(refusal.code(), Some("EXPIRED"), "{refusal}");
        }
    }
    shop.check(&[]);
}

#[test]
fn another_client_can_continue_after_one_that_dies_while_reserving() {
    let mut shop = Shop::open();
    let mut orders = Vec::new();
    for death in DEATHS {
        for done in 0..GROUPS {
            let order = new_order(&shop.cluster, format!("{death:?}-{done}"), FAR);
            reserve(&mut Mortal::new(&mut shop.client, done, death), &order).expect_err("it dies");
            reserve(&mut shop.client, &order).expect("units for all");
            assert_eq!(shop.states(&order), first(GROUPS, json!("reserved"), json!(null)));
            orders.push(order);
        }
    }
    shop.check(&orders);
}

#[test]
fn what_a_client_holds_that_dies_while_it_rolls_back_comes_back_at_the_deadline() {
    let mut shop = Shop::open();
    let mut orders = Vec::new();
    for death in DEATHS {
        // Two reservations, the refusal, and three rollbacks, the last one of a group that was never held.
        for done in 2..2 * GROUPS {
            let mut order = new_order(&shop.cluster, format!("{death:?}-{done}"), NEAR);
            order.lines[3].1 = STOCK.cast_unsigned() + 1;
            let mut client = Mortal::new(&mut shop.client, done, death);
            let error = reserve(&mut client, &order).expect_err("too much");
            assert!(client.is_dead(), "it should have more than {done} commands");
            assert_eq!(error.code(), (done > 2).then_some("INSUFFICIENT"), "{error}");
            let given_back =
                done.saturating_sub(3) + usize::from(done > 2 && matches!(death, Death::BeforeTheAnswer));
            let mut expected = first(given_back.min(2), json!("rolled_back"), json!("reserved"));
            expected[2] = json!(null);
            assert_eq!(shop.states(&order), expected, "{death:?} {done}");
            orders.push(order);
        }
    }
    shop.check(&orders);
    for order in &orders {
        shop.wait_for_the_deadline(order);
    }
    shop.check(&[]);
}

#[test]
fn a_half_sold_order_is_finished_by_a_client_that_finds_it_paid() {
    let mut shop = Shop::open();
    let mut orders = Vec::new();
    for death in DEATHS {
        for done in 0..=GROUPS {
            let order = shop.held(format!("{death:?}-{done}"), FAR);
            let mut client = Mortal::new(&mut shop.client, done, death);
            let answer = commit(&mut client, &order);
            assert_eq!(answer.is_ok(), done == GROUPS);
            let sold = done + usize::from(matches!(death, Death::BeforeTheAnswer));
            assert_eq!(
                shop.states(&order),
                first(sold, json!("committed"), json!("reserved")),
                "{death:?} {done}"
            );
            orders.push(order);
        }
    }
    shop.check(&orders);
    let mut another = recipe::connect(&urls(&shop.cluster)).expect("a cluster");
    for order in &orders {
        assert_sold(finish(&mut another, order, PATIENCE));
        assert_eq!(shop.states(order), first(GROUPS, json!("committed"), json!(null)), "{order:?}");
    }
    shop.check(&orders);
}

#[test]
fn a_half_sold_order_is_finished_after_its_deadline_too() {
    let mut shop = Shop::open();
    // Partly sold before the deadline, by a client that dies at that point.
    let mut orders = Vec::new();
    for done in 0..=GROUPS {
        let order = shop.held(format!("before-{done}"), NEAR);
        let _ = commit(&mut Mortal::new(&mut shop.client, done, Death::BeforeItAsks), &order);
        orders.push((order, done));
    }
    for (order, done) in &orders {
        shop.wait_for_the_deadline(order);
        assert_eq!(shop.states(order), first(*done, json!("committed"), json!("expired")), "{order:?}");
    }
    // Or after the deadline, when every group takes two commands.
    for death in DEATHS {
        for done in 0..2 * GROUPS {
            let order = shop.held(format!("{death:?}-{done}"), NEAR);
            orders.push((order, done));
        }
    }
    for (order, done) in &orders[GROUPS + 1..] {
        shop.wait_for_the_deadline(order);
        let death = if order.id.starts_with("BeforeTheAnswer") {
            Death::BeforeTheAnswer
        } else {
            Death::BeforeItAsks
        };
        commit(&mut Mortal::new(&mut shop.client, *done, death), order).expect_err("it dies");
        let sold = (done + usize::from(matches!(death, Death::BeforeTheAnswer))) / 2;
        assert_eq!(shop.states(order), first(sold, json!("committed"), json!("expired")), "{order:?}");
    }
    for (order, _) in &orders {
        assert_sold(finish(&mut shop.client, order, PATIENCE));
        assert_eq!(shop.states(order), first(GROUPS, json!("committed"), json!(null)), "{order:?}");
    }
    shop.check(&orders.iter().map(|(order, _)| order.clone()).collect::<Vec<_>>());
}

#[test]
fn what_others_got_after_the_deadline_is_named_and_sold_once_there_is_more() {
    let mut shop = Shop::open();
    let slow = shop.held("SLOW", NEAR);
    shop.wait_for_the_deadline(&slow);
    // Another order takes all chairs.
    let mut quick = new_order(&shop.cluster, "QUICK", FAR);
    quick.lines = vec![("CHAIR".to_owned(), STOCK.cast_unsigned())];
    reserve(&mut shop.client, &quick).expect("all chairs are there");
    assert_sold(finish(&mut shop.client, &quick, PATIENCE));

    for _ in 0..2 {
        let unsold = finish(&mut shop.client, &slow, PATIENCE).expect("every group answers");
        let [Unsold { group, refusal }] = &unsold[..] else { panic!("{unsold:?}") };
        assert_eq!((&*group.reservation, &*group.lines), ("{CHAIR}:SLOW", &[("CHAIR".to_owned(), 2)][..]));
        assert_eq!(refusal.code(), Some("INSUFFICIENT"), "{refusal}");
        assert_eq!(shop.states(&slow), [json!("committed"), json!("expired"), json!("committed")]);
        shop.check(&[slow.clone(), quick.clone()]);
    }

    cmd("INV.ADJUST").arg("CHAIR").arg(2).exec(&mut shop.client).expect("more chairs");
    assert_sold(finish(&mut shop.client, &slow, PATIENCE));
    assert_eq!(shop.states(&slow), first(GROUPS, json!("committed"), json!(null)));
    assert_eq!(shop.units("CHAIR"), (0, 0));
}

#[test]
fn a_paid_order_that_was_given_up_is_named_in_every_group() {
    let mut shop = Shop::open();
    let order = shop.held("ORDER-1", FAR);
    give_up(&mut shop.client, &order).expect("it is not sold");
    let unknown = new_order(&shop.cluster, "ORDER-2", FAR);
    for (order, code) in [(&order, "ROLLEDBACK"), (&unknown, "NOTFOUND")] {
        let unsold = finish(&mut shop.client, order, PATIENCE).expect("every group answers");
        let codes: Vec<_> = unsold.iter().map(|unsold| unsold.refusal.code()).collect();
        assert_eq!(codes, [Some(code); GROUPS]);
    }
    shop.check(&[]);
}

#[test]
fn a_commit_to_a_master_that_says_nothing_is_sent_again_until_it_answers() {
    let mut shop = Shop::open();
    let order = shop.held("ORDER-1", FAR);
    let mute = shop.cluster.owner("CHAIR");
    // It receives the command twice, and has both when it is resumed.
    let client = ClusterClient::builder(urls(&shop.cluster))
        .response_timeout(Duration::from_millis(300))
        .retries(1)
        .min_retry_wait(10)
        .max_retry_wait(50);
    let mut client = client.build().expect("a client").get_connection().expect("a cluster");
    shop.cluster.masters[mute].freeze();
    let error = commit(&mut client, &order).expect_err("one group does not answer");
    assert!(error.is_timeout() || error.is_io_error(), "{error}");
    // The other groups did not wait for it.
    assert_eq!(shop.state("{BED}:ORDER-1"), "committed");
    assert_eq!(shop.state("{shop7}:ORDER-1"), "committed");
    // So long that the other masters consider the cluster down and refuse every command.
    let other = &shop.cluster.masters[(mute + 1) % GROUPS];
    let is_down = |server: &Server| {
        let info = server.connect().ask("CLUSTER INFO");
        info.as_str().expect("text").contains("cluster_state:fail")
    };
    wait_until("the cluster is down", GOSSIP, || is_down(other));
    commit(&mut client, &order).expect_err("the cluster is down");
    shop.cluster.masters[mute].thaw();
    assert_sold(finish(&mut client, &order, GOSSIP));
    shop.cluster.wait_until_up();
    assert_eq!(shop.states(&order), first(GROUPS, json!("committed"), json!(null)));
    shop.check(std::slice::from_ref(&order));
}

#[test]
fn an_order_waits_for_a_slot_that_is_being_moved() {
    let mut shop = Shop::open();
    let paid = shop.held("PAID", FAR);
    let (owner, slot) = (shop.cluster.owner("CHAIR"), Slot::of("CHAIR").number());
    let (from, to) = (&shop.cluster.masters[owner], &shop.cluster.masters[(owner + 1) % GROUPS]);
    let placed = new_order(&shop.cluster, "PLACED", FAR);
    let urls = urls(&shop.cluster);
    for (number, order) in [&placed, &paid].into_iter().enumerate() {
        to.connect().ask(format!("CLUSTER SETSLOT {slot} IMPORTING {}", node_id(from)));
        from.connect().ask(format!("CLUSTER SETSLOT {slot} MIGRATING {}", node_id(to)));
        let met = redirects(from, to);
        thread::scope(|scope| {
            let customer = scope.spawn(|| {
                let mut client = recipe::connect(&urls).expect("a cluster");
                match number {
                    0 => recipe::again(PATIENCE, || reserve(&mut client, order)).expect("it waits"),
                    _ => assert_sold(finish(&mut client, order, PATIENCE)),
                }
            });
            wait_until("the client has been redirected for a while", PATIENCE, || {
                redirects(from, to) > met + 10 || customer.is_finished()
            });
            assert!(!customer.is_finished(), "the move should have delayed the customer");
            for node in [from, to] {
                node.connect().ask(format!("CLUSTER SETSLOT {slot} STABLE"));
            }
            customer.join().expect("the customer's order");
        });
    }
    assert_eq!(shop.states(&placed), first(GROUPS, json!("reserved"), json!(null)));
    assert_eq!(shop.states(&paid), first(GROUPS, json!("committed"), json!(null)));
    shop.check(&[placed, paid]);
}

/// How often these nodes have redirected a client.
fn redirects(from: &Server, to: &Server) -> u64 {
    let count = |client: &mut Client, code: &str| {
        let found = client.info("errorstats", &format!("errorstat_{code}"));
        found.strip_prefix("count=").map_or(0, |count| count.parse::<u64>().expect("a number"))
    };
    [from, to].map(Server::connect).iter_mut().map(|node| count(node, "ASK") + count(node, "TRYAGAIN")).sum()
}

#[test]
fn many_customers_at_once_some_of_whom_die_lose_and_double_nothing() {
    const CUSTOMERS: u64 = 4;
    const ORDERS: u64 = 25;
    let mut shop = Shop::open();
    let (cluster, urls) = (&shop.cluster, urls(&shop.cluster));
    // The shop's own database: its orders, and which of them are paid.
    let rows: Mutex<Vec<(Order, bool)>> = Mutex::default();
    let customer = |customer: u64| {
        let mut dice = Dice::new(customer);
        let mut client = recipe::connect(&urls).expect("a cluster");
        for number in 0..ORDERS {
            let order = new_order(
                cluster,
                format!("{customer}-{number}"),
                if dice.roll(2) == 0 { NEAR } else { FAR },
            );
            let death = if dice.roll(2) == 0 { Death::BeforeItAsks } else { Death::BeforeTheAnswer };
            let mut commands = || usize::try_from(dice.roll(8)).expect("a small number");
            let is_held = reserve(&mut Mortal::new(&mut client, commands(), death), &order).is_ok();
            let is_paid = is_held && commands() > 2;
            rows.lock().expect("rows").push((order.clone(), is_paid));
            // It may die during this.
            let mut client = Mortal::new(&mut client, commands(), death);
            if is_paid {
                let _ = commit(&mut client, &order);
            } else if commands() > 3 {
                let _ = give_up(&mut client, &order);
            }
        }
    };
    thread::scope(|scope| {
        for number in 0..CUSTOMERS {
            let customer = &customer;
            scope.spawn(move || customer(number));
        }
    });
    let rows = rows.into_inner().expect("rows");
    let orders: Vec<Order> = rows.iter().map(|(order, _)| order.clone()).collect();
    let paid: Vec<&Order> = rows.iter().filter(|row| row.1).map(|row| &row.0).collect();
    assert!((10..90).contains(&paid.len()), "{} of {} are paid", paid.len(), orders.len());
    // Some are finished before the short deadlines pass, some after that.
    let (soon, later) = paid.split_at(paid.len() / 2);
    for order in soon {
        assert_sold(finish(&mut shop.client, order, PATIENCE));
    }
    let first = orders.iter().map(|order| order.deadline).min().expect("orders");
    for order in orders.iter().filter(|order| order.deadline < first + FAR.cast_unsigned() / 2) {
        shop.wait_for_the_deadline(order);
    }
    shop.check(&orders);
    for order in later {
        assert_sold(finish(&mut shop.client, order, PATIENCE));
    }
    shop.check(&orders);
    for (order, is_paid) in &rows {
        let sold = shop.states(order).iter().filter(|state| **state == "committed").count();
        assert_eq!(sold, if *is_paid { GROUPS } else { 0 }, "{order:?}");
    }
}

#[test]
fn the_example_tells_its_story() {
    let cluster = Cluster::start(3);
    recipe::tell(&urls(&cluster)).expect("the demonstration succeeds");
    cluster.check_keys();
}
